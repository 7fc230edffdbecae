//! One request or response head, split in all ways, against a second parser and the encoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keepline_proto::fuzzing::head(data));
