//! The raw layer: heads as spans, content as bytes, nothing typed and nothing retried.

use std::future::poll_fn;

use bytes::Bytes;
use http::{Method, Uri};
use keepline::client::{Exchange, Head};
use keepline::{CloseReason, Error, ErrorKind, Fault, Transport};
use keepline_proto::{BodyLength, Field, RemoteError, RequestLine};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{RawClient, within};

use super::support::{Pipes, always, answer, chunked, closed, ok, stats};

async fn begin(transport: &Transport, url: &str) -> Exchange {
    let uri: Uri = url.parse().unwrap();
    let exchange = within("a connection", transport.exchange(&uri));
    exchange.await.unwrap()
}

/// Sends a whole request.
async fn send(exchange: &mut Exchange, method: &Method, content: &[u8]) {
    let line = RequestLine::new(method, b"/a?b");
    let fields = [
        Field::new(b"Host", b"a").unwrap(),
        Field::new(b"X-Odd-CASE", b" kept ".trim_ascii()).unwrap(),
    ];
    let length = BodyLength::Known(content.len() as u64);
    exchange.send_head(line, fields, length).unwrap();
    poll_fn(|cx| exchange.poll_ready(cx)).await;
    if !content.is_empty() {
        exchange
            .send_piece(Bytes::copy_from_slice(content))
            .unwrap();
    }
    exchange.send_end(None).unwrap();
    poll_fn(|cx| exchange.poll_flush(cx)).await;
    assert!(exchange.is_request_over());
}

async fn next_head(exchange: &mut Exchange) -> Result<Head, Error> {
    within("a head", poll_fn(|cx| exchange.poll_head(cx))).await
}

async fn read(exchange: &mut Exchange) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    while let Some(piece) = within("a piece", poll_fn(|cx| exchange.poll_piece(cx))).await? {
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

#[tokio::test]
async fn heads_keep_their_order_and_their_case() {
    let wire = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                HTTP/1.1 200 Fine\r\nB: 2\r\na: 1\r\nB: 3\r\nContent-Length: 2\r\n\r\nhi";
    let peer = Peer::start(always(wire));
    let transport = Transport::default();
    for number in 1..=2 {
        let mut exchange = begin(&transport, &peer.url("/")).await;
        send(&mut exchange, &Method::GET, b"").await;
        let Head::Interim(interim) = next_head(&mut exchange).await.unwrap() else {
            panic!("the interim head comes first");
        };
        assert_eq!(interim.status(), 103);
        let Head::Final(head) = next_head(&mut exchange).await.unwrap() else {
            panic!("the final head comes next");
        };
        let fields: Vec<_> = head
            .fields()
            .iter()
            .map(|x| (x.name(), x.value()))
            .collect();
        let expected: [(&[u8], &[u8]); 4] = [
            (b"B", b"2"),
            (b"a", b"1"),
            (b"B", b"3"),
            (b"Content-Length", b"2"),
        ];
        assert_eq!((head.reason(), &fields[..]), (&b"Fine"[..], &expected[..]));
        assert_eq!(exchange.remaining(), Some(2));
        assert_eq!(read(&mut exchange).await.unwrap(), b"hi");
        assert_eq!(exchange.connection().exchange_number, number);
        exchange.end();
        assert_eq!(stats(&transport).idle, 1);
    }
    let sent = &peer.heads(0)[0];
    assert_eq!(
        sent,
        "GET /a?b HTTP/1.1\r\nHost: a\r\nX-Odd-CASE: kept\r\n\r\n"
    );
}

#[tokio::test]
async fn trailers_are_there_after_the_end() {
    let wire = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nSum: 1\r\n\r\n";
    let peer = Peer::start(answer(wire));
    let transport = Transport::default();
    let mut exchange = begin(&transport, &peer.url("/")).await;
    send(&mut exchange, &Method::POST, b"hello").await;
    next_head(&mut exchange).await.unwrap();
    assert!(exchange.take_trailers().is_none());
    assert_eq!(read(&mut exchange).await.unwrap(), b"");
    let trailers = exchange.take_trailers().unwrap();
    assert_eq!(trailers.value("sum"), Some(&b"1"[..]));
    exchange.end();
    assert!(peer.received(0).ends_with(b"\r\n\r\nhello"));
}

/// Whether the connection is new or has carried an exchange.
#[tokio::test]
async fn a_connection_that_was_not_used_is_given_back_and_was_never_acquired() {
    let peer = Peer::start(always(ok("hi")));
    let transport = Transport::default();
    begin(&transport, &peer.url("/")).await.give_back();
    let mut exchange = begin(&transport, &peer.url("/")).await;
    send(&mut exchange, &Method::GET, b"").await;
    next_head(&mut exchange).await.unwrap();
    assert_eq!(read(&mut exchange).await.unwrap(), b"hi");
    exchange.end();
    begin(&transport, &peer.url("/")).await.give_back();
    let stats = stats(&transport);
    assert_eq!(
        (stats.acquired, stats.idle, stats.opened.total()),
        (1, 1, 1)
    );
    assert_eq!(peer.heads(0).len(), 1);
}

#[tokio::test]
async fn a_connection_with_a_request_on_it_is_not_given_back() {
    let peer = Peer::start(always(ok("hi")));
    let transport = Transport::default();
    for is_sent in [false, true] {
        let mut exchange = begin(&transport, &peer.url("/")).await;
        if is_sent {
            send(&mut exchange, &Method::GET, b"").await;
        } else {
            let line = RequestLine::new(&Method::GET, b"/");
            let host = Field::new(b"Host", b"a").unwrap();
            let queued = exchange.send_head(line, [host], BodyLength::Known(0));
            queued.unwrap();
        }
        exchange.give_back();
        assert_eq!(stats(&transport).idle, 0);
    }
    assert_eq!(closed(&transport), [(CloseReason::Cancelled, 2)]);
}

/// A server that answers before it was asked answers somebody else's question.
#[tokio::test]
async fn an_answer_before_the_question_is_refused() {
    for is_head_queued in [false, true] {
        let (builder, mut pipes) = Pipes::new(4096);
        let transport = builder.build().unwrap();
        let mut exchange = begin(&transport, "http://a/").await;
        let mut far: RawClient<_> = pipes.accept().await;
        far.send(ok("evil")).await;
        if is_head_queued {
            let line = RequestLine::new(&Method::GET, b"/");
            let host = Field::new(b"host", b"a").unwrap();
            exchange
                .send_head(line, [host], BodyLength::Known(0))
                .unwrap();
        }
        let error = next_head(&mut exchange).await.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Protocol(RemoteError::UnsolicitedBytes)
        );
        assert_eq!(error.fault(), Fault::Remote);
        // Nor does it become an answer when it is looked at again.
        assert!(next_head(&mut exchange).await.is_err());
        exchange.end();
        assert_eq!(stats(&transport).idle, 0);
    }
}

/// How an exchange may leave its connection, and what is counted.
#[tokio::test]
async fn an_exchange_gives_its_connection_back_only_whole() {
    type Leave = fn(Exchange);
    let ways: [(&str, Leave, CloseReason); 4] = [
        ("ended early", Exchange::end, CloseReason::RequestUnsent),
        ("dropped", drop, CloseReason::Cancelled),
        (
            "closed",
            |x| x.close(CloseReason::Timeout),
            CloseReason::Timeout,
        ),
        (
            "ended by an error",
            Exchange::end,
            CloseReason::RequestUnsent,
        ),
    ];
    for (name, leave, reason) in ways {
        let peer = Peer::start(always(chunked("x")));
        let transport = Transport::default();
        let mut exchange = begin(&transport, &peer.url("/")).await;
        send(&mut exchange, &Method::GET, b"").await;
        next_head(&mut exchange).await.unwrap();
        leave(exchange);
        assert_eq!(closed(&transport), [(reason, 1)], "{name}");
        assert_eq!(stats(&transport).idle, 0, "{name}");
    }
}

#[tokio::test]
async fn a_switch_of_protocols_is_told_and_leaves_the_pool() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n";
    let peer = Peer::start(Script::new().expect_head().send(switch).hold());
    let transport = Transport::default();
    let mut exchange = begin(&transport, &peer.url("/")).await;
    let line = RequestLine::new(&Method::GET, b"/");
    let fields = [
        Field::new(b"host", b"a").unwrap(),
        Field::new(b"connection", b"upgrade").unwrap(),
        Field::new(b"upgrade", b"echo").unwrap(),
    ];
    exchange
        .send_head(line, fields, BodyLength::Known(0))
        .unwrap();
    exchange.send_end(None).unwrap();
    poll_fn(|cx| exchange.poll_flush(cx)).await;
    let Head::Switched(head) = next_head(&mut exchange).await.unwrap() else {
        panic!("the server switches");
    };
    assert_eq!(head.status(), 101);
    exchange.end();
    assert_eq!(closed(&transport), [(CloseReason::Upgraded, 1)]);
}
