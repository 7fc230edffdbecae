//! The server, from outside: scripted clients, in memory with a paused clock where time matters,
//! over real sockets where the kernel does.

mod access;
mod announced;
mod answers;
mod bodies;
mod deadlines;
mod ecosystem;
mod ends;
mod expect;
mod frames;
mod http2;
mod limits;
mod malformed;
mod persistence;
mod pipelining;
mod raw;
mod shutdown;
mod sockets;
mod states;
mod terms;
#[cfg(feature = "tls")]
mod tls;
mod unread;
mod upgrades;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use keepline::server::{Server, ServerBuilder, service_fn};
use keepline::{Body, CloseReason};
use keepline_testkit::RawClient;
use keepline_testkit::stream::{DuplexStream, duplex};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tower_service::Service;

/// Without `Date`, so that whole answers can be compared.
fn builder() -> ServerBuilder {
    Server::builder().date(false)
}

fn server() -> Server {
    builder().build().expect("the defaults can work")
}

type Client = RawClient<DuplexStream>;

/// A client of `server`, in memory. The task ends with why the connection did.
fn client_of<S>(server: &Server, service: S) -> (Client, JoinHandle<CloseReason>)
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<keepline::BoxError> + 'static,
{
    let (ours, theirs) = duplex(1024 * 1024);
    let stream = keepline::net::Stream::new(theirs);
    (
        RawClient::over(ours),
        server.serve_connection(stream, service),
    )
}

/// A client of a server with default settings that answers with [`routes`].
fn client() -> (Client, JoinHandle<CloseReason>) {
    client_of(&server(), service_fn(routes))
}

/// The service of most tests.
async fn routes(request: Request<Body>) -> Result<Response<Body>, keepline::BoxError> {
    let path = request.uri().path().to_owned();
    let mut response = Response::new(match path.as_str() {
        "/echo" => match request.into_body().bytes(usize::MAX).await {
            Ok(content) => content.into(),
            Err(error) => format!("failed: {error}").into(),
        },
        // The body is dropped unread.
        "/unread" => Body::from("unread"),
        "/stream" => Body::new(Frames::new(["one, ", "two, ", "three"])),
        "/trailers" => Body::new(Frames::new(["with "]).trailer("x-sum", "7")),
        "/broken" => Body::new(Frames::new(["broken"]).failing()),
        "/empty" => Body::empty(),
        "/fail" => return Err("out of order".into()),
        "/method" => request.method().to_string().into(),
        "/panic" => panic!("as it was asked to"),
        _ => path.clone().into(),
    });
    if path == "/close" {
        let close = http::HeaderValue::from_static("close");
        response.headers_mut().insert("connection", close);
    }
    Ok(response)
}

/// A body of frames that are ready, and perhaps an error at its end.
#[derive(Debug, Default)]
struct Frames {
    frames: VecDeque<Frame<Bytes>>,
    fails: bool,
}

impl Frames {
    fn new<const N: usize>(pieces: [&'static str; N]) -> Self {
        Self {
            frames: pieces.map(|piece| Frame::data(piece.into())).into(),
            fails: false,
        }
    }

    fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        let mut trailers = HeaderMap::new();
        trailers.insert(name, value.parse().expect("a value"));
        self.frames.push_back(Frame::trailers(trailers));
        self
    }

    fn failing(mut self) -> Self {
        self.fails = true;
        self
    }
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(match self.frames.pop_front() {
            Some(frame) => Some(Ok(frame)),
            None if self.fails => Some(Err(io::Error::other("the source dried up"))),
            None => None,
        })
    }
}

/// An answer as it came: its head, and its content without framing.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    head: String,
    content: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head[9..12].parse().expect("a status line")
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn says_close(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// Reads one answer with a length, or chunked; not one to HEAD.
async fn answer<S: AsyncRead + AsyncWrite + Unpin + Debug>(client: &mut RawClient<S>) -> Answer {
    let mut answer = Answer {
        head: client.read_head().await,
        content: String::new(),
    };
    let mut content = Vec::new();
    if answer.field("transfer-encoding") == Some("chunked") {
        loop {
            let line = read_line(client).await;
            let size = usize::from_str_radix(&line, 16).expect("a chunk size");
            if size == 0 {
                break;
            }
            content.extend(client.read_exactly(size).await);
            assert_eq!(client.read_exactly(2).await, b"\r\n");
        }
        loop {
            let line = read_line(client).await;
            if line.is_empty() {
                break;
            }
            content.extend_from_slice(format!("[{line}]").as_bytes());
        }
    } else if let Some(length) = answer.field("content-length") {
        let length = length.parse().expect("a length");
        content = client.read_exactly(length).await;
    }
    answer.content = String::from_utf8(content).expect("text");
    answer
}

async fn read_line<S: AsyncRead + AsyncWrite + Unpin + Debug>(client: &mut RawClient<S>) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(client.read_exactly(1).await);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).expect("text")
}

/// Sends a request and reads its answer.
async fn ask<S: AsyncRead + AsyncWrite + Unpin + Debug>(
    client: &mut RawClient<S>,
    request: &str,
) -> Answer {
    client.send(request).await;
    answer(client).await
}

/// Asks again, which shows that the connection persists.
async fn assert_persists(client: &mut Client) {
    let again = ask(client, "GET /again HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(again.content, "/again");
}

/// Reads to the end, which has to be in order.
async fn rest<S: AsyncRead + AsyncWrite + Unpin + Debug>(client: &mut RawClient<S>) -> String {
    let (bytes, end) = client.read_to_end().await;
    assert_eq!(end, keepline_testkit::End::Fin);
    String::from_utf8(bytes).expect("text")
}

/// A stream that notes the size of each read and write.
#[derive(Debug)]
struct Counted<S> {
    stream: S,
    writes: Arc<Mutex<Vec<usize>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &written {
            self.writes.lock().expect("no panic").push(*written);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
