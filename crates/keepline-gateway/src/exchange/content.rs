//! The content of a request on its way to the upstream: none, held in memory or a file, or passed on
//! as it comes.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use keepline::proto::BodyLength;
use keepline::{Error, ErrorKind};

use super::Serving;
use super::temp_file::{Afterwards, TempFile};
use crate::answer::Answer;
use crate::config::{BodyInFile, HttpVersion, Level};

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

impl Content {
    /// What the upstream is told of its length.
    pub(super) fn length(&self) -> BodyLength {
        match self {
            Self::None => BodyLength::Known(0),
            Self::Held(bytes) => BodyLength::Known(bytes.len() as u64),
            Self::Filed(file) => BodyLength::Known(file.length()),
            Self::Streamed(length) => *length,
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
        // HTTP/1.0 has no chunks: what doesn't say its length has to be held to learn it.
        let is_sendable = known.is_some() || scope.proxy.http_version == HttpVersion::V11;
        if !scope.proxy.request_buffering && is_sendable {
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
        let afterwards = match client.body_in_file {
            BodyInFile::On => Afterwards::Stays,
            BodyInFile::Off | BodyInFile::Clean => Afterwards::Removed,
        };
        let create = |held: &[u8]| -> io::Result<TempFile> {
            let mut file = TempFile::create(&client.body_temp_path, afterwards)?;
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
            Some(file) => self.filed(file),
            None => {
                let held = held.freeze();
                self.request.body = Some(held.clone());
                Content::Held(held)
            }
        };
        self.held = Some(held.clone());
        Ok(held)
    }

    fn filed(&mut self, file: TempFile) -> Content {
        let path = file.path().display();
        let message = format_args!("a client request body is buffered to a temporary file {path}");
        self.complain(Level::Warn, None, message);
        self.request.body_file = Some(file.path().to_owned());
        Content::Filed(Arc::new(file))
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
