//! Both sides act in any order; what one sends, the other understands.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keepline_proto::fuzzing::connection_ops(data));
