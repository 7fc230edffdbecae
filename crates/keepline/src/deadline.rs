//! A deadline that moves with every step and costs nothing when it does.
//!
//! A connection has one timer object for its whole life, in the runtime's own wheel, created the
//! first time that it has to wait. Moving the deadline later stores an instant; the timer fires
//! at the old one, sees that there is time left and sleeps on. So a request that is answered at
//! once touches no timer at all, and a connection that idles for 75 s touches it once.
//!
//! Invariant: [`Deadline::poll`] is ready only at or after the instant that was set last.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// One deadline, lazily re-armed.
#[derive(Debug, Default)]
pub struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Sets the deadline `after` from now; `None` waits forever, as does a time too far to tell.
    pub fn set(&mut self, after: Option<Duration>) {
        self.at = after.and_then(|after| Instant::now().checked_add(after));
    }

    /// Sets the deadline at an instant.
    pub const fn set_at(&mut self, at: Option<Instant>) {
        self.at = at;
    }

    /// No deadline.
    pub const fn clear(&mut self) {
        self.at = None;
    }

    /// The instant that is set.
    pub const fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Ready once the deadline has passed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        // Earlier than the timer knows: it has to be told. Later: it finds out when it fires.
        if timer.deadline() > at || timer.is_elapsed() {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn wait(deadline: &mut Deadline) -> Instant {
        poll_fn(|cx| deadline.poll(cx)).await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_instant_that_was_set_last() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let mut deadline = Deadline::default();
        deadline.set(Some(seconds(5)));
        assert_eq!(wait(&mut deadline).await - start, seconds(5));
        // Later than armed, then earlier than armed, then after it has fired.
        deadline.set_at(Some(start + seconds(100)));
        let early = tokio::time::timeout(seconds(20), wait(&mut deadline)).await;
        assert!(early.is_err());
        deadline.set_at(Some(start + seconds(40)));
        assert_eq!(wait(&mut deadline).await - start, seconds(40));
        deadline.set_at(Some(start + seconds(41)));
        assert_eq!(wait(&mut deadline).await - start, seconds(41));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_instant_it_never_fires() {
        let mut deadline = Deadline::default();
        deadline.set(Some(Duration::from_secs(1)));
        deadline.clear();
        assert!(
            tokio::time::timeout(Duration::from_secs(9), wait(&mut deadline))
                .await
                .is_err()
        );
    }
}
