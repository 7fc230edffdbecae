//! Responses, by what is wrong with them and what was asked.
#![expect(clippy::too_many_lines, reason = "each function is one table")]

use super::{Row, read, refused};
use crate::RemoteError as E;
use crate::fuzzing::feed::Ask;

const GET: u8 = 0;
const HEAD: u8 = 1;
const CONNECT: u8 = 2;
const UPGRADE: u8 = 3;

/// A 200 with these field lines and this body.
fn ok(lines: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}")
}

pub(super) fn tables() -> Vec<(&'static str, Vec<Ask>, Vec<Row>)> {
    let asked = |bits| vec![Ask::nth(bits)];
    vec![
        ("Framing", asked(GET), framing()),
        ("Status line and field lines", asked(GET), lines()),
        ("What no request asked for", asked(GET), unasked()),
        ("Answers to HEAD", asked(HEAD), to_head()),
        ("Answers to CONNECT", asked(CONNECT), to_connect()),
        (
            "Answers to a request to upgrade",
            asked(UPGRADE),
            to_upgrade(),
        ),
        ("Before any request", Vec::new(), before_any()),
    ]
}

fn framing() -> Vec<Row> {
    let bad =
        |kind, lines: &str, body: &str, error, rfc| refused(kind, ok(lines, body), error, rfc);
    let chunked = "transfer-encoding: chunked\r\n";
    vec![
        bad(
            "Content-Length and Transfer-Encoding",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "0\r\n\r\n",
            E::ContentLengthWithTransferEncoding,
            "§6.3",
        ),
        bad(
            "Content-Length that differ",
            "content-length: 3\r\ncontent-length: 4\r\n",
            "abc",
            E::ConflictingContentLength,
            "§6.3",
        ),
        bad(
            "a list of Content-Length",
            "content-length: 3, 3\r\n",
            "abc",
            E::InvalidContentLength,
            "§6.3",
        ),
        bad(
            "a signed Content-Length",
            "content-length: +3\r\n",
            "abc",
            E::InvalidContentLength,
            "§6.3",
        ),
        bad(
            "a negative Content-Length",
            "content-length: -1\r\n",
            "abc",
            E::InvalidContentLength,
            "§6.3",
        ),
        bad(
            "an empty Content-Length",
            "content-length:\r\n",
            "abc",
            E::InvalidContentLength,
            "§6.3",
        ),
        bad(
            "Content-Length of 2⁶⁴",
            "content-length: 18446744073709551616\r\n",
            "abc",
            E::InvalidContentLength,
            "§6.3",
        ),
        bad(
            "`Transfer-Encoding: gzip`",
            "transfer-encoding: gzip\r\n",
            "",
            E::UnsupportedTransferEncoding,
            "§6.1",
        ),
        bad(
            "`Transfer-Encoding: gzip, chunked`",
            "transfer-encoding: gzip, chunked\r\n",
            "0\r\n\r\n",
            E::UnsupportedTransferEncoding,
            "§6.1",
        ),
        bad(
            "`Transfer-Encoding: chunked, gzip`",
            "transfer-encoding: chunked, gzip\r\n",
            "0\r\n\r\n",
            E::TransferEncodingNotChunked,
            "§6.1",
        ),
        bad(
            "`Transfer-Encoding: chunked` twice",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "0\r\n\r\n",
            E::TransferEncodingNotChunked,
            "§6.1",
        ),
        refused(
            "Transfer-Encoding in HTTP/1.0",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            E::TransferEncodingInHttp10,
            "§6.1",
        ),
        bad(
            "a bare LF in chunk framing",
            chunked,
            "3\nabc\r\n0\r\n\r\n",
            E::InvalidBareLf,
            "§7.1",
        ),
        bad(
            "a chunk size of 17 digits",
            chunked,
            "00000000000000003\r\n",
            E::ChunkSizeOverflow,
            "§7.1",
        ),
        bad(
            "more data than the chunk size",
            chunked,
            "1\r\nab\r\n",
            E::InvalidChunkEnd,
            "§7.1",
        ),
        bad(
            "Content-Length in the trailer section",
            chunked,
            "0\r\ncontent-length: 1\r\n\r\n",
            E::ForbiddenTrailer,
            "RFC 9110 §6.5.1",
        ),
        bad(
            "a folded line in the trailer section",
            chunked,
            "0\r\nx: y\r\n z\r\n\r\n",
            E::ObsoleteFold,
            "§5.2",
        ),
        refused(
            "204 with both lengths",
            "HTTP/1.1 204 No\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n",
            E::ContentLengthWithTransferEncoding,
            "§6.3",
        ),
        read(
            "204 with a length: no body",
            "HTTP/1.1 204 No\r\ncontent-length: 5\r\n\r\n",
            &["HTTP/1.1 204 [\"content-length: 5\"]", "End"],
            "§6.3",
        ),
        read(
            "304 with a transfer coding: no body",
            "HTTP/1.1 304 No\r\ntransfer-encoding: chunked\r\n\r\n",
            &["HTTP/1.1 304 [\"transfer-encoding: chunked\"]", "End"],
            "§6.3",
        ),
    ]
}

fn lines() -> Vec<Row> {
    let status = |kind, line: &str| {
        refused(
            kind,
            format!("{line}\r\ncontent-length: 0\r\n\r\n"),
            E::InvalidStatusLine,
            "§4",
        )
    };
    let field = |kind, line: &str| {
        refused(
            kind,
            ok(&format!("{line}\r\ncontent-length: 0\r\n"), ""),
            E::InvalidField,
            "§5",
        )
    };
    vec![
        status("HTTP/0.9: no status line", "<html>"),
        status("another protocol", "ICY 200 OK"),
        status("HTTP/2.0", "HTTP/2.0 200 OK"),
        status("a version in lower case", "http/1.1 200 OK"),
        status("a version of two digits", "HTTP/1.10 200 OK"),
        refused(
            "HTTP/1.2",
            "HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n",
            E::UnsupportedVersion,
            "§2.3",
        ),
        status("two spaces before the status", "HTTP/1.1  200 OK"),
        status("a status of two digits", "HTTP/1.1 20 OK"),
        status("a status of four digits", "HTTP/1.1 2000 OK"),
        status("a status below 100", "HTTP/1.1 099 OK"),
        status("a status with a sign", "HTTP/1.1 +20 OK"),
        status("no status", "HTTP/1.1"),
        status("a NUL in the reason phrase", "HTTP/1.1 200 \0"),
        status("a bare CR in the reason phrase", "HTTP/1.1 200 O\rK"),
        refused(
            "an empty line before",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            E::InvalidStatusLine,
            "§2.2",
        ),
        refused(
            "a space before",
            " HTTP/1.1 200 OK\r\n\r\n",
            E::InvalidStatusLine,
            "§4",
        ),
        field("a space before the colon", "x : y"),
        field("no colon", "x"),
        field("a NUL in a value", "x: \0"),
        field("a bare CR in a value", "x: a\rb"),
        field("a second status line", "HTTP/1.1 200 smuggled"),
        refused(
            "a bare LF in the head",
            "HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n",
            E::InvalidBareLf,
            "§2.2",
        )
        .but_read(&["HTTP/1.1 200 [\"content-length: 0\"]", "End"]),
        refused(
            "whitespace before the first field line",
            "HTTP/1.1 200 OK\r\n x: y\r\n\r\n",
            E::WhitespaceBeforeFields,
            "§2.2",
        ),
        refused(
            "257 field lines",
            ok(&"x: y\r\n".repeat(257), ""),
            E::TooManyFields,
            "RFC 9110 §5.4",
        ),
        refused(
            "a head of 65 KiB",
            ok(&format!("x: {}\r\n", "y".repeat(65 * 1024)), ""),
            E::HeadTooLarge,
            "RFC 9110 §5.4",
        ),
        read(
            "a folded line: unfolded by a client, refused by a gateway",
            ok("x: y\r\n z\r\ncontent-length: 0\r\n", ""),
            &["HTTP/1.1 200 [\"x: y   z\", \"content-length: 0\"]", "End"],
            "§5.2",
        ),
        read(
            "Content-Length on a folded line: the same",
            ok("content-length:\r\n 3\r\n", "abc"),
            &["HTTP/1.1 200 [\"content-length: 3\"]", "Data(abc)", "End"],
            "§5.2",
        ),
    ]
}

fn unasked() -> Vec<Row> {
    vec![
        refused(
            "101",
            "HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            E::UnexpectedUpgrade,
            "RFC 9110 §7.8",
        ),
        refused(
            "a second response",
            ok("content-length: 0\r\n", ""),
            E::UnsolicitedBytes,
            "§9.2",
        ),
        refused(
            "content behind a 204",
            "HTTP/1.1 204 No\r\ncontent-length: 3\r\n\r\nabc",
            E::UnsolicitedBytes,
            "§6.3",
        ),
        refused(
            "content behind an interim response",
            "HTTP/1.1 100 C\r\ncontent-length: 3\r\n\r\nabc",
            E::InvalidStatusLine,
            "§6.3",
        ),
        refused(
            "interim responses without end",
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(2700),
            E::HeadTooLarge,
            "RFC 9110 §15.2",
        ),
    ]
}

fn to_head() -> Vec<Row> {
    vec![
        refused(
            "content",
            ok("content-length: 3\r\n", "abc"),
            E::UnsolicitedBytes,
            "§6.3",
        ),
        refused(
            "Content-Length that differ",
            ok("content-length: 3\r\ncontent-length: 4\r\n", ""),
            E::ConflictingContentLength,
            "§6.3",
        ),
        read(
            "chunked: no body",
            ok("transfer-encoding: chunked\r\n", ""),
            &["HTTP/1.1 200 [\"transfer-encoding: chunked\"]", "End"],
            "§6.3",
        ),
    ]
}

fn to_connect() -> Vec<Row> {
    vec![
        refused(
            "101",
            "HTTP/1.1 101 S\r\nupgrade: x\r\n\r\n",
            E::UnexpectedUpgrade,
            "RFC 9110 §9.3.6",
        ),
        read(
            "2xx with lengths, which are ignored",
            ok("content-length: 3\r\ntransfer-encoding: chunked\r\n", "abc"),
            &[
                "HTTP/1.1 200 [\"content-length: 3\", \"transfer-encoding: chunked\"]",
                "Switched",
            ],
            "§6.3",
        ),
        read(
            "anything else: a response, and the last",
            "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 smuggled\r\n\r\n",
            &["HTTP/1.1 403 [\"content-length: 0\"]", "End"],
            "RFC 9110 §9.3.6",
        ),
    ]
}

fn to_upgrade() -> Vec<Row> {
    vec![
        refused(
            "101 without Upgrade",
            "HTTP/1.1 101 S\r\nconnection: upgrade\r\n\r\n",
            E::UnexpectedUpgrade,
            "RFC 9110 §15.2.2",
        ),
        read(
            "101: what follows belongs to the other protocol",
            "HTTP/1.1 101 S\r\nupgrade: x\r\ncontent-length: 3\r\n\r\nHTTP/1.1 200 smuggled\r\n\r\n",
            &[
                "HTTP/1.1 101 [\"upgrade: x\", \"content-length: 3\"]",
                "Switched",
            ],
            "RFC 9110 §15.2.2",
        ),
    ]
}

fn before_any() -> Vec<Row> {
    vec![
        refused(
            "a response",
            ok("content-length: 0\r\n", ""),
            E::UnsolicitedBytes,
            "§9.2",
        ),
        refused(
            "a 408",
            "HTTP/1.1 408 Request Timeout\r\n\r\n",
            E::UnsolicitedBytes,
            "RFC 9110 §15.5.9",
        ),
        refused("an empty line", "\r\n", E::UnsolicitedBytes, "§9.2"),
        refused("a single byte", "H", E::UnsolicitedBytes, "§9.2"),
    ]
}
