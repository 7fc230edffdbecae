//! What we do not send: each refusal leaves no trace, in the output or in the connection.
#![expect(clippy::too_many_lines, reason = "the long functions are tables")]

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::fuzzing::feed::Split;
use crate::fuzzing::pair::Pair;
use crate::state::{EventKind, State};
use crate::{BodyLength, Config, Field, LocalError, RequestLine};

use BodyLength::{Known, Unknown};

type Lines = &'static [(&'static str, &'static str)];

fn fields(lines: Lines) -> Vec<Field<'static>> {
    lines
        .iter()
        .map(|(name, value)| Field::new(name.as_bytes(), value.as_bytes()).unwrap())
        .collect()
}

#[test]
fn requests_that_are_not_sent() {
    use LocalError as E;
    let both: Lines = &[
        ("host", "a"),
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
    ];
    let rows: &[(&str, Lines, BodyLength, LocalError)] = &[
        ("GET /", &[], Known(0), E::MissingHost),
        (
            "GET /",
            &[("host", "a"), ("host", "a")],
            Known(0),
            E::MissingHost,
        ),
        ("GET /", &[("host", "a b")], Known(0), E::MissingHost),
        ("GET ", &[("host", "a")], Known(0), E::InvalidTarget),
        ("GET /a b", &[("host", "a")], Known(0), E::InvalidTarget),
        (
            "GET /\r\nx: y",
            &[("host", "a")],
            Known(0),
            E::InvalidTarget,
        ),
        ("GET /#a", &[("host", "a")], Known(0), E::InvalidTarget),
        ("GET a", &[("host", "a")], Known(0), E::InvalidTarget),
        ("GET *", &[("host", "a")], Known(0), E::InvalidTarget),
        ("CONNECT /", &[("host", "a")], Known(0), E::InvalidTarget),
        (
            "CONNECT a:1",
            &[("host", "a")],
            Known(3),
            E::ContentInConnect,
        ),
        (
            "CONNECT a:1",
            &[("host", "a")],
            Unknown,
            E::ContentInConnect,
        ),
        (
            "CONNECT a:1",
            &[("host", "a"), ("transfer-encoding", "chunked")],
            Known(0),
            E::ContentInConnect,
        ),
        (
            "POST /",
            both,
            Unknown,
            E::ContentLengthWithTransferEncoding,
        ),
        (
            "POST /",
            &[("host", "a"), ("content-length", "4")],
            Known(3),
            E::ContentLengthMismatch,
        ),
        (
            "POST /",
            &[
                ("host", "a"),
                ("content-length", "3"),
                ("content-length", "4"),
            ],
            Unknown,
            E::ContentLengthMismatch,
        ),
        (
            "POST /",
            &[("host", "a"), ("content-length", "+3")],
            Known(3),
            E::ContentLengthMismatch,
        ),
        (
            "POST /",
            &[("host", "a"), ("transfer-encoding", "gzip, chunked")],
            Unknown,
            E::UnsupportedTransferEncoding,
        ),
        (
            "POST /",
            &[("host", "a"), ("transfer-encoding", "chunked, chunked")],
            Unknown,
            E::UnsupportedTransferEncoding,
        ),
    ];
    for &(start, lines, length, error) in rows {
        let mut pair = Pair::new(Config::default());
        let (method, target) = start.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let target = target.as_bytes();
        let line = RequestLine::new(&method, target);
        let sent = pair.client.request(line, &fields(lines), length);
        assert_eq!(sent, Err(error), "{start:?} {lines:?} {length:?}");
        assert!(!error.to_string().is_empty());
    }
}

/// A pair whose server has received this request.
fn asked(request: &str) -> Pair {
    let mut pair = Pair::new(Config::default());
    pair.client.output.extend_from_slice(request.as_bytes());
    pair.server_receives_all(Split::Whole);
    pair
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";

#[test]
fn responses_that_are_not_sent() {
    use LocalError as E;
    let rows: &[(&str, u16, Lines, BodyLength, LocalError)] = &[
        (GET, 100, &[], Known(0), E::WrongStatusClass),
        (GET, 101, &[("upgrade", "x")], Known(0), E::WrongStatusClass),
        // HTTP/1.0 has no Upgrade, and naming the option is part of asking.
        (
            "GET / HTTP/1.0\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            101,
            &[("upgrade", "x")],
            Known(0),
            E::WrongStatusClass,
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\n\r\n",
            101,
            &[("upgrade", "x")],
            Known(0),
            E::WrongStatusClass,
        ),
        (UPGRADE, 101, &[], Known(0), E::MissingUpgrade),
        (UPGRADE, 103, &[], Known(0), E::WrongStatusClass),
        (
            GET,
            200,
            &[("content-length", "4")],
            Known(3),
            E::ContentLengthMismatch,
        ),
        (
            GET,
            200,
            &[("content-length", "x")],
            Unknown,
            E::ContentLengthMismatch,
        ),
        (
            GET,
            200,
            &[("content-length", "3"), ("transfer-encoding", "chunked")],
            Known(3),
            E::ContentLengthWithTransferEncoding,
        ),
        (
            GET,
            200,
            &[("transfer-encoding", "gzip")],
            Unknown,
            E::UnsupportedTransferEncoding,
        ),
        (
            GET,
            304,
            &[("content-length", "x")],
            Known(0),
            E::ContentLengthMismatch,
        ),
    ];
    for &(request, status, lines, length, error) in rows {
        let mut pair = asked(request);
        let status = StatusCode::from_u16(status).unwrap();
        let sent = pair.server.unless_refused(|connection, out| {
            connection.send_response(status, fields(lines), length, out)
        });
        assert_eq!(sent, Err(error), "{status} {lines:?} {length:?}");
        // It is still owed.
        assert_eq!(pair.server.connection.state(), State::SendResponse);
    }
}

#[test]
fn interim_responses_that_are_not_sent() {
    for status in [StatusCode::OK, StatusCode::SWITCHING_PROTOCOLS] {
        let mut pair = asked(UPGRADE);
        let sent = pair
            .server
            .unless_refused(|connection, out| connection.send_interim(status, [], out));
        assert_eq!(sent, Err(LocalError::WrongStatusClass));
    }
}

fn respond(pair: &mut Pair, length: BodyLength) {
    pair.server
        .unless_refused(|connection, out| connection.send_response(StatusCode::OK, [], length, out))
        .unwrap();
}

#[test]
fn content_is_as_long_as_was_said() {
    let mut pair = asked(GET);
    respond(&mut pair, Known(3));
    let written = pair.server.output.len();
    assert_eq!(pair.server.data(b"abcd"), Err(LocalError::BodyTooLong));
    assert_eq!(pair.server.output.len(), written);
    pair.server.data(b"ab").unwrap();
    assert_eq!(
        pair.server.end(None),
        Err(LocalError::BodyTooShort { missing: 1 })
    );
    assert_eq!(pair.server.data(b"cd"), Err(LocalError::BodyTooLong));
    pair.server.data(b"c").unwrap();
    pair.server.end(None).unwrap();
}

#[test]
fn trailers_go_where_they_may() {
    let one = |name: &'static str| {
        let mut trailers = HeaderMap::new();
        trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        trailers
    };
    let mut pair = asked(GET);
    respond(&mut pair, Known(0));
    assert_eq!(
        pair.server.end(Some(&one("x"))),
        Err(LocalError::TrailersNotAllowed)
    );
    // None at all is no trailer section.
    pair.server.end(Some(&HeaderMap::new())).unwrap();

    let mut pair = asked(GET);
    respond(&mut pair, Unknown);
    for name in ["content-length", "transfer-encoding", "host", "trailer"] {
        assert_eq!(
            pair.server.end(Some(&one(name))),
            Err(LocalError::TrailersNotAllowed)
        );
    }
    pair.server.end(Some(&one("x"))).unwrap();
    assert!(pair.server.output.ends_with(b"0\r\nx: 1\r\n\r\n"));
}

#[test]
fn nothing_is_sent_out_of_turn() {
    let not_now = |state, event| Err(LocalError::NotNow { state, event });
    let mut pair = Pair::new(Config::default());
    assert_eq!(
        pair.client.data(b"a"),
        not_now(State::Idle, EventKind::Data)
    );
    assert_eq!(pair.client.end(None), not_now(State::Idle, EventKind::End));
    assert_eq!(
        pair.server.data(b"a"),
        not_now(State::Idle, EventKind::Data)
    );
    // A side does not play the other's part.
    let mut out = Vec::new();
    let response = pair
        .client
        .connection
        .send_response(StatusCode::OK, [], Known(0), &mut out);
    assert_eq!(response, not_now(State::Idle, EventKind::Response));
    let line = RequestLine::new(&Method::GET, b"/");
    let host = [Field::new(b"host", b"a").unwrap()];
    let request = pair
        .server
        .connection
        .send_request(line, host, Known(0), &mut out);
    assert_eq!(request, not_now(State::Idle, EventKind::Request));
    assert!(pair.server.connection.pipeline().is_err());
    assert!(out.is_empty());
    // Not two requests, not two responses.
    pair.client.request(line, &host, Known(0)).unwrap();
    let second = pair.client.request(line, &host, Known(0));
    assert_eq!(second, not_now(State::SendBody, EventKind::Request));
    assert!(pair.client.connection.pipeline().is_err());
    pair.client.end(None).unwrap();
    pair.server_receives_all(Split::Whole);
    respond(&mut pair, Known(0));
    let again = pair.server.unless_refused(|connection, out| {
        connection.send_response(StatusCode::OK, [], Known(0), out)
    });
    assert_eq!(again, not_now(State::SendBody, EventKind::Response));
    pair.server.close();
    assert_eq!(
        pair.server.end(None),
        not_now(State::Closed, EventKind::End)
    );
}
