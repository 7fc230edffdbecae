//! How long a line waits: for a request, an answer, a reader.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::flight::{Content, InFlight};
use super::line::{Line, Over, Turn};
use super::run;
use super::verdict::{Cause, Pace};
use crate::CloseReason;
use crate::error::{Error, Phase};

/// A reader who leaves content lying for so long keeps nobody else waiting: the requests behind it
/// go to another connection.
const READER_PATIENCE: Duration = Duration::from_millis(250);
/// In the trial of a server, an answer may take so long, and
const TRIAL_PATIENCE: Duration = Duration::from_secs(1);
/// so many times as long as the first one took.
const TRIAL_FACTOR: u32 = 4;

impl Line {
    /// Sleeps until something arrives, or somebody asks, or a time has passed.
    pub(super) fn park(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Turn> {
        let room = self.room(now);
        let mut state = self.pipeline.lock();
        state.queue.answered(std::mem::take(&mut self.gone));
        if !state.queue.sleep(self.id, room, || cx.waker().clone()) {
            return Poll::Ready(Turn::Again);
        }
        let wake = state.queue.rouse();
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        self.poll_due(cx, now)
    }

    /// The times that matter while nothing arrives.
    fn poll_due(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Turn> {
        let settings = &self.shared.settings;
        let Some(first) = self.flight.front_mut() else {
            return Poll::Pending;
        };
        let was_behind = first.was_behind;
        let is_awaited = match &mut first.job {
            Some(job) => job.reply.poll_closed(cx).is_pending(),
            None => false,
        };
        if first.job.is_some() && !is_awaited {
            if !settings.drain.is_on() {
                let over = Over::closed(Cause::Ours, CloseReason::Cancelled);
                return Poll::Ready(Turn::Over(over));
            }
            self.abandoned_at.get_or_insert(now);
        }
        let answer = settings
            .response_timeout
            .filter(|_| is_awaited)
            .and_then(|time| self.head_since.checked_add(time));
        let trial = (is_awaited && was_behind && self.pace == Pace::Trial)
            .then(|| self.head_since + self.trial_patience());
        let drain = self
            .abandoned_at
            .and_then(|at| at.checked_add(settings.drain.time));
        let reader = self
            .stalled_at
            .filter(|_| !self.is_retired)
            .map(|at| at + READER_PATIENCE);
        let due = [answer, trial, drain, reader].into_iter().flatten().min();
        self.deadline.set_at(due);
        if self.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        if reader == due {
            self.shed();
            return Poll::Ready(Turn::Again);
        }
        Poll::Ready(Turn::Over(if drain == due {
            let reason = match self.content {
                Content::NotYet => CloseReason::Cancelled,
                Content::ToReader(_) | Content::Drained(_) => CloseReason::NotDrained,
            };
            Over::closed(Cause::Ours, reason)
        } else if trial == due {
            Over::closed(Cause::Silence, CloseReason::Timeout)
        } else {
            Over {
                error: Some(Error::timeout(Phase::Head)),
                ..Over::closed(Cause::Ours, CloseReason::Timeout)
            }
        }))
    }

    fn trial_patience(&self) -> Duration {
        let first = self.first_took.unwrap_or_default();
        TRIAL_PATIENCE.saturating_add(first.saturating_mul(TRIAL_FACTOR))
    }

    /// The reader of an answer takes nothing: those behind it go to another line, and so do those
    /// that wait. This one ends with the answer.
    fn shed(&mut self) {
        self.stalled_at = None;
        self.is_retired = true;
        let behind: Vec<InFlight> = self.flight.drain(1..).collect();
        self.gone += behind.len();
        let mut jobs = VecDeque::new();
        for job in behind.into_iter().filter_map(|sent| sent.job) {
            let of = (&*self.shared, &self.pipeline.key);
            jobs.extend(run::sent_again(of, self.lease.as_ref(), job));
        }
        // Those that the other line has now, nobody else has answered.
        self.gone -= jobs.len();
        jobs.extend(self.next.drain(..));
        let wake;
        let opened = {
            let mut state = self.pipeline.lock();
            let opened = state.queue.retire(self.id);
            wake = state.queue.rouse();
            match jobs.is_empty() {
                true => opened,
                false => opened.or_else(|| Some(state.queue.open())),
            }
        };
        wake.into_iter().for_each(Waker::wake);
        if let Some(line) = opened {
            run::spawn(&self.shared, &self.pipeline, line, jobs);
        }
    }
}
