//! Requests, by what is wrong with them.
#![expect(clippy::too_many_lines, reason = "each function is one table")]

use super::{Row, read, refused};
use crate::RemoteError as E;

/// A POST with these field lines and this body.
fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n{body}")
}

/// A POST with this chunked body.
fn chunks(body: &str) -> String {
    post("transfer-encoding: chunked\r\n", body)
}

/// A GET with these field lines.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n")
}

/// This request line and a Host.
fn start(line: &str) -> String {
    format!("{line}\r\nhost: a\r\n\r\n")
}

pub(super) fn tables() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("Content-Length and Transfer-Encoding together", both()),
        ("Content-Length", lengths()),
        ("Transfer-Encoding", codings()),
        ("Line ends", line_ends()),
        ("Field lines", field_lines()),
        ("Request line", request_lines()),
        ("Request target", targets()),
        ("Host", hosts()),
        ("Chunk framing", chunk_framing()),
        ("Trailer section", trailer_sections()),
        ("Size", sizes()),
    ]
}

fn both() -> Vec<Row> {
    let body = "0\r\n\r\n";
    let each = E::ContentLengthWithTransferEncoding;
    vec![
        refused(
            "Content-Length, then Transfer-Encoding",
            post("content-length: 5\r\ntransfer-encoding: chunked\r\n", body),
            each,
            "§6.1",
        ),
        refused(
            "Transfer-Encoding, then Content-Length",
            post("transfer-encoding: chunked\r\ncontent-length: 5\r\n", body),
            each,
            "§6.1",
        ),
        refused(
            "`Content-Length: 0` and Transfer-Encoding",
            post("content-length: 0\r\ntransfer-encoding: chunked\r\n", body),
            each,
            "§6.1",
        ),
        refused(
            "malformed Content-Length and Transfer-Encoding",
            post("content-length: x\r\ntransfer-encoding: chunked\r\n", body),
            each,
            "§6.1",
        ),
        refused(
            "differing Content-Length and Transfer-Encoding",
            post(
                "content-length: 1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n",
                body,
            ),
            each,
            "§6.1",
        ),
        refused(
            "Content-Length and a coding that is not known",
            post("content-length: 5\r\ntransfer-encoding: x\r\n", "hello"),
            E::UnsupportedTransferEncoding,
            "§6.1",
        ),
        refused(
            "both, in HTTP/1.0",
            "POST / HTTP/1.0\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            E::TransferEncodingInHttp10,
            "§6.1",
        ),
    ]
}

fn lengths() -> Vec<Row> {
    let one = |kind, value: &str| {
        let wire = post(&format!("content-length: {value}\r\n"), "abc");
        refused(kind, wire, E::InvalidContentLength, "§6.3")
    };
    let several = |kind, values: &[&str], error| {
        let line = |x: &&str| format!("Content-Length: {x}\r\n");
        let lines: String = values.iter().map(line).collect();
        refused(kind, post(&lines, "abc"), error, "§6.3")
    };
    vec![
        several("two that differ", &["3", "4"], E::ConflictingContentLength),
        several(
            "two that differ, one of them 0",
            &["0", "3"],
            E::ConflictingContentLength,
        ),
        several(
            "three, the second differs",
            &["3", "4", "3"],
            E::ConflictingContentLength,
        ),
        several(
            "a good one and a malformed one",
            &["3", "x"],
            E::InvalidContentLength,
        ),
        several(
            "a malformed one and a good one",
            &["+3", "3"],
            E::InvalidContentLength,
        ),
        one("a list of equal numbers `3, 3`", "3, 3"),
        one("a list of numbers that differ `3, 4`", "3, 4"),
        one("a list with an empty element `3,`", "3,"),
        one("a plus sign `+3`", "+3"),
        one("a minus sign `-3`", "-3"),
        one("minus zero `-0`", "-0"),
        one("hexadecimal `0x3`", "0x3"),
        one("a fraction `3.0`", "3.0"),
        one("an exponent `3e0`", "3e0"),
        one("an underscore `0_3`", "0_3"),
        one("a space inside `0 3`", "0 3"),
        one("a letter behind `3a`", "3a"),
        one("a semicolon `3;`", "3;"),
        one("in quotes `\"3\"`", "\"3\""),
        one("empty", ""),
        one("2⁶⁴", "18446744073709551616"),
        one("200 digits", &"1".repeat(200)),
        one("digits of another script", "\u{663}"),
        refused(
            "a NUL behind the number",
            post("content-length: 3\0\r\n", "abc"),
            E::InvalidField,
            "RFC 9110 §5.5",
        ),
        refused(
            "a space before the colon `Content-Length : 3`",
            post("content-length : 3\r\n", "abc"),
            E::InvalidField,
            "§5.1",
        ),
        refused(
            "a tab before the colon",
            post("content-length\t: 3\r\n", "abc"),
            E::InvalidField,
            "§5.1",
        ),
        read(
            "two that are equal",
            post("content-length: 3\r\nContent-Length: 3\r\n", "abc"),
            &[
                "POST / HTTP/1.1 [\"host: a\", \"content-length: 3\", \"Content-Length: 3\"]",
                "Data(abc)",
                "End",
            ],
            "§6.3",
        ),
        read(
            "leading zeros `003`",
            post("content-length: 003\r\n", "abc"),
            &[
                "POST / HTTP/1.1 [\"host: a\", \"content-length: 003\"]",
                "Data(abc)",
                "End",
            ],
            "RFC 9110 §8.6",
        ),
        read(
            "`Content_Length`: another field",
            get("Content_Length: 5\r\n"),
            &["GET / HTTP/1.1 [\"host: a\", \"Content_Length: 5\"]", "End"],
            "RFC 9110 §5.1",
        ),
        refused(
            "CONNECT with content",
            "CONNECT a:1 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
            E::ContentInConnect,
            "RFC 9110 §9.3.6",
        ),
    ]
}

fn codings() -> Vec<Row> {
    let one = |kind, value: &str, error| {
        let wire = post(&format!("transfer-encoding: {value}\r\n"), "0\r\n\r\n");
        refused(kind, wire, error, "§6.1")
    };
    let unknown = E::UnsupportedTransferEncoding;
    let not_last = E::TransferEncodingNotChunked;
    vec![
        one("`identity`", "identity", unknown),
        one("`gzip`", "gzip", unknown),
        one("`gzip, chunked`", "gzip, chunked", unknown),
        one("`chunked, gzip`", "chunked, gzip", not_last),
        one("`chunked, identity`", "chunked, identity", not_last),
        one("`chunked, chunked`", "chunked, chunked", not_last),
        one("`xchunked`", "xchunked", unknown),
        one("`chunkedx`", "chunkedx", unknown),
        one("`chunked;q=1`", "chunked;q=1", unknown),
        one("`\"chunked\"`", "\"chunked\"", unknown),
        one("`'chunked'`", "'chunked'", unknown),
        one("`x chunked`", "x chunked", unknown),
        one("an empty element before: `, chunked`", ", chunked", unknown),
        one("an empty element behind: `chunked,`", "chunked,", unknown),
        one("empty", "", unknown),
        one(
            "a no-break space before `chunked`",
            "\u{a0}chunked",
            unknown,
        ),
        refused(
            "two lines of `chunked`",
            post(
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            not_last,
            "§6.1",
        ),
        refused(
            "`chunked` and `identity` on two lines",
            post(
                "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
                "0\r\n\r\n",
            ),
            not_last,
            "§6.1",
        ),
        refused(
            "`identity` and `chunked` on two lines",
            post(
                "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            unknown,
            "§6.1",
        ),
        one(
            "a vertical tab before `chunked`",
            "\x0bchunked",
            E::InvalidField,
        ),
        one("a NUL behind `chunked`", "chunked\0", E::InvalidField),
        one("a bare CR before `chunked`", "\rchunked", E::InvalidField),
        one("on a folded line", "\r\n chunked", E::ObsoleteFold),
        one(
            "`chunked`, a fold and more",
            "chunked\r\n , identity",
            E::ObsoleteFold,
        ),
        refused(
            "a space before the colon",
            post("transfer-encoding : chunked\r\n", "0\r\n\r\n"),
            E::InvalidField,
            "§5.1",
        ),
        refused(
            "in HTTP/1.0",
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            E::TransferEncodingInHttp10,
            "§6.1",
        ),
        refused(
            "CONNECT that is chunked",
            "CONNECT a:1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            E::ContentInConnect,
            "RFC 9110 §9.3.6",
        ),
        read(
            "`CHUNKED` with whitespace around",
            post("transfer-encoding: \t CHUNKED\t \r\n", "0\r\n\r\n"),
            &[
                "POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: CHUNKED\"]",
                "End",
            ],
            "§7",
        ),
        read(
            "`Transfer_Encoding`: another field",
            get("Transfer_Encoding: chunked\r\n"),
            &[
                "GET / HTTP/1.1 [\"host: a\", \"Transfer_Encoding: chunked\"]",
                "End",
            ],
            "RFC 9110 §5.1",
        ),
    ]
}

fn line_ends() -> Vec<Row> {
    let lf = E::InvalidBareLf;
    vec![
        refused(
            "a bare LF behind the request line",
            "GET / HTTP/1.1\nhost: a\r\n\r\n",
            lf,
            "§2.2",
        )
        .but_read(&["GET / HTTP/1.1 [\"host: a\"]", "End"]),
        refused(
            "a bare LF behind a field line",
            "GET / HTTP/1.1\r\nhost: a\n\r\n",
            lf,
            "§2.2",
        )
        .but_read(&["GET / HTTP/1.1 [\"host: a\"]", "End"]),
        refused(
            "a bare LF as the empty line",
            "GET / HTTP/1.1\r\nhost: a\r\n\n",
            lf,
            "§2.2",
        )
        .but_read(&["GET / HTTP/1.1 [\"host: a\"]", "End"]),
        refused(
            "nothing but bare LFs",
            "GET / HTTP/1.1\nhost: a\n\n",
            lf,
            "§2.2",
        )
        .but_read(&["GET / HTTP/1.1 [\"host: a\"]", "End"]),
        refused(
            "a bare LF as the empty line before",
            "\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            lf,
            "§2.2",
        )
        .but_read(&["GET / HTTP/1.1 [\"host: a\"]", "End"]),
        refused(
            "LF CR behind a field line",
            "GET / HTTP/1.1\r\nhost: a\n\rx: y\r\n\r\n",
            lf,
            "§2.2",
        )
        .but_refused(E::InvalidField),
        refused(
            "CR CR LF behind a field line",
            get("x: y\r\r\n"),
            E::InvalidField,
            "§2.2",
        ),
        refused(
            "CR CR LF as the empty line",
            "GET / HTTP/1.1\r\nhost: a\r\n\r\r\n\r\n",
            E::InvalidField,
            "§2.2",
        ),
        refused(
            "CR CR LF behind the request line",
            start("GET / HTTP/1.1\r"),
            E::InvalidRequestLine,
            "§2.2",
        ),
        refused(
            "a bare CR behind the request line",
            "GET / HTTP/1.1\rhost: a\r\n\r\n",
            E::InvalidRequestLine,
            "§2.2",
        ),
        refused(
            "a bare CR before the request line",
            start("\rGET / HTTP/1.1"),
            E::InvalidRequestLine,
            "§2.2",
        ),
        refused(
            "a bare CR in a value",
            get("x: a\rb\r\n"),
            E::InvalidField,
            "§2.2",
        ),
        refused(
            "a bare CR that hides a field line",
            get("x: a\rcontent-length: 5\r\n"),
            E::InvalidField,
            "§2.2",
        ),
        refused(
            "a bare CR in a name",
            get("x\ry: a\r\n"),
            E::InvalidField,
            "§2.2",
        ),
        refused(
            "a form feed as a line end",
            get("x: a\x0c\r\n"),
            E::InvalidField,
            "RFC 9110 §5.5",
        ),
    ]
}

fn field_lines() -> Vec<Row> {
    let bad = |kind, line: &str| refused(kind, get(&format!("{line}\r\n")), E::InvalidField, "§5");
    vec![
        bad("no colon", "x"),
        bad("an empty name", ": y"),
        bad("a space in the name", "x y: z"),
        bad("a space before the colon", "x : y"),
        bad("a NUL in the name", "x\0: y"),
        bad("a NUL in the value", "x: \0"),
        bad("a DEL in the value", "x: \x7f"),
        bad("an escape in the value", "x: \x1b[0m"),
        bad("a byte above 127 in the name", "x\u{e9}: y"),
        bad("parentheses in the name", "x(y): z"),
        bad("a slash in the name", "x/y: z"),
        bad("a second request line", "GET /smuggled HTTP/1.1"),
        refused(
            "a space before the first field line",
            "GET / HTTP/1.1\r\n host: a\r\n\r\n",
            E::WhitespaceBeforeFields,
            "§2.2",
        ),
        refused(
            "a tab before the first field line",
            "GET / HTTP/1.1\r\n\thost: a\r\n\r\n",
            E::WhitespaceBeforeFields,
            "§2.2",
        ),
        refused(
            "a line of whitespace before the first field line",
            "GET / HTTP/1.1\r\n \r\nhost: a\r\n\r\n",
            E::WhitespaceBeforeFields,
            "§2.2",
        ),
        refused(
            "a folded line",
            get("x: y\r\n z\r\n"),
            E::ObsoleteFold,
            "§5.2",
        ),
        refused(
            "a fold with a tab",
            get("x: y\r\n\tz\r\n"),
            E::ObsoleteFold,
            "§5.2",
        ),
        refused(
            "a fold of whitespace alone",
            get("x: y\r\n  \r\n"),
            E::ObsoleteFold,
            "§5.2",
        ),
        refused(
            "a fold that looks like a field line",
            get("x: y\r\n content-length: 5\r\n"),
            E::ObsoleteFold,
            "§5.2",
        ),
        read(
            "bytes above 127 in a value",
            get("x: \u{e9}\r\n"),
            &["GET / HTTP/1.1 [\"host: a\", \"x: \\\\xc3\\\\xa9\"]", "End"],
            "RFC 9110 §5.5",
        ),
        read(
            "a value that is empty, or whitespace",
            get("x:\r\ny: \t\r\n"),
            &["GET / HTTP/1.1 [\"host: a\", \"x: \", \"y: \"]", "End"],
            "RFC 9110 §5.5",
        ),
    ]
}

fn request_lines() -> Vec<Row> {
    let bad = |kind, line: &str| refused(kind, start(line), E::InvalidRequestLine, "§3");
    let version = |kind, line: &str| refused(kind, start(line), E::UnsupportedVersion, "§2.3");
    vec![
        bad("HTTP/0.9: no version", "GET /"),
        bad("no target", "GET HTTP/1.1"),
        bad("nothing but a method", "GET"),
        bad("two spaces before the target", "GET  / HTTP/1.1"),
        bad("two spaces before the version", "GET /  HTTP/1.1"),
        bad("a space behind the version", "GET / HTTP/1.1 "),
        bad("a tab between the words", "GET\t/\tHTTP/1.1"),
        bad("a space in the target", "GET /a b HTTP/1.1"),
        bad("two versions", "GET / HTTP/1.1 HTTP/1.1"),
        bad("a version in lower case", "GET / http/1.1"),
        bad("a version with a comma", "GET / HTTP/1,1"),
        bad("a version of two digits `HTTP/1.10`", "GET / HTTP/1.10"),
        bad("a version without a point `HTTP/11`", "GET / HTTP/11"),
        bad("another protocol", "GET / ICAP/1.0"),
        bad("a colon in the method", "GET: / HTTP/1.1"),
        bad("a NUL in the method", "G\0T / HTTP/1.1"),
        bad("a space before the method", " GET / HTTP/1.1"),
        refused(
            "a TLS handshake",
            b"\x16\x03\x01\x02\x00\x01",
            E::InvalidRequestLine,
            "§3",
        ),
        refused(
            "an answer instead of a request",
            "HTTP/1.1 200 OK\r\n\r\n",
            E::InvalidRequestLine,
            "§3",
        ),
        version("HTTP/2.0", "GET / HTTP/2.0"),
        version("HTTP/1.2", "GET / HTTP/1.2"),
        version("HTTP/0.9, spelt out", "GET / HTTP/0.9"),
        version("HTTP/3.0", "GET / HTTP/3.0"),
        refused(
            "the preface of HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            E::UnsupportedVersion,
            "§2.3",
        ),
        refused(
            "five empty lines before",
            "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            E::TooManyEmptyLines,
            "§2.2",
        ),
        read(
            "four empty lines before",
            "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            &["GET / HTTP/1.1 [\"host: a\"]", "End"],
            "§2.2",
        ),
        read(
            "a method that nobody knows; methods have a case",
            "get / HTTP/1.1\r\nhost: a\r\n\r\n",
            &["get / HTTP/1.1 [\"host: a\"]", "End"],
            "RFC 9110 §9.1",
        ),
    ]
}

fn targets() -> Vec<Row> {
    let bad = |kind, line: &str| {
        refused(
            kind,
            start(&format!("{line} HTTP/1.1")),
            E::InvalidTarget,
            "§3.2",
        )
    };
    vec![
        bad("asterisk-form with GET", "GET *"),
        bad("an asterisk and more", "OPTIONS *a"),
        bad("a relative path", "GET a/b"),
        bad("authority-form with GET", "GET a:80"),
        bad("origin-form with CONNECT", "CONNECT /"),
        bad("absolute-form with CONNECT", "CONNECT http://a/"),
        bad("CONNECT without a port", "CONNECT a"),
        bad("CONNECT with an empty port", "CONNECT a:"),
        bad("CONNECT to port 0", "CONNECT a:0"),
        bad("CONNECT to port 65536", "CONNECT a:65536"),
        bad("CONNECT with userinfo", "CONNECT u@a:1"),
        bad("CONNECT to IPv6 without brackets", "CONNECT ::1:443"),
        bad("absolute-form without a host", "GET http:///"),
        bad("absolute-form with nothing but a port", "GET http://:80/"),
        bad("absolute-form with userinfo", "GET http://good@evil/"),
        bad("absolute-form with one slash", "GET http:/a"),
        bad("a fragment", "GET /a#b"),
        bad("a byte above 127", "GET /\u{e9}"),
        refused(
            "a NUL",
            start("GET /\0 HTTP/1.1"),
            E::InvalidRequestLine,
            "§3.2",
        ),
        read(
            "asterisk-form with OPTIONS",
            start("OPTIONS * HTTP/1.1"),
            &["OPTIONS * HTTP/1.1 [\"host: a\"]", "End"],
            "§3.2.4",
        ),
        read(
            "absolute-form",
            start("GET http://b:80/?c HTTP/1.1"),
            &["GET http://b:80/?c HTTP/1.1 [\"host: a\"]", "End"],
            "§3.2.2",
        ),
        read(
            "two slashes at the start: a path",
            start("GET //b/c HTTP/1.1"),
            &["GET //b/c HTTP/1.1 [\"host: a\"]", "End"],
            "§3.2.1",
        ),
    ]
}

fn hosts() -> Vec<Row> {
    let with = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n");
    let bad = |kind, value: &str| {
        refused(
            kind,
            with(&format!("host: {value}\r\n")),
            E::InvalidHost,
            "§3.2",
        )
    };
    vec![
        refused("none", with("x: y\r\n"), E::MissingHost, "§3.2"),
        refused(
            "two that differ",
            with("host: a\r\nhost: b\r\n"),
            E::SeveralHosts,
            "§3.2",
        ),
        refused(
            "two that are equal",
            with("host: a\r\nHost: a\r\n"),
            E::SeveralHosts,
            "§3.2",
        ),
        refused(
            "two, in HTTP/1.0",
            "GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n",
            E::SeveralHosts,
            "§3.2",
        ),
        refused(
            "one malformed and one good",
            with("host: a b\r\nhost: a\r\n"),
            E::SeveralHosts,
            "§3.2",
        ),
        bad("a list `a, b`", "a, b"),
        bad("a space inside", "a b"),
        bad("a path", "a/b"),
        bad("a whole URL", "http://a"),
        bad("userinfo", "u@a"),
        bad("a port that is no number", "a:b"),
        bad("two ports", "a:80:81"),
        bad("a port alone", ":80"),
        bad("a bracket that does not end", "[::1"),
        bad("something behind the bracket", "[::1]a"),
        bad("IPv6 without brackets", "::1"),
        bad("a byte above 127", "\u{e9}"),
        read(
            "empty",
            with("host:\r\n"),
            &["GET / HTTP/1.1 [\"host: \"]", "End"],
            "§3.2",
        ),
        read(
            "IPv6 with a port",
            with("host: [::1]:80\r\n"),
            &["GET / HTTP/1.1 [\"host: [::1]:80\"]", "End"],
            "§3.2",
        ),
        read(
            "none, in HTTP/1.0",
            "GET / HTTP/1.0\r\n\r\n",
            &["GET / HTTP/1.0 []", "End"],
            "§3.2",
        ),
    ]
}

fn chunk_framing() -> Vec<Row> {
    let bad = |kind, body: &str, error| refused(kind, chunks(body), error, "§7.1");
    vec![
        bad(
            "a bare LF behind the size",
            "3\nabc\r\n0\r\n\r\n",
            E::InvalidBareLf,
        ),
        bad(
            "a bare LF behind the data",
            "3\r\nabc\n0\r\n\r\n",
            E::InvalidChunkEnd,
        ),
        bad(
            "a bare LF behind an extension",
            "3;x\nabc\r\n0\r\n\r\n",
            E::InvalidBareLf,
        ),
        bad(
            "a bare LF behind the last chunk",
            "0\n\r\n",
            E::InvalidBareLf,
        ),
        bad(
            "a bare CR behind the size",
            "3\rabc\r\n0\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad(
            "a bare CR in an extension",
            "3;x\ry\r\nabc\r\n0\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad(
            "a NUL in an extension",
            "3;\0\r\nabc\r\n0\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad("no size", "\r\n\r\n", E::InvalidChunkSize),
        bad(
            "an extension and no size",
            ";x\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad("`0x3`", "0x3\r\nabc\r\n0\r\n\r\n", E::InvalidChunkSize),
        bad("a plus sign", "+3\r\nabc\r\n0\r\n\r\n", E::InvalidChunkSize),
        bad(
            "a minus sign",
            "-3\r\nabc\r\n0\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad(
            "an underscore",
            "0_3\r\nabc\r\n0\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad(
            "a letter that is no digit",
            "3g\r\nabc\r\n0\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad(
            "a space before the size",
            " 3\r\nabc\r\n0\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad(
            "a space behind the size, no extension",
            "3 \r\nabc\r\n0\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad(
            "digits behind a space",
            "3 3\r\nabc\r\n0\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad("2⁶⁴", "10000000000000000\r\n", E::ChunkSizeOverflow),
        bad(
            "17 digits, the first a zero",
            "00000000000000003\r\nabc\r\n0\r\n\r\n",
            E::ChunkSizeOverflow,
        ),
        bad(
            "more data than the size",
            "3\r\nabcd\r\n0\r\n\r\n",
            E::InvalidChunkEnd,
        ),
        bad(
            "less data than the size",
            "4\r\nabc\r\n0\r\n\r\n",
            E::InvalidChunkEnd,
        ),
        bad(
            "CR CR behind the data",
            "3\r\nabc\r\r0\r\n\r\n",
            E::InvalidChunkEnd,
        ),
        bad(
            "CR CR LF behind the size",
            "3\r\r\nabc\r\n0\r\n\r\n",
            E::InvalidChunkSize,
        ),
        bad(
            "a CR and no LF behind the data",
            "3\r\nabc\r0\r\n\r\n",
            E::InvalidChunkEnd,
        ),
        bad(
            "nothing behind the data",
            "3\r\nabc0\r\n\r\n",
            E::InvalidChunkEnd,
        ),
        bad(
            "an endless extension",
            &format!("3;{}", "x".repeat(5000)),
            E::ChunkLineTooLong,
        ),
        bad(
            "bodies of one byte with long extensions",
            &format!("1;{}\r\na\r\n", "x".repeat(2000)).repeat(9),
            E::ChunkOverheadTooLarge,
        ),
        read(
            "extensions, and whitespace before them",
            chunks("3 ;x\t;y=\"z;\"\r\nabc\r\n0;x\r\n\r\n"),
            &[
                "POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]",
                "Data(abc)",
                "End",
            ],
            "§7.1.1",
        ),
        read(
            "leading zeros, also in the last chunk",
            chunks("003\r\nabc\r\n000\r\n\r\n"),
            &[
                "POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]",
                "Data(abc)",
                "End",
            ],
            "§7.1",
        ),
    ]
}

fn trailer_sections() -> Vec<Row> {
    let bad = |kind, lines: &str, error, rfc| {
        refused(kind, chunks(&format!("0\r\n{lines}\r\n")), error, rfc)
    };
    vec![
        bad(
            "Content-Length",
            "content-length: 5\r\n",
            E::ForbiddenTrailer,
            "RFC 9110 §6.5.1",
        ),
        bad(
            "Transfer-Encoding",
            "x: y\r\nTransfer-Encoding: chunked\r\n",
            E::ForbiddenTrailer,
            "RFC 9110 §6.5.1",
        ),
        bad(
            "Host",
            "host: b\r\n",
            E::ForbiddenTrailer,
            "RFC 9110 §6.5.1",
        ),
        bad(
            "Trailer",
            "trailer: x\r\n",
            E::ForbiddenTrailer,
            "RFC 9110 §6.5.1",
        ),
        bad("a bare LF", "x: y\n", E::InvalidBareLf, "§7.1.2"),
        bad("a bare CR", "x: y\rz\r\n", E::InvalidField, "§7.1.2"),
        bad("a folded line", "x: y\r\n z\r\n", E::ObsoleteFold, "§5.2"),
        bad(
            "whitespace before the first line",
            " x: y\r\n",
            E::WhitespaceBeforeFields,
            "§2.2",
        ),
        bad("no colon", "x\r\n", E::InvalidField, "§5"),
        bad(
            "a space before the colon",
            "x : y\r\n",
            E::InvalidField,
            "§5.1",
        ),
        bad("a NUL", "x: \0\r\n", E::InvalidField, "RFC 9110 §5.5"),
        bad(
            "a request line",
            "GET /smuggled HTTP/1.1\r\n",
            E::InvalidField,
            "§5",
        ),
        bad(
            "too large",
            &format!("x: {}\r\n", "y".repeat(17 * 1024)),
            E::TrailersTooLarge,
            "RFC 9110 §5.4",
        ),
        bad(
            "too many lines",
            &"x: y\r\n".repeat(300),
            E::TooManyFields,
            "RFC 9110 §5.4",
        ),
        read(
            "a field line",
            chunks("0\r\nx: y\r\n\r\n"),
            &[
                "POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]",
                "End [\"x: y\"]",
            ],
            "§7.1.2",
        ),
    ]
}

fn sizes() -> Vec<Row> {
    let long = "x".repeat(65 * 1024);
    vec![
        refused(
            "a request line of 65 KiB",
            start(&format!("GET /{long} HTTP/1.1")),
            E::RequestLineTooLong,
            "§3",
        ),
        refused(
            "a request line that never ends",
            format!("GET /{long}"),
            E::RequestLineTooLong,
            "§3",
        ),
        refused(
            "a field line of 65 KiB",
            get(&format!("x: {long}\r\n")),
            E::HeadTooLarge,
            "RFC 6585 §5",
        ),
        refused(
            "a header section that never ends",
            format!("GET / HTTP/1.1\r\nx: {long}"),
            E::HeadTooLarge,
            "RFC 6585 §5",
        ),
        refused(
            "257 field lines",
            get(&"x: y\r\n".repeat(256)),
            E::TooManyFields,
            "RFC 6585 §5",
        ),
        refused(
            "2 KiB of connection options",
            get(&format!("connection: {}\r\n", "x,".repeat(1025))),
            E::TooManyFields,
            "RFC 6585 §5",
        ),
    ]
}
