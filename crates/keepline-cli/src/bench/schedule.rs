//! When requests start: at once after each other, or at times that a rate gives them.
//!
//! Invariant: no request is given out twice, and the time that counts for one is the time at which
//! it was to start, however late it then starts. Times are exact to a tenth of a millisecond or so:
//! a thread of its own sleeps until each, since the runtime's timers know only milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The pacer never sleeps for less: requests that are due within this time start together.
const SHORTEST_SLEEP: Duration = Duration::from_micros(50);
/// The pacer never sleeps for longer: it has to notice that the run is over.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Which requests are to be made, by all workers of a thread.
#[derive(Debug)]
pub(super) struct Schedule {
    begin: Instant,
    /// Requests in all, if they are counted.
    requests: Option<u64>,
    taken: AtomicU64,
    ending: Arc<Ending>,
    rate: Option<Rate>,
}

/// How far the end of the run has come, for all threads.
#[derive(Debug, Default)]
pub(super) struct Ending(AtomicU8);

impl Ending {
    const STARTS_NONE: u8 = 1;
    const DROPS_ALL: u8 = 2;

    /// No further request starts.
    pub(super) fn start_none(&self) {
        self.0.fetch_max(Self::STARTS_NONE, Ordering::Relaxed);
    }

    /// Nor is anything waited for.
    pub(super) fn drop_all(&self) {
        self.0.fetch_max(Self::DROPS_ALL, Ordering::Relaxed);
    }

    pub(super) fn starts_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::STARTS_NONE
    }

    pub(super) fn drops_all(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::DROPS_ALL
    }
}

#[derive(Debug)]
struct Rate {
    /// Nanoseconds from one request to the next.
    interval: f64,
    due: Semaphore,
    /// Requests that were to start.
    issued: AtomicU64,
}

impl Schedule {
    /// `requests`: how many, or until `ending` says so. `rate`: a second.
    pub(super) fn new(
        begin: Instant,
        requests: Option<u64>,
        rate: Option<f64>,
        ending: Arc<Ending>,
    ) -> Self {
        Self {
            begin,
            requests,
            taken: AtomicU64::new(0),
            ending,
            rate: rate.map(|rate| Rate {
                interval: 1e9 / rate,
                due: Semaphore::new(0),
                issued: AtomicU64::new(0),
            }),
        }
    }

    /// Waits until the next request is to start. Answers when that was, if a rate says so; `None`
    /// when there is no further one.
    pub(super) async fn next(&self) -> Option<Option<Instant>> {
        if let Some(rate) = &self.rate {
            rate.due.acquire().await.ok()?.forget();
        }
        if self.ending.starts_none() {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        if self.requests.is_some_and(|requests| number >= requests) {
            return None;
        }
        Some(self.rate.as_ref().map(|rate| self.begin + rate.at(number)))
    }

    /// Requests that have started.
    pub(super) fn started(&self) -> u64 {
        let taken = self.taken.load(Ordering::Relaxed);
        taken.min(self.requests.unwrap_or(u64::MAX))
    }

    /// What is in progress is not waited for any more.
    pub(super) fn drops_all(&self) -> bool {
        self.ending.drops_all()
    }

    /// Requests that were to start and never did, since all connections were busy.
    pub(super) fn missed(&self) -> u64 {
        self.rate.as_ref().map_or(0, |rate| {
            let issued = rate.issued.load(Ordering::Relaxed);
            issued.saturating_sub(self.taken.load(Ordering::Relaxed))
        })
    }

    /// Lets requests start at their times, until the run is over. Returns at once without a rate.
    pub(super) fn pace(&self) {
        let Some(rate) = &self.rate else { return };
        let mut issued = 0;
        while !self.ending.starts_none() {
            let elapsed = self.begin.elapsed();
            let due = self
                .requests
                .unwrap_or(u64::MAX)
                .min(rate.due_after(elapsed));
            let more = due
                .saturating_sub(issued)
                .min(Semaphore::MAX_PERMITS as u64 / 2);
            if more > 0 {
                issued += more;
                rate.issued.store(issued, Ordering::Relaxed);
                rate.due
                    .add_permits(usize::try_from(more).unwrap_or(usize::MAX >> 4));
            }
            if self.requests == Some(issued) {
                // One more for each worker that asks whether there is another.
                rate.due.add_permits(usize::from(u16::MAX) * 1024);
                return;
            }
            let wait = rate.at(issued).saturating_sub(self.begin.elapsed());
            thread::sleep(wait.clamp(SHORTEST_SLEEP, LONGEST_SLEEP));
        }
        rate.due.close();
    }
}

impl Rate {
    /// When request `number` (from 0) starts.
    fn at(&self, number: u64) -> Duration {
        Duration::from_nanos((self.interval * number as f64) as u64)
    }

    /// How many requests are to have started after so long.
    fn due_after(&self, elapsed: Duration) -> u64 {
        (elapsed.as_nanos() as f64 / self.interval) as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(requests: Option<u64>, rate: Option<f64>) -> Schedule {
        Schedule::new(Instant::now(), requests, rate, Arc::default())
    }

    #[tokio::test]
    async fn without_a_rate_requests_are_counted() {
        let schedule = schedule(Some(3), None);
        for _ in 0..3 {
            assert_eq!(schedule.next().await, Some(None));
        }
        assert_eq!(schedule.next().await, None);
        schedule.ending.start_none();
        assert_eq!(schedule.next().await, None);
    }

    #[tokio::test]
    async fn with_a_rate_each_has_its_time_and_none_is_early() {
        let schedule = Arc::new(schedule(Some(20), Some(1000.0)));
        let paced = Arc::clone(&schedule);
        let pacer = thread::spawn(move || paced.pace());
        for number in 0..20 {
            let at = schedule.next().await.unwrap().unwrap();
            assert_eq!(at - schedule.begin, Duration::from_millis(number));
            assert!(Instant::now() >= at);
        }
        assert_eq!(schedule.next().await, None);
        pacer.join().unwrap();
        assert_eq!(schedule.missed(), 0);
    }

    #[tokio::test]
    async fn what_nobody_could_start_is_missed() {
        let schedule = Arc::new(schedule(None, Some(10_000.0)));
        let paced = Arc::clone(&schedule);
        let pacer = thread::spawn(move || paced.pace());
        while schedule.missed() < 10 {
            tokio::task::yield_now().await;
        }
        assert!(schedule.next().await.is_some());
        schedule.ending.start_none();
        pacer.join().unwrap();
        assert_eq!(schedule.next().await, None);
        assert!(schedule.missed() >= 9);
    }
}
