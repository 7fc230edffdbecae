//! Requests with content: framing, back-pressure, bodies that fail.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use keepline::{Body, CloseReason, Error, ErrorKind, Fault, Transport};
use keepline_proto::LocalError;
use keepline_testkit::RawClient;
use keepline_testkit::peer::{Ending, Peer, Script};
use keepline_testkit::stream::duplex;

use super::support::{
    Pipes, always, body_failure, closed, data, exchange, fed_body, fetch, ok, request, stats,
};

/// A body of these pieces, whose length nobody knows.
fn stream(pieces: &[&'static str], trailers: Option<HeaderMap>) -> Body {
    let (feed, body) = fed_body();
    for piece in pieces {
        feed.send(data(piece)).unwrap();
    }
    if let Some(trailers) = trailers {
        feed.send(Ok(Frame::trailers(trailers))).unwrap();
    }
    body
}

#[tokio::test]
async fn content_is_framed_by_what_is_known_of_its_length() {
    let mut trailers = HeaderMap::new();
    trailers.insert("sum", HeaderValue::from_static("1"));
    for (name, method, body, framing, content) in [
        ("empty GET", "GET", Body::empty(), "", ""),
        (
            "empty POST",
            "POST",
            Body::empty(),
            "content-length: 0\r\n",
            "",
        ),
        (
            "in memory",
            "POST",
            "hello".into(),
            "content-length: 5\r\n",
            "hello",
        ),
        (
            "GET in memory",
            "GET",
            "hello".into(),
            "content-length: 5\r\n",
            "hello",
        ),
        (
            "stream",
            "POST",
            stream(&["hel", "", "lo"], None),
            "transfer-encoding: chunked\r\n",
            "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        ),
        (
            "stream with trailers",
            "PUT",
            stream(&["hi"], Some(trailers)),
            "transfer-encoding: chunked\r\n",
            "2\r\nhi\r\n0\r\nsum: 1\r\n\r\n",
        ),
    ] {
        let script = Script::new()
            .expect_head()
            .expect(content)
            .send(ok("thanks"));
        let peer = Peer::start(script);
        let transport = Transport::default();
        let (answer, _) = exchange(&transport, request(method, &peer.url("/up"), body))
            .await
            .unwrap();
        assert_eq!(answer, "thanks", "{name}");
        let head = format!(
            "{method} /up HTTP/1.1\r\nhost: {}\r\n{framing}\r\n",
            peer.addr()
        );
        assert_eq!(peer.heads(0), [head], "{name}");
        assert_eq!(stats(&transport).idle, 1, "{name}");
    }
}

/// Larger than all buffers on the way, in pieces large and small.
#[tokio::test]
async fn a_large_upload_arrives_whole() {
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    let bytes = Bytes::from(content.clone());
    for largest in [1000, 16 << 10, (16 << 10) + 1, 700_000] {
        let (builder, mut pipes) = Pipes::new(64 << 10);
        let transport = builder.build().unwrap();
        let (feed, body) = fed_body();
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(largest.min(rest.len()));
            feed.send(Ok(Frame::data(piece))).unwrap();
        }
        drop(feed);
        let sent =
            tokio::spawn(
                async move { exchange(&transport, request("POST", "http://a/", body)).await },
            );
        let mut far = pipes.accept().await;
        far.read_head().await;
        assert!(
            read_chunked(&mut far).await == content,
            "in pieces of {largest}"
        );
        far.send(ok("x")).await;
        assert_eq!(sent.await.unwrap().unwrap().0, "x");
    }
}

async fn read_chunked(far: &mut super::support::Far) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(far.read_exactly(1).await);
        }
        let size = std::str::from_utf8(&line).unwrap().trim_end();
        let size = usize::from_str_radix(size, 16).unwrap();
        content.extend(far.read_exactly(size).await);
        assert_eq!(far.read_exactly(2).await, b"\r\n");
        if size == 0 {
            return content;
        }
    }
}

/// A body is asked for more only when what it gave has a place to go.
#[tokio::test]
async fn a_server_that_does_not_read_holds_the_body_back() {
    let (builder, mut pipes) = Pipes::new(1024);
    let transport = builder.build().unwrap();
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let body = Body::new(Endless(taken.clone()));
    let sending =
        tokio::spawn(async move { transport.send(request("POST", "http://a/", body)).await });
    let mut far = pipes.accept().await;
    far.read_head().await;
    // What it took is bounded by the buffers, however often it is polled.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let so_far = taken.load(std::sync::atomic::Ordering::Relaxed);
    assert!(so_far <= 128 << 10, "{so_far} bytes were taken");
    sending.abort();
}

struct Endless(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Error;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Error>>> {
        const PIECE: &[u8] = &[0; 4096];
        let taken = std::sync::atomic::Ordering::Relaxed;
        self.0.fetch_add(PIECE.len(), taken);
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
    }
}

#[tokio::test]
async fn what_there_is_leaves_while_the_body_blocks() {
    let (builder, mut pipes) = Pipes::new(4096);
    let transport = builder.build().unwrap();
    let (feed, body) = fed_body();
    let sending =
        tokio::spawn(async move { exchange(&transport, request("POST", "http://a/", body)).await });
    let mut far = pipes.accept().await;
    assert!(far.read_head().await.starts_with("POST / "));
    feed.send(data("one")).unwrap();
    assert_eq!(far.read_exactly(8).await, b"3\r\none\r\n");
    feed.send(data("two")).unwrap();
    assert_eq!(far.read_exactly(8).await, b"3\r\ntwo\r\n");
    drop(feed);
    assert_eq!(far.read_exactly(5).await, b"0\r\n\r\n");
    far.send(ok("x")).await;
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_that_fails_fails_the_request_and_costs_the_connection() {
    let peer = Peer::start(Script::new().expect_head().hold());
    let transport = Transport::default();
    let (feed, body) = fed_body();
    feed.send(data("half")).unwrap();
    feed.send(Err(body_failure())).unwrap();
    let error = exchange(&transport, request("PUT", &peer.url("/"), body))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.fault()),
        (ErrorKind::Body, Fault::Local)
    );
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    assert_eq!(closed(&transport), [(CloseReason::RequestUnsent, 1)]);
    assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);
    assert!(
        !peer.received(0).ends_with(b"0\r\n\r\n"),
        "it looks complete"
    );
    assert_eq!(stats(&transport).retries, 0);
}

/// What cannot be sent is refused before a byte of it leaves, and costs nothing.
/// Go: ValidateClientRequestTrailers. They are known last, so the request is cut before them: the
/// server gets neither the field nor an end.
#[tokio::test]
async fn trailers_that_frame_or_route_are_not_sent_and_fail_the_request() {
    for name in ["content-length", "transfer-encoding", "host", "trailer"] {
        let mut trailers = HeaderMap::new();
        trailers.insert(name, HeaderValue::from_static("1"));
        let peer = Peer::start(Script::new().expect_head().hold());
        let transport = Transport::default();
        let asked = request("POST", &peer.url("/"), stream(&["hi"], Some(trailers)));
        let error = transport.send(asked).await.unwrap_err();
        let expected = ErrorKind::Misuse(LocalError::TrailersNotAllowed);
        assert_eq!((error.kind(), error.fault()), (expected, Fault::Local));
        assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);
        let received = String::from_utf8(peer.received(0)).unwrap();
        let content = received.split_once("\r\n\r\n").map_or("", |parts| parts.1);
        assert!("2\r\nhi\r\n".starts_with(content), "{name}: {content:?}");
    }
}

#[tokio::test]
async fn a_request_that_may_not_be_sent_keeps_its_connection() {
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    fetch(&transport, &peer).await.unwrap();
    for (name, value, error) in [
        ("content-length", "3", LocalError::ContentLengthMismatch),
        (
            "transfer-encoding",
            "gzip",
            LocalError::UnsupportedTransferEncoding,
        ),
        ("host", "a b", LocalError::MissingHost),
    ] {
        let mut asked = request("POST", &peer.url("/"), "hello");
        asked
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
        let failed = transport.send(asked).await.unwrap_err();
        assert_eq!(
            (failed.kind(), failed.fault()),
            (ErrorKind::Misuse(error), Fault::Local)
        );
    }
    let (_, info) = fetch(&transport, &peer).await.unwrap();
    assert_eq!((info.id, info.exchange_number), (1, 2));
    assert_eq!((peer.accepted(), stats(&transport).acquired), (1, 2));
}

/// A body that does not keep the length that it told: the message cannot be completed.
#[tokio::test]
async fn a_body_that_breaks_its_word_on_its_length_costs_the_connection() {
    for (told, expected) in [
        (3, LocalError::BodyTooLong),
        (9, LocalError::BodyTooShort { missing: 4 }),
    ] {
        let peer = Peer::start(Script::new().expect_head().hold());
        let transport = Transport::default();
        let (feed, body) = fed_body();
        feed.send(data("hello")).unwrap();
        drop(feed);
        let mut asked = request("POST", &peer.url("/"), body);
        asked
            .headers_mut()
            .insert("content-length", HeaderValue::from(told));
        let error = exchange(&transport, asked).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse(expected));
        assert_eq!(closed(&transport), [(CloseReason::RequestUnsent, 1)]);
        assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);
    }
}

/// The raw layer too keeps what is queued in its order, whoever forgets to wait for room.
#[tokio::test]
async fn pieces_that_are_queued_without_waiting_keep_their_order() {
    let (near, far) = duplex(1 << 20);
    let near = std::sync::Mutex::new(Some(near));
    let transport = Transport::builder()
        .connector(move |_| {
            let near = near.lock().unwrap().take();
            async move { Ok(keepline::net::Stream::new(near.expect("one is enough"))) }
        })
        .build()
        .unwrap();
    let mut exchange = transport
        .exchange(&"http://a/".parse().unwrap())
        .await
        .unwrap();
    let line = keepline_proto::RequestLine::new(&http::Method::POST, b"/");
    let host = keepline_proto::Field::new(b"host", b"a").unwrap();
    exchange
        .send_head(line, [host], keepline_proto::BodyLength::Unknown)
        .unwrap();
    let pieces: Vec<Bytes> = (0..4_u8).map(|n| vec![n; 40_000].into()).collect();
    for piece in &pieces {
        exchange.send_piece(piece.clone()).unwrap();
    }
    exchange.send_end(None).unwrap();
    std::future::poll_fn(|cx| exchange.poll_flush(cx)).await;
    let mut far = RawClient::over(far);
    far.read_head().await;
    assert!(read_chunked(&mut far).await == pieces.concat());
    exchange.close(CloseReason::LocalAskedClose);
}
