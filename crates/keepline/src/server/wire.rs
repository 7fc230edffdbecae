//! A busy connection: its driver, its deadlines, and how far the exchange is.
//!
//! One rule keeps pipelined answers together and nobody waiting: output is flushed when the task
//! is about to wait for something, or when much of it has gathered; never otherwise. So answers
//! to a batch of requests leave in one write, and an answer to a single request in one too.
//!
//! Invariant: whatever is waited for has a deadline. It does not know what a request means; that
//! is the handler's business.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use keepline_proto::{
    Connection, Event, Expectation, Fields, NotPersistent, Persistence, Received, RemoteError,
    RequestHead, State,
};
use tokio::time::Instant;

use super::after::Unread;
use super::info::RequestInfo;
use super::registry::{Hub, Registration};
use super::rest::WarmSeat;
use super::settings::Settings;
use crate::CloseReason;
use crate::deadline::Deadline;
use crate::driver::{Driver, Incoming};
use crate::error::{Error, ErrorKind, Phase};
use crate::net::Stream;

/// What is read ahead while a handler is at work, to notice a reset: enough for a batch of
/// pipelined requests, bounded so that a client cannot fill the memory of a slow handler.
const READ_AHEAD: usize = 16 * 1024;

/// What stays of a connection between its requests, besides its stream.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) registration: Registration,
    /// The deadline of whatever is awaited from the client; one timer for the whole life.
    pub(super) deadline: Deadline,
    pub(super) opened: Instant,
    /// When its age is reached.
    pub(super) expires: Option<Instant>,
    /// Requests whose head has been received.
    pub(super) requests: u64,
    /// When it will have rested for too long; unset by each request.
    pub(super) rests_until: Option<Instant>,
}

impl Core {
    pub(super) fn hub(&self) -> &Hub {
        &self.registration.shard.hub
    }

    /// A new connection waits for its first request.
    pub(super) fn wait_for_first(&mut self, settings: &Settings) {
        self.deadline.set(settings.head_timeout);
        self.rests_until = self.deadline.at();
    }

    /// It waits for a further request. Empty lines are none, and earn no further time.
    pub(super) fn rest_from(&mut self, now: Instant) {
        if self.rests_until.is_none() {
            let idle = self.hub().settings.idle_timeout;
            self.rests_until = idle.and_then(|idle| now.checked_add(idle));
        }
    }
}

/// What follows on a connection that persists.
#[derive(Debug)]
pub(super) enum Next {
    /// A request.
    Head(RequestHead),
    /// Nothing of one is here.
    Idle,
    /// The client has closed its direction.
    Closed,
}

/// How it stands with `Expect: 100-continue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Continue {
    /// The client does not wait.
    Unneeded,
    /// It waits.
    Awaited,
    /// It waits and has got its final answer instead.
    Refused,
}

/// How a request body was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The client can be told with this status.
    Told(StatusCode),
    /// There is nobody to tell.
    Gone,
}

/// A connection with an exchange, or the beginning of one.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) core: Core,
    pub(super) driver: Driver,
    write_deadline: Deadline,
    /// Bytes written and read when progress was last noted.
    written: u64,
    read: u64,
    awaits: Continue,
    /// Why this is the last exchange, where we know more than the protocol core.
    closing: Option<CloseReason>,
    /// Nobody will read the rest of the request body.
    pub(super) abandoned: bool,
    /// The rest of the request body will not be found.
    lost: Option<Lost>,
    pub(super) trailers: Option<Fields>,
    /// Somebody else has the stream.
    pub(super) is_handed_over: bool,
    /// It may keep its box while it rests.
    pub(super) warm: Option<WarmSeat>,
}

/// Its beginning and end.
impl Wire {
    pub(super) fn new(mut core: Core, stream: Stream, input: BytesMut) -> Self {
        core.deadline.clear();
        let proto = Connection::server(core.hub().settings.protocol.clone());
        Self {
            core,
            driver: Driver::with_input(stream, proto, input),
            write_deadline: Deadline::default(),
            written: 0,
            read: 0,
            awaits: Continue::Unneeded,
            closing: None,
            abandoned: false,
            lost: None,
            trailers: None,
            is_handed_over: false,
            warm: None,
        }
    }

    /// What stays when it is not busy.
    pub(super) fn into_parts(mut self) -> (Core, Stream) {
        (self.core, self.driver.take_stream())
    }

    /// Notes that an exchange begins.
    pub(super) fn begin(&mut self, head: &RequestHead) -> RequestInfo {
        let facts = head.fields().facts();
        self.core.registration.shard.count_request();
        self.core.requests += 1;
        self.core.rests_until = None;
        self.core.deadline.clear();
        self.abandoned = false;
        self.trailers = None;
        let is_bodiless = self.driver.proto.remaining() == Some(0);
        if is_bodiless {
            // Its end is here too; now nobody has to look for it.
            let _ = self.piece_here();
        }
        // "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore
        // that expectation" (RFC 9110 §10.1.1); nor is there anything to continue without a body.
        let waits = facts.expect == Expectation::Continue
            && head.version() >= http::Version::HTTP_11
            && !is_bodiless;
        self.awaits = if waits {
            Continue::Awaited
        } else {
            Continue::Unneeded
        };
        RequestInfo {
            connection: self.core.registration.id,
            number: self.core.requests,
            opened: self.core.opened,
            peer: self.core.registration.peer,
            tls: self.driver.stream.is_tls(),
        }
    }

    /// The next request, or what else follows. Flushes when there is no further request.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Error>> {
        if !self.driver.wants_content() {
            ready!(self.poll_flush(cx))?;
        }
        if let Received::Event(Event::Request(head)) = self.driver.receive()? {
            return Poll::Ready(Ok(Next::Head(head)));
        }
        ready!(self.poll_flush(cx))?;
        let is_in_head = self.driver.proto.is_in_head(self.driver.buffered());
        if !is_in_head {
            // Nothing, or empty lines, which are no request.
            return Poll::Ready(Ok(if self.driver.is_eof() {
                Next::Closed
            } else {
                Next::Idle
            }));
        }
        // From its first byte, and not again with each further one.
        if self.core.deadline.at().is_none() {
            let limit = self.core.hub().settings.head_timeout;
            self.core.deadline.set(limit);
        }
        match self.driver.poll_event(cx) {
            Poll::Ready(incoming) => Poll::Ready(incoming.map(|incoming| match incoming {
                Incoming::Event(Event::Request(head)) => Next::Head(head),
                _ => Next::Closed,
            })),
            Poll::Pending => {
                ready!(self.core.deadline.poll(cx));
                Poll::Ready(Err(Error::timeout(Phase::Head)))
            }
        }
    }
}

/// The request.
impl Wire {
    /// What is left of the request.
    pub(super) fn unread(&self) -> Unread {
        if self.lost.is_some() {
            return Unread::Lost;
        }
        match self.driver.proto.peer_state() {
            State::SendBody => Unread::Rest(self.driver.proto.remaining()),
            State::Error => Unread::Lost,
            _ => Unread::Nothing,
        }
    }

    /// The client waits for 100 (Continue), or has waited in vain, and has not sent its body.
    pub(super) const fn awaits_continue(&self) -> bool {
        matches!(self.awaits, Continue::Awaited | Continue::Refused)
    }

    /// The next piece of content that has arrived already; never reads. `Pending` where none has.
    pub(super) fn piece_here(&mut self) -> Poll<Result<Option<Bytes>, Error>> {
        match self.driver.receive() {
            Err(error) => Poll::Ready(Err(self.lose(error.into()))),
            Ok(Received::NeedMore) => Poll::Pending,
            Ok(Received::Event(Event::Data(piece))) => {
                // It came without being asked for: the client does not wait.
                self.awaits = Continue::Unneeded;
                Poll::Ready(Ok(Some(piece)))
            }
            Ok(Received::Event(Event::End(trailers))) => {
                self.trailers = trailers;
                Poll::Ready(Ok(None))
            }
            Ok(_) => Poll::Ready(Ok(None)),
        }
    }

    /// The next piece of content; `None` is the end. Sends 100 (Continue) if that is waited for.
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            if let Poll::Ready(piece) = self.piece_here() {
                self.core.deadline.clear();
                return Poll::Ready(piece);
            }
            if self.lost.is_some() {
                return Poll::Ready(Err(RemoteError::IncompleteBody { missing: None }.into()));
            }
            self.answer_continue()?;
            if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
            match self.driver.poll_fill(cx) {
                // The end: what it means for the body is the protocol core's to say.
                Poll::Ready(Ok(0)) => match self.driver.poll_event(cx) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(self.lose(error))),
                    _ => return Poll::Ready(Ok(None)),
                },
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.lose(error.into()))),
                Poll::Pending => {
                    ready!(self.poll_body_deadline(cx));
                    let error = Error::timeout(Phase::Body);
                    return Poll::Ready(Err(self.lose(error)));
                }
            }
        }
    }

    /// Ready when the body has made no progress for too long.
    fn poll_body_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let read = self.driver.bytes_read();
        if self.core.deadline.at().is_none() || read != self.read {
            self.read = read;
            let limit = self.core.hub().settings.body_timeout;
            self.core.deadline.set(limit);
        }
        self.core.deadline.poll(cx)
    }

    /// "A server MAY omit sending a 100 (Continue) response if it has already received some or
    /// all of the content" and must not once it has sent its final answer (RFC 9110 §10.1.1).
    fn answer_continue(&mut self) -> Result<(), Error> {
        match self.awaits {
            Continue::Unneeded => Ok(()),
            Continue::Awaited if self.driver.proto.state() == State::SendResponse => {
                self.awaits = Continue::Unneeded;
                self.append_interim(StatusCode::CONTINUE, [])
            }
            Continue::Awaited | Continue::Refused => {
                self.awaits = Continue::Refused;
                let never_comes = RemoteError::IncompleteBody { missing: None };
                Err(Error::caused(
                    ErrorKind::Protocol(never_comes),
                    "the final answer went out before the client was told to continue",
                ))
            }
        }
    }

    /// How the request body was lost, if it was.
    pub(super) const fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// Remembers that the rest of the body will not come.
    pub(super) fn lose(&mut self, error: Error) -> Error {
        self.lost = Some(match error.kind() {
            ErrorKind::Protocol(error) => Lost::Told(error.status_hint()),
            ErrorKind::Timeout(_) => Lost::Told(StatusCode::REQUEST_TIMEOUT),
            _ => Lost::Gone,
        });
        self.core.deadline.clear();
        self.close_after(reason_of(&error));
        error
    }

    /// Throws away what arrives of the request body, broken framing or not. Ready at its end.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.unread() {
                Unread::Nothing => return Poll::Ready(()),
                Unread::Rest(_) => match self.piece_here() {
                    Poll::Ready(Ok(Some(_)) | Err(_)) => continue,
                    Poll::Ready(Ok(None)) => return Poll::Ready(()),
                    Poll::Pending => {}
                },
                Unread::Lost => self.driver.discard_input(),
            }
            match ready!(self.driver.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => {
                    if self.unread() != Unread::Nothing {
                        self.lose(RemoteError::IncompleteBody { missing: None }.into());
                    }
                    return Poll::Ready(());
                }
            }
        }
    }
}

/// Waiting for something else than the client.
impl Wire {
    /// For a handler that waits: flushes, and reads a bounded amount ahead so that a reset is
    /// noticed. Ready only with the reason to give up.
    pub(super) fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(error);
        }
        if self.abandoned && self.unread() != Unread::Nothing {
            ready!(self.poll_discard(cx));
        }
        while !self.driver.is_eof() && self.driver.buffered() < READ_AHEAD {
            match ready!(self.driver.poll_fill(cx)) {
                Ok(_) => {}
                Err(error) if is_end(&error) => self.driver.note_eof(),
                Err(error) => return Poll::Ready(self.lose(error.into())),
            }
        }
        if self.driver.is_eof() && self.core.hub().settings.cancel_on_half_close {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "the client has closed");
            self.close_after(CloseReason::PeerClosed);
            return Poll::Ready(self.lose(error.into()));
        }
        Poll::Pending
    }

    /// Writes all that is queued, within the limit for making progress.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.driver.poll_flush(cx) {
            Poll::Ready(outcome) => {
                self.write_deadline.clear();
                Poll::Ready(outcome.map_err(|error| self.fail_to_write(error.into())))
            }
            Poll::Pending => {
                let written = self.driver.bytes_written();
                if self.write_deadline.at().is_none() || written != self.written {
                    self.written = written;
                    let limit = self.core.hub().settings.write_timeout;
                    self.write_deadline.set(limit);
                }
                ready!(self.write_deadline.poll(cx));
                let error = Error::timeout(Phase::Write);
                Poll::Ready(Err(self.fail_to_write(error)))
            }
        }
    }

    /// Remembers that the client cannot be told anything any more.
    fn fail_to_write(&mut self, error: Error) -> Error {
        self.close_after(reason_of(&error));
        self.lost = Some(Lost::Gone);
        error
    }

    /// The same; what arrives of a body that nobody reads is thrown away as long as writing
    /// waits. A client that writes all before it reads would else wait for us, and we for it.
    pub(super) fn poll_flush_discarding(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let flushed = self.poll_flush(cx);
        if flushed.is_pending() && self.abandoned {
            let _ = self.poll_discard(cx);
        }
        flushed
    }
}

/// The end of the connection.
impl Wire {
    /// Makes this the last exchange.
    pub(super) fn close_after(&mut self, reason: CloseReason) {
        let known = self.driver.proto.persistence();
        if matches!(
            known,
            Persistence::Persistent | Persistence::Close(NotPersistent::LocalAskedClose)
        ) {
            self.closing.get_or_insert(reason);
        }
        self.driver
            .proto
            .close_after(NotPersistent::LocalAskedClose);
    }

    /// Why this is the last exchange, if it is.
    pub(super) fn closing(&self) -> Option<CloseReason> {
        match self.driver.proto.persistence() {
            Persistence::Persistent => None,
            Persistence::Close(NotPersistent::LocalAskedClose) => {
                Some(self.closing.unwrap_or(CloseReason::LocalAskedClose))
            }
            Persistence::Close(reason) => Some(reason.into()),
        }
    }
}

/// The client has closed, and said so in a way that its stream reports as an error: a TLS
/// connection without close_notify. No request is cut unnoticed by that, for none ends with the
/// connection.
pub(super) fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// Why a connection is closed on which this happened.
pub(super) fn reason_of(error: &Error) -> CloseReason {
    match error.kind() {
        ErrorKind::Protocol(error) if error.is_incomplete() => CloseReason::PeerClosed,
        ErrorKind::Protocol(_) => CloseReason::ProtocolError,
        ErrorKind::Timeout(_) => CloseReason::Timeout,
        ErrorKind::Io | ErrorKind::Tls => CloseReason::IoError,
        ErrorKind::Misuse(_) | ErrorKind::Body | ErrorKind::Service => CloseReason::LocalAskedClose,
        _ => CloseReason::Cancelled,
    }
}
