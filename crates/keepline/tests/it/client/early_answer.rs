//! Answers that come before the end of their request: it goes on while the answer is read, and has
//! a moment to end after it.

use std::time::Duration;

use keepline::{CloseReason, ErrorKind, Transport};
use keepline_testkit::peer::Peer;
use keepline_testkit::{Gate, within};

use super::support::{
    Pipes, answer, body_failure, closed, data, fed_body, frame, ok, piece, request, stats,
    until_closed,
};

const CONTINUES: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// 413 to an upload that nobody reads, then a close, which the kernel makes a reset.
#[tokio::test]
async fn an_early_answer_wins_over_the_failure_to_write() {
    let refusal = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig";
    // More than the kernel takes for a server that does not read.
    let content = bytes::Bytes::from(vec![0; 64 << 20]);
    for _ in 0..100 {
        let peer = Peer::start(answer(refusal).close());
        let transport = Transport::default();
        let body = content.clone();
        let response = within(
            "a response",
            transport.send(request("PUT", &peer.url("/"), body)),
        )
        .await
        .unwrap();
        assert_eq!(response.status(), 413);
        // Dropped before its end is seen, so that nobody waits for the request.
        assert_eq!(piece(&mut response.into_body()).await, "big");
        until_closed(&transport, CloseReason::RequestUnsent, 1).await;
    }
}

/// The end of the response waits a moment for the end of the request.
#[tokio::test(start_paused = true)]
async fn a_request_that_outlives_its_response_has_a_moment_to_end() {
    for is_in_time in [true, false] {
        let (builder, mut pipes) = Pipes::new(4096);
        let transport = builder.build().unwrap();
        let (feed, body) = fed_body();
        let sending = tokio::spawn({
            let transport = transport.clone();
            async move {
                transport
                    .send(request("POST", "http://a/", body))
                    .await
                    .unwrap()
            }
        });
        let mut far = pipes.accept().await;
        far.read_head().await;
        far.send(ok("done")).await;
        let mut body = sending.await.unwrap().into_body();
        assert_eq!(piece(&mut body).await, "done");
        let ended = tokio::time::Instant::now();
        let reading = tokio::spawn(async move { frame(&mut body).await.is_none() });
        if is_in_time {
            tokio::time::sleep(Duration::from_millis(49)).await;
            drop(feed);
            assert!(reading.await.unwrap());
            assert_eq!(stats(&transport).idle, 1);
        } else {
            assert!(reading.await.unwrap());
            assert_eq!(ended.elapsed(), Duration::from_millis(50));
            assert_eq!(closed(&transport), [(CloseReason::RequestUnsent, 1)]);
            drop(feed);
        }
    }
}

#[tokio::test]
async fn request_and_response_stream_both_ways_at_once() {
    let (builder, mut pipes) = Pipes::new(64);
    let transport = builder.build().unwrap();
    let (feed, body) = fed_body();
    let sending = tokio::spawn({
        let transport = transport.clone();
        async move {
            transport
                .send(request("POST", "http://a/", body))
                .await
                .unwrap()
        }
    });
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send(CONTINUES).await;
    let mut body = sending.await.unwrap().into_body();
    for _ in 0..10 {
        feed.send(data("ping")).unwrap();
        // Reading the response moves the request.
        let (read, ()) = tokio::join!(piece(&mut body), async {
            assert_eq!(far.read_exactly(9).await, b"4\r\nping\r\n");
            far.send("4\r\npong\r\n").await;
        });
        assert_eq!(read, "pong");
    }
    drop(feed);
    far.send("0\r\n\r\n").await;
    assert!(frame(&mut body).await.is_none());
    assert_eq!(stats(&transport).idle, 1);
}

/// The server waits for the rest of the request, which will never come, and so would the reader.
#[tokio::test]
async fn a_body_that_fails_after_the_response_began_fails_the_response() {
    let (builder, mut pipes) = Pipes::new(4096);
    let transport = builder.build().unwrap();
    let (feed, body) = fed_body();
    let sending = tokio::spawn({
        let transport = transport.clone();
        async move {
            transport
                .send(request("POST", "http://a/", body))
                .await
                .unwrap()
        }
    });
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send(format!("{CONTINUES}2\r\nhi\r\n")).await;
    let mut body = sending.await.unwrap().into_body();
    feed.send(Err(body_failure())).unwrap();
    assert_eq!(piece(&mut body).await, "hi");
    let error = frame(&mut body).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body);
    assert!(frame(&mut body).await.is_none());
    assert_eq!(closed(&transport), [(CloseReason::RequestUnsent, 1)]);
}

/// With an upload that has not ended there is a timer, which is no reason to panic.
#[test]
fn a_response_may_be_read_outside_a_runtime() {
    let gate = Gate::new("never");
    let peer = Peer::start(answer(ok("hello")).wait_for(&gate));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let transport = Transport::default();
    let (feed, body) = fed_body();
    let response = runtime.block_on(transport.send(request("POST", &peer.url("/"), body)));
    let mut body = response.unwrap().into_body();
    let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
    let mut read = Vec::new();
    loop {
        match http_body::Body::poll_frame(std::pin::Pin::new(&mut body), &mut nobody) {
            std::task::Poll::Ready(Some(frame)) => read.extend(frame.unwrap().into_data().unwrap()),
            std::task::Poll::Ready(None) => break,
            std::task::Poll::Pending => std::thread::yield_now(),
        }
    }
    assert_eq!(read, b"hello");
    assert_eq!(closed(&transport), [(CloseReason::RequestUnsent, 1)]);
    drop(feed);
    gate.open();
}
