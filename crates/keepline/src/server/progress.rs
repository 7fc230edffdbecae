//! Whether content that is waited for, or that waits to be taken, makes enough progress.
//!
//! Only the time that is spent waiting for the client counts: a reader, or a source, that takes its
//! time costs the client nothing. Where each byte is progress (the default), no clock is read for it.

use std::time::Duration;

use tokio::time::Instant;

use super::terms::Terms;
use crate::deadline::Deadline;

/// What is enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// In so much time …
    timeout: Option<Duration>,
    /// … so many bytes.
    bytes: u64,
    /// And all of them in this.
    in_all: Option<Duration>,
}

impl Pace {
    /// Of the request body.
    pub(super) const fn of_body(terms: &Terms) -> Self {
        Self {
            timeout: terms.body_timeout,
            bytes: terms.body_progress,
            in_all: terms.body_deadline,
        }
    }

    /// Of what is sent.
    pub(super) const fn of_response(terms: &Terms) -> Self {
        Self {
            timeout: terms.write_timeout,
            bytes: terms.write_progress,
            in_all: None,
        }
    }
}

/// The waits for one request body, or for a client that takes what it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// Bytes that had been moved at the last progress.
    mark: u64,
    /// How long has been waited since then, before the wait that is going on.
    waited: Duration,
    /// When the wait began that is going on.
    since: Option<Instant>,
    /// When all of it has to be here.
    ends: Option<Instant>,
}

impl Wait {
    pub(super) const fn new(read: u64) -> Self {
        Self {
            mark: read,
            waited: Duration::ZERO,
            since: None,
            ends: None,
        }
    }

    /// It is waited for, and so much has been read: moves `deadline` if that has changed something.
    pub(super) fn await_more(&mut self, read: u64, pace: &Pace, deadline: &mut Deadline) {
        let has_progress = read - self.mark >= pace.bytes;
        if self.since.is_some() && !has_progress {
            return;
        }
        let now = Instant::now();
        if has_progress {
            self.mark = read;
            self.waited = Duration::ZERO;
        }
        self.since = Some(now);
        if self.ends.is_none() {
            self.ends = pace.in_all.and_then(|limit| now.checked_add(limit));
        }
        let left = pace.timeout.map(|limit| limit.saturating_sub(self.waited));
        let stalls = left.and_then(|left| now.checked_add(left));
        deadline.set_at([stalls, self.ends].into_iter().flatten().min());
    }

    /// A piece has come, or all has been taken: nothing is waited for.
    pub(super) fn pause(&mut self, read: u64, pace: &Pace) {
        let Some(since) = self.since.take() else {
            return;
        };
        if read - self.mark >= pace.bytes {
            self.mark = read;
            self.waited = Duration::ZERO;
        } else {
            self.waited += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_waiting_counts_and_only_enough_is_progress() {
        let seconds = Duration::from_secs;
        let terms = Terms {
            body_timeout: Some(seconds(30)),
            body_progress: 100,
            body_deadline: Some(seconds(1000)),
            ..Terms::default()
        };
        let start = Instant::now();
        let mut wait = Wait::new(0);
        let terms = Pace::of_body(&terms);
        let mut deadline = Deadline::default();
        let mut until = |wait: &mut Wait, read| {
            wait.await_more(read, &terms, &mut deadline);
            deadline.at().map(|at| (at - start).as_secs())
        };
        assert_eq!(until(&mut wait, 0), Some(30));
        tokio::time::advance(seconds(20)).await;
        // Not enough: nothing changes, and what has been waited is not forgotten.
        assert_eq!(until(&mut wait, 99), Some(30));
        wait.pause(99, &terms);
        tokio::time::advance(seconds(500)).await;
        assert_eq!(until(&mut wait, 99), Some(530));
        assert_eq!(until(&mut wait, 100), Some(550));
        tokio::time::advance(seconds(20)).await;
        wait.pause(200, &terms);
        tokio::time::advance(seconds(440)).await;
        // All of it has to come in a thousand seconds.
        assert_eq!(until(&mut wait, 200), Some(1000));
    }
}
