//! The header of the PROXY protocol, in one piece and read as it asks for.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keepline_proto::fuzzing::proxy_protocol(data));
