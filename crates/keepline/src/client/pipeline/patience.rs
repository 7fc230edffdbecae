//! How long a line waits: for a request, an answer, a reader.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::flight::{Content, InFlight};
use super::line::{Line, Over, Turn};
use super::run::{self, Why};
use super::verdict::{Cause, Pace};
use super::{Job, queue};
use crate::CloseReason;
use crate::error::{Error, Phase};

/// A reader who leaves content lying for so long keeps nobody else waiting: the requests behind it
/// go to another connection. So they do when
const READER_PATIENCE: Duration = Duration::from_millis(250);
/// content has not ended so long after its head, whoever is slow.
const CONTENT_PATIENCE: Duration = Duration::from_secs(1);
/// In the trial of a server, an answer may take so long, and
const TRIAL_PATIENCE: Duration = Duration::from_secs(1);
/// so many times as long as the first one took.
const TRIAL_FACTOR: u32 = 4;

/// What is due when nothing has arrived until then. Of those that are due at once the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// What waits cannot count on this line any longer: others are to be looked for.
    Look,
    /// What is behind the answer goes to another line.
    Shed,
    /// An answer that nobody wants is not waited for any longer.
    Drain,
    /// The server may have thrown away what was sent behind another request.
    Trial,
    /// The response timeout.
    Answer,
}

impl Line {
    /// Sleeps until something arrives, or somebody asks, or a time has passed.
    pub(super) fn park(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Turn> {
        let room = self.room(now);
        let mut queue = self.pipeline.lock();
        queue.answered(self.id, std::mem::take(&mut self.gone));
        if !queue.sleep(self.id, room, || cx.waker().clone()) {
            return Poll::Ready(Turn::Again);
        }
        let wake = queue.rouse();
        // What has counted on a server that is not known yet, and slow, goes the usual way.
        let is_slow = self.pace != Pace::Full && self.is_held_up(now);
        let released = if is_slow {
            queue.overflow()
        } else {
            VecDeque::new()
        };
        let opens: Vec<_> = std::iter::from_fn(|| queue.cover()).collect();
        drop(queue);
        wake.into_iter().for_each(Waker::wake);
        released.into_iter().for_each(Job::release);
        for line in opens {
            run::spawn(&self.shared, &self.pipeline, line, VecDeque::new());
        }
        self.poll_due(cx, (now, room))
    }

    /// The times that matter while nothing arrives.
    fn poll_due(
        &mut self,
        cx: &mut Context<'_>,
        (now, room): (Instant, queue::Room),
    ) -> Poll<Turn> {
        let is_drain_on = self.shared.settings.drain.is_on();
        let Some(first) = self.flight.front_mut() else {
            return Poll::Pending;
        };
        let is_awaited = match &mut first.job {
            Some(job) => job.reply.poll_closed(cx).is_pending(),
            None => false,
        };
        if first.job.is_some() && !is_awaited {
            if !is_drain_on {
                let over = Over::closed(Cause::Ours, CloseReason::Cancelled);
                return Poll::Ready(Turn::Over(over));
            }
            self.abandoned_at.get_or_insert(now);
        }
        let due = self.due(is_awaited, room);
        self.deadline.set_at(due.map(|x| x.0));
        if self.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let Some((_, due)) = due else {
            return Poll::Pending;
        };
        Poll::Ready(self.act_on(due))
    }

    /// What is due next, and when.
    fn due(&self, is_awaited: bool, room: queue::Room) -> Option<(Instant, Due)> {
        let settings = &self.shared.settings;
        let is_trial = self.pace == Pace::Trial;
        let was_behind = self.flight.front().is_some_and(|first| first.was_behind);
        let is_counted_on = room.now == 0 && room.soon > 0;
        let look = is_counted_on.then(|| self.holds_up_at());
        let reader = self.stalled_at.map(|at| at + READER_PATIENCE);
        let content = self
            .content_since
            .filter(|_| self.flight.len() > 1)
            .map(|at| at + CONTENT_PATIENCE);
        let shed = [reader, content].into_iter().flatten().min();
        let drain = self
            .abandoned_at
            .and_then(|at| at.checked_add(settings.drain.time));
        let trial =
            (is_awaited && was_behind && is_trial).then(|| self.head_since + self.trial_patience());
        let answer = settings
            .response_timeout
            .filter(|_| is_awaited)
            .and_then(|time| self.head_since.checked_add(time));
        [
            (look, Due::Look),
            (shed.filter(|_| !self.is_retired), Due::Shed),
            (drain, Due::Drain),
            (trial, Due::Trial),
            (answer, Due::Answer),
        ]
        .into_iter()
        .filter_map(|(at, due)| Some((at?, due)))
        .min()
    }

    fn act_on(&mut self, due: Due) -> Turn {
        let over = match due {
            Due::Look => return Turn::Again,
            Due::Shed => {
                self.shed();
                return Turn::Again;
            }
            Due::Drain => {
                let reason = match self.content {
                    Content::NotYet => CloseReason::Cancelled,
                    Content::ToReader(_) | Content::Drained(_) => CloseReason::NotDrained,
                };
                Over::closed(Cause::Ours, reason)
            }
            Due::Trial => Over::closed(Cause::Silence, CloseReason::Timeout),
            Due::Answer => Over {
                error: Some(Error::timeout(Phase::Head)),
                ..Over::closed(Cause::Ours, CloseReason::Timeout)
            },
        };
        Turn::Over(over)
    }

    fn trial_patience(&self) -> Duration {
        let first = self.first_took.unwrap_or_default();
        TRIAL_PATIENCE.saturating_add(first.saturating_mul(TRIAL_FACTOR))
    }

    /// The answer takes its time, or is the last one: what is behind it goes to another line, and so
    /// does what waits. This one ends with the answer.
    pub(super) fn shed(&mut self) {
        self.stalled_at = None;
        self.is_retired = true;
        let behind: Vec<InFlight> = self.flight.drain(1..).collect();
        self.moved += behind.len();
        let gone = std::mem::take(&mut self.gone) + behind.len() + self.next.len();
        let of = (&*self.shared, &self.pipeline.key);
        let mut jobs = VecDeque::new();
        for job in behind.into_iter().filter_map(|sent| sent.job) {
            jobs.extend(run::sent_again(of, self.lease.as_ref(), Why::Moved, job));
        }
        jobs.extend(self.next.drain(..));
        let mut queue = self.pipeline.lock();
        queue.answered(self.id, gone);
        queue.retire(self.id);
        let other = (!jobs.is_empty()).then(|| queue.open(jobs.len()));
        let opens: Vec<_> = std::iter::from_fn(|| queue.cover()).collect();
        let wake = queue.rouse();
        drop(queue);
        wake.into_iter().for_each(Waker::wake);
        for line in other.into_iter().chain(opens) {
            // The first of them is the other one, if there is any.
            run::spawn(
                &self.shared,
                &self.pipeline,
                line,
                std::mem::take(&mut jobs),
            );
        }
    }
}
