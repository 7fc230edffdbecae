//! What goes wrong, row by row: the kind of the error, whose fault it is, what was sent and
//! received, and what becomes of the connection. Never a panic, a hang or somebody else's answer.

use std::net::TcpListener;
use std::time::Duration;

use keepline::{CloseReason, Error, ErrorKind, Fault, Phase, Transport};
use keepline_proto::{LocalError, RemoteError};
use keepline_testkit::peer::{Ending, Peer, Script};
use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::within;

use super::support::{
    Pipes, always, answer, closed, exchange, fetch, get, ok, opened, request, stats,
};

/// A response that is none, and what is said of it. The server closes behind it.
#[derive(Clone, Copy)]
struct Bad {
    wire: &'static str,
    error: RemoteError,
    reason: CloseReason,
    /// Whether the head was good, so that the error comes from the body.
    in_body: bool,
}

const fn bad(wire: &'static str, error: RemoteError) -> Bad {
    Bad {
        wire,
        error,
        reason: CloseReason::ProtocolError,
        in_body: false,
    }
}

const fn cut(wire: &'static str, error: RemoteError) -> Bad {
    Bad {
        reason: CloseReason::PeerClosed,
        ..bad(wire, error)
    }
}

const fn in_body(mut bad: Bad) -> Bad {
    bad.in_body = true;
    bad
}

#[rustfmt::skip]
const BAD: &[Bad] = &[
    // Not HTTP/1.
    bad("SSH-2.0-OpenSSH_9.2\r\n", RemoteError::InvalidStatusLine),
    bad("\x15\x03\x01\0\x02\x02\x50", RemoteError::InvalidStatusLine),
    bad("<html>hello</html>", RemoteError::InvalidStatusLine),
    bad("HTTP/2 200\r\n\r\n", RemoteError::InvalidStatusLine),
    bad("HTTP/1.1 20 OK\r\n\r\n", RemoteError::InvalidStatusLine),
    bad("HTTP/1.1 2000 OK\r\n\r\n", RemoteError::InvalidStatusLine),
    bad("\r\nHTTP/1.1 200 OK\r\n\r\n", RemoteError::InvalidStatusLine),
    // Heads.
    bad("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", RemoteError::InvalidField),
    bad("HTTP/1.1 200 OK\r\nfoo : bar\r\n\r\n", RemoteError::InvalidField),
    bad("HTTP/1.1 200 OK\r\nfoo: a\0b\r\n\r\n", RemoteError::InvalidField),
    bad("HTTP/1.1 200 OK\r\n foo: bar\r\n\r\n", RemoteError::WhitespaceBeforeFields),
    bad("HTTP/1.1 200 OK\ncontent-length: 0\n\n", RemoteError::InvalidBareLf),
    // Framing.
    bad("HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc", RemoteError::InvalidContentLength),
    bad("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", RemoteError::InvalidContentLength),
    bad("HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\nabc", RemoteError::InvalidContentLength),
    bad("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", RemoteError::InvalidContentLength),
    bad("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", RemoteError::ConflictingContentLength),
    bad("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", RemoteError::ContentLengthWithTransferEncoding),
    bad("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", RemoteError::UnsupportedTransferEncoding),
    bad("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n", RemoteError::TransferEncodingNotChunked),
    bad("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", RemoteError::TransferEncodingInHttp10),
    bad("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", RemoteError::UnexpectedUpgrade),
    // Cut.
    cut("", RemoteError::IncompleteHead { received: 0 }),
    cut("HTTP/1.1 200 OK\r\ncontent-le", RemoteError::IncompleteHead { received: 27 }),
    cut("HTTP/1.1 100 Continue\r\n\r\n", RemoteError::IncompleteHead { received: 0 }),
    in_body(cut("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", RemoteError::IncompleteBody { missing: Some(2) })),
    in_body(cut("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", RemoteError::IncompleteBody { missing: Some(2) })),
    in_body(cut("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n", RemoteError::IncompleteBody { missing: None })),
    in_body(cut("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n", RemoteError::IncompleteBody { missing: None })),
    // Chunks.
    in_body(bad("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", RemoteError::InvalidChunkSize)),
    in_body(bad("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n", RemoteError::InvalidChunkSize)),
    in_body(bad("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\n", RemoteError::ChunkSizeOverflow)),
    in_body(bad("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhello\r\n", RemoteError::InvalidChunkEnd)),
    in_body(bad("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\nhel\n", RemoteError::InvalidBareLf)),
    in_body(bad("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 3\r\n\r\n", RemoteError::ForbiddenTrailer)),
];

/// Each on a new connection and on a reused one, whole and byte by byte.
#[tokio::test]
async fn a_broken_response_is_named_and_costs_its_connection() {
    for bad in BAD {
        for (is_reused, piece) in [(false, usize::MAX), (true, usize::MAX), (false, 1)] {
            // Only the loss of a reused connection before its answer is raced against.
            if !(is_reused && bad.error == (RemoteError::IncompleteHead { received: 0 })) {
                check(bad, is_reused, piece).await;
            }
        }
    }
}

async fn check(bad: &Bad, is_reused: bool, piece: usize) {
    let name = format!("{:?}, reused: {is_reused}", bad.wire);
    let before = if is_reused { 1 } else { 0 };
    let pieces = piece.min(bad.wire.len()).max(1);
    let script = Script::new()
        .repeat(before, answer(ok("before")))
        .expect_head()
        .send_split_each(bad.wire, pieces)
        .fin();
    let peer = Peer::start_each([script, always(ok("after"))]);
    let transport = Transport::default();
    if is_reused {
        fetch(&transport, &peer).await.unwrap();
    }
    let response = within("a response", transport.send(get(&peer.url("/bad")))).await;
    assert_eq!(response.is_ok(), bad.in_body, "{name}");
    let error = match response {
        Ok(response) => super::support::text(response.into_body())
            .await
            .unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Protocol(bad.error), "{name}");
    assert_eq!(error.fault(), Fault::Remote, "{name}");
    let info = error.connection().expect(&name);
    assert_eq!((info.id, info.reused), (1, is_reused), "{name}");
    let sent = peer.heads(0).last().map_or(0, String::len);
    assert_eq!(info.bytes_written as usize, sent, "{name}");
    assert!(info.bytes_read as usize <= bad.wire.len(), "{name}");
    if pieces == bad.wire.len() {
        assert_eq!(info.bytes_read as usize, bad.wire.len(), "{name}");
    }
    let told = error.to_string();
    assert!(
        told.contains(&format!(
            "{} bytes sent, {} received",
            sent, info.bytes_read
        )),
        "{told}"
    );
    assert_eq!(closed(&transport), [(bad.reason, 1)], "{name}");
    assert_eq!(stats(&transport).retries, 0, "{name}");
    // And the next request has nothing of it.
    let (next, info) = fetch(&transport, &peer).await.unwrap();
    assert_eq!((next.as_str(), info.reused), ("after", false), "{name}");
}

/// Bounded by the limits of the head, whatever it is made of.
#[tokio::test]
async fn a_head_without_end_is_cut_at_the_limit() {
    let line = "x-filler: 0123456789012345678901234567890123456789\r\n";
    for (name, start, again) in [
        ("fields", "HTTP/1.1 200 OK\r\n", line.repeat(100)),
        ("reason", "HTTP/1.1 200 ", "O".repeat(5000)),
        ("interim", "", "HTTP/1.1 102 Processing\r\n\r\n".repeat(200)),
    ] {
        let endless = Script::new().send(again);
        let script = Script::new().expect_head().send(start);
        let peer = Peer::start(script.repeat_forever(endless));
        let transport = Transport::default();
        let error = within("an error", transport.send(get(&peer.url("/"))))
            .await
            .unwrap_err();
        let expected = ErrorKind::Protocol(RemoteError::HeadTooLarge);
        let too_many = ErrorKind::Protocol(RemoteError::TooManyFields);
        assert!(
            [expected, too_many].contains(&error.kind()),
            "{name}: {error}"
        );
        // What was read is not much more than the limit.
        assert!(error.connection().unwrap().bytes_read < 256 << 10, "{name}");
        assert_eq!(closed(&transport), [(CloseReason::ProtocolError, 1)]);
    }
}

#[tokio::test]
async fn a_reset_is_told_by_where_it_hit() {
    for (wire, reason) in [
        ("", CloseReason::PeerClosed),
        ("HTTP/1.1 200 OK\r\ncont", CloseReason::IoError),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
            CloseReason::IoError,
        ),
    ] {
        let peer = Peer::start(answer(wire).reset());
        let transport = Transport::default();
        let error = fetch(&transport, &peer).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Network, "{wire:?}");
        assert_eq!(error.kind(), ErrorKind::Io, "{wire:?}");
        let read = error.connection().unwrap().bytes_read;
        assert_eq!(read as usize, wire.len(), "{wire:?}");
        assert_eq!(closed(&transport), [(reason, 1)], "{wire:?}");
    }
}

/// Where no connection is made, none is told of, and nothing is counted as opened.
fn assert_unconnected(transport: &Transport, error: &Error, kind: ErrorKind) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.connection().is_none());
    assert!(opened(transport).is_empty());
    let stats = stats(transport);
    assert_eq!((stats.dialling, stats.waiting, stats.acquired), (0, 0, 0));
}

#[tokio::test]
async fn a_url_that_cannot_be_asked_is_refused_before_anything_is_dialled() {
    let transport = Transport::default();
    for url in [
        "/only/a/path",
        "ftp://example.com/",
        "http://user:secret@example.com/",
        "http://example.com:99999/",
        "http://example.com:+80/",
    ] {
        let Ok(uri) = url.parse::<http::Uri>() else {
            continue;
        };
        let mut asked = get("http://a/");
        *asked.uri_mut() = uri;
        let error = transport.send(asked).await.unwrap_err();
        assert_unconnected(&transport, &error, ErrorKind::InvalidRequest);
        assert_eq!(error.fault(), Fault::Local, "{url}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let connect = request("CONNECT", "http://a/", ());
    let error = transport.send(connect).await.unwrap_err();
    assert_unconnected(&transport, &error, ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn an_unknown_host_and_a_refused_port_are_told_apart() {
    let transport = Transport::default();
    let asked = get("http://no-such-host.invalid/");
    let error = within("an error", transport.send(asked)).await.unwrap_err();
    assert_unconnected(&transport, &error, ErrorKind::Resolve);
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
    let reserved = ReservedPort::new().unwrap();
    let asked = get(&format!("http://{}/", reserved.addr()));
    let error = within("an error", transport.send(asked)).await.unwrap_err();
    assert_unconnected(&transport, &error, ErrorKind::Connect);
    assert!(
        error.to_string().contains(&reserved.addr().to_string()),
        "{error}"
    );
    assert!(error.is_connect() && error.fault() == Fault::Network);
    assert_eq!(stats(&transport).dial_failures, 2);
}

/// Loopback takes connections until the backlog is full, and then does not answer.
#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_after_the_connect_timeout() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let addr = TcpListener::from(socket.try_clone().unwrap())
        .local_addr()
        .unwrap();
    // One that is queued, and those that the kernel lets wait beside it.
    let mut waiting = Vec::new();
    loop {
        let connect = tokio::net::TcpStream::connect(addr);
        match tokio::time::timeout(Duration::from_millis(200), connect).await {
            Ok(connected) => waiting.push(connected.unwrap()),
            Err(_) => break,
        }
    }
    let transport = Transport::builder()
        .connect_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let asked = get(&format!("http://{addr}/"));
    let error = within("an error", transport.send(asked)).await.unwrap_err();
    assert_unconnected(&transport, &error, ErrorKind::Timeout(Phase::Connect));
    assert!(error.is_timeout() && error.is_connect());
}

#[tokio::test(start_paused = true)]
async fn a_connector_is_bound_by_the_connect_timeout() {
    let transport = Transport::builder()
        .connector(|_| std::future::pending())
        .build()
        .unwrap();
    let started = tokio::time::Instant::now();
    let error = transport.send(get("http://a/")).await.unwrap_err();
    assert_unconnected(&transport, &error, ErrorKind::Timeout(Phase::Connect));
    assert_eq!(started.elapsed(), Duration::from_secs(30));
}

/// From the end of the request, whatever dribbles in, until the final head is there.
#[tokio::test(start_paused = true)]
async fn a_response_that_does_not_come_is_given_up() {
    for dribble in ["", "HTTP/1.1 200 O", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let (builder, mut pipes) = Pipes::new(4096);
        let seconds = Duration::from_secs;
        let transport = builder.response_timeout(seconds(7)).build().unwrap();
        let sending = tokio::spawn({
            let transport = transport.clone();
            async move { exchange(&transport, request("PUT", "http://a/", "hi")).await }
        });
        let mut far = pipes.accept().await;
        far.read_head().await;
        let written = tokio::time::Instant::now();
        tokio::time::sleep(seconds(3)).await;
        far.send(dribble).await;
        let error = sending.await.unwrap().unwrap_err();
        assert_eq!(written.elapsed(), seconds(7), "{dribble:?}");
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Head), "{dribble:?}");
        let info = error.connection().unwrap();
        assert_eq!(info.bytes_read as usize, dribble.len());
        assert_eq!(closed(&transport), [(CloseReason::Timeout, 1)]);
        assert_eq!(stats(&transport).retries, 0);
    }
}

/// The response timeout is over with the head: the body may take its time.
#[tokio::test(start_paused = true)]
async fn a_slow_body_is_not_cut_by_the_response_timeout() {
    let (builder, mut pipes) = Pipes::new(4096);
    let timeout = Duration::from_secs(1);
    let transport = builder.response_timeout(timeout).build().unwrap();
    let sending = tokio::spawn(async move { exchange(&transport, get("http://a/")).await });
    let mut far = pipes.accept().await;
    far.read_head().await;
    far.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh")
        .await;
    tokio::time::sleep(timeout * 10).await;
    far.send("i").await;
    assert_eq!(sending.await.unwrap().unwrap().0, "hi");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let zero = Duration::ZERO;
    let builder = Transport::builder;
    for refused in [
        builder().max_dials_per_key(0),
        builder().idle_timeout(zero),
        builder().connect_timeout(zero),
        builder().tls_handshake_timeout(zero),
        builder().response_timeout(zero),
    ] {
        let error = refused.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    }
    // As long as there is.
    let long = Duration::MAX;
    let builder = builder().idle_timeout(long).connect_timeout(long);
    assert!(
        builder
            .response_timeout(long)
            .drain(u64::MAX, long)
            .build()
            .is_ok()
    );
}

#[tokio::test]
async fn timeouts_without_end_are_none() {
    let long = Duration::MAX;
    let transport = Transport::builder()
        .idle_timeout(long)
        .connect_timeout(long)
        .tls_handshake_timeout(long)
        .response_timeout(long)
        .drain(u64::MAX, long)
        .build()
        .unwrap();
    let peer = Peer::start(always(ok("x")));
    for _ in 0..2 {
        assert_eq!(fetch(&transport, &peer).await.unwrap().0, "x");
    }
    assert_eq!(peer.accepted(), 1);
}

/// What is asked of the fields of a request is asked before a connection is used.
/// Go: StarRequestMethod.
#[tokio::test]
async fn the_whole_server_is_a_target_of_options_alone() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let peer = Peer::start(Script::new().expect_head().send(ok).hold());
    let transport = Transport::default();
    let star = |method: &str| {
        let mut asked = get(&peer.url("/"));
        *asked.method_mut() = method.parse().unwrap();
        let mut parts = asked.uri().clone().into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("*"));
        *asked.uri_mut() = http::Uri::from_parts(parts).unwrap();
        asked
    };
    transport.send(star("OPTIONS")).await.unwrap();
    assert!(peer.heads(0)[0].starts_with("OPTIONS * HTTP/1.1\r\n"));
    let error = transport.send(star("GET")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse(LocalError::InvalidTarget));
}

#[tokio::test]
async fn a_request_that_may_not_be_sent_is_our_fault() {
    let peer = Peer::start(Script::new().hold());
    let transport = Transport::default();
    let mut asked = get(&peer.url("/"));
    let value = http::HeaderValue::from_static("gzip");
    asked.headers_mut().insert("transfer-encoding", value);
    let error = transport.send(asked).await.unwrap_err();
    let expected = ErrorKind::Misuse(LocalError::UnsupportedTransferEncoding);
    assert_eq!((error.kind(), error.fault()), (expected, Fault::Local));
    drop(transport);
    assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);
    assert_eq!(peer.received(0), b"");
}
