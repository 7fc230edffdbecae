//! A deadline that moves with every step and costs nothing when it does.
//!
//! A connection has one timer object for its whole life, in the runtime's own wheel, created the
//! first time that it has to wait. Moving the deadline later stores an instant; the timer fires
//! at the old one, sees that there is time left and sleeps on. So a request that is answered at
//! once touches no timer at all, and a connection that idles for 75 s touches it once.
//!
//! While the timer is armed early enough and will wake the task that asks, nothing is asked of it:
//! to register a waker again costs four atomic operations, at each wait for a request.
//!
//! Invariant: [`Deadline::poll`] is ready only at or after the instant that was set last.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep};

/// One deadline, lazily re-armed.
#[derive(Debug, Default)]
pub struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Timer>>>,
}

pin_project! {
    #[derive(Debug)]
    struct Timer {
        #[pin]
        sleep: Sleep,
        // Whom it wakes when it fires, unless it has.
        wakes: Option<Waker>,
    }
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
        let timer = self.timer.get_or_insert_with(|| Timer::new(at));
        if timer.is_armed_for(at, cx.waker()) {
            return Poll::Pending;
        }
        timer.as_mut().poll_at(at, cx)
    }
}

impl Timer {
    fn new(at: Instant) -> Pin<Box<Self>> {
        Box::pin(Self {
            sleep: tokio::time::sleep_until(at),
            wakes: None,
        })
    }

    /// It fires at `at` or before, and wakes this task then.
    fn is_armed_for(&self, at: Instant, waker: &Waker) -> bool {
        let wakes = self.wakes.as_ref();
        wakes.is_some_and(|wakes| wakes.will_wake(waker))
            && self.sleep.deadline() <= at
            && !self.sleep.is_elapsed()
    }

    fn poll_at(self: Pin<&mut Self>, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        // Earlier than the timer knows: it has to be told. Later: it finds out when it fires.
        if this.sleep.deadline() > at || this.sleep.is_elapsed() {
            this.sleep.as_mut().reset(at);
        }
        while this.sleep.as_mut().poll(cx).is_ready() {
            if this.sleep.deadline() >= at {
                return Poll::Ready(());
            }
            this.sleep.as_mut().reset(at);
        }
        // A task that has used up its budget is woken at once, and the timer has not heard of it.
        *this.wakes = has_budget_remaining().then(|| cx.waker().clone());
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
    async fn whoever_asks_last_is_woken() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(Some(Duration::from_secs(5)));
        let mut nobody = Context::from_waker(Waker::noop());
        assert!(deadline.poll(&mut nobody).is_pending());
        assert!(deadline.poll(&mut nobody).is_pending());
        assert_eq!(wait(&mut deadline).await - start, Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_used_up_its_budget_is_woken_too() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(Some(Duration::from_secs(5)));
        let mut is_first = true;
        poll_fn(|cx| {
            while is_first && has_budget_remaining() {
                let _ = std::pin::pin!(tokio::task::consume_budget()).poll(cx);
            }
            is_first = false;
            deadline.poll(cx)
        })
        .await;
        assert_eq!(Instant::now() - start, Duration::from_secs(5));
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
