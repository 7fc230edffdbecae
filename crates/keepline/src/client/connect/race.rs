//! Happy eyeballs (RFC 8305): addresses are tried one after the other, each a moment after the one
//! before or at once if that has failed, and the first to connect wins.
//!
//! Invariant: the losers are dropped, and with them what they had opened, before the winner is
//! answered. As each attempt has its share of the time, few run at once.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::order::{ATTEMPT_DELAY, share};

/// What became of an address that did not connect.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) address: SocketAddr,
    /// `None`: it did not answer in its share of the time.
    pub(super) error: Option<io::Error>,
}

type Attempt<'a, T> = Pin<Box<dyn Future<Output = Result<T, Lost>> + Send + 'a>>;

/// Connects to the first of `addresses` that answers, in their order.
///
/// # Errors
/// None did, before the deadline; what became of those that were tried, in the order in which they
/// were lost.
pub(super) async fn race<T, F>(
    addresses: &[SocketAddr],
    deadline: Option<Instant>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<Lost>>
where
    F: Future<Output = io::Result<T>> + Send,
{
    let mut running: Vec<Attempt<'_, T>> = Vec::new();
    let mut lost = Vec::new();
    for (tried, &address) in addresses.iter().enumerate() {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            break;
        }
        let share = left.map(|left| share(left, addresses.len() - tried));
        running.push(Box::pin(attempt(address, share, connect(address))));
        let is_last = tried + 1 == addresses.len();
        let next_at = Instant::now() + ATTEMPT_DELAY;
        while !running.is_empty() {
            let outcome = tokio::select! {
                biased;
                outcome = first(&mut running) => outcome,
                () = sleep_until(next_at), if !is_last => break,
            };
            match outcome {
                Ok(connected) => return Ok(connected),
                Err(loser) => lost.push(loser),
            }
            // RFC 8305 §5: a failure starts the next attempt at once.
            if !is_last {
                break;
            }
        }
    }
    // The deadline has passed with addresses untried: those that run have as much left, nothing.
    while !running.is_empty() {
        match first(&mut running).await {
            Ok(connected) => return Ok(connected),
            Err(loser) => lost.push(loser),
        }
    }
    Err(lost)
}

async fn attempt<T>(
    address: SocketAddr,
    share: Option<Duration>,
    connecting: impl Future<Output = io::Result<T>>,
) -> Result<T, Lost> {
    let outcome = match share {
        None => Ok(connecting.await),
        Some(share) => timeout(share, connecting).await,
    };
    let error = match outcome {
        Ok(Ok(connected)) => return Ok(connected),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    Err(Lost { address, error })
}

/// The first attempt that ends; it is taken out.
async fn first<T>(running: &mut Vec<Attempt<'_, T>>) -> Result<T, Lost> {
    poll_fn(|cx| {
        for place in 0..running.len() {
            if let Poll::Ready(outcome) = running[place].as_mut().poll(cx) {
                drop(running.remove(place));
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What an address does, and after how many milliseconds.
    #[derive(Clone, Copy)]
    enum Does {
        Connects(u64),
        Refuses(u64),
        Nothing,
    }
    use Does::{Connects, Nothing, Refuses};

    struct InProgress<'a>(&'a AtomicUsize);

    impl Drop for InProgress<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Races such addresses. Who won or how many were lost, after how many milliseconds, and how
    /// many attempts there were at once.
    async fn run(does: &[Does], deadline: Option<u64>) -> (Result<usize, Vec<Lost>>, u64, usize) {
        let addresses: Vec<_> = (0..does.len())
            .map(|place| SocketAddr::from(([127, 0, 0, 1], u16::try_from(place).unwrap())))
            .collect();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let started = Instant::now();
        let deadline = deadline.map(|after| started + Duration::from_millis(after));
        let outcome = race(&addresses, deadline, |address| {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let in_progress = InProgress(&now);
            let place = usize::from(address.port());
            let does = does[place];
            async move {
                let _in_progress = in_progress;
                let (after, outcome) = match does {
                    Connects(after) => (after, Ok(place)),
                    Refuses(after) => (after, Err(io::ErrorKind::ConnectionRefused.into())),
                    Nothing => (u64::from(u32::MAX), Ok(place)),
                };
                tokio::time::sleep(Duration::from_millis(after)).await;
                outcome
            }
        })
        .await;
        assert_eq!(now.into_inner(), 0, "nothing is left in progress");
        let took = u64::try_from(started.elapsed().as_millis()).unwrap();
        (outcome, took, most.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_address_that_answers_wins() {
        for (does, winner, took, at_once) in [
            (&[Connects(5)][..], 0, 5, 1),
            // In time, so nobody else is tried.
            (&[Connects(299), Connects(1)], 0, 299, 1),
            // Silence: the next one starts after 300 ms.
            (&[Nothing, Connects(1)], 1, 301, 2),
            (&[Nothing, Nothing, Connects(1)], 2, 601, 3),
            // Late is better than later.
            (&[Connects(350), Connects(100)], 0, 350, 2),
            (&[Connects(450), Connects(100)], 1, 400, 2),
            // A failure: the next one starts at once.
            (&[Refuses(1), Connects(1)], 1, 2, 1),
            (&[Refuses(1), Refuses(1), Refuses(1), Connects(1)], 3, 4, 1),
            // The first is still tried while others fail.
            (&[Connects(1000), Refuses(1)], 0, 1000, 2),
        ] {
            let (outcome, after, most) = run(does, Some(30_000)).await;
            assert_eq!(outcome.unwrap(), winner);
            assert_eq!((after, most), (took, at_once));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_none_answers_each_is_told() {
        let (outcome, took, _) = run(&[Nothing, Refuses(10), Nothing], Some(5000)).await;
        let lost = outcome.unwrap_err();
        let told: Vec<_> = lost
            .iter()
            .map(|lost| (lost.address.port(), lost.error.is_some()))
            .collect();
        // Their shares: a third of 5 s, then all that is left after 310 ms.
        assert_eq!(told, [(1, true), (0, false), (2, false)]);
        assert_eq!(took, 5000);
        let (outcome, took, _) = run(&[Refuses(1), Refuses(2)], None).await;
        assert_eq!((outcome.unwrap_err().len(), took), (2, 3));
        let (outcome, took, _) = run(&[], None).await;
        assert_eq!((outcome.unwrap_err().len(), took), (0, 0));
    }

    /// Each has two seconds at least, so that no more than seven run at once, and none after the
    /// deadline.
    #[tokio::test(start_paused = true)]
    async fn many_silent_addresses_do_not_pile_up() {
        let (outcome, took, most) = run(&[Nothing; 64], Some(10_000)).await;
        assert!(outcome.unwrap_err().len() < 64);
        assert_eq!(took, 10_000);
        assert!(most <= 7, "{most} at once");
    }
}
