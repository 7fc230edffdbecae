//! The peer closes: in each state, whole and cut at every place before the end.
#![expect(clippy::too_many_lines, reason = "the long functions are tables")]

use crate::fuzzing::feed::{Ask, Setup, Split, feed};
use crate::{Config, RemoteError};

/// What is said before the end, and at it.
type Row = (&'static str, &'static [&'static str]);

fn check(setup: &Setup, rows: &[Row]) {
    for (wire, said) in rows {
        let mut setup = setup.clone();
        setup.eof = true;
        let cuts = (1..wire.len()).map(Split::At);
        for split in [Split::Whole, Split::EachByte].into_iter().chain(cuts) {
            let outcome = feed(&setup, wire.as_bytes(), split);
            let texts: Vec<_> = outcome
                .said
                .iter()
                .map(|said| format!("{said:?}"))
                .collect();
            assert_eq!(texts, *said, "{split:?} of {wire:?}");
        }
    }
}

const POST: &str = "POST / HTTP/1.1 [\"host: a\", \"content-length: 3\"]";
const CHUNKED: &str = "POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]";
const BODY_CUT: &str = "Failed(IncompleteBody { missing: None })";

#[test]
fn a_client_closes() {
    check(
        &Setup::server(Config::default()),
        &[
            ("", &["Closed"]),
            // Empty lines are no part of a request.
            ("\r\n", &["Closed"]),
            ("\r\n\r", &["Failed(IncompleteHead { received: 1 })"]),
            ("G", &["Failed(IncompleteHead { received: 1 })"]),
            ("\r\nGET", &["Failed(IncompleteHead { received: 3 })"]),
            (
                "GET / HTTP/1.1\r\nhost: a\r\n",
                &["Failed(IncompleteHead { received: 25 })"],
            ),
            (
                "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
                &["GET / HTTP/1.1 [\"host: a\"]", "End", "Closed"],
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n",
                &[POST, "Failed(IncompleteBody { missing: Some(3) })"],
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nab",
                &[
                    POST,
                    "Data(ab)",
                    "Failed(IncompleteBody { missing: Some(1) })",
                ],
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
                &[POST, "Data(abc)", "End", "Closed"],
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
                &[CHUNKED, BODY_CUT],
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;x",
                &[CHUNKED, BODY_CUT],
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\na",
                &[
                    CHUNKED,
                    "Data(a)",
                    "Failed(IncompleteBody { missing: Some(2) })",
                ],
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r",
                &[CHUNKED, "Data(abc)", BODY_CUT],
            ),
            // Without the last chunk and the empty line the content is not whole.
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
                &[CHUNKED, "Data(abc)", BODY_CUT],
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
                &[CHUNKED, BODY_CUT],
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n",
                &[CHUNKED, BODY_CUT],
            ),
            // Requests that came whole are read before the end is.
            (
                "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n",
                &[
                    "GET / HTTP/1.1 [\"host: a\"]",
                    "End",
                    "GET /b HTTP/1.1 [\"host: a\"]",
                    "End",
                    "Closed",
                ],
            ),
            (
                "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /b",
                &[
                    "GET / HTTP/1.1 [\"host: a\"]",
                    "End",
                    "Failed(IncompleteHead { received: 6 })",
                ],
            ),
            // What follows "close" is not even looked at.
            (
                "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\nGET /b",
                &[
                    "GET / HTTP/1.1 [\"host: a\", \"connection: close\"]",
                    "End",
                    "Closed",
                ],
            ),
        ],
    );
}

const OK: &str = "HTTP/1.1 200 [\"content-length: 3\"]";
const OK_CHUNKED: &str = "HTTP/1.1 200 [\"transfer-encoding: chunked\"]";

#[test]
fn a_server_closes() {
    const NO_ANSWER: &str = "Failed(IncompleteHead { received: 0 })";
    let setup = |bits| Setup::client(Config::default(), vec![Ask::nth(bits)]);
    check(
        &Setup::client(Config::default(), Vec::new()),
        &[("", &["Closed"])],
    );
    check(
        &setup(0),
        &[
            ("", &["Failed(IncompleteHead { received: 0 })"]),
            ("HTTP/1.1 2", &["Failed(IncompleteHead { received: 10 })"]),
            (
                "HTTP/1.1 100 C\r\n\r\n",
                &["HTTP/1.1 100 []", "Failed(IncompleteHead { received: 0 })"],
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
                &[
                    OK,
                    "Data(ab)",
                    "Failed(IncompleteBody { missing: Some(1) })",
                ],
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
                &[OK, "Data(abc)", "End", "Closed"],
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
                &[OK_CHUNKED, "Data(abc)", BODY_CUT],
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                &[OK_CHUNKED, "Data(abc)", "End", "Closed"],
            ),
            // Only where nothing else ends the content does the connection end it.
            (
                "HTTP/1.1 200 OK\r\n\r\nabc",
                &["HTTP/1.1 200 []", "Data(abc)", "End", "Closed"],
            ),
            (
                "HTTP/1.0 200 OK\r\n\r\n",
                &["HTTP/1.0 200 []", "End", "Closed"],
            ),
            (
                "HTTP/1.1 204 N\r\n\r\n",
                &["HTTP/1.1 204 []", "End", "Closed"],
            ),
        ],
    );
    check(
        &setup(1),
        &[(
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
            &[OK, "End", "Closed"],
        )],
    );
    check(
        &setup(3),
        &[(
            "HTTP/1.1 101 S\r\nupgrade: x\r\n\r\nab",
            &["HTTP/1.1 101 [\"upgrade: x\"]", "Switched"],
        )],
    );
    let mut pipelined = Setup::client(Config::default(), vec![Ask::nth(0), Ask::nth(0)]);
    pipelined.hurries = true;
    check(
        &pipelined,
        &[(
            "HTTP/1.1 204 N\r\n\r\n",
            &["HTTP/1.1 204 []", "End", NO_ANSWER],
        )],
    );
}

#[test]
fn an_incomplete_message_is_told_from_a_malformed_one() {
    let body = RemoteError::IncompleteBody { missing: None };
    let head = RemoteError::IncompleteHead { received: 0 };
    assert!(body.is_incomplete() && head.is_incomplete());
    assert!(!RemoteError::InvalidField.is_incomplete());
}
