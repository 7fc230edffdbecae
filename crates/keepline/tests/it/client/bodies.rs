//! How responses are framed, and when their connection is free again.

use std::time::Duration;

use http_body::Body as _;
use keepline::{CloseReason, Transport};
use keepline_testkit::peer::{Peer, Script};

use super::support::{
    Pipes, always, answer, chunked, closed, fetch, frame, get, head, ok, piece, request, stats,
    text, until_closed,
};

/// A response, what is to be read of it, and what becomes of its connection.
struct Case {
    method: &'static str,
    wire: &'static str,
    status: u16,
    content: &'static str,
    closed: Option<CloseReason>,
}

const fn kept(wire: &'static str, content: &'static str) -> Case {
    Case {
        method: "GET",
        wire,
        status: 200,
        content,
        closed: None,
    }
}

const fn lost(wire: &'static str, content: &'static str, reason: CloseReason) -> Case {
    Case {
        closed: Some(reason),
        ..kept(wire, content)
    }
}

const fn empty(method: &'static str, status: u16, wire: &'static str) -> Case {
    Case {
        method,
        status,
        ..kept(wire, "")
    }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    kept("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello"),
    kept("HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\nhello", "hello"),
    kept("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", "hello"),
    kept("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
    kept("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", "hello"),
    kept("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", ""),
    kept("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nsum: 1\r\n\r\n", "hello"),
    kept("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi"),
    kept("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi", "hi"),
    empty("HEAD", 200, "HTTP/1.1 200 OK\r\ncontent-length: 123\r\n\r\n"),
    empty("HEAD", 200, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
    empty("GET", 204, "HTTP/1.1 204 No Content\r\n\r\n"),
    empty("GET", 204, "HTTP/1.1 204 No Content\r\ncontent-length: 7\r\n\r\n"),
    empty("GET", 304, "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"),
    empty("GET", 304, "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n"),
    lost("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi", "hi", CloseReason::PeerAskedClose),
    lost("HTTP/1.1 200 OK\r\nConnection: foo, CLOSE\r\ncontent-length: 2\r\n\r\nhi", "hi", CloseReason::PeerAskedClose),
    lost("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi", CloseReason::NotPersistent),
    lost("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi!", "hi", CloseReason::UnsolicitedBytes),
    Case { status: 204, ..lost("HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "", CloseReason::UnsolicitedBytes) },
];

/// Each response whole and byte by byte, twice on one connection if it may stay.
#[tokio::test]
async fn every_framing_is_read_to_its_end_and_no_further() {
    for case in CASES {
        for piece in [1, usize::MAX] {
            check(case, piece).await;
        }
    }
}

async fn check(case: &Case, piece: usize) {
    let name = format!("{} {:?} in pieces of {piece}", case.method, case.wire);
    let once = Script::new()
        .expect_head()
        .send_split_each(case.wire, piece.min(case.wire.len()));
    let peer = Peer::start(Script::new().repeat_forever(once));
    let transport = Transport::default();
    for round in 1..=2 {
        let asked = request(case.method, &peer.url("/"), ());
        let response = transport.send(asked).await.expect(&name);
        assert_eq!(response.status(), case.status, "{name}");
        assert_eq!(text(response.into_body()).await.unwrap(), case.content);
        if let Some(reason) = case.closed {
            // A stray byte that comes late is met while the connection is idle.
            until_closed(&transport, reason, round).await;
        }
    }
    match case.closed {
        None => assert_eq!((peer.accepted(), stats(&transport).idle), (1, 1), "{name}"),
        Some(reason) => {
            assert_eq!(peer.accepted(), 2, "{name}");
            assert_eq!(closed(&transport), [(reason, 2)], "{name}");
        }
    }
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_its_connection() {
    let script = answer("HTTP/1.1 200 OK\r\n\r\nuntil the end").fin();
    let peer = Peer::start(script);
    let transport = Transport::default();
    let (body, _) = fetch(&transport, &peer).await.unwrap();
    assert_eq!(body, "until the end");
    assert_eq!(closed(&transport), [(CloseReason::NotPersistent, 1)]);
}

#[tokio::test]
async fn trailers_come_behind_the_content() {
    let wire = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: sum\r\n\r\n\
                2\r\nhi\r\n0\r\nsum: 42\r\n\r\n";
    let peer = Peer::start(answer(wire));
    let transport = Transport::default();
    let mut body = head(&transport, &peer).await.into_body();
    assert_eq!(piece(&mut body).await, "hi");
    let trailers = frame(&mut body).await.unwrap().unwrap();
    // They are the last that there is: the connection is free before the reader has them.
    assert_eq!(stats(&transport).idle, 1);
    assert_eq!(trailers.into_trailers().unwrap()["sum"], "42");
    assert!(frame(&mut body).await.is_none());
}

/// Without a chance for another task to run between the end and the look at the counts.
#[tokio::test]
async fn the_connection_is_free_before_the_reader_sees_the_end() {
    for (name, response) in [("length", ok("hello")), ("chunked", chunked("hello"))] {
        let (builder, mut pipes) = Pipes::new(4096);
        let transport = builder.build().unwrap();
        let asked = tokio::spawn({
            let transport = transport.clone();
            async move { transport.send(get("http://a/")).await.unwrap().into_body() }
        });
        let mut far = pipes.accept().await;
        far.read_head().await;
        let (first, rest) = response.split_at(response.find("hello").unwrap() + 3);
        far.send(first).await;
        let mut body = asked.await.unwrap();
        assert_eq!(piece(&mut body).await, "hel", "{name}");
        assert_eq!((stats(&transport).busy, stats(&transport).idle), (1, 0));
        far.send(rest).await;
        assert_eq!(piece(&mut body).await, "lo", "{name}");
        // A reader who knows the length may stop here, and often does.
        let is_free = stats(&transport).idle == 1;
        assert_eq!(is_free, name == "length");
        assert!(frame(&mut body).await.is_none());
        assert_eq!((stats(&transport).busy, stats(&transport).idle), (0, 1));
    }
}

#[tokio::test]
async fn with_draining_off_only_the_end_that_is_seen_gives_the_connection_back() {
    for response in [ok("hello"), chunked("hello")] {
        let peer = Peer::start(always(response));
        let transport = Transport::builder()
            .drain(0, Duration::ZERO)
            .build()
            .unwrap();
        let mut body = head(&transport, &peer).await.into_body();
        assert_eq!(piece(&mut body).await, "hello");
        assert_eq!(stats(&transport).idle, 0);
        assert!(frame(&mut body).await.is_none());
        assert_eq!(stats(&transport).idle, 1);
        // And the classic mistake: all has arrived, but nobody looked.
        let mut body = head(&transport, &peer).await.into_body();
        assert_eq!(piece(&mut body).await, "hello");
        drop(body);
        assert_eq!(closed(&transport), [(CloseReason::NotDrained, 1)]);
    }
}

/// What a body says of itself, before and while it is read.
#[tokio::test]
async fn a_body_tells_the_truth_about_its_length() {
    for (method, response, exact) in [
        ("GET", ok("hello"), Some(5)),
        ("GET", ok(""), Some(0)),
        ("HEAD", ok(""), Some(0)),
        ("GET", chunked("hello"), None),
    ] {
        let peer = Peer::start(answer(&response));
        let transport = Transport::default();
        let asked = request(method, &peer.url("/"), ());
        let mut body = transport.send(asked).await.unwrap().into_body();
        assert_eq!(body.size_hint().exact(), exact, "{method} {response:?}");
        assert_eq!(body.is_end_stream(), exact == Some(0));
        let mut read = 0;
        while let Some(frame) = frame(&mut body).await {
            read += frame.unwrap().into_data().unwrap().len() as u64;
            let rest = body.size_hint().exact();
            assert_eq!(rest, exact.map(|exact| exact - read));
        }
        assert!(body.is_end_stream());
    }
}

#[tokio::test]
async fn a_large_body_arrives_whole_in_both_framings() {
    let content: String = (0..100_000).map(|n| format!("{n:>9}\n")).collect();
    for response in [ok(&content), chunked(&content)] {
        let peer = Peer::start(always(response));
        let transport = Transport::default();
        for _ in 0..2 {
            assert!(fetch(&transport, &peer).await.unwrap().0 == content);
        }
        assert_eq!(peer.accepted(), 1);
    }
}

#[tokio::test]
async fn a_reader_may_take_less_than_there_is() {
    let peer = Peer::start(answer(ok("0123456789")));
    let transport = Transport::default();
    let body = head(&transport, &peer).await.into_body();
    let error = body.bytes(9).await.unwrap_err();
    assert_eq!(error.kind(), keepline::ErrorKind::TooLarge);
    assert_eq!(stats(&transport).idle, 1);
}
