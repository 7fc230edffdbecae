//! What an intermediary needs and others do not: reason phrases as they came, a connection's
//! persistence told to everybody, and the bytes of a head that was refused.

use bytes::BytesMut;
use http::StatusCode;

use crate::{
    BodyLength, Config, Connection, Event, Field, Limits, LocalError, Received, RemoteError,
    StatusLine,
};

/// The answer of a server with `config` to `request`.
fn answer(config: Config, request: &str, line: StatusLine<'_>, close: bool) -> String {
    let mut server = Connection::server(config.into());
    let mut buffer = BytesMut::from(request);
    let head = server.receive(&mut buffer).unwrap();
    assert!(matches!(head, Received::Event(Event::Request(_))));
    let close = close.then(|| Field::new(b"connection", b"close").unwrap());
    let mut wire = Vec::new();
    server
        .send_response(line, close, BodyLength::Known(0), &mut wire)
        .unwrap();
    String::from_utf8(wire).unwrap()
}

const NEW: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\n\r\n";
const OLD_KEPT: &str = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";

#[test]
fn reason_phrases_pass_as_they_are_given() {
    let line = |status, reason| StatusLine {
        status: StatusCode::from_u16(status).unwrap(),
        reason,
    };
    for (status, reason, expected) in [
        (200, None, "HTTP/1.1 200 OK\r\n"),
        (200, Some("Fine"), "HTTP/1.1 200 Fine\r\n"),
        (404, None, "HTTP/1.1 404 Not Found\r\n"),
        (404, Some(""), "HTTP/1.1 404 \r\n"),
        (494, None, "HTTP/1.1 494 \r\n"),
        (494, Some("Too\tLarge"), "HTTP/1.1 494 Too\tLarge\r\n"),
    ] {
        let reason = reason.map(str::as_bytes);
        let answer = answer(Config::default(), NEW, line(status, reason), false);
        assert!(answer.starts_with(expected), "{answer}");
    }
    let mut server = Connection::server(Config::default().into());
    server.receive(&mut BytesMut::from(NEW)).unwrap();
    let mut wire = Vec::new();
    let injected = line(200, Some(b"OK\r\nx: y"));
    let sent = server.send_response(injected, [], BodyLength::Known(0), &mut wire);
    assert_eq!(sent, Err(LocalError::InvalidReasonPhrase));
    assert!(wire.is_empty());
}

#[test]
fn persistence_is_told_to_everybody_where_that_is_set() {
    let quiet = Config::default();
    let telling = Config {
        tells_keep_alive: true,
        ..quiet
    };
    let kept = "connection: keep-alive\r\n";
    let closed = "connection: close\r\n";
    for (config, request, close, expected) in [
        (quiet, NEW, false, ""),
        (quiet, OLD_KEPT, false, kept),
        (quiet, OLD, false, closed),
        (telling, NEW, false, kept),
        (telling, OLD_KEPT, false, kept),
        (telling, OLD, false, closed),
        (telling, NEW, true, closed),
    ] {
        let answer = answer(config, request, StatusCode::OK.into(), close);
        let told: String = answer
            .split_inclusive("\r\n")
            .filter(|line| line.starts_with("connection"))
            .collect();
        assert_eq!(told, expected, "{request}");
    }
}

#[test]
fn a_refused_head_stays_in_the_buffer() {
    let small = Config {
        limits: Limits {
            head: 64,
            fields: 2,
            ..Limits::default()
        },
        ..Config::default()
    };
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(100));
    for (request, error) in [
        ("GET / HTTP/1.1\r\n\r\n", RemoteError::MissingHost),
        (
            "GET HTTP/1.1\r\nhost: a\r\n\r\n",
            RemoteError::InvalidRequestLine,
        ),
        (
            "GET a HTTP/1.1\r\nhost: a\r\n\r\n",
            RemoteError::InvalidTarget,
        ),
        (
            "GET / HTTP/1.1\r\na: 1\r\n b\r\n\r\n",
            RemoteError::ObsoleteFold,
        ),
        (
            "GET / HTTP/1.1\r\na:\r\nb:\r\nhost: a\r\n\r\n",
            RemoteError::TooManyFields,
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n",
            RemoteError::ContentInConnect,
        ),
        (
            "GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
            RemoteError::TransferEncodingInHttp10,
        ),
        (&long, RemoteError::RequestLineTooLong),
    ] {
        let whole = format!("{request}what follows");
        for split in 0..whole.len() {
            let mut server = Connection::server(small.into());
            let mut buffer = BytesMut::from(&whole[..split]);
            let mut outcome = server.receive(&mut buffer);
            if outcome.is_ok() {
                buffer.extend_from_slice(&whole.as_bytes()[split..]);
                outcome = server.receive(&mut buffer);
            }
            assert_eq!(outcome, Err(error), "{request:?} at {split}");
            // What had come when it was refused, all of it.
            let come = [&whole.as_bytes()[..split], whole.as_bytes()];
            assert!(come.contains(&&buffer[..]), "{request:?} at {split}");
        }
    }
}
