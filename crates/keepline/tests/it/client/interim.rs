//! Interim responses: 100-continue, early hints, and too many of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use keepline::client::{Event, OnInterim};
use keepline::{CloseReason, ErrorKind, Transport};
use keepline_proto::RemoteError;
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::within;

use super::support::{Pipes, closed, exchange, get, request, text};

fn expecting(body: &'static str) -> http::Request<keepline::Body> {
    let mut request = request("POST", "http://a/", body);
    request
        .headers_mut()
        .insert("expect", http::HeaderValue::from_static("100-continue"));
    request
}

#[tokio::test(start_paused = true)]
async fn the_body_follows_the_100() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let transport = builder.build().unwrap();
    let sent = tokio::spawn({
        let transport = transport.clone();
        async move { exchange(&transport, expecting("hello")).await }
    });
    let mut far = pipes.accept().await;
    assert!(far.read_head().await.contains("content-length: 5"));
    far.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(far.read_exactly(5).await, b"hello");
    far.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await;
    assert_eq!(sent.await.unwrap().unwrap().0, "ok");
    assert_eq!(transport.stats().idle, 1);
}

/// After a final answer the body is not sent: the server does not want it, and the connection,
/// whose request will never be complete, is closed.
#[tokio::test(start_paused = true)]
async fn a_final_answer_instead_of_the_100_spares_the_body() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let transport = builder.build().unwrap();
    let sent = tokio::spawn({
        let transport = transport.clone();
        async move { transport.send(expecting("hello")).await }
    });
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno")
        .await;
    let response = within("the answer", sent).await.unwrap().unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(text(response.into_body()).await.unwrap(), "no");
    assert_eq!(
        far.read_to_end().await.0,
        b"",
        "nothing of the body was sent"
    );
    assert_eq!(closed(&transport), [(CloseReason::RequestUnsent, 1)]);
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_the_body_is_sent_after_a_second() {
    let (builder, mut pipes) = Pipes::new(1 << 12);
    let transport = builder.build().unwrap();
    let started = tokio::time::Instant::now();
    let sent = tokio::spawn(async move { exchange(&transport, expecting("hello")).await });
    let mut far = pipes.accept().await;
    far.read_head().await;
    assert_eq!(far.read_exactly(5).await, b"hello");
    assert_eq!(started.elapsed(), Duration::from_secs(1));
    far.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await;
    assert_eq!(sent.await.unwrap().unwrap().0, "ok");
}

#[tokio::test]
async fn early_hints_are_handed_over_and_do_not_end_the_exchange() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let script = Script::new()
        .expect_head()
        .send(hints)
        .send(hints)
        .send(answer);
    let peer = Peer::start(Script::new().repeat_forever(script));
    let transport = Transport::default();
    let mut events = transport.events();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut request = get(&peer.url("/"));
    let notes = Arc::clone(&seen);
    request
        .extensions_mut()
        .insert(OnInterim::new(move |status, fields| {
            notes
                .lock()
                .unwrap()
                .push((status.as_u16(), fields["link"].clone()));
        }));
    assert_eq!(exchange(&transport, request).await.unwrap().0, "ok");
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (103, "</a.css>".parse().unwrap()),
            (103, "</a.css>".parse().unwrap())
        ]
    );
    let mut interims = 0;
    while let Some(event) = events.try_next() {
        interims += usize::from(matches!(event, Event::Interim { .. }));
    }
    assert_eq!(interims, 2);
    assert_eq!(transport.stats().idle, 1);
}

#[tokio::test]
async fn interim_responses_without_end_fail_the_request() {
    let endless = "HTTP/1.1 102 Processing\r\n\r\n".repeat(10_000);
    for has_callback in [false, true] {
        let peer = Peer::start(Script::new().expect_head().send(&endless).hold());
        let transport = Transport::default();
        let mut asked = get(&peer.url("/"));
        if has_callback {
            asked.extensions_mut().insert(OnInterim::new(|_, _| ()));
        }
        let error = exchange(&transport, asked).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol(RemoteError::HeadTooLarge));
        assert_eq!(closed(&transport), [(CloseReason::ProtocolError, 1)]);
    }
}
