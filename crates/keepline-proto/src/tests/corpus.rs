//! Replays what the fuzzers found, and random inputs beside it, on a stable compiler.

use std::path::{Path, PathBuf};

use crate::fuzzing;

/// A fuzz target: its name, which is that of its corpus, and its function.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 5] = [
    ("head", fuzzing::head),
    ("chunked", fuzzing::chunked),
    ("connection_splits", fuzzing::connection_splits),
    ("connection_ops", fuzzing::connection_ops),
    ("proxy_protocol", fuzzing::proxy_protocol),
];

fn corpus(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let entries = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Which input it was, told if it panics.
struct Told(String);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("input: {}", self.0);
        }
    }
}

#[test]
fn the_corpus_of_each_fuzz_target_holds_its_invariants() {
    for (target, run) in TARGETS {
        let files = corpus(target);
        assert!(!files.is_empty(), "{target} has no corpus");
        assert!(files.len() <= 100, "{target} has {} files", files.len());
        for file in files {
            let _name = Told(file.display().to_string());
            let data = std::fs::read(&file).unwrap();
            assert!(data.len() <= 1024);
            run(&data);
        }
    }
}

/// A small linear congruential generator: the same inputs on each run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

#[test]
fn random_operations_hold_the_invariants() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let length = 2 * random.next(40) + 1;
        let data: Vec<u8> = (0..length).map(|_| random.next(256) as u8).collect();
        let _input = Told(format!("{data:?}"));
        fuzzing::connection_ops(&data);
    }
}

/// Pieces of which messages, good and bad, are made.
pub(super) const PIECES: [&str; 48] = [
    "GET / HTTP/1.1\r\n",
    "POST /a HTTP/1.1\r\n",
    "HEAD / HTTP/1.0\r\n",
    "CONNECT a:1 HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 204 \r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n",
    "HTTP/1.1 101 X\r\n",
    "HTTP/1.1 304 X\r\n",
    "HTTP/1.1 404 X\r\n",
    "host: a\r\n",
    "Host: b\r\n",
    "content-length: 3\r\n",
    "content-length: 0\r\n",
    "content-length: 5\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: gzip\r\n",
    "connection: close\r\n",
    "connection: keep-alive\r\n",
    "connection: upgrade\r\nupgrade: x\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    " ",
    "abc",
    "abcde",
    "3\r\nabc\r\n",
    "5;x=y\r\nabcde\r\n",
    "0\r\n",
    "0\r\n\r\n",
    "0\r\nx: y\r\n\r\n",
    "x: y\r\n",
    "x:\r\n y\r\n",
    "x : y\r\n",
    ": y\r\n",
    "x: \0\r\n",
    "keep-alive: timeout=5\r\n",
    "expect: 100-continue\r\n",
    "host: a\r\n\r\n",
    "host: a\r\n\r\n",
    "content-length: 3\r\n\r\nabc",
    "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "transfer-encoding: chunked\r\n\r\n",
];

#[test]
fn random_messages_hold_the_invariants() {
    let mut random = Random(2);
    for round in 0..20_000 {
        let mut data: Vec<u8> = (0..4).map(|_| random.next(256) as u8).collect();
        for _ in 0..random.next(14) {
            data.extend_from_slice(PIECES[random.next(PIECES.len())].as_bytes());
        }
        let _input = Told(data.escape_ascii().to_string());
        match round % 3 {
            0 => fuzzing::head(&data[3..]),
            1 => fuzzing::chunked(&data[3..]),
            _ => fuzzing::connection_splits(&data),
        }
    }
}
