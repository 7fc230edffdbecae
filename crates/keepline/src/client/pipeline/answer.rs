//! The answers of a line, in the order of its requests.

use std::task::{Context, Poll};

use bytes::Bytes;
use keepline_proto::keep_alive::keep_alive;
use keepline_proto::{
    Event as ProtoEvent, Fields, Persistence, Received, RemoteError, ResponseHead,
};
use tokio::time::Instant;

use super::flight::Content;
use super::flow::{FlowBody, Reader, Source, flow};
use super::line::{Line, Over};
use super::verdict::Cause;
use super::{Answered, Reply};
use crate::client::event::Event;
use crate::client::exchange::reason_of;
use crate::client::interim::OnInterim;
use crate::driver::Incoming;
use crate::error::{Error, ErrorKind};
use crate::{Body, CloseReason};

/// What of an answer's content has arrived with its head.
enum Arrived {
    /// All of it.
    Whole(Body),
    /// More is to come, and goes there.
    Part(Body, Source),
}

impl Line {
    /// Receives what has arrived, as far as readers take it.
    ///
    /// # Errors
    /// The connection carries no further request.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), Over> {
        let outcome = self.receive_all(cx, now);
        self.deliver();
        outcome
    }

    /// Hands answers over. The queue knows before of the room they leave: those who were answered
    /// may ask again at once, on another thread.
    fn deliver(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let gone = std::mem::take(&mut self.gone);
        self.pipeline.lock().answered(self.id, gone);
        for (reply, answered) in self.ready.drain(..) {
            // Whoever has gone meanwhile has dropped the body with it, which its source notices.
            let _ = reply.send(Reply::Answered(answered));
        }
    }

    fn receive_all(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), Over> {
        while !self.flight.is_empty() {
            if let Content::ToReader(source) = &self.content {
                match source.reader(cx.waker()) {
                    Reader::Reads => self.stalled_at = None,
                    Reader::Full => {
                        self.stalled_at.get_or_insert(now);
                        return Ok(());
                    }
                    Reader::Gone => self.abandon(now)?,
                }
            }
            let Poll::Ready(incoming) = self.lease().driver().poll_event(cx) else {
                return Ok(());
            };
            match incoming {
                Ok(Incoming::Event(ProtoEvent::Interim(head))) => self.interim(&head)?,
                Ok(Incoming::Event(ProtoEvent::Response(head))) => self.begin(head, now)?,
                Ok(Incoming::Event(ProtoEvent::Data(piece))) => self.piece(piece)?,
                Ok(Incoming::Event(ProtoEvent::End(trailers))) => self.end(trailers, now)?,
                Ok(Incoming::Event(ProtoEvent::Request(_)) | Incoming::Switched) => {
                    return Err(self.broken(RemoteError::UnsolicitedBytes.into()));
                }
                // The server has said what there was to say, and owes answers.
                Ok(Incoming::Paused | Incoming::Closed) => {
                    let error = RemoteError::IncompleteHead { received: 0 };
                    return Err(self.broken(error.into()));
                }
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    /// Bytes of the answer that is awaited or being received.
    pub(super) fn read(&mut self) -> u64 {
        let read = self.lease().driver().bytes_read();
        read.saturating_sub(self.answer_from)
    }

    fn broken(&mut self, error: Error) -> Over {
        let read = self.read();
        let cause = match error.kind() {
            ErrorKind::Protocol(error) if !error.is_incomplete() => Cause::Nonsense,
            _ if error.is_given_up() => Cause::Lost,
            _ => Cause::Closed,
        };
        Over {
            reason: Some(reason_of(&error, read)),
            cause,
            error: Some(error),
        }
    }

    fn interim(&mut self, head: &ResponseHead) -> Result<(), Over> {
        self.check_asked()?;
        let (connection, status) = (self.lease().connection().id, head.status());
        self.shared
            .events
            .tell(|| Event::Interim { connection, status });
        let job = self.flight.front().and_then(|first| first.job.as_ref());
        let Some(on_interim) = job.and_then(|job| job.parts.extensions.get::<OnInterim>()) else {
            return Ok(());
        };
        match head.fields().to_header_map() {
            Ok(fields) => on_interim.call(status, &fields),
            Err(error) => return Err(self.broken(error.into())),
        }
        Ok(())
    }

    /// What comes before a byte of its request has been written answers somebody else's question.
    fn check_asked(&mut self) -> Result<(), Over> {
        let written = self.lease().driver().bytes_written();
        match self.flight.front() {
            Some(first) if first.written(written) == 0 => {
                Err(self.broken(RemoteError::UnsolicitedBytes.into()))
            }
            _ => Ok(()),
        }
    }

    /// The head of an answer has come. It is handed over with as much content as has arrived.
    fn begin(&mut self, head: ResponseHead, now: Instant) -> Result<(), Over> {
        self.check_asked()?;
        let (connection, status) = (self.lease().connection().id, head.status());
        self.shared
            .events
            .tell(|| Event::Answered { connection, status });
        if head.fields().facts().keep_alive {
            self.lease().note_hint(keep_alive(head.fields()));
        }
        self.first_took
            .get_or_insert_with(|| now.saturating_duration_since(self.head_since));
        let received = self.lease().driver().bytes_received();
        let read = received.saturating_sub(self.answer_from);
        let Self { flight, lease, .. } = self;
        let (Some(first), Some(lease)) = (flight.front_mut(), lease) else {
            return Ok(());
        };
        let info = first.info(lease, read, now);
        let Some(job) = first.job.take().filter(|job| !job.is_cancelled()) else {
            self.content = Content::Drained(0);
            return self.drain_or_close(now);
        };
        let (arrived, outcome) = self.arrived();
        let (body, source) = match arrived {
            Arrived::Whole(body) => (body, None),
            Arrived::Part(body, source) => (body, Some(source)),
        };
        let answered = Answered { head, body, info };
        self.ready.push((job.reply, answered));
        self.content = source.map_or(Content::Drained(0), Content::ToReader);
        self.content_since = Some(now);
        match outcome {
            Ok(None) => Ok(()),
            Ok(Some(())) => self.end(None, now),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Takes the content that has arrived, without reading. `Some(())`: that is all of it.
    fn arrived(&mut self) -> (Arrived, Result<Option<()>, Error>) {
        let driver = self.lease().driver();
        let remaining = driver.proto.remaining();
        let mut whole: Option<Bytes> = None;
        let mut more: Option<(Source, FlowBody)> = None;
        let outcome = loop {
            match driver.receive() {
                Ok(Received::Event(ProtoEvent::Data(piece))) => match (&more, &whole) {
                    (None, None) => whole = Some(piece),
                    (None, Some(_)) => {
                        let (source, body) = flow(remaining);
                        whole
                            .take()
                            .into_iter()
                            .for_each(|first| source.push(first));
                        source.push(piece);
                        more = Some((source, body));
                    }
                    (Some((source, _)), _) => source.push(piece),
                },
                Ok(Received::Event(ProtoEvent::End(trailers))) => match (more, trailers) {
                    (None, None) => {
                        let body = whole.map_or_else(Body::empty, Body::from);
                        return (Arrived::Whole(body), Ok(Some(())));
                    }
                    (more, trailers) => {
                        let (source, body) = more.unwrap_or_else(|| flow(remaining));
                        whole.into_iter().for_each(|first| source.push(first));
                        source.end(Ok(trailers));
                        return (Arrived::Whole(Body::stream(body)), Ok(Some(())));
                    }
                },
                Ok(_) => break Ok(None),
                Err(error) => break Err(Error::from(error)),
            }
        };
        let (source, body) = more.unwrap_or_else(|| flow(remaining));
        whole.into_iter().for_each(|first| source.push(first));
        (Arrived::Part(Body::stream(body), source), outcome)
    }

    fn piece(&mut self, piece: Bytes) -> Result<(), Over> {
        match &mut self.content {
            Content::NotYet => {}
            Content::ToReader(source) => source.push(piece),
            Content::Drained(drained) => {
                *drained += piece.len() as u64;
                if *drained > self.shared.settings.drain.bytes {
                    return Err(Over::closed(Cause::Ours, CloseReason::NotDrained));
                }
            }
        }
        Ok(())
    }

    /// The reader has dropped the body: its rest is thrown away, within the limits.
    fn abandon(&mut self, now: Instant) -> Result<(), Over> {
        self.content = Content::Drained(0);
        self.stalled_at = None;
        self.drain_or_close(now)
    }

    fn drain_or_close(&mut self, now: Instant) -> Result<(), Over> {
        self.abandoned_at.get_or_insert(now);
        let limits = self.shared.settings.drain;
        let remaining = self.lease().driver().proto.remaining();
        if remaining == Some(0) {
            return Ok(());
        }
        if !limits.is_on() || remaining > Some(limits.bytes) {
            return Err(Over::closed(Cause::Ours, CloseReason::NotDrained));
        }
        Ok(())
    }

    /// An answer has ended.
    fn end(&mut self, trailers: Option<Fields>, now: Instant) -> Result<(), Over> {
        if let Content::ToReader(source) = std::mem::replace(&mut self.content, Content::NotYet) {
            source.end(Ok(trailers));
        }
        let Some(first) = self.flight.pop_front() else {
            return Ok(());
        };
        self.answered += 1;
        self.gone += 1;
        if first.was_behind {
            self.note_borne();
        }
        let verdict = match self.pace {
            super::verdict::Pace::Full => None,
            _ => Some(self.pipeline.verdict()),
        };
        if let Some(verdict) = verdict {
            self.pace = self.pace.after_answer(verdict, first.was_behind);
        }
        (self.abandoned_at, self.stalled_at, self.content_since) = (None, None, None);
        self.head_since = now;
        let lease = self.lease();
        lease.count_exchange();
        let driver = &lease.connection().driver;
        let (received, version) = (driver.bytes_received(), driver.proto.peer_version());
        let is_last = matches!(driver.proto.persistence(), Persistence::Close(_));
        let owes_others = self.flight.is_empty() && self.lease().driver().proto.unanswered() > 0;
        self.answer_from = received;
        if version < http::Version::HTTP_11 {
            return Err(Over::by_itself(Cause::OldVersion));
        }
        if is_last {
            return Err(Over::by_itself(Cause::Closed));
        }
        if owes_others {
            // The requests behind it have gone to another line: nobody is left who reads these.
            return Err(Over::closed(Cause::Ours, CloseReason::NotDrained));
        }
        Ok(())
    }
}
