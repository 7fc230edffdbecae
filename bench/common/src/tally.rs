//! How many requests may still start, how those that ended went, and how long each took.

use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::load::Amount;

const LONGEST_LATENCY_US: u64 = 60_000_000;

/// Shared by all the tasks of a load. The lock is never contended (one thread) and costs every
/// client the same few nanoseconds.
#[derive(Debug)]
pub struct Recorder {
    started: Instant,
    deadline: Option<Instant>,
    /// Below zero when more were asked for than there are.
    remaining: AtomicI64,
    tally: Mutex<Tally>,
}

#[derive(Debug)]
struct Tally {
    ok: u64,
    failed: u64,
    first_failure: Option<String>,
    latency_us: Histogram<u32>,
}

impl Recorder {
    pub fn start(amount: Amount) -> Self {
        let started = Instant::now();
        let (remaining, deadline) = match amount {
            Amount::Requests(count) => (count.cast_signed(), None),
            Amount::For(duration) => (i64::MAX, Some(started + duration)),
        };
        Self {
            started,
            deadline,
            remaining: AtomicI64::new(remaining),
            tally: Mutex::new(Tally {
                ok: 0,
                failed: 0,
                first_failure: None,
                // Two digits keep the counters that are in use within a few cache lines.
                latency_us: Histogram::new_with_bounds(1, LONGEST_LATENCY_US, 2)
                    .expect("the bounds are valid"),
            }),
        }
    }

    /// Takes `count` requests out of those that remain; false when the load is over.
    pub fn may_start(&self, count: usize, now: Instant) -> bool {
        let count = i64::try_from(count).expect("a pipeline depth is small");
        self.deadline.is_none_or(|deadline| now < deadline)
            && self.remaining.fetch_sub(count, Ordering::Relaxed) >= count
    }

    /// A worker of a pooled client: one exchange after the other, each told how many were before it,
    /// until the load is over.
    pub async fn repeat<F>(&self, exchange: impl Fn(usize) -> F)
    where
        F: Future<Output = Result<(), String>>,
    {
        let mut now = Instant::now();
        let mut turn = 0;
        while self.may_start(1, now) {
            let started = now;
            let outcome = exchange(turn).await;
            turn += 1;
            now = Instant::now();
            match outcome {
                Ok(()) => self.succeeded(1, now - started),
                Err(failure) => self.failed(failure),
            }
        }
    }

    pub fn succeeded(&self, count: usize, latency: Duration) {
        let mut tally = self.tally.lock().expect("no holder of the lock panics");
        tally.ok += count as u64;
        let micros = u64::try_from(latency.as_micros())
            .unwrap_or(LONGEST_LATENCY_US)
            .max(1);
        tally
            .latency_us
            .saturating_record_n(micros, u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Ends the load: a run with a failure is void, so there is no use in going on.
    pub fn failed(&self, failure: String) {
        self.remaining.store(0, Ordering::Relaxed);
        let mut tally = self.tally.lock().expect("no holder of the lock panics");
        tally.failed += 1;
        tally.first_failure.get_or_insert(failure);
    }

    pub fn finish(&self, connections_opened: u64) -> Summary {
        let tally = self.tally.lock().expect("no holder of the lock panics");
        Summary {
            ok: tally.ok,
            failed: tally.failed,
            first_failure: tally.first_failure.clone(),
            connections_opened,
            elapsed: self.started.elapsed(),
            latency_us: [0.5, 0.99, 0.999].map(|q| tally.latency_us.value_at_quantile(q)),
            latency_max_us: tally.latency_us.max(),
        }
    }
}

/// The last line that a load program prints, in the shape of `keepline bench --json`.
#[derive(Clone, Debug)]
pub struct Summary {
    ok: u64,
    failed: u64,
    first_failure: Option<String>,
    connections_opened: u64,
    elapsed: Duration,
    latency_us: [u64; 3],
    latency_max_us: u64,
}

impl Summary {
    /// Prints the summary; the failure, if there was one, goes to stderr and into the exit status.
    pub fn report(&self) -> ExitCode {
        println!("{self}");
        match &self.first_failure {
            None => ExitCode::SUCCESS,
            Some(failure) => {
                eprintln!("{failure}");
                ExitCode::FAILURE
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ok,
            failed,
            connections_opened,
            latency_max_us,
            ..
        } = self;
        let [p50, p99, p999] = self.latency_us;
        write!(
            f,
            r#"{{"requests":{},"ok":{ok},"failed":{failed},"connections_opened":{connections_opened},"seconds":{:.6},"latency_us":{{"p50":{p50},"p99":{p99},"p999":{p999},"max":{latency_max_us}}}}}"#,
            ok + failed,
            self.elapsed.as_secs_f64(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_requests_asked_for_may_start() {
        let recorder = Recorder::start(Amount::Requests(5));
        let now = Instant::now();
        let started = (0..10).filter(|_| recorder.may_start(1, now)).count();
        assert_eq!(started, 5);
    }

    #[test]
    fn a_failure_ends_the_load() {
        let recorder = Recorder::start(Amount::For(Duration::from_secs(60)));
        assert!(recorder.may_start(1, Instant::now()));
        recorder.failed("wrong body".to_owned());
        assert!(!recorder.may_start(1, Instant::now()));
        assert!(recorder.finish(1).to_string().contains(r#""failed":1"#));
    }
}
