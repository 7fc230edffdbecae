//! What is no request, and the answer to it.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use keepline_proto::{BodyLength, Field, RemoteError, RequestHead, StatusLine};

use super::exchange::Exchange;
use super::info::RequestInfo;
use super::terms::HangUp;
use super::wire::Wire;
use crate::error::{Error, ErrorKind, Phase};

/// Why what came is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The head breaks the protocol or its limits, or the client closed in the middle of it.
    Malformed(RemoteError),
    /// The head took longer than the head timeout.
    Timeout,
    /// The connection failed in the middle of the head: nobody is left to be told.
    Failed,
}

impl Refusal {
    /// `None`: the error is not one of a head.
    pub(super) fn from_error(error: &Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::Protocol(error) => Some(Self::Malformed(error)),
            ErrorKind::Timeout(Phase::Head) => Some(Self::Timeout),
            ErrorKind::Io | ErrorKind::Tls => Some(Self::Failed),
            _ => None,
        }
    }

    /// The status that says so.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed(error) => error.status_hint(),
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Failed => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Timeout => f.write_str("the head of the request took too long"),
            Self::Failed => f.write_str("the connection failed in the middle of a head"),
        }
    }
}

/// The place for the answer to what is no request; see [`Handler::refuse`](super::Handler::refuse).
/// The connection closes after it.
#[derive(Debug)]
pub struct Refused<'c> {
    pub(super) wire: &'c mut Wire,
    why: Refusal,
    received: BytesMut,
    info: RequestInfo,
}

impl<'c> Refused<'c> {
    pub(super) fn new(wire: &'c mut Wire, why: Refusal) -> Self {
        let received = wire.driver.take_input();
        let info = wire.begin_refused();
        Self {
            wire,
            why,
            received,
            info,
        }
    }

    /// Why it is none.
    #[must_use]
    pub const fn why(&self) -> Refusal {
        self.why
    }

    /// What has come of the head, and perhaps bytes behind it. Nobody has looked at whether it can
    /// be printed.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// The connection that it came on, and the number that the request would have had.
    #[must_use]
    pub const fn info(&self) -> &RequestInfo {
        &self.info
    }

    /// Bytes of the answer that have been handed to the connection.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.wire.bytes_sent()
    }

    /// Queues the whole answer, which says close.
    ///
    /// # Errors
    /// It is not valid, or one was queued, or the connection has failed.
    pub fn answer<'a>(
        &mut self,
        line: impl Into<StatusLine<'a>>,
        fields: impl IntoIterator<Item = Field<'a>>,
        content: Bytes,
    ) -> Result<(), Error> {
        let length = BodyLength::Known(content.len() as u64);
        self.wire.append_head(line, fields, length)?;
        self.wire.append_piece(content)?;
        self.wire.append_end(None)
    }

    /// Queues the library's own answer: the status and a line that says why.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn answer_plainly(&mut self) -> Result<(), Error> {
        match self.why {
            Refusal::Failed => Ok(()),
            why => self.wire.append_answer(why.status(), &why.to_string()),
        }
    }

    /// An exchange in its place, for a handler that answers whatever comes in one way. `head` stands
    /// for the head that could not be read: it says nothing about the connection, which closes after
    /// the answer, and there is no content to ask for.
    #[must_use]
    pub fn exchange(&mut self, head: RequestHead) -> Exchange<'_> {
        self.wire.abandoned = true;
        Exchange::of_refused(self.wire, head, self.info)
    }

    /// Closes without an answer, or without the rest of it.
    pub const fn hang_up(&mut self, how: HangUp) {
        self.wire.hang_up = Some(how);
    }
}
