//! A connection's bytes, split in all ways, with answers and further requests in between.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keepline_proto::fuzzing::connection_splits(data));
