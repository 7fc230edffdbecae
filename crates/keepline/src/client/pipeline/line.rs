//! A connection while requests share it.
//!
//! One task polls a line. A turn takes what waits in the queue, writes it all at once, and reads:
//! many answers come out of one read. After a turn that answered something the task steps back
//! once, so that those who were answered can ask again, and all of that goes into the next write.
//! There is no timer and no task for a request.
//!
//! Bounded: at most `depth` requests are on their way, each with at most 16 KiB of content; content
//! waits for a slow reader up to a limit, then the line reads no further.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use keepline_proto::{BodyLength, Persistence, State};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::flight::{Content, InFlight};
use super::keys::Pipeline;
use super::queue::LineId;
use super::run::{self, Why};
use super::verdict::{Cause, Pace, Verdict};
use super::{Answered, Job, Reply};
use crate::CloseReason;
use crate::client::Shared;
use crate::client::event::Event;
use crate::client::head::queue_head;
use crate::client::lease::Lease;
use crate::client::progress::Progress;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Phase};

/// How a turn ended.
pub(super) enum Turn {
    /// There may be more to do: step back, and take another one.
    Again,
    /// Nothing is left to do.
    Quiet,
    /// The connection carries no further request.
    Over(Over),
}

/// Why a connection carries no further request.
pub(super) struct Over {
    pub(super) cause: Cause,
    /// Why it is closed; `None`: it decides by itself.
    pub(super) reason: Option<CloseReason>,
    /// What happened to the first request without an answer.
    pub(super) error: Option<Error>,
}

impl Over {
    pub(super) const fn by_itself(cause: Cause) -> Self {
        Self {
            cause,
            reason: None,
            error: None,
        }
    }

    pub(super) const fn closed(cause: Cause, reason: CloseReason) -> Self {
        Self {
            cause,
            reason: Some(reason),
            error: None,
        }
    }
}

/// A connection that requests share.
pub(super) struct Line {
    pub(super) shared: Arc<Shared>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) id: LineId,
    /// `None` once the line has ended.
    pub(super) lease: Option<Lease>,
    pub(super) pace: Pace,
    /// To be sent next, before what waits in the queue.
    pub(super) next: VecDeque<Box<Job>>,
    pub(super) flight: VecDeque<InFlight>,
    pub(super) content: Content,
    /// Answers to be handed over at the end of the turn.
    pub(super) ready: Vec<(oneshot::Sender<Reply>, Answered)>,
    /// Where the answer begins that is awaited, counted in what is received.
    pub(super) answer_from: u64,
    /// Since when it is awaited.
    pub(super) head_since: Instant,
    /// Since when nobody wants it.
    pub(super) abandoned_at: Option<Instant>,
    /// Since when content comes whose end has not.
    pub(super) content_since: Option<Instant>,
    /// Since when its reader takes nothing.
    pub(super) stalled_at: Option<Instant>,
    pub(super) deadline: Deadline,
    /// How long the first answer took.
    pub(super) first_took: Option<Duration>,
    pub(super) sent: u64,
    pub(super) answered: u64,
    /// Answers to requests that had been sent behind another.
    pub(super) borne: u64,
    /// Requests that left the line, and that the queue does not know of yet.
    pub(super) gone: usize,
    /// Requests that were sent here and then moved to another line.
    pub(super) moved: usize,
    pub(super) write_failure: Option<io::Error>,
    /// It takes no further request.
    pub(super) is_retired: bool,
    /// It has stepped back since the last turn.
    is_rested: bool,
}

impl Line {
    pub(super) fn new(
        shared: &Arc<Shared>,
        pipeline: &Arc<Pipeline>,
        id: LineId,
        lease: Lease,
        pace: Pace,
        next: VecDeque<Box<Job>>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            pipeline: Arc::clone(pipeline),
            id,
            lease: Some(lease),
            pace,
            next,
            flight: VecDeque::new(),
            content: Content::NotYet,
            ready: Vec::new(),
            answer_from: 0,
            head_since: Instant::now(),
            abandoned_at: None,
            content_since: None,
            stalled_at: None,
            deadline: Deadline::default(),
            first_took: None,
            sent: 0,
            answered: 0,
            borne: 0,
            gone: 0,
            moved: 0,
            write_failure: None,
            is_retired: false,
            is_rested: true,
        }
    }

    /// Carries requests until nothing is left to do, or the connection carries no more.
    pub(super) async fn drive(&mut self) -> Turn {
        loop {
            match poll_fn(|cx| self.poll_turn(cx)).await {
                Turn::Again => tokio::task::yield_now().await,
                over @ (Turn::Quiet | Turn::Over(_)) => return over,
            }
            self.is_rested = true;
        }
    }

    pub(super) fn lease(&mut self) -> &mut Lease {
        self.lease
            .as_mut()
            .expect("a line has its lease until it ends")
    }

    /// Nothing has been sent.
    pub(super) const fn is_unused(&self) -> bool {
        self.sent == 0
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let now = Instant::now();
        let is_rested = std::mem::take(&mut self.is_rested);
        if is_rested && let Err(over) = self.pull(now) {
            return Poll::Ready(Turn::Over(over));
        }
        self.flush(cx);
        let before = self.answered;
        if let Err(over) = self.receive(cx, now) {
            return Poll::Ready(Turn::Over(over));
        }
        if self.answered > before {
            return Poll::Ready(Turn::Again);
        }
        if self.flight.is_empty() {
            return Poll::Ready(match is_rested {
                false => Turn::Again,
                // It has just looked: the queue is empty, or nothing more can be sent here.
                true if self.window(now).now == 0 || !self.next.is_empty() => {
                    Turn::Over(Over::by_itself(self.ended_by(now)))
                }
                true => Turn::Quiet,
            });
        }
        // What did not fit into the last write.
        if !self.next.is_empty() && self.window(now).now > 0 {
            return Poll::Ready(Turn::Again);
        }
        let persistence = self.lease().driver().proto.persistence();
        if matches!(persistence, Persistence::Close(_)) && !self.is_retired {
            // The answer whose content is coming is the last one: nothing waits for its end.
            self.shed();
        }
        self.park(cx, now)
    }

    /// Takes what waits, and queues it for the next write.
    fn pull(&mut self, now: Instant) -> Result<(), Over> {
        let pressure = self.lease().pressure();
        if pressure.is_shut_down {
            self.close_queue();
        } else if self.is_wanted(pressure) {
            self.is_retired = true;
        }
        let (room, gone) = (self.room(now), std::mem::take(&mut self.gone));
        self.pipeline
            .lock()
            .take(self.id, room, gone, &mut self.next);
        let (mut joined, mut pipelined) = (0, 0);
        while self.window(now).now > 0
            && let Some(job) = self.next.pop_front()
        {
            if job.is_cancelled() {
                self.gone += 1;
                continue;
            }
            if self.sent > 0
                && self.flight.is_empty()
                && let Some(reason) = self.lease().arrived_unasked()
            {
                self.next.push_front(job);
                self.count(joined, pipelined);
                return Err(Over::closed(Cause::Closed, reason));
            }
            let is_first = self.sent == 0;
            let was_behind = !self.flight.is_empty();
            if self.send(job, now) && !is_first {
                joined += 1;
                pipelined += u64::from(was_behind);
            }
        }
        self.count(joined, pipelined);
        Ok(())
    }

    fn count(&self, joined: u64, pipelined: u64) {
        if joined > 0 {
            self.shared.pool.joined(joined, pipelined);
        }
    }

    /// The pool is being shut down: what is on its way is answered, nothing more is sent.
    fn close_queue(&mut self) {
        self.is_retired = true;
        self.gone += self.next.len();
        let waiting = self.pipeline.lock().clear();
        for job in self.next.drain(..).chain(waiting) {
            job.fail(Error::new(ErrorKind::Shutdown));
        }
    }

    /// Queues a request for the next write. `false`: it cannot be sent as it is.
    fn send(&mut self, job: Box<Job>, now: Instant) -> bool {
        let was_behind = !self.flight.is_empty();
        let is_first = self.sent == 0;
        let pipeline = Arc::clone(&self.pipeline);
        let lease = self.lease();
        let driver = lease.driver();
        let from = driver.bytes_queued();
        // Which of both it is depends on whether all is answered; neither can fail then.
        if driver.proto.is_exchange_over() {
            let _ = driver.proto.next_exchange();
        } else if driver.proto.state() == State::Done {
            let _ = driver.proto.pipeline();
        }
        let length = BodyLength::Known(job.content.len() as u64);
        let queued = queue_head(driver, &pipeline.key, &job.parts, length)
            .and_then(|()| driver.queue_piece(job.content.clone()))
            .and_then(|()| Ok(driver.proto.send_end(None, &mut driver.output)?));
        let (to, connection) = (driver.bytes_queued(), lease.connection().id);
        let idle_for = lease.idle_for.filter(|_| is_first);
        if let Err(error) = queued {
            self.gone += 1;
            job.fail(error);
            return false;
        }
        if !is_first {
            let wait = now.saturating_duration_since(job.asked_at);
            self.lease().connection().meter.acquired(true, wait);
            self.shared.events.tell(|| Event::Acquired {
                connection,
                reused: true,
                idle_for: None,
            });
        }
        self.shared.events.tell(|| Event::SentHead { connection });
        if !was_behind {
            self.head_since = now;
        }
        if let Some(progress) = job.parts.extensions.get::<Progress>() {
            progress.is_in(Phase::Head);
        }
        self.sent += 1;
        self.flight.push_back(InFlight {
            from,
            to,
            sent_at: now,
            asked_at: job.asked_at,
            idle_for,
            was_behind,
            is_told: false,
            retries: job.retries,
            job: Some(job),
        });
        true
    }

    /// Writes what is queued. A failure is remembered: the answers, or their absence, tell what to
    /// make of it.
    fn flush(&mut self, cx: &mut Context<'_>) {
        if self.write_failure.is_some() || !self.lease().driver().has_output() {
            return;
        }
        match self.lease().driver().poll_flush(cx) {
            Poll::Ready(Err(error)) => self.write_failure = Some(error),
            Poll::Ready(Ok(())) if self.shared.events.is_heard() => {
                let connection = self.lease().connection().id;
                for sent in self.flight.iter_mut().filter(|sent| !sent.is_told) {
                    sent.is_told = true;
                    self.shared
                        .events
                        .tell(|| Event::SentRequest { connection });
                }
            }
            Poll::Pending | Poll::Ready(Ok(())) => {}
        }
    }

    /// The server has answered a request that was sent behind another.
    pub(super) fn note_borne(&mut self) {
        self.borne += 1;
        if self.pace == Pace::Trial {
            let is_news = !matches!(self.pipeline.verdict(), Verdict::Bears { .. });
            self.pipeline.bore();
            if is_news {
                self.shared.events.tell(|| Event::Pipelining {
                    origin: self.pipeline.key.to_string().into(),
                    is_borne: true,
                });
            }
        }
    }
}

impl Drop for Line {
    /// Runs with jobs only when the task is dropped, with its runtime. The queue forgets them with
    /// the line.
    fn drop(&mut self) {
        let of = (&*self.shared, &self.pipeline.key);
        for job in self.flight.drain(..).filter_map(|sent| sent.job) {
            let again = run::sent_again(of, self.lease.as_ref(), Why::Moved, job);
            again.into_iter().for_each(Job::release);
        }
        self.next.drain(..).for_each(Job::release);
    }
}
