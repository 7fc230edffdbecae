//! A busy connection: its driver, its deadlines, and how far the exchange is.
//!
//! One rule keeps pipelined answers together and nobody waiting: output is flushed when the task
//! is about to wait for something, or when much of it has gathered; never otherwise. So answers
//! to a batch of requests leave in one write, and an answer to a single request in one too.
//!
//! Invariant: whatever is waited for has a deadline. It does not know what a request means; that
//! is the handler's business.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::StatusCode;
use keepline_proto::{Connection, Fields, NotPersistent, Persistence};
use tokio::time::Instant;

use super::access::Answer;
use super::after::Unread;
use super::pause::Resting;
use super::progress::{Pace, Wait};
use super::receive::{Continue, Lost};
use super::reception::{Reception, Seen};
use super::registry::{Hub, Registration};
use super::rest::WarmSeat;
use super::settings::Settings;
use super::terms::{HangUp, Terms};
use crate::CloseReason;
use crate::deadline::Deadline;
use crate::driver::Driver;
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
    /// Before this nobody but its client may end its rest.
    pub(super) held_until: Option<Instant>,
    /// The census knows that it rests.
    pub(super) is_listed: bool,
    /// It was told to make room, and had a request after all.
    pub(super) is_told_to_go: bool,
}

impl Core {
    pub(super) fn new(registration: Registration) -> Self {
        let opened = Instant::now();
        let settings = &registration.shard.hub.settings;
        Self {
            expires: expiry(settings, registration.id, opened),
            registration,
            deadline: Deadline::default(),
            opened,
            requests: 0,
            rests_until: None,
            held_until: None,
            is_listed: false,
            is_told_to_go: false,
        }
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.registration.shard.hub
    }

    /// A new connection waits for its first request.
    pub(super) fn wait_for_first(&mut self, reception: &Reception) {
        self.deadline.set(reception.head_timeout);
        self.rests_until = self.deadline.at();
    }

    /// It waits for a further request. Empty lines are none, and earn no further time.
    pub(super) fn rest_from(&mut self, now: Instant, terms: &Terms) {
        if self.rests_until.is_none() {
            let idle = terms.idle_timeout;
            self.rests_until = idle.and_then(|idle| now.checked_add(idle));
            let held = Some(terms.min_idle).filter(|held| !held.is_zero());
            self.held_until = held.and_then(|held| now.checked_add(held));
        }
    }

    /// What the decision about its rest needs.
    pub(super) fn resting(&self, is_evicted: bool) -> Resting {
        let hub = self.hub();
        let spread = hub.settings.shutdown_spread;
        Resting {
            is_new: self.requests == 0,
            opened: self.opened,
            rests_until: self.rests_until,
            held_until: self.held_until,
            is_evicted,
            phase: hub.phase(),
            turn: hub
                .draining_since()
                .map(|since| since + spread.mul_f64(draw(self.registration.id))),
        }
    }

    /// The census is told that it has something to do.
    pub(super) fn note_busy(&mut self) {
        if std::mem::take(&mut self.is_listed) {
            self.is_told_to_go |= self.registration.busy();
        }
    }
}

/// Where an exchange begins in the bytes of its connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Began {
    pub(super) received: u64,
    pub(super) queued: u64,
}

/// When a connection reaches its age: the limit less a part of the jitter that is its own.
pub(super) fn expiry(settings: &Settings, id: u64, opened: Instant) -> Option<Instant> {
    let age = settings.max_age?;
    let earlier = settings.age_jitter.mul_f64(draw(id));
    opened.checked_add(age.saturating_sub(earlier))
}

/// A number from 0 to 1 that is a connection's own. A hash with a key of this process stands in for
/// a random number; nothing secret is at stake.
fn draw(id: u64) -> f64 {
    let draw = RandomState::new().hash_one(id) >> 32;
    draw as f64 / f64::from(u32::MAX)
}

/// A connection with an exchange, or the beginning of one.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) core: Core,
    pub(super) driver: Driver,
    /// How the request is received, or the next one will be.
    pub(super) seen: Seen,
    /// The terms of the exchange, or of the last one.
    pub(super) terms: Terms,
    write_deadline: Deadline,
    /// The deadline of a service; it has a timer of its own only where it is set.
    pub(super) handler_deadline: Deadline,
    /// How long the client has been waited for that has to take what is queued.
    write_wait: Wait,
    pub(super) body_wait: Wait,
    /// Content of the request that has been received.
    pub(super) content: u64,
    pub(super) awaits: Continue,
    /// Why this is the last exchange, where we know more than the protocol core.
    closing: Option<CloseReason>,
    /// Nobody will read the rest of the request body.
    pub(super) abandoned: bool,
    /// The rest of the request body will not be found.
    pub(super) lost: Option<Lost>,
    pub(super) trailers: Option<Fields>,
    /// Somebody else has the stream.
    pub(super) is_handed_over: bool,
    /// The handler wants the connection closed without a further word.
    pub(super) hang_up: Option<HangUp>,
    /// What had been received of earlier requests, and queued of earlier responses, when the
    /// exchange began; in the driver's count.
    pub(super) began: Began,
    /// Of the final head, once it is queued.
    pub(super) status: Option<StatusCode>,
    /// What had been queued up to the end of that head, in the driver's count.
    pub(super) head_end: u64,
    /// The request lay here when the exchange before it ended.
    pub(super) is_pipelined: bool,
    /// When the head that did not come in one piece was first waited for.
    pub(super) head_since: Option<Instant>,
    /// It may keep its box while it rests.
    pub(super) warm: Option<WarmSeat>,
}

/// Its beginning and end.
impl Wire {
    pub(super) fn new(mut core: Core, stream: Stream, input: BytesMut) -> Self {
        core.deadline.clear();
        let seen = core.hub().receptions.look();
        let proto = Connection::server(Arc::clone(&seen.reception.protocol));
        let terms = seen.reception.terms;
        Self {
            core,
            driver: Driver::with_input(stream, proto, input),
            seen,
            terms,
            write_deadline: Deadline::default(),
            handler_deadline: Deadline::default(),
            write_wait: Wait::new(0),
            body_wait: Wait::new(0),
            content: 0,
            awaits: Continue::Unneeded,
            closing: None,
            abandoned: false,
            lost: None,
            trailers: None,
            is_handed_over: false,
            hang_up: None,
            began: Began::default(),
            status: None,
            head_end: 0,
            is_pipelined: false,
            head_since: None,
            warm: None,
        }
    }

    /// What stays when it is not busy.
    pub(super) fn into_parts(mut self) -> (Core, Stream) {
        (self.core, self.driver.take_stream())
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
        if self.driver.is_eof() && self.terms.cancel_on_half_close {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "the client has closed");
            self.close_after(CloseReason::PeerClosed);
            return Poll::Ready(self.lose(error.into()));
        }
        Poll::Pending
    }

    /// Goes on with the first bytes of a further request; the driver counts anew.
    pub(super) fn restart(&mut self, input: BytesMut) {
        self.driver.restart(input);
        self.write_wait = Wait::new(self.driver.bytes_written());
    }

    /// Writes all that is queued, within the limit for making progress.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.driver.poll_flush(cx) {
            Poll::Ready(outcome) => {
                let pace = Pace::of_response(&self.terms);
                self.write_wait.pause(self.driver.bytes_written(), &pace);
                self.write_deadline.clear();
                Poll::Ready(outcome.map_err(|error| self.fail_to_write(error.into())))
            }
            Poll::Pending => {
                let pace = Pace::of_response(&self.terms);
                let (written, deadline) = (self.driver.bytes_written(), &mut self.write_deadline);
                self.write_wait.await_more(written, &pace, deadline);
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

/// Counting bytes.
impl Wire {
    /// Bytes of the request that have been received so far, its head included.
    pub(super) fn bytes_received(&self) -> u64 {
        self.driver.bytes_received() - self.began.received
    }

    /// Bytes of the response, interim heads included, that have been handed to the connection;
    /// where it has failed, those that the socket took.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.sent().saturating_sub(self.began.queued)
    }

    /// When the exchange began, if somebody wants to know of it.
    pub(super) fn note_beginning(&self) -> Option<Instant> {
        let is_told = self.core.hub().settings.records_exchanges();
        is_told.then(|| self.head_since.unwrap_or_else(Instant::now))
    }

    /// What is told of the response.
    pub(super) fn answer(&self) -> Answer {
        Answer {
            status: self.status,
            content_sent: match self.status {
                Some(_) => self.sent().saturating_sub(self.head_end),
                None => 0,
            },
            is_complete: self.is_response_complete() && self.lost != Some(Lost::Gone),
        }
    }

    fn sent(&self) -> u64 {
        match self.lost {
            Some(Lost::Gone) => self.driver.bytes_written(),
            Some(Lost::Told(_)) | None => self.driver.bytes_queued(),
        }
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
        ErrorKind::TooLarge => CloseReason::NotDrained,
        ErrorKind::Misuse(_) | ErrorKind::Body | ErrorKind::Service => CloseReason::LocalAskedClose,
        _ => CloseReason::Cancelled,
    }
}
