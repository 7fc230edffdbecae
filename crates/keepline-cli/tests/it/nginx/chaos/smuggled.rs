//! Requests that hide another one, which must never reach a backend.

use crate::dice::Dice;

/// The backend knows no such fault, and says that it got it.
const HIDDEN: &str = "GET /buffered/smuggled/t0000000000000000 HTTP/1.1\r\nHost: x\r\n\r\n";

/// A well-formed request whose content looks like one.
pub(super) fn as_content(path: &str) -> Vec<u8> {
    let length = HIDDEN.len();
    let fields = format!("Host: x\r\nX-Opaque: 1\r\nContent-Length: {length}\r\n");
    format!("POST {path} HTTP/1.1\r\n{fields}\r\n{HIDDEN}").into_bytes()
}

/// What two parsers could read in two ways, each by its name. LEN is the length of the hidden
/// request.
const MALFORMED: [(&str, &str); 16] = [
    (
        "length and chunks",
        "Content-Length: LEN\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks and length",
        "Transfer-Encoding: chunked\r\nContent-Length: LEN\r\n\r\n0\r\n\r\n",
    ),
    (
        "two codings",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "a list of codings",
        "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an unknown coding",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a coding with a control character",
        "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "Content-Length: 0\r\nContent-Length: LEN\r\n\r\n",
    ),
    ("two lengths in one field", "Content-Length: 0, LEN\r\n\r\n"),
    ("a length with a sign", "Content-Length: +LEN\r\n\r\n"),
    (
        "a length without end",
        "Content-Length: 99999999999999999999999\r\n\r\n",
    ),
    ("a space before the colon", "Content-Length : LEN\r\n\r\n"),
    (
        "a folded coding",
        "A: b\r\n Transfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "a chunk line without CR",
        "Transfer-Encoding: chunked\r\n\r\n0\n\n",
    ),
    (
        "a chunk size without end",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
    ),
    (
        "a chunk size with a sign",
        "Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n",
    ),
    ("a NUL in a field", "A: \0b\r\n\r\n"),
];

pub(super) fn malformed(path: &str, dice: &mut Dice) -> (&'static str, Vec<u8>) {
    let (name, fields) = MALFORMED[dice.below(MALFORMED.len())];
    let fields = fields.replace("LEN", &HIDDEN.len().to_string());
    let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{fields}{HIDDEN}");
    (name, request.into_bytes())
}
