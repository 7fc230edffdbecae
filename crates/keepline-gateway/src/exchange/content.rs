//! The content of a request on its way to the upstream: none, held in memory or a file, or passed on
//! as it comes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use keepline::proto::BodyLength;
use keepline::{Error, ErrorKind};

use super::Serving;
use crate::answer::Answer;
use crate::config::{BodyInFile, ClientSettings, Level};

/// The content of a request. What is held can be passed on more than once.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// There is none.
    None,
    /// All of it.
    Held(Bytes),
    /// All of it, in a file.
    Filed(Arc<TempFile>),
    /// It is passed on as it comes: so much, if that is known.
    Streamed(BodyLength),
}

/// A file that is removed when it is dropped, unless it is to stay.
#[derive(Debug)]
pub(super) struct TempFile {
    file: File,
    path: PathBuf,
    length: u64,
    stays: bool,
}

impl Content {
    /// What the upstream is told of its length.
    pub(super) fn length(&self) -> BodyLength {
        match self {
            Self::None => BodyLength::Known(0),
            Self::Held(bytes) => BodyLength::Known(bytes.len() as u64),
            Self::Filed(file) => BodyLength::Known(file.length),
            Self::Streamed(length) => *length,
        }
    }
}

impl TempFile {
    /// A new file in the directory of temporary files.
    fn create(client: &ClientSettings) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{:010}-{}", number, std::process::id());
            let path = client.body_temp_path.join(name);
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path);
            return match opened {
                Ok(file) => Ok(Self {
                    file,
                    path,
                    length: 0,
                    stays: client.body_in_file == BodyInFile::On,
                }),
                // Another process of the same number has left it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => Err(error),
            };
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// At most `room` bytes from `offset`; empty at the end.
    pub(super) fn piece(&self, offset: u64, room: usize) -> io::Result<Bytes> {
        let left = self.length.saturating_sub(offset);
        let size = usize::try_from(left).unwrap_or(room).min(room);
        let mut piece = vec![0; size];
        self.file.read_exact_at(&mut piece, offset)?;
        Ok(piece.into())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.stays {
            // If somebody was faster, it is gone too.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Serving<'_, '_, '_> {
    /// The head says that there is more content than the location takes, whoever answers in it.
    pub(super) fn is_declared_too_large(&self) -> bool {
        let limit = self.request.scope.client.max_body_size;
        !self.exchange.is_request_received() && over(self.exchange.remaining(), limit)
    }

    /// Takes the content of the request, as far as it has to be held before it is passed on. `Err`: what
    /// is answered instead.
    pub(super) async fn take_content(&mut self) -> Result<Content, Answer> {
        let scope = self.request.scope;
        if let Some(body) = &scope.proxy.set_body {
            return Ok(Content::Held(self.view().value(body).into()));
        }
        if !scope.proxy.pass_request_body {
            self.abandons = true;
            self.exchange.abandon_content();
            return Ok(Content::None);
        }
        if let Some(held) = &self.held {
            // An `error_page` that makes it a GET asks for a page, and not with this content.
            let is_wanted = !self.request.subject.becomes_get;
            return Ok(if is_wanted {
                held.clone()
            } else {
                Content::None
            });
        }
        if self.is_content_gone() {
            return self.without_content();
        }
        if self.exchange.is_request_received() {
            return Ok(Content::None);
        }
        let known = self.exchange.remaining();
        if over(known, scope.client.max_body_size) {
            let length = known.unwrap_or(0);
            self.complain(
                Level::Error,
                None,
                format_args!("client intended to send too large body: {length} bytes"),
            );
            return Err(Answer::Status(413));
        }
        if !scope.proxy.request_buffering {
            // What is chunked tells its length only as it comes.
            let mut terms = *self.exchange.terms();
            terms.max_body = scope.client.max_body_size;
            self.exchange.set_terms(&terms);
            let length = known.map_or(BodyLength::Unknown, BodyLength::Known);
            return Ok(Content::Streamed(length));
        }
        self.hold_content().await
    }

    /// Content has been taken that is not held: it was passed on as it came, or thrown away.
    fn is_content_gone(&self) -> bool {
        let is_thrown_away = self.abandons && !self.exchange.is_request_received();
        is_thrown_away || self.exchange.bytes_received() > self.exchange.head().wire_len() as u64
    }

    /// The request has moved on after its content is gone. What is left of that is not what the client
    /// has sent, and is never passed on as if it were.
    fn without_content(&mut self) -> Result<Content, Answer> {
        if self.request.subject.becomes_get {
            self.exchange.abandon_content();
            return Ok(Content::None);
        }
        let message = format_args!("the request's content is gone: it is not held");
        self.complain(Level::Error, Some("sending request to upstream"), message);
        Err(Answer::Status(502))
    }

    /// Reads all of the content, into memory as far as the buffer goes.
    async fn hold_content(&mut self) -> Result<Content, Answer> {
        let client = &self.request.scope.client;
        let mut held = BytesMut::new();
        let mut filed: Option<TempFile> = None;
        let mut length = 0;
        let create = |held: &[u8]| -> io::Result<TempFile> {
            let mut file = TempFile::create(client)?;
            file.append(held)?;
            Ok(file)
        };
        if client.body_in_file != BodyInFile::Off {
            filed = Some(create(&[]).map_err(|error| self.unfiled(&error))?);
        }
        loop {
            let piece = match self.exchange.piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => return Err(self.content_lost(&error)),
            };
            length += piece.len() as u64;
            if over(Some(length), client.max_body_size) {
                return Err(Answer::Status(413));
            }
            match &mut filed {
                Some(file) => file.append(&piece).map_err(|error| self.unfiled(&error))?,
                None if held.len() + piece.len() <= client.body_buffer_size => {
                    held.extend_from_slice(&piece);
                }
                None => {
                    let mut file = create(&held).map_err(|error| self.unfiled(&error))?;
                    file.append(&piece).map_err(|error| self.unfiled(&error))?;
                    held = BytesMut::new();
                    filed = Some(file);
                }
            }
        }
        let held = match filed {
            Some(file) => {
                self.complain(
                    Level::Warn,
                    None,
                    format_args!(
                        "a client request body is buffered to a temporary file {}",
                        file.path.display()
                    ),
                );
                self.request.body_file = Some(file.path.clone());
                Content::Filed(Arc::new(file))
            }
            None => {
                let held = held.freeze();
                self.request.body = Some(held.clone());
                Content::Held(held)
            }
        };
        self.held = Some(held.clone());
        Ok(held)
    }

    /// The content cannot be written to a file.
    fn unfiled(&self, error: &io::Error) -> Answer {
        let path = self.request.scope.client.body_temp_path.display();
        self.complain(
            Level::Crit,
            None,
            format_args!("a temporary file in \"{path}\" cannot be written: {error}"),
        );
        Answer::Status(500)
    }

    /// The client has not sent what it announced: nginx answers nothing, and logs 400 or 408.
    pub(super) fn content_lost(&self, error: &Error) -> Answer {
        match error.kind() {
            ErrorKind::Timeout(_) => {
                self.complain(Level::Info, None, format_args!("client timed out"));
                Answer::Abandoned(408)
            }
            ErrorKind::TooLarge => {
                let message = format_args!("client intended to send too large chunked body");
                self.complain(Level::Error, None, message);
                Answer::Status(413)
            }
            ErrorKind::Protocol(error) if !error.is_incomplete() => {
                self.complain(
                    Level::Info,
                    None,
                    format_args!("client sent invalid chunked body: {error}"),
                );
                Answer::Status(400)
            }
            _ => {
                self.complain(
                    Level::Info,
                    None,
                    format_args!("client prematurely closed connection"),
                );
                Answer::Abandoned(400)
            }
        }
    }
}

fn over(length: Option<u64>, limit: Option<u64>) -> bool {
    matches!((length, limit), (Some(length), Some(limit)) if length > limit)
}
