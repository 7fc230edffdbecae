//! Bounded waiting: the only way in which the testkit waits for anything.
//!
//! The bound is a safety net for a broken test, generous enough for a slow and busy machine. It is
//! never how a test learns that something did *not* happen.

use std::fmt::Display;
use std::panic::Location;
use std::pin::pin;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::background;

/// How long a wait may take before it fails the test.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two looks of [`until`].
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Awaits `future` for at most [`PATIENCE`] of real time, whatever the test's clock says.
///
/// # Panics
///
/// When the time is over, with `what` was awaited and where.
#[track_caller]
pub fn within<F: Future>(what: impl Display, future: F) -> impl Future<Output = F::Output> {
    // Taken here, outside the future, because an async block has no caller to report.
    let caller = Location::caller();
    async move {
        let out_of_patience = pin!(real_time(PATIENCE));
        tokio::select! {
            biased;
            output = future => output,
            () = out_of_patience => panic!("waited {PATIENCE:?} for {what} (at {caller})"),
        }
    }
}

/// Looks again and again until `look` finds something, for facts that nothing announces, such as
/// the kernel's table of sockets.
///
/// # Panics
///
/// After [`PATIENCE`], with `what` was looked for and where.
#[track_caller]
pub fn until<T>(
    what: impl Display,
    mut look: impl FnMut() -> Option<T>,
) -> impl Future<Output = T> {
    within(what, async move {
        loop {
            match look() {
                Some(found) => return found,
                None => real_time(LOOK_EVERY).await,
            }
        }
    })
}

/// Completes after `duration` on the background runtime's clock, which no test can pause.
async fn real_time(duration: Duration) {
    // The sleep is made inside the task: it takes its clock from where it is made.
    let sleep = async move { tokio::time::sleep(duration).await };
    let mut timer = Timer(background::handle().spawn(sleep));
    (&mut timer.0)
        .await
        .expect("a timer neither panics nor is cancelled while it is awaited");
}

/// A timer task that ends with its awaiter, so that a fast test leaves none behind.
struct Timer(JoinHandle<()>);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn what_comes_in_time_is_answered() {
        assert_eq!(within("a ready value", std::future::ready(7)).await, 7);
    }

    /// A paused clock jumps to the next timer whenever nothing else is to be done, so a bound on
    /// that clock would fail at once.
    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_does_not_use_up_the_patience() {
        let started = Instant::now();
        let mut looks = 0;
        until("the tenth look", || {
            looks += 1;
            (looks == 10).then_some(())
        })
        .await;
        assert!(started.elapsed() >= 9 * LOOK_EVERY);
        assert!(started.elapsed() < PATIENCE);
    }
}
