//! One connection to the server, byte for byte.
//!
//! The pool of our client would decide what is measured here, so there is none: a wire is opened,
//! sends the bytes it is given, and reads answers with the protocol core. It says what the peer
//! did and when; what that means is decided elsewhere.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::{Method, StatusCode, Version};
use keepline_proto::keep_alive::{self, KeepAlive};
use keepline_proto::{
    BodyLength, Config, Connection, Event, Field, Received, RequestLine, ResponseHead,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep_until, timeout};

use super::target::Target;

/// An answer, or a piece of an upload, is waited for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Both directions of a connection, TLS or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An open connection.
pub(crate) struct Wire {
    target: Arc<Target>,
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    config: Arc<Config>,
    /// Bytes have come since the last answer was read.
    has_heard: bool,
}

/// A final answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    /// What the server told about how long it keeps the connection.
    pub(crate) hint: KeepAlive,
    /// It said `Connection: close`, or speaks HTTP/1.0 and did not say keep-alive.
    pub(crate) says_close: bool,
    /// The `Server` field.
    pub(crate) server: Option<String>,
    /// Content, in bytes.
    pub(crate) length: u64,
    /// 100 (Continue) came before it.
    pub(crate) continued: bool,
    /// When its last byte had been read.
    pub(crate) ended: Instant,
}

/// How the peer ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Close {
    /// FIN.
    Fin,
    /// RST.
    Reset,
    /// 408 (Request Timeout), then FIN.
    Said408,
    /// Other bytes that nobody asked for.
    Stray,
}

impl Close {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset => "rst",
            Self::Said408 => "408",
            Self::Stray => "stray-bytes",
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The connection ended first.
    Closed(Close),
    /// Nothing came for as long as anybody waits.
    Silence,
    /// Something came, but not the end of the answer for as long as anybody waits.
    Unfinished,
    /// What came is no HTTP/1.1 response.
    Malformed,
}

/// What a watched connection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// The peer ended it, at this time.
    Closed(Close, Instant),
    /// Nothing, until the time was over.
    Quiet,
}

impl Wire {
    pub(crate) fn new(target: Arc<Target>, stream: Box<dyn Stream>) -> Self {
        Self {
            target,
            stream,
            buffer: BytesMut::new(),
            config: Arc::default(),
            has_heard: false,
        }
    }

    /// Asks for the URL once.
    pub(crate) async fn get(&mut self) -> Result<Answer, Lost> {
        let request = self.target.request("GET", &self.target.path, "");
        let answer = self.ask(&Method::GET, &request).await?;
        self.target.note(answer.status);
        Ok(answer)
    }

    /// Sends a request, and reads its answer.
    pub(crate) async fn ask(&mut self, method: &Method, request: &[u8]) -> Result<Answer, Lost> {
        self.send(request).await?;
        self.answer(method).await
    }

    /// Sends bytes, which count as one request if they begin one.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        let sent = timeout(PATIENCE, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Lost::Closed(ended(&error))),
            Err(_) => Err(Lost::Silence),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn half_close(&mut self) -> Result<(), Lost> {
        let closed = self.stream.shutdown().await;
        closed.map_err(|error| Lost::Closed(ended(&error)))
    }

    /// Whether bytes have arrived that belong to no answer yet.
    pub(crate) fn has_leftover(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Reads the next answer, which is one to `method`.
    pub(crate) async fn answer(&mut self, method: &Method) -> Result<Answer, Lost> {
        self.has_heard = self.has_leftover();
        match timeout(PATIENCE, self.read_answer(method, false)).await {
            Ok(answer) => answer,
            Err(_) if self.has_heard => Err(Lost::Unfinished),
            Err(_) => Err(Lost::Silence),
        }
    }

    /// Reads up to 100 (Continue): `None`. A final answer may come instead.
    pub(crate) async fn continues(
        &mut self,
        method: &Method,
        patience: Duration,
    ) -> Result<Option<Answer>, Lost> {
        match timeout(patience, self.read_answer(method, true)).await {
            Ok(Ok(answer)) if answer.continued => Ok(None),
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(lost)) => Err(lost),
            Err(_) => Err(Lost::Silence),
        }
    }

    async fn read_answer(&mut self, method: &Method, or_100: bool) -> Result<Answer, Lost> {
        // A new one for each answer: whether the connection persists is what is being found out.
        let mut reading = Connection::client(Arc::clone(&self.config));
        let host = Field::new(b"host", b"x").expect("it is a field");
        let line = RequestLine::new(method, b"/");
        let mut unsent = Vec::new();
        reading
            .send_request(line, [host], BodyLength::Known(0), &mut unsent)
            .and_then(|()| reading.send_end(None, &mut unsent))
            .expect("a request without a body can be sent on a new connection");
        let mut answer: Option<Answer> = None;
        let mut continued = false;
        loop {
            let received = reading.receive(&mut self.buffer);
            match received.map_err(|_| Lost::Malformed)? {
                Received::Event(Event::Interim(head)) => {
                    continued |= head.status() == StatusCode::CONTINUE;
                    if or_100 && continued {
                        return Ok(begun(&head, continued));
                    }
                }
                Received::Event(Event::Response(head)) => {
                    answer = Some(begun(&head, continued));
                }
                Received::Event(Event::Data(data)) => {
                    if let Some(answer) = &mut answer {
                        answer.length += data.len() as u64;
                    }
                }
                Received::Event(Event::End(_)) => return finished(answer),
                Received::NeedMore => {
                    if let Err(close) = self.read().await {
                        let rest = reading.receive_eof(&self.buffer);
                        return match rest {
                            Ok(Received::Event(Event::End(_))) => finished(answer),
                            _ => Err(Lost::Closed(close)),
                        };
                    }
                }
                Received::Event(Event::Request(_))
                | Received::Paused
                | Received::Closed
                | Received::Switched => return Err(Lost::Malformed),
            }
        }
    }

    /// Waits until the peer ends the connection, or until `until`.
    pub(crate) async fn watch(&mut self, until: Instant) -> Watched {
        if self.has_leftover() {
            return Watched::Closed(Close::Stray, Instant::now());
        }
        tokio::select! {
            biased;
            close = self.closed() => Watched::Closed(close, Instant::now()),
            () = sleep_until(until.into()) => Watched::Quiet,
        }
    }

    async fn closed(&mut self) -> Close {
        match self.read().await {
            Err(close) => close,
            Ok(()) if self.buffer.starts_with(b"HTTP/1.1 408") => Close::Said408,
            Ok(()) if self.buffer.starts_with(b"HTTP/1.0 408") => Close::Said408,
            Ok(()) => Close::Stray,
        }
    }

    /// Whether the peer has ended the connection already. Asks the socket, not the past.
    pub(crate) async fn has_ended(&mut self) -> Option<Close> {
        tokio::select! {
            biased;
            close = self.closed() => Some(close),
            () = tokio::task::yield_now() => None,
        }
    }

    async fn read(&mut self) -> Result<(), Close> {
        self.buffer.reserve(16 * 1024);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Close::Fin),
            Ok(_) => {
                self.has_heard = true;
                Ok(())
            }
            Err(error) => Err(ended(&error)),
        }
    }
}

/// An answer of which the head has come.
fn begun(head: &ResponseHead, continued: bool) -> Answer {
    let fields = head.fields();
    let options = fields.iter().filter(|field| field.is("connection"));
    let (mut close, mut keep) = (false, false);
    for option in options.flat_map(|field| field.value().split(|byte| *byte == b',')) {
        let option = option.trim_ascii();
        close |= option.eq_ignore_ascii_case(b"close");
        keep |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    Answer {
        status: head.status(),
        version: head.version(),
        hint: keep_alive::keep_alive(fields),
        says_close: close || (head.version() < Version::HTTP_11 && !keep),
        server: fields
            .value("server")
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        length: 0,
        continued,
        ended: Instant::now(),
    }
}

fn finished(answer: Option<Answer>) -> Result<Answer, Lost> {
    let answer = answer.ok_or(Lost::Malformed)?;
    Ok(Answer {
        ended: Instant::now(),
        ..answer
    })
}

/// A server that leaves TLS without a farewell has sent a FIN all the same.
fn ended(error: &io::Error) -> Close {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Close::Fin,
        _ => Close::Reset,
    }
}
