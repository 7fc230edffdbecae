//! The task of a line: it gets a connection, carries requests, and sends those again that a lost
//! connection had not answered.
//!
//! RFC 9112 §9.3.2: "a client that pipelines requests SHOULD retry unanswered requests if the
//! connection closes before it receives all of the corresponding responses. When retrying pipelined
//! requests after a failed connection (a connection not explicitly closed by the server in its last
//! complete response), a client MUST NOT pipeline immediately after connection establishment, since
//! the first remaining request in the prior pipeline might have caused an error response that can
//! be lost again if multiple requests are sent on a prematurely closed connection". So the first of
//! them goes alone, on a new connection, before newer ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use keepline_proto::RemoteError;
use tokio::time::Instant;

use super::Job;
use super::flight::{Content, InFlight};
use super::keys::Pipeline;
use super::line::{Line, Over, Turn};
use super::place::Seat;
use super::queue::{LineId, Room};
use super::verdict::{Cause, Pace, Shown};
use crate::client::Shared;
use crate::client::acquire::{acquire_either, acquire_new};
use crate::client::event::Event;
use crate::client::key::Key;
use crate::client::lease::Lease;
use crate::client::meter;
use crate::client::retry::{self, Failure, MOST_ATTEMPTS};
use crate::error::{Error, ErrorKind, Phase};

/// A line that got so many connections in a row that could carry nothing gives up: what it was to
/// carry goes the usual way.
const MOST_UNUSABLE: u32 = 2;

/// Opens a line, with requests that go before all that wait.
pub(super) fn spawn(
    shared: &Arc<Shared>,
    pipeline: &Arc<Pipeline>,
    line: LineId,
    next: VecDeque<Box<Job>>,
) {
    let task = Task {
        seat: Seat {
            shared: Arc::clone(shared),
            pipeline: Arc::clone(pipeline),
            line,
            is_over: false,
        },
        next,
    };
    tokio::spawn(task.run());
}

/// Opens lines for what waits.
pub(super) fn spawn_all(shared: &Arc<Shared>, pipeline: &Arc<Pipeline>, lines: Vec<LineId>) {
    for line in lines {
        spawn(shared, pipeline, line, VecDeque::new());
    }
}

/// Why a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its connection was lost: where retries are off, it fails.
    Lost,
    /// This side gave up the connection, because of another request, or the server had said that it
    /// would not answer: none of that is a failure.
    Moved,
}

/// A request that was sent and not answered is sent again. One that was sent often enough goes its
/// own way, so that it cannot be moved for ever.
pub(super) fn sent_again(
    (shared, key): (&Shared, &Key),
    lost: Option<&Lease>,
    why: Why,
    mut job: Box<Job>,
) -> Option<Box<Job>> {
    if job.is_cancelled() {
        return None;
    }
    if why == Why::Lost && !shared.settings.is_retry_on {
        let error = Error::from(RemoteError::IncompleteHead { received: 0 });
        job.fail(match lost {
            Some(lease) => error.on(lease.info()),
            None => error,
        });
        return None;
    }
    job.retries += 1;
    shared.pool.note_retry();
    meter::retrying(key);
    if let Some(lease) = lost {
        let connection = lease.connection().id;
        shared.events.tell(|| Event::Retrying { connection });
    }
    if job.retries >= MOST_ATTEMPTS - 1 {
        job.release();
        return None;
    }
    Some(job)
}

struct Task {
    seat: Seat,
    /// To be sent before all that wait.
    next: VecDeque<Box<Job>>,
}

/// What came of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Nothing is left of it.
    Well,
    /// Requests are to be sent again.
    Cut,
    /// It could carry nothing.
    Unusable,
}

impl Task {
    async fn run(mut self) {
        let mut is_after_cut = !self.next.is_empty();
        let mut unusable = 0;
        loop {
            match self.acquire(is_after_cut).await {
                Ok(lease) => match self.carry(lease, is_after_cut).await {
                    Ended::Well => (is_after_cut, unusable) = (false, 0),
                    Ended::Cut => (is_after_cut, unusable) = (true, 0),
                    Ended::Unusable => unusable += 1,
                },
                // Each request has a time of its own for that; those that had been sent go their
                // own way, which is as long.
                Err(error) if error.kind() == ErrorKind::Timeout(Phase::Acquire) => {
                    self.release();
                    is_after_cut = false;
                }
                Err(error) => return self.fail_first(error),
            }
            let is_over = self.next.is_empty() && self.seat.leave();
            if is_over || unusable == MOST_UNUSABLE {
                return;
            }
            self.go_on();
        }
    }

    async fn acquire(&self, is_after_cut: bool) -> Result<Lease, Error> {
        let (shared, pipeline) = (&self.seat.shared, &self.seat.pipeline);
        let _opening = pipeline.opening();
        if is_after_cut {
            return Ok(acquire_new(shared, &pipeline.key).await?);
        }
        // That one is wanted has been told, by each request for itself.
        let (lease, idle_for) = acquire_either(shared, &pipeline.key, true).await?;
        Ok(lease.told(idle_for))
    }

    /// Carries requests on a connection until it ends, one way or another.
    async fn carry(&mut self, lease: Lease, is_after_cut: bool) -> Ended {
        let (shared, pipeline) = (&self.seat.shared, &self.seat.pipeline);
        let pace = Pace::begin(pipeline.verdict(), is_after_cut);
        let next = std::mem::take(&mut self.next);
        let mut line = Line::new(shared, pipeline, self.seat.line, lease, pace, next);
        let turn = line.drive().await;
        self.end(line, turn)
    }

    /// There is more to do: on another connection.
    fn go_on(&self) {
        let pipeline = &self.seat.pipeline;
        let mut queue = pipeline.lock();
        queue.renew(self.seat.line);
        let opens = queue.cover_all();
        drop(queue);
        spawn_all(&self.seat.shared, pipeline, opens);
    }

    /// No connection could be made. One request learns why; the others go their own way, as they
    /// would have without a pipeline.
    fn fail_first(mut self, error: Error) {
        if self.next.is_empty() {
            let room = Room { now: 1, soon: 1 };
            let mut queue = self.seat.pipeline.lock();
            queue.take(self.seat.line, room, 0, &mut self.next);
        }
        if let Some(first) = self.next.pop_front() {
            first.fail(error);
        }
    }

    /// What it was to send goes its own way.
    fn release(&mut self) {
        let mut queue = self.seat.pipeline.lock();
        queue.answered(self.seat.line, self.next.len());
        drop(queue);
        self.next.drain(..).for_each(Job::release);
    }

    /// A connection has ended.
    fn end(&mut self, mut line: Line, turn: Turn) -> Ended {
        let pooled = line.lease().was_pooled;
        let unanswered = line.flight.len() + line.moved;
        let is_unusable = line.is_unused() && matches!(turn, Turn::Over(_));
        let over = match turn {
            Turn::Over(over) => over,
            Turn::Again | Turn::Quiet => Over::by_itself(Cause::Ours),
        };
        let Over {
            cause,
            reason,
            error,
        } = over;
        self.next = unanswered_again(&mut line, cause, error);
        let is_cut = !self.next.is_empty();
        self.next.append(&mut line.next);
        let mut queue = self.seat.pipeline.lock();
        queue.ended(line.id, self.next.len());
        let wake = queue.rouse();
        let unsent = queue.waiting() + self.next.len();
        drop(queue);
        wake.into_iter().for_each(Waker::wake);
        let shown = Shown {
            cause,
            borne: line.borne,
            answered: line.answered,
            unanswered,
            unsent,
            was_pooled: pooled,
        };
        close(&mut line, reason);
        if let Some(waiting) = self.seat.pipeline.learn(&shown) {
            self.refused(waiting);
        }
        match is_cut {
            true => Ended::Cut,
            false if is_unusable => Ended::Unusable,
            false => Ended::Well,
        }
    }

    /// The server does not bear pipelining: all that wait go their own way.
    fn refused(&mut self, waiting: VecDeque<Box<Job>>) {
        let origin = || self.seat.pipeline.key.to_string().into();
        tracing::debug!(key = ?self.seat.pipeline.key, "the server does not bear pipelining");
        self.seat.shared.events.tell(|| Event::Pipelining {
            origin: origin(),
            is_borne: false,
        });
        self.release();
        waiting.into_iter().for_each(Job::release);
    }
}

impl Drop for Task {
    /// Runs with jobs only when no connection could be made or none is of use, or when the task is
    /// dropped, with its runtime. The queue forgets them with the line.
    fn drop(&mut self) {
        self.next.drain(..).for_each(Job::release);
    }
}

fn close(line: &mut Line, reason: Option<crate::CloseReason>) {
    let is_unused = line.is_unused();
    let Some(lease) = line.lease.take() else {
        return;
    };
    match reason {
        Some(reason) => lease.close(reason),
        None if is_unused => lease.give_back(),
        None => lease.rest(),
    }
}

/// What becomes of the requests that a connection has not answered: those that are to be sent
/// again, in their order.
fn unanswered_again(line: &mut Line, cause: Cause, error: Option<Error>) -> VecDeque<Box<Job>> {
    let now = Instant::now();
    // Without a failure nothing of its answer has come: what follows a last answer is nobody's.
    let read = if error.is_some() { line.read() } else { 0 };
    let content = std::mem::replace(&mut line.content, Content::NotYet);
    let mut flight = std::mem::take(&mut line.flight).into_iter();
    let is_loss = error.is_some() && matches!(cause, Cause::Closed | Cause::Lost | Cause::Nonsense);
    let why = if is_loss { Why::Lost } else { Why::Moved };
    let mut again = VecDeque::new();
    if let Some(first) = flight.next() {
        again.extend(first_again(line, first, content, (why, error), read, now));
    }
    let of = (&*line.shared, &line.pipeline.key);
    for job in flight.filter_map(|sent| sent.job) {
        again.extend(sent_again(of, line.lease.as_ref(), why, job));
    }
    again
}

/// The first request without an answer is the one that the failure happened to.
fn first_again(
    line: &mut Line,
    mut first: InFlight,
    content: Content,
    (why, error): (Why, Option<Error>),
    read: u64,
    now: Instant,
) -> Option<Box<Job>> {
    let info = first.info(line.lease(), read, now);
    let job = first.job.take();
    // Where writing had failed and then nothing came, that is the cause, not the silence.
    let error = match (line.write_failure.take(), error) {
        (Some(cause), Some(error)) if error.is_closed_early() && read == 0 => Error::from(cause),
        (_, Some(error)) => error,
        (_, None) => RemoteError::IncompleteHead { received: 0 }.into(),
    };
    let (written, was_fresh) = (info.bytes_written, line.lease().is_fresh());
    let error = error.on(info);
    let Some(mut job) = job else {
        // Its answer had begun.
        if let Content::ToReader(source) = content {
            source.end(Err(error));
        }
        return None;
    };
    if why == Why::Lost || error.is_timeout() {
        let decision = retry::decide(&Failure {
            is_unprocessed: false,
            is_on: line.shared.settings.is_retry_on,
            attempts: job.failures + 1,
            is_loss: error.is_closed_early(),
            was_fresh,
            written,
            read,
            is_idempotent: true,
            is_replayable: true,
        });
        tracing::debug!(?decision, %error, "pipelined exchange failed");
        if !decision.is_retry() {
            job.fail(error);
            return None;
        }
        job.failures += 1;
    }
    let of = (&*line.shared, &line.pipeline.key);
    sent_again(of, line.lease.as_ref(), why, job)
}
