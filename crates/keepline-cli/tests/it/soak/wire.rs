//! A connection of a client that reads answers by itself, whatever it asked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{fmt, io};

use keepline_testkit::head_length;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server that is silent for so long under this load has forgotten somebody.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The connection was closed before a byte of it came, after it had served.
    Lost(Lost),
    /// The same on a connection that had not served yet.
    Refused,
    Wrong(String),
}

/// A connection that was closed where an answer was awaited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost {
    /// Between the last answer and the request.
    pub(crate) idle: Duration,
    answers: u64,
    age: Duration,
    end: Option<io::ErrorKind>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers, age, .. } = self;
        write!(f, "after {answers} answers in {age:?}, by ")?;
        match self.end {
            Some(kind) => write!(f, "{kind}"),
            None => f.write_str("an orderly end"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content: Vec<u8>,
    pub(crate) says_close: bool,
}

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
    answers: u64,
    opened: Instant,
    /// When the last answer was complete.
    answered: Instant,
    /// How long it had been idle when it was asked last.
    idle: Duration,
    /// A pause before each read, and how much it reads then.
    pub(crate) pace: Option<(Duration, usize)>,
}

impl Wire {
    pub(crate) async fn connect(port: u16) -> Result<Self, Trouble> {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect(addr));
        match connecting.await {
            Ok(Ok(stream)) => Ok(Self {
                stream,
                unread: Vec::new(),
                answers: 0,
                opened: Instant::now(),
                answered: Instant::now(),
                idle: Duration::ZERO,
                pace: None,
            }),
            Ok(Err(error)) => Err(Trouble::Wrong(format!("cannot connect: {error}"))),
            Err(_) => Err(Trouble::Wrong("nobody accepts".to_owned())),
        }
    }

    /// Sends as far as the server takes it: one that closes early has answered.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.idle = self.answered.elapsed();
        let _ = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
    }

    pub(crate) async fn answer(&mut self) -> Result<Answer, Trouble> {
        let length = loop {
            if let Some(length) = head_length(&self.unread) {
                break length;
            }
            self.fill().await?;
        };
        let head: Vec<u8> = self.unread.drain(..length).collect();
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find_map(|(found, value)| (found == name).then_some(value))
        };
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Trouble::Wrong(format!("no status: {head}")))?;
        let content = if field("transfer-encoding") == Some("chunked") {
            self.chunks().await?
        } else {
            let length = field("content-length").and_then(|length| length.parse().ok());
            self.exactly(length.unwrap_or(0)).await?
        };
        self.answers += 1;
        self.answered = Instant::now();
        let says_close = field("connection") == Some("close");
        Ok(Answer {
            status,
            content,
            says_close,
        })
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut content = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                    break self.unread.drain(..end + 2).collect::<Vec<_>>();
                }
                self.fill().await?;
            };
            let size = std::str::from_utf8(&line).ok();
            let size = size.and_then(|line| usize::from_str_radix(line.trim_end(), 16).ok());
            let size = size.ok_or_else(|| Trouble::Wrong(format!("chunk size {line:?}")))?;
            let mut chunk = self.exactly(size + 2).await?;
            chunk.truncate(size);
            content.extend_from_slice(&chunk);
            if size == 0 {
                return Ok(content);
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Trouble> {
        while self.unread.len() < length {
            self.fill().await?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    async fn fill(&mut self) -> Result<(), Trouble> {
        let size = match self.pace {
            Some((pause, size)) => {
                tokio::time::sleep(pause).await;
                size
            }
            None => 256 * 1024,
        };
        let start = self.unread.len();
        self.unread.resize(start + size, 0);
        let reading = self.stream.read(&mut self.unread[start..]);
        let read = tokio::time::timeout(PATIENCE, reading).await;
        let read = read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        self.unread.truncate(start + *read.as_ref().unwrap_or(&0));
        let came = self.unread.len();
        match read {
            Ok(1..) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(Trouble::Wrong(format!("silence after {came} bytes")))
            }
            end if came == 0 && self.answers > 0 => Err(Trouble::Lost(Lost {
                idle: self.idle,
                answers: self.answers,
                age: self.opened.elapsed(),
                end: end.err().map(|error| error.kind()),
            })),
            _ if came == 0 => Err(Trouble::Refused),
            end => Err(Trouble::Wrong(format!(
                "{end:?} after {came} bytes of an answer"
            ))),
        }
    }

    /// Nothing more comes, and the server closes.
    pub(crate) async fn ended(&mut self) -> Result<(), Trouble> {
        let mut more = [0; 100];
        let reading = tokio::time::timeout(PATIENCE, self.stream.read(&mut more));
        match reading.await {
            Ok(Ok(0) | Err(_)) if self.unread.is_empty() => Ok(()),
            Ok(Ok(0) | Err(_)) => Err(Trouble::Wrong("bytes after the last answer".to_owned())),
            Ok(Ok(_)) => Err(Trouble::Wrong(more.escape_ascii().to_string())),
            Err(_) => Err(Trouble::Wrong("the server does not close".to_owned())),
        }
    }
}
