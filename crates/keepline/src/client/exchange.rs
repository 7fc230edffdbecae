//! One request and its response on one connection, as heads with spans and content as bytes.
//!
//! This is the raw layer: no map of fields, no body type, no retry. The typed client is made of
//! it, and a gateway uses it as it is. There is no task: whoever polls the exchange drives the
//! connection. Writing and reading are independent: a response may come before the request is
//! complete, and a failure to write does not hide the answer that explains it.
//!
//! Invariant: the connection leaves the exchange given back or closed with a reason; a dropped
//! exchange closes it as cancelled.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};
use keepline_proto::keep_alive::keep_alive;
use keepline_proto::{
    self as proto, BodyLength, Field, Fields, RemoteError, RequestLine, ResponseHead, State,
};
use tokio::time::Instant;

use super::Shared;
use super::builder::Settings;
use super::event::Event;
use super::head::queue_head;
use super::key::Key;
use super::lease::Lease;
use crate::CloseReason;
use crate::deadline::Deadline;
use crate::driver::Incoming;
use crate::error::{Error, ErrorKind, Phase};
use crate::info::ConnectionInfo;
use crate::upgrade::Upgraded;

/// A head of the server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Head {
    /// An interim (1xx) response; others follow.
    Interim(ResponseHead),
    /// The final response. Its content follows.
    Final(ResponseHead),
    /// The server has switched to another protocol: 101, or 2xx to CONNECT.
    Switched(ResponseHead),
}

/// One exchange on a connection of a [`Transport`](super::Transport).
#[derive(Debug)]
pub struct Exchange {
    lease: Lease,
    request: Sending,
    trailers: Option<Fields>,
    awaits: Awaited,
    deadline: Deadline,
}

/// What a request asks for, which decides how long its answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Response,
    /// It is CONNECT.
    Tunnel,
}

impl Awaited {
    fn by(method: &Method) -> Self {
        if *method == Method::CONNECT {
            Self::Tunnel
        } else {
            Self::Response
        }
    }

    /// The time for the answer once the request is written.
    fn timeout(self, settings: &Settings) -> Option<Duration> {
        match self {
            Self::Response => settings.response_timeout,
            Self::Tunnel => settings.dial.tunnel_timeout,
        }
    }

    const fn phase(self) -> Phase {
        match self {
            Self::Response => Phase::Head,
            Self::Tunnel => Phase::Proxy,
        }
    }
}

/// How far the request is.
#[derive(Debug)]
enum Sending {
    /// Its end has not been queued.
    Open,
    /// All of it is queued.
    Queued,
    /// All of it is written, at this time.
    Written,
    /// Writing failed; the response may still come, and say why.
    Failed(io::Error),
}

impl Exchange {
    pub(crate) fn new(lease: Lease) -> Self {
        Self {
            lease,
            request: Sending::Open,
            trailers: None,
            awaits: Awaited::Response,
            deadline: Deadline::default(),
        }
    }

    /// Queues the request head. `fields` has Host; framing fields are made from `body`.
    ///
    /// # Errors
    /// The head is not valid. Nothing has been sent; the connection is still good.
    pub fn send_head<'a>(
        &mut self,
        line: RequestLine<'_>,
        fields: impl IntoIterator<Item = Field<'a>>,
        body: BodyLength,
    ) -> Result<(), Error> {
        let driver = self.lease.driver();
        driver.lend_output();
        driver
            .proto
            .send_request(line, fields, body, &mut driver.output)?;
        self.awaits = Awaited::by(line.method);
        self.tell(|connection| Event::SentHead { connection });
        Ok(())
    }

    /// Queues the head of a typed request.
    ///
    /// # Errors
    /// The head is not valid. Nothing has been sent; the connection is still good.
    pub(crate) fn send_typed_head(
        &mut self,
        key: &Key,
        parts: &Parts,
        length: BodyLength,
    ) -> Result<(), Error> {
        queue_head(self.lease.driver(), key, parts, length)?;
        self.awaits = Awaited::by(&parts.method);
        self.tell(|connection| Event::SentHead { connection });
        Ok(())
    }

    /// Ready when a further piece can be queued. Writes what is queued if there is no room. After
    /// a failure to write it is ready, and pieces are dropped: the response decides.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.request, Sending::Open) && !self.lease.driver().wants_content() {
            return self.poll_flush(cx);
        }
        Poll::Ready(())
    }

    /// Queues a piece of content, after [`poll_ready`](Self::poll_ready).
    ///
    /// # Errors
    /// The content is longer than declared.
    pub fn send_piece(&mut self, piece: Bytes) -> Result<(), Error> {
        match self.request {
            Sending::Open => self.lease.driver().queue_piece(piece),
            Sending::Queued | Sending::Written | Sending::Failed(_) => Ok(()),
        }
    }

    /// Queues the end of the request, after [`poll_ready`](Self::poll_ready).
    ///
    /// # Errors
    /// The content is shorter than declared, or the trailers are not allowed.
    pub fn send_end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Error> {
        if matches!(self.request, Sending::Open) {
            let driver = self.lease.driver();
            driver.lend_output();
            driver.proto.send_end(trailers, &mut driver.output)?;
            self.request = Sending::Queued;
        }
        Ok(())
    }

    /// Writes what is queued. Ready also after a failure, which is remembered: the response, or
    /// its absence, tells what to make of it.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.request, Sending::Written | Sending::Failed(_)) {
            return Poll::Ready(());
        }
        match ready!(self.lease.driver().poll_flush(cx)) {
            Err(error) => self.request = Sending::Failed(error),
            Ok(()) if matches!(self.request, Sending::Queued) => {
                self.request = Sending::Written;
                self.tell(|connection| Event::SentRequest { connection });
                let timeout = self.awaits.timeout(&self.shared().settings);
                self.deadline.set(timeout);
            }
            Ok(()) => {}
        }
        Poll::Ready(())
    }

    /// Bytes that have been written in this exchange: a number that grows with each write that gets anywhere.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.lease.connection().driver.bytes_written()
    }

    /// The request is written, or will never be.
    #[must_use]
    pub const fn is_request_over(&self) -> bool {
        matches!(self.request, Sending::Written | Sending::Failed(_))
    }

    /// The next head of the server. Does not write: poll that too.
    ///
    /// # Errors
    /// The connection was lost, the server broke the protocol, or the response timeout passed (the
    /// tunnel timeout of CONNECT), which counts from when the request was written.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
        let polled = self.lease.driver().poll_event(cx);
        let Poll::Ready(incoming) = polled else {
            ready!(self.deadline.poll(cx));
            let timeout = Error::timeout(self.awaits.phase());
            return Poll::Ready(Err(self.describe(timeout)));
        };
        let head = match incoming {
            // Nothing has been asked yet: this answers somebody else's question.
            Ok(_) if self.lease.driver().bytes_written() == 0 => {
                Err(RemoteError::UnsolicitedBytes.into())
            }
            Ok(Incoming::Event(proto::Event::Interim(head))) => {
                let status = head.status();
                self.tell(|connection| Event::Interim { connection, status });
                return Poll::Ready(Ok(Head::Interim(head)));
            }
            Ok(Incoming::Event(proto::Event::Response(head))) => {
                self.deadline.clear();
                let status = head.status();
                self.tell(|connection| Event::Answered { connection, status });
                if head.fields().facts().keep_alive {
                    self.lease.note_hint(keep_alive(head.fields()));
                }
                let elapsed = Instant::now().saturating_duration_since(self.lease.acquired.instant);
                self.lease.first_byte = Some(elapsed);
                if self.lease.driver().proto.peer_state() == State::Switched {
                    Ok(Head::Switched(head))
                } else {
                    Ok(Head::Final(head))
                }
            }
            Ok(_) => Err(RemoteError::UnsolicitedBytes.into()),
            Err(error) => Err(error),
        };
        Poll::Ready(head.map_err(|error| self.describe(error)))
    }

    /// Gives a head back that is no longer needed, so that the next one on this connection fills
    /// its spans again instead of allocating. Never required.
    pub fn reclaim(&mut self, head: ResponseHead) {
        self.lease.driver().proto.reclaim(head.into_fields());
    }

    /// The next piece of the response's content; `None` is its end, after which
    /// [`trailers`](Self::take_trailers) are known.
    ///
    /// # Errors
    /// The connection was lost, or the server broke the protocol.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let incoming = ready!(self.lease.driver().poll_event(cx));
        let piece = match incoming {
            Ok(Incoming::Event(proto::Event::Data(piece))) => Ok(Some(piece)),
            Ok(Incoming::Event(proto::Event::End(trailers))) => {
                self.trailers = trailers;
                Ok(None)
            }
            Ok(Incoming::Paused | Incoming::Closed | Incoming::Switched) => Ok(None),
            Ok(Incoming::Event(_)) => Err(RemoteError::UnsolicitedBytes.into()),
            Err(error) => Err(error),
        };
        Poll::Ready(piece.map_err(|error| self.describe(error)))
    }

    /// The trailer section of the response, if there was one.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// Content of the response that has not come yet, if its length is known.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.lease.connection().driver.proto.remaining()
    }

    /// All content that remains has arrived.
    pub(crate) fn is_rest_here(&self) -> bool {
        let buffered = self.lease.connection().driver.buffered();
        self.remaining()
            .is_some_and(|remaining| remaining <= buffered as u64)
    }

    /// The connection, and what the exchange has cost so far.
    #[must_use]
    pub fn connection(&self) -> ConnectionInfo {
        self.lease.info()
    }

    /// Ends the exchange after the end of both messages: the connection is given back if it can
    /// carry another one, else closed for the reason why it cannot.
    pub fn end(self) {
        self.lease.end();
    }

    /// Ends the exchange before anything was sent: the connection is as good as before and counts
    /// as never acquired. Once a head has been queued it is closed instead (`cancelled`).
    pub fn give_back(mut self) {
        if self.lease.driver().proto.state() == State::Idle {
            self.lease.give_back();
        }
    }

    /// Hands the connection over after [`Head::Switched`], with what has been read of the new
    /// protocol already. It no longer counts as one of the Transport's (`upgraded`).
    pub fn upgrade(self) -> Upgraded {
        self.lease.upgrade()
    }

    /// Ends the exchange by closing the connection.
    pub fn close(self, reason: CloseReason) {
        self.lease.close(reason);
    }

    /// Ends the exchange because of an error.
    pub(crate) fn fail(self, error: &Error) {
        let reason = reason_of(error, self.lease.connection().driver.bytes_read());
        self.lease.close(reason);
    }

    pub(crate) const fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        self.lease.shared()
    }

    fn tell(&self, event: impl FnOnce(u64) -> Event) {
        self.shared()
            .events
            .tell(|| event(self.lease.connection().id));
    }

    /// The error with its connection. Where writing had failed and then nothing came, that is the
    /// cause, not the silence.
    fn describe(&mut self, error: Error) -> Error {
        let info = self.lease.info();
        #[cfg(feature = "tls")]
        let error = error.told_by_tls();
        match &mut self.request {
            Sending::Failed(cause) if error.is_closed_early() && info.bytes_read == 0 => {
                let cause = std::mem::replace(cause, io::ErrorKind::BrokenPipe.into());
                Error::from(cause).on(info)
            }
            _ => error.on(info),
        }
    }
}

/// Why a connection is closed on which an exchange failed.
pub(super) fn reason_of(error: &Error, bytes_read: u64) -> CloseReason {
    match error.kind() {
        ErrorKind::Protocol(RemoteError::UnsolicitedBytes) => CloseReason::UnsolicitedBytes,
        ErrorKind::Protocol(error) if error.is_incomplete() => CloseReason::PeerClosed,
        ErrorKind::Protocol(_) => CloseReason::ProtocolError,
        _ if error.is_given_up() => CloseReason::Timeout,
        // A reset before the answer is how a close looks that the request ran into.
        ErrorKind::Io if bytes_read == 0 => CloseReason::PeerClosed,
        ErrorKind::Io | ErrorKind::Tls => CloseReason::IoError,
        ErrorKind::Timeout(_) => CloseReason::Timeout,
        ErrorKind::Body | ErrorKind::Misuse(_) => CloseReason::RequestUnsent,
        _ => CloseReason::Cancelled,
    }
}
