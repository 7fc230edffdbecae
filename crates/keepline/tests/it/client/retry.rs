//! Requests that are sent again because their connection had died: the table of `client::retry`
//! over real sockets. What counts is what the server got.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use keepline::net::Stream;
use keepline::{Body, ErrorKind, Fault, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::stream::{Fault as StreamFault, Faulty};
use keepline_testkit::{Gate, until};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::support::{
    always, answer, exchange, fed_body, fetch, gated, get, ok, request, stats, until_waiting,
};

/// A server whose first connection answers once, and dies of the second request.
fn dies_of_the_second(end: fn(Script) -> Script) -> Peer {
    let first = end(answer(ok("first")).expect_head());
    Peer::start_each([first, answer(ok("again")).hold()])
}

/// What is asked, and whether it is sent again after it was written.
type Row = (&'static str, fn(&str) -> http::Request<Body>, bool);

fn with_key(method: &str, url: &str) -> http::Request<Body> {
    let mut asked = request(method, url, ());
    let key = http::HeaderValue::from_static("7");
    asked.headers_mut().insert("idempotency-key", key);
    asked
}

/// A body that can be taken once.
fn stream() -> Body {
    let (feed, body) = fed_body();
    feed.send(Ok(Frame::data(Bytes::from_static(b"hi"))))
        .unwrap();
    body
}

const ROWS: &[Row] = &[
    ("GET", |url| request("GET", url, ()), true),
    ("HEAD", |url| request("HEAD", url, ()), true),
    ("OPTIONS", |url| request("OPTIONS", url, ()), true),
    ("PUT in memory", |url| request("PUT", url, "hi"), true),
    (
        "PUT from a factory",
        |url| request("PUT", url, Body::from_factory(|| "hi".into())),
        true,
    ),
    (
        "PUT from a factory of streams",
        |url| request("PUT", url, Body::from_factory(stream)),
        true,
    ),
    ("DELETE", |url| request("DELETE", url, ()), true),
    ("POST with a key", |url| with_key("POST", url), true),
    (
        "PUT of a stream",
        |url| request("PUT", url, stream()),
        false,
    ),
    ("POST", |url| request("POST", url, ()), false),
    ("POST in memory", |url| request("POST", url, "hi"), false),
    ("PATCH", |url| request("PATCH", url, "hi"), false),
];

#[tokio::test]
async fn a_written_request_is_sent_again_if_it_is_idempotent_and_can_be_made_again() {
    type End = (&'static str, fn(Script) -> Script);
    let ends: [End; 2] = [("FIN", Script::close), ("RST", Script::reset)];
    for (end_name, end) in ends {
        for (name, make, is_retried) in ROWS {
            let name = format!("{name} after {end_name}");
            let peer = dies_of_the_second(end);
            let transport = Transport::default();
            fetch(&transport, &peer).await.unwrap();
            let outcome = exchange(&transport, make(&peer.url("/again"))).await;
            assert_eq!(stats(&transport).retries, u64::from(*is_retried), "{name}");
            assert_eq!(peer.accepted(), 1 + usize::from(*is_retried), "{name}");
            match outcome {
                Ok((_, info)) => {
                    assert!(is_retried, "{name}");
                    assert_eq!(
                        (info.retries, info.id, info.reused),
                        (1, 2, false),
                        "{name}"
                    );
                    assert_eq!(peer.heads(0)[1], peer.heads(1)[0], "{name}");
                }
                Err(error) => {
                    assert!(!is_retried, "{name}: {error}");
                    assert!(error.is_closed_early(), "{name}: {error}");
                    let info = error.connection().unwrap();
                    assert_eq!((info.reused, info.retries, info.bytes_read), (true, 0, 0));
                    assert!(info.bytes_written > 0, "{name}");
                }
            }
        }
    }
}

#[tokio::test]
async fn retries_can_be_switched_off() {
    let peer = dies_of_the_second(Script::close);
    let transport = Transport::builder().retry(false).build().unwrap();
    fetch(&transport, &peer).await.unwrap();
    assert!(
        fetch(&transport, &peer)
            .await
            .unwrap_err()
            .is_closed_early()
    );
    assert_eq!((stats(&transport).retries, peer.accepted()), (0, 1));
}

#[tokio::test]
async fn a_new_connection_that_dies_is_no_race() {
    let peer = Peer::start(Script::new().expect_head().close());
    let transport = Transport::default();
    let error = fetch(&transport, &peer).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Remote);
    assert!(!error.connection().unwrap().reused);
    assert_eq!((stats(&transport).retries, peer.accepted()), (0, 1));
}

#[tokio::test]
async fn a_response_that_has_begun_is_not_asked_for_again() {
    let first = answer(ok("first")).expect_head().send("HTTP/1.1 2").close();
    let peer = Peer::start_each([first, always(ok("again"))]);
    let transport = Transport::default();
    fetch(&transport, &peer).await.unwrap();
    let error = fetch(&transport, &peer).await.unwrap_err();
    assert!(error.is_closed_early());
    assert_eq!(error.connection().unwrap().bytes_read, 10);
    assert_eq!((stats(&transport).retries, peer.accepted()), (0, 1));
}

/// The surplus of a race has carried nothing, yet it was idle: the server may close it any time.
#[tokio::test]
async fn a_connection_that_was_idle_without_ever_being_used_is_raced_against_too() {
    let peer = Peer::start_each([
        answer(super::support::chunked("first")).repeat_forever(answer(ok("x"))),
        Script::new().expect_head().close(),
        always(ok("again")),
    ]);
    let gate = Gate::new("the second dial");
    let (transport, _) = gated(&gate, &peer, 64);
    let busy = transport.send(get(&peer.url("/"))).await.unwrap();
    let cancelled = tokio::spawn({
        let (transport, asked) = (transport.clone(), get(&peer.url("/")));
        async move { transport.send(asked).await }
    });
    until_waiting(&transport, 1).await;
    cancelled.abort();
    assert!(cancelled.await.is_err());
    // Nobody waits for it any more, and it becomes idle.
    gate.open();
    until("the surplus", || {
        (stats(&transport).idle == 1).then_some(())
    })
    .await;
    let (body, info) = fetch(&transport, &peer).await.unwrap();
    assert_eq!((body.as_str(), info.retries, info.id), ("again", 1, 3));
    drop(busy);
}

/// A socket that takes no byte once it is told so.
struct Breakable {
    tcp: TcpStream,
    is_broken: Arc<AtomicBool>,
}

impl AsyncRead for Breakable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// The server sends a FIN behind its answer, and its client finds out when it cannot write.
#[tokio::test]
async fn if_nothing_was_written_any_method_is_sent_again() {
    let rows: &[Row] = &[
        ("GET", |url| request("GET", url, ()), true),
        ("POST", |url| request("POST", url, ()), true),
        ("POST in memory", |url| request("POST", url, "hi"), true),
        (
            "PATCH from a factory",
            |url| request("PATCH", url, Body::from_factory(stream)),
            true,
        ),
        (
            "POST of a stream",
            |url| request("POST", url, stream()),
            false,
        ),
    ];
    for (name, make, is_retried) in rows {
        let end = Gate::new("the end");
        let first = answer(ok("first")).wait_for(&end).close();
        let peer = Peer::start_each([first, answer(ok("again")).hold()]);
        let (dials, is_broken) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let (addr, told) = (peer.addr(), Arc::clone(&is_broken));
        let connector = move |_| {
            let is_first = dials.fetch_add(1, Ordering::Relaxed) == 0;
            let is_broken = if is_first {
                Arc::clone(&told)
            } else {
                Arc::default()
            };
            async move {
                let tcp = TcpStream::connect(addr).await?;
                Ok(Stream::new(Breakable { tcp, is_broken }))
            }
        };
        let transport = Transport::builder().connector(connector).build().unwrap();
        fetch(&transport, &peer).await.unwrap();
        is_broken.store(true, Ordering::Relaxed);
        let sent = exchange(&transport, make(&peer.url("/")));
        // The answer that could explain the failure to write does not come.
        let (outcome, ()) = tokio::join!(sent, async { end.open() });
        assert_eq!(outcome.is_ok(), *is_retried, "{name}");
        assert_eq!(stats(&transport).retries, u64::from(*is_retried), "{name}");
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Io, "{name}");
            assert_eq!(error.connection().unwrap().bytes_written, 0);
        }
    }
}

/// Unlike in Go, where a partial write forbids it.
#[tokio::test]
async fn a_request_that_was_written_in_part_is_as_good_as_written() {
    for (method, is_retried) in [("GET", true), ("POST", false)] {
        let end = Gate::new("the end");
        let first = answer(ok("first")).wait_for(&end).close();
        let peer = Peer::start_each([first, answer(ok("again")).hold()]);
        let request_length = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", peer.addr()).len();
        let (dials, addr) = (AtomicUsize::new(0), peer.addr());
        let connector = move |_| {
            let is_first = dials.fetch_add(1, Ordering::Relaxed) == 0;
            let allowed = if is_first {
                request_length + 10
            } else {
                usize::MAX
            };
            async move {
                let tcp = TcpStream::connect(addr).await?;
                let broken = StreamFault::Error(io::ErrorKind::BrokenPipe);
                Ok(Stream::new(Faulty::new(tcp).writes_after(allowed, broken)))
            }
        };
        let transport = Transport::builder().connector(connector).build().unwrap();
        fetch(&transport, &peer).await.unwrap();
        let sent = exchange(&transport, request(method, &peer.url("/"), ()));
        let (outcome, ()) = tokio::join!(sent, async { end.open() });
        assert_eq!(outcome.is_ok(), is_retried, "{method}");
        if let Err(error) = outcome {
            assert_eq!(error.connection().unwrap().bytes_written, 10);
        }
    }
}
