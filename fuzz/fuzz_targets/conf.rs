//! Some files of a configuration, read, checked, written down and read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keepline_gateway::conf::fuzzing::conf(data));
