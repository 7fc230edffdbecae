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

use super::flight::{Content, InFlight};
use super::line::{Line, Over, Turn};
use super::place::Seat;
use super::queue::LineId;
use super::verdict::{Cause, Pace, Shown};
use super::{Job, Pipeline};
use crate::client::Shared;
use crate::client::acquire::{acquire, acquire_new};
use crate::client::event::Event;
use crate::client::key::Key;
use crate::client::lease::Lease;
use crate::client::meter;
use crate::client::retry::{self, Failure};
use crate::error::Error;

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

/// A request that was sent and not answered is sent again.
pub(super) fn sent_again(
    (shared, key): (&Shared, &Key),
    lost: Option<&Lease>,
    mut job: Box<Job>,
) -> Option<Box<Job>> {
    if job.is_cancelled() {
        return None;
    }
    if !shared.settings.is_retry_on {
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
    Some(job)
}

struct Task {
    seat: Seat,
    /// To be sent before all that wait.
    next: VecDeque<Box<Job>>,
}

impl Task {
    async fn run(mut self) {
        let mut is_after_cut = !self.next.is_empty();
        loop {
            let (shared, pipeline) = (&self.seat.shared, &self.seat.pipeline);
            let lease = match is_after_cut {
                true => acquire_new(shared, &pipeline.key).await,
                false => acquire(shared, &pipeline.key, true).await,
            };
            let lease = match lease {
                Ok(lease) => lease,
                Err(error) => return self.fail_first(error.into()),
            };
            let pace = Pace::begin(pipeline.verdict(), is_after_cut);
            let next = std::mem::take(&mut self.next);
            let id = self.seat.line;
            let mut line = Line::new(shared, pipeline, id, lease, pace, next);
            let turn = line.drive().await;
            is_after_cut = self.end(line, turn);
            if self.next.is_empty() && self.seat.leave() {
                return;
            }
        }
    }

    /// No connection could be made. One request learns why; the others go their own way, as they
    /// would have without a pipeline.
    fn fail_first(mut self, error: Error) {
        let mut waiting = VecDeque::new();
        if self.next.is_empty() {
            let mut state = self.seat.pipeline.lock();
            state.queue.take(self.seat.line, 1, 0, &mut waiting);
            state.queue.answered(waiting.len());
        } else {
            let mut state = self.seat.pipeline.lock();
            state.queue.answered(self.next.len());
        }
        let mut jobs = self.next.drain(..).chain(waiting);
        if let Some(first) = jobs.next() {
            first.fail(error);
        }
        jobs.for_each(Job::release);
    }

    /// A connection has ended, one way or another. Answers whether requests are to be sent again.
    fn end(&mut self, mut line: Line, turn: Turn) -> bool {
        let pooled = line.lease().was_pooled;
        let unanswered = line.flight.len();
        let over = match turn {
            Turn::Over(over) => over,
            Turn::Again | Turn::Quiet => Over::by_itself(Cause::Ours),
        };
        let Over {
            cause,
            reason,
            error,
        } = over;
        let again = unanswered_again(&mut line, cause, error);
        let is_cut = !again.is_empty();
        // Those that are sent again stay with this line.
        let gone = std::mem::take(&mut line.gone) + unanswered - again.len();
        let wake;
        let unsent = {
            let mut state = self.seat.pipeline.lock();
            state.queue.answered(gone);
            wake = state.queue.rouse();
            state.queue.waiting() + line.next.len()
        };
        wake.into_iter().for_each(Waker::wake);
        self.next = again.into_iter().chain(line.next.drain(..)).collect();
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
        is_cut
    }

    /// The server does not bear pipelining: all that wait go their own way.
    fn refused(&mut self, waiting: VecDeque<Box<Job>>) {
        let origin = || self.seat.pipeline.key.to_string().into();
        tracing::debug!(key = ?self.seat.pipeline.key, "the server does not bear pipelining");
        self.seat.shared.events.tell(|| Event::Pipelining {
            origin: origin(),
            is_borne: false,
        });
        let next = std::mem::take(&mut self.next);
        let mut state = self.seat.pipeline.lock();
        state.queue.answered(next.len());
        drop(state);
        next.into_iter().chain(waiting).for_each(Job::release);
    }
}

impl Drop for Task {
    /// Runs with jobs only when the task is dropped, with its runtime.
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
    let mut again = VecDeque::new();
    if let Some(first) = flight.next() {
        again.extend(first_again(line, first, content, (cause, error), read, now));
    }
    let lease = line.lease.as_ref();
    for job in flight.filter_map(|sent| sent.job) {
        again.extend(sent_again((&line.shared, &line.pipeline.key), lease, job));
    }
    again
}

/// The first request without an answer is the one that the failure happened to.
fn first_again(
    line: &mut Line,
    mut first: InFlight,
    content: Content,
    (cause, error): (Cause, Option<Error>),
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
    if cause == Cause::Closed || cause == Cause::Nonsense || error.is_timeout() {
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
    sent_again(of, line.lease.as_ref(), job)
}
