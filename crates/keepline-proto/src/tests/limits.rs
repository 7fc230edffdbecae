//! Limits: what is just allowed and what is just too much, however it is split; and limits so
//! large that they are none.

use bytes::BytesMut;
use http::Method;

use crate::fuzzing::feed::{Ask, Setup, Split, feed};
use crate::fuzzing::said::Said;
use crate::{Config, Connection, Event, Limits, Received, RemoteError};

const SMALL: Limits = Limits {
    head: 64,
    line: 64,
    fields: 3,
    connection_options: 8,
    chunk_line: 8,
    chunk_overhead: 32,
    trailers: 24,
    empty_lines: 1,
};

fn setup(limits: Limits) -> Setup {
    Setup::server(Config {
        limits,
        ..Config::default()
    })
}

/// The outcome, which is the same for all splits.
fn outcome(setup: &Setup, wire: &str) -> Option<RemoteError> {
    let whole = feed(setup, wire.as_bytes(), Split::Whole);
    let cuts = (1..wire.len()).map(Split::At);
    for split in [Split::EachByte].into_iter().chain(cuts) {
        let other = feed(setup, wire.as_bytes(), split);
        assert_eq!(whole, other, "{split:?} of {wire:?}");
    }
    assert!(
        whole.error().is_some() || matches!(whole.said.last(), Some(Said::End(_))),
        "{wire:?}"
    );
    whole.error()
}

#[test]
fn a_line_of_a_request_has_its_own_limit() {
    use RemoteError as E;
    let setup = setup(Limits {
        line: 24,
        ..Limits::default()
    });
    // Each line is counted with its line end, whatever came before it.
    for (wire, expected) in [
        ("GET /67890 HTTP/1.1\r\nhost: a\r\n\r\n", None),
        ("GET /67890123 HTTP/1.1\r\nhost: a\r\n\r\n", None),
        (
            "GET /678901234 HTTP/1.1\r\nhost: a\r\n\r\n",
            Some(E::RequestLineTooLong),
        ),
        ("\r\nGET /67890123 HTTP/1.1\r\nhost: a\r\n\r\n", None),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nx: 4567890123456789012\r\n\r\n",
            None,
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nx: 45678901234567890123\r\n\r\n",
            Some(E::HeadTooLarge),
        ),
    ] {
        assert_eq!(outcome(&setup, wire), expected, "{wire:?}");
    }
}

#[test]
fn limits_of_requests_are_exact() {
    use RemoteError as E;
    let request = |target: usize, field: usize| {
        let (target, field) = ("t".repeat(target), "f".repeat(field));
        format!("GET /{target} HTTP/1.1\r\nhost: a\r\nx: {field}\r\n\r\n")
    };
    let chunked = |body: &str| {
        format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:chunked\r\n\r\n{body}")
    };
    // Without target and field it has 32 bytes.
    for (wire, expected) in [
        (request(0, 32), None),
        (request(0, 33), Some(E::HeadTooLarge)),
        (request(32, 0), None),
        (request(33, 0), Some(E::HeadTooLarge)),
        (request(48, 0), Some(E::HeadTooLarge)),
        (request(49, 0), Some(E::RequestLineTooLong)),
        (request(200, 0), Some(E::RequestLineTooLong)),
        // Empty lines before it do not count.
        (format!("\r\n{}", request(0, 32)), None),
        (
            format!("\r\n\r\n{}", request(0, 0)),
            Some(E::TooManyEmptyLines),
        ),
        ("GET / HTTP/1.1\r\nhost: a\r\na:\r\nb:\r\n\r\n".into(), None),
        (
            "GET / HTTP/1.1\r\nhost: a\r\na:\r\nb:\r\nc:\r\n\r\n".into(),
            Some(E::TooManyFields),
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: abcdefgh\r\n\r\n".into(),
            None,
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: ,,,,,,,,,\r\n\r\n".into(),
            Some(E::TooManyFields),
        ),
        (chunked("1;2345\r\na\r\n0\r\n\r\n"), None),
        (
            chunked("1;23456\r\na\r\n0\r\n\r\n"),
            Some(E::ChunkLineTooLong),
        ),
        (chunked("0\r\nx: 123456789012345\r\n\r\n"), None),
        (
            chunked("0\r\nx: 1234567890123456789\r\n\r\n"),
            Some(E::TrailersTooLarge),
        ),
        (chunked("0\r\na:\r\nb:\r\nc:\r\n\r\n"), None),
        (
            chunked("0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n"),
            Some(E::TooManyFields),
        ),
    ] {
        let found = outcome(&setup(SMALL), &wire);
        assert_eq!(found, expected, "{} bytes: {wire:?}", wire.len());
    }
}

#[test]
fn framing_may_cost_what_is_in_proportion_to_the_data() {
    let limits = Limits {
        chunk_line: 64,
        ..SMALL
    };
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:chunked\r\n\r\n";
    let body = |extension: usize, chunks: usize| {
        let chunk = format!("1;{}\r\na\r\n", "x".repeat(extension));
        format!("{head}{}0\r\n\r\n", chunk.repeat(chunks))
    };
    // A chunk of one byte may cost 18 bytes beside it: its line has 6 and the extension, and
    // never saves anything up for the next.
    assert_eq!(outcome(&setup(limits), &body(12, 100)), None);
    assert_eq!(outcome(&setup(limits), &body(13, 20)), None);
    let too_much = Some(RemoteError::ChunkOverheadTooLarge);
    assert_eq!(outcome(&setup(limits), &body(13, 100)), too_much);
    assert_eq!(outcome(&setup(limits), &body(50, 2)), too_much);
}

#[test]
fn interim_heads_share_the_limit_of_the_final_one() {
    let client = |asks| Setup {
        config: Config {
            limits: SMALL,
            ..Config::default()
        },
        ..Setup::client(Config::default(), asks)
    };
    let interim = "HTTP/1.1 100 C\r\n\r\n";
    let last = "HTTP/1.1 204 N\r\n\r\n";
    let asks = vec![Ask::of(Method::GET); 2];
    // 18 bytes each, 64 in all; each exchange starts anew.
    let fits = [interim, interim, last].concat().repeat(2);
    assert_eq!(outcome(&client(asks.clone()), &fits), None);
    let mut pipelined = client(asks.clone());
    pipelined.hurries = true;
    assert_eq!(outcome(&pipelined, &fits), None);
    // What is left of the limit is less than it takes to see that this is no status line.
    let garbage = format!(
        "{interim}{interim}HTTP/1.1 103 {}\r\n\r\nHTT?",
        "x".repeat(8)
    );
    let mut near = client(asks.clone());
    near.config.limits.head = 64;
    assert_eq!(outcome(&near, &garbage), Some(RemoteError::HeadTooLarge));
    let too_many = [interim, interim, interim, last].concat();
    assert_eq!(
        outcome(&client(asks), &too_many),
        Some(RemoteError::HeadTooLarge)
    );
}

#[test]
fn limits_that_are_none_allocate_nothing_for_it() {
    let absurd = Limits {
        line: usize::MAX,
        head: usize::MAX,
        fields: usize::MAX,
        connection_options: usize::MAX,
        chunk_line: usize::MAX,
        chunk_overhead: usize::MAX,
        trailers: usize::MAX,
        empty_lines: usize::MAX,
    };
    let lines = "x: y\r\n".repeat(1000);
    let wire = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n{lines}\r\n0\r\n{lines}\r\n"
    );
    let said = feed(&setup(absurd), wire.as_bytes(), Split::Whole).said;
    let [Said::Request { fields, .. }, Said::End(Some(trailers))] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!((fields.len(), trailers.len()), (1002, 1000));
}

#[test]
fn limits_of_zero_refuse_everything() {
    let nothing = Limits {
        head: 0,
        line: 0,
        fields: 0,
        connection_options: 0,
        chunk_line: 0,
        chunk_overhead: 0,
        trailers: 0,
        empty_lines: 0,
    };
    let wire = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let expected = Some(RemoteError::RequestLineTooLong);
    assert_eq!(outcome(&setup(nothing), wire), expected);
    let client = Setup {
        config: setup(nothing).config,
        ..Setup::client(Config::default(), vec![Ask::of(Method::GET)])
    };
    assert_eq!(
        outcome(&client, "HTTP/1.1 200 OK\r\n\r\n"),
        Some(RemoteError::HeadTooLarge)
    );
}

#[test]
fn the_buffer_is_handed_on_and_not_kept() {
    let mut server = Connection::server(Config::default().into());
    let mut buffer =
        BytesMut::from(&b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n"[..]);
    assert!(matches!(
        server.receive(&mut buffer),
        Ok(Received::Event(Event::Request(_)))
    ));
    for _ in 0..100 {
        buffer.extend_from_slice(&[b'x'; 1000]);
        let Ok(Received::Event(Event::Data(data))) = server.receive(&mut buffer) else {
            panic!("no content");
        };
        assert_eq!((data.len(), buffer.len()), (1000, 0));
    }
    assert_eq!(server.remaining(), Some(0));
}
