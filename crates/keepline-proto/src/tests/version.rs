//! Requests of HTTP/1.0, and responses that are not to be chunked.

use std::sync::Arc;

use bytes::BytesMut;
use http::{Method, StatusCode, Version};

use crate::{
    BodyLength, Config, Connection, Event, Field, LocalError, NotPersistent, Persistence, Received,
    RequestLine,
};

fn client() -> Connection {
    Connection::client(Arc::new(Config::default()))
}

fn fields(lines: &[(&'static str, &'static str)]) -> Vec<Field<'static>> {
    let field = |(name, value): &(&'static str, &'static str)| {
        Field::new(name.as_bytes(), value.as_bytes()).unwrap()
    };
    lines.iter().map(field).collect()
}

fn ask(
    client: &mut Connection,
    method: &Method,
    version: Version,
    lines: &[(&'static str, &'static str)],
    length: BodyLength,
) -> Result<String, LocalError> {
    let mut wire = Vec::new();
    let line = RequestLine::new(method, b"/").version(version);
    let sent = client.send_request(line, fields(lines), length, &mut wire);
    assert_eq!(sent.is_err(), wire.is_empty());
    sent.map(|()| String::from_utf8(wire).unwrap())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_request_says_its_version_and_one_of_http_1_0_is_never_chunked() {
    use BodyLength::{Known, Unknown, UntilClose};
    let (old, new) = (Version::HTTP_10, Version::HTTP_11);
    let host = [("host", "a")];
    let chunked = [("host", "a"), ("transfer-encoding", "chunked")];
    for (version, method, lines, length, expected) in [
        (
            old,
            Method::GET,
            &host[..],
            Known(0),
            Ok("GET / HTTP/1.0\r\nhost: a\r\n\r\n"),
        ),
        // HTTP/1.0 has no Host of necessity; HTTP/1.1 has.
        (
            old,
            Method::GET,
            &[],
            Known(0),
            Ok("GET / HTTP/1.0\r\n\r\n"),
        ),
        (
            new,
            Method::GET,
            &[],
            Known(0),
            Err(LocalError::MissingHost),
        ),
        (
            old,
            Method::PUT,
            &host[..],
            Known(2),
            Ok("PUT / HTTP/1.0\r\nhost: a\r\ncontent-length: 2\r\n\r\n"),
        ),
        (
            old,
            Method::PUT,
            &host[..],
            Unknown,
            Err(LocalError::MissingLength),
        ),
        (
            old,
            Method::PUT,
            &chunked[..],
            Unknown,
            Err(LocalError::MissingLength),
        ),
        (
            new,
            Method::PUT,
            &host[..],
            UntilClose,
            Err(LocalError::MissingLength),
        ),
        (
            Version::HTTP_2,
            Method::GET,
            &host[..],
            Known(0),
            Err(LocalError::UnsupportedVersion),
        ),
    ] {
        let asked = ask(&mut client(), &method, version, lines, length);
        let expected = expected.map(str::to_owned);
        assert_eq!(asked, expected, "{version:?} {method} {lines:?} {length:?}");
    }
}

#[test]
fn what_answers_a_request_of_http_1_0_decides_by_its_own_version() {
    let old = Version::HTTP_10;
    for (answer, expected) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", Persistence::Persistent),
        (
            "HTTP/1.0 204 No Content\r\n\r\n",
            Persistence::Close(NotPersistent::Http10),
        ),
        (
            "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
            Persistence::Close(NotPersistent::PeerAskedClose),
        ),
    ] {
        let mut client = client();
        ask(&mut client, &Method::GET, old, &[], BodyLength::Known(0)).unwrap();
        client.send_end(None, &mut Vec::new()).unwrap();
        let received = client.receive(&mut BytesMut::from(answer)).unwrap();
        assert!(matches!(received, Received::Event(Event::Response(_))));
        assert_eq!(client.persistence(), expected, "{answer:?}");
    }
}

#[test]
fn a_request_of_http_1_0_asks_for_no_upgrade() {
    let mut client = client();
    let lines = [("upgrade", "x"), ("connection", "upgrade")];
    let none = BodyLength::Known(0);
    ask(&mut client, &Method::GET, Version::HTTP_10, &lines, none).unwrap();
    client.send_end(None, &mut Vec::new()).unwrap();
    let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    assert!(client.receive(&mut BytesMut::from(answer)).is_err());
}

#[test]
fn a_request_of_http_1_0_follows_none_that_is_not_answered() {
    let mut client = client();
    let host = [("host", "a")];
    let none = BodyLength::Known(0);
    ask(&mut client, &Method::GET, Version::HTTP_11, &host, none).unwrap();
    client.send_end(None, &mut Vec::new()).unwrap();
    client.pipeline().unwrap();
    let second = ask(&mut client, &Method::GET, Version::HTTP_10, &host, none);
    assert!(matches!(second, Err(LocalError::NotNow { .. })));
}

#[test]
fn a_response_that_is_not_to_be_chunked_ends_with_its_connection() {
    for (method, status, has_content) in [
        ("GET", StatusCode::OK, true),
        ("HEAD", StatusCode::OK, false),
        ("GET", StatusCode::NOT_MODIFIED, false),
    ] {
        let mut server = Connection::server(Arc::new(Config::default()));
        let asked = format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n");
        server.receive(&mut BytesMut::from(asked.as_str())).unwrap();
        let mut wire = Vec::new();
        server
            .send_response(status, [], BodyLength::UntilClose, &mut wire)
            .unwrap();
        let head = String::from_utf8(wire.clone()).unwrap();
        assert!(!head.contains("chunked"), "{head}");
        assert_eq!(head.contains("connection: close"), has_content, "{head}");
        assert_eq!(server.send_data(2).unwrap().is_some(), has_content);
        wire.clear();
        server.send_end(None, &mut wire).unwrap();
        assert!(wire.is_empty());
        let closes = Persistence::Close(NotPersistent::CloseDelimited);
        assert_eq!(server.persistence() == closes, has_content);
    }
}
