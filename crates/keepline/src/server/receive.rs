//! What a busy connection receives: heads, content, and what is thrown away.
//!
//! Invariant: content is read from the client only when somebody asks for it (or to be thrown
//! away), and what follows a request is not looked at before its exchange is over.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use keepline_proto::{Event, Expectation, Received, RemoteError, RequestHead, State};
use tokio::time::Instant;

use super::after::Unread;
use super::info::RequestInfo;
use super::linger::DISCARDED_IN_A_TURN;
use super::progress::{Pace, Wait};
use super::wire::{Began, Wire, reason_of};
use crate::driver::Incoming;
use crate::error::{Error, ErrorKind, Phase};

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
pub(super) enum Continue {
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

/// Heads.
impl Wire {
    /// Notes that an exchange begins.
    pub(super) fn begin(&mut self, head: &RequestHead) -> RequestInfo {
        let facts = head.fields().facts();
        self.core.registration.shard.count_request();
        self.core.requests += 1;
        self.start_exchange();
        self.began.received -= head.wire_len() as u64;
        let is_bodiless = self.driver.proto.remaining() == Some(0);
        if is_bodiless {
            // Its end is here too; now nobody has to look for it.
            self.driver.proto.receive_end();
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
        self.info(self.core.requests)
    }

    /// Notes that something came that is no request.
    pub(super) fn begin_refused(&mut self) -> RequestInfo {
        self.start_exchange();
        self.info(self.core.requests + 1)
    }

    fn start_exchange(&mut self) {
        self.core.rests_until = None;
        self.core.deadline.clear();
        self.abandoned = false;
        self.trailers = None;
        self.status = None;
        self.terms = self.seen.reception.terms;
        self.content = 0;
        self.body_wait = Wait::new(self.driver.bytes_read());
        self.began = Began {
            received: self.driver.bytes_received(),
            queued: self.driver.bytes_queued(),
        };
    }

    fn info(&self, number: u64) -> RequestInfo {
        RequestInfo {
            connection: self.core.registration.id,
            number,
            opened: self.core.opened,
            peer: self.core.registration.peer,
            tls: self.driver.stream.is_tls(),
        }
    }

    /// A head has been waited for since then, and may be until then.
    pub(super) fn await_head(&mut self, since: Instant, until: Option<Instant>) {
        self.head_since = Some(since);
        self.core.deadline.set_at(until);
    }

    /// Has a reception that is new hold for what is received from here on.
    fn note_reception(&mut self) {
        let receptions = &self.core.hub().receptions;
        if receptions.have_changed(&self.seen) {
            self.seen = receptions.look();
            let protocol = Arc::clone(&self.seen.reception.protocol);
            self.driver.proto.set_config(protocol);
        }
    }

    /// The next request, or what else follows. Flushes when there is no further request.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Error>> {
        if !self.driver.wants_content() {
            ready!(self.poll_flush(cx))?;
        }
        self.note_reception();
        if self.driver.buffered() > 0
            && let Received::Event(Event::Request(head)) = self.driver.receive()?
        {
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
            self.head_since = Some(Instant::now());
            let limit = self.seen.reception.head_timeout;
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

/// Content.
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
        if self.lost.is_none() && self.unread() == Unread::Nothing {
            return Poll::Ready(Ok(None));
        }
        match self.driver.receive() {
            Err(error) => Poll::Ready(Err(self.lose(error.into()))),
            Ok(Received::NeedMore) => Poll::Pending,
            Ok(Received::Event(Event::Data(piece))) => {
                // It came without being asked for: the client does not wait.
                self.awaits = Continue::Unneeded;
                self.content += piece.len() as u64;
                if self.terms.max_body.is_some_and(|max| self.content > max) && !self.abandoned {
                    return Poll::Ready(Err(self.lose(Error::new(ErrorKind::TooLarge))));
                }
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
                let pace = Pace::of_body(&self.terms);
                self.body_wait.pause(self.driver.bytes_read(), &pace);
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
        let deadline = &mut self.core.deadline;
        let pace = Pace::of_body(&self.terms);
        self.body_wait.await_more(read, &pace, deadline);
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
            ErrorKind::TooLarge => Lost::Told(StatusCode::PAYLOAD_TOO_LARGE),
            _ => Lost::Gone,
        });
        self.core.deadline.clear();
        self.close_after(reason_of(&error));
        error
    }

    /// Throws away what arrives of the request body, broken framing or not. Ready at its end.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut left = DISCARDED_IN_A_TURN;
        while left > 0 {
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
                Ok(read @ 1..) => left = left.saturating_sub(read),
                Ok(0) | Err(_) => {
                    if self.unread() != Unread::Nothing {
                        self.lose(RemoteError::IncompleteBody { missing: None }.into());
                    }
                    return Poll::Ready(());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
