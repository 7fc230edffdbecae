//! What the tests of the client share.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use keepline::client::TransportBuilder;
use keepline::net::Stream;
use keepline::{Body, CloseReason, ConnectionInfo, Error, OpenReason, Stats, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::stream::{DuplexStream, duplex};
use keepline_testkit::{Gate, RawClient, until, within};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// No body here is larger.
const LARGEST: usize = 16 << 20;

/// A response with a body of this text and its Content-Length.
pub(crate) fn ok(text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// A response with this body in one chunk.
pub(crate) fn chunked(text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n",
        text.len()
    )
}

/// Answers every request on a connection with `response`.
pub(crate) fn always(response: impl AsRef<[u8]>) -> Script {
    Script::new().repeat_forever(answer(response))
}

/// Answers one request with `response`.
pub(crate) fn answer(response: impl AsRef<[u8]>) -> Script {
    Script::new().expect_head().send(response)
}

pub(crate) fn get(url: &str) -> Request<Body> {
    request("GET", url, Body::empty())
}

pub(crate) fn request(method: &str, url: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(url)
        .body(body.into())
        .unwrap()
}

/// Sends GET and waits for the head of the response.
pub(crate) async fn head(transport: &Transport, peer: &Peer) -> Response<Body> {
    within("a response", transport.send(get(&peer.url("/"))))
        .await
        .unwrap()
}

/// Sends GET and reads the whole body.
pub(crate) async fn fetch(
    transport: &Transport,
    peer: &Peer,
) -> Result<(String, ConnectionInfo), Error> {
    exchange(transport, get(&peer.url("/"))).await
}

/// Sends any request and reads the whole body.
pub(crate) async fn exchange(
    transport: &Transport,
    request: Request<Body>,
) -> Result<(String, ConnectionInfo), Error> {
    let response = within("a response", transport.send(request)).await?;
    let info = info(&response);
    Ok((text(response.into_body()).await?, info))
}

pub(crate) async fn text(body: Body) -> Result<String, Error> {
    let body = within("the end of a body", body.bytes(LARGEST)).await?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// Polls once; whether the future waits for something.
pub(crate) async fn is_pending<F: Future>(future: &mut Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// The next frame of a body.
pub(crate) async fn frame(body: &mut Body) -> Option<Result<Frame<Bytes>, Error>> {
    use http_body::Body as _;
    let next = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
    within("a frame of a body", next).await
}

/// The content of the next frame of a body.
pub(crate) async fn piece(body: &mut Body) -> Bytes {
    let frame = frame(body).await.expect("the body goes on").unwrap();
    frame.into_data().expect("content, not trailers")
}

pub(crate) fn info(response: &Response<Body>) -> ConnectionInfo {
    response
        .extensions()
        .get::<ConnectionInfo>()
        .expect("every response has one")
        .clone()
}

/// Checks what holds of every Stats, and answers it.
pub(crate) fn stats(transport: &Transport) -> Stats {
    let stats = transport.stats();
    assert_eq!(stats.acquired, stats.reused + stats.first_use, "{stats:?}");
    assert_eq!(
        stats.opened.total() - stats.closed.total(),
        stats.open() as u64,
        "{stats:?}"
    );
    stats
}

/// The reasons for which connections were opened, with their counts.
pub(crate) fn opened(transport: &Transport) -> Vec<(OpenReason, u64)> {
    stats(transport).opened.iter().collect()
}

/// The reasons for which connections were closed, with their counts.
pub(crate) fn closed(transport: &Transport) -> Vec<(CloseReason, u64)> {
    stats(transport).closed.iter().collect()
}

/// Waits until so many connections are idle, and none is busy.
pub(crate) async fn until_idle(transport: &Transport, count: usize) {
    until(format!("{count} idle connections"), || {
        let stats = stats(transport);
        (stats.idle == count && stats.busy == 0).then_some(())
    })
    .await;
}

/// Waits until so many connections have been closed for `reason`.
pub(crate) async fn until_closed(transport: &Transport, reason: CloseReason, count: u64) {
    until(format!("{count} closed: {reason}"), || {
        let closed = closed(transport);
        let is_so = closed.contains(&(reason, count));
        // For another reason it is not waited, and that reason is said.
        let total: u64 = closed.iter().map(|x| x.1).sum();
        assert!(is_so || total < count, "{closed:?}, not {count} {reason}");
        is_so.then_some(())
    })
    .await;
}

/// Waits until so many requests wait for a connection.
pub(crate) async fn until_waiting(transport: &Transport, count: usize) {
    until(format!("{count} waiting"), || {
        (stats(transport).waiting == count).then_some(())
    })
    .await;
}

/// A Transport whose dials to a peer stop at a gate, from the second on, and are counted.
pub(crate) fn gated(
    gate: &Gate,
    peer: &Peer,
    dials_per_key: usize,
) -> (Transport, Arc<AtomicUsize>) {
    let dials = Arc::new(AtomicUsize::new(0));
    let (count, gate, addr) = (Arc::clone(&dials), gate.clone(), peer.addr());
    let connector = move |_| {
        let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
        let gate = gate.clone();
        async move {
            if !is_first {
                gate.opened().await;
            }
            TcpStream::connect(addr).await.map(Stream::from)
        }
    };
    let builder = Transport::builder().connector(connector);
    (
        builder.max_dials_per_key(dials_per_key).build().unwrap(),
        dials,
    )
}

/// The far ends of the connections that a Transport opens in memory.
pub(crate) struct Pipes(mpsc::UnboundedReceiver<DuplexStream>);

/// What is at the far end of a pipe: a server that does what the test tells it.
pub(crate) type Far = RawClient<DuplexStream>;

impl Pipes {
    /// A builder whose connections are pipes with room for `room` bytes each way.
    pub(crate) fn new(room: usize) -> (TransportBuilder, Self) {
        let (far_ends, pipes) = mpsc::unbounded_channel();
        let builder = Transport::builder().connector(move |_| {
            let (near, far) = duplex(room);
            let is_open = far_ends.send(far).is_ok();
            async move {
                is_open
                    .then(|| Stream::new(near))
                    .ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
            }
        });
        (builder, Self(pipes))
    }

    /// The next connection.
    pub(crate) async fn accept(&mut self) -> Far {
        let far = within("a connection", self.0.recv()).await;
        RawClient::over(far.expect("the Transport holds the sender"))
    }
}

/// A request body that the test feeds piece by piece; dropping the sender ends it.
pub(crate) fn fed_body() -> (mpsc::UnboundedSender<Result<Frame<Bytes>, Error>>, Body) {
    let (feed, pieces) = mpsc::unbounded_channel();
    (feed, Body::new(Fed(pieces)))
}

/// A frame of content.
pub(crate) fn data(text: &'static str) -> Result<Frame<Bytes>, Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// The error of somebody else's body.
pub(crate) fn body_failure() -> Error {
    struct Fails;
    impl http_body::Body for Fails {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(Some(Err(io::Error::other("the disk is gone"))))
        }
    }
    let mut body = std::pin::pin!(Body::new(Fails));
    let mut nobody = Context::from_waker(std::task::Waker::noop());
    match http_body::Body::poll_frame(body.as_mut(), &mut nobody) {
        Poll::Ready(Some(Err(error))) => error,
        other => panic!("it fails, not {other:?}"),
    }
}

struct Fed(mpsc::UnboundedReceiver<Result<Frame<Bytes>, Error>>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_recv(cx)
    }
}
