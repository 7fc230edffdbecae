//! What the requests of a thread came to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::trouble::Trouble;

/// Latencies are told exactly up to three digits, up to this one.
const LONGEST: Duration = Duration::from_secs(3600);

/// Counts, latencies, and the first failure of each kind.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) ok: u64,
    pub(super) reused: u64,
    /// Content that was received.
    pub(super) bytes: u64,
    /// Microseconds.
    pub(super) latencies: Histogram<u64>,
    pub(super) failures: HashMap<String, Failures>,
    /// When the last request ended.
    pub(super) last: Option<Instant>,
}

/// Failures of one kind.
#[derive(Debug)]
pub(super) struct Failures {
    pub(super) count: u64,
    pub(super) first: Trouble,
}

impl Default for Tally {
    fn default() -> Self {
        let longest = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
        Self {
            ok: 0,
            reused: 0,
            bytes: 0,
            latencies: Histogram::new_with_bounds(1, longest, 3)
                .expect("these bounds are in their order, and three digits are few enough"),
            failures: HashMap::new(),
            last: None,
        }
    }
}

impl Tally {
    /// A request was answered in full.
    pub(super) fn answered(&mut self, took: Duration, bytes: u64, is_reused: bool, now: Instant) {
        self.ok += 1;
        self.bytes += bytes;
        self.reused += u64::from(is_reused);
        self.last = Some(now);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros);
    }

    /// A request failed.
    pub(super) fn failed(&mut self, trouble: Trouble, is_reused: bool, now: Instant) {
        self.last = Some(now);
        self.reused += u64::from(is_reused);
        let kind = self.failures.entry(trouble.short());
        kind.or_insert(Failures {
            count: 0,
            first: trouble,
        })
        .count += 1;
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.values().map(|kind| kind.count).sum()
    }

    /// Adds what another thread counted.
    pub(super) fn merge(&mut self, other: Self) {
        self.ok += other.ok;
        self.reused += other.reused;
        self.bytes += other.bytes;
        self.last = self.last.max(other.last);
        self.latencies
            .add(&other.latencies)
            .expect("both have the same bounds");
        for (kind, failures) in other.failures {
            match self.failures.get_mut(&kind) {
                Some(known) => known.count += failures.count,
                None => {
                    self.failures.insert(kind, failures);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let now = Instant::now();
        let timeout = || Trouble::Timeout(Duration::from_secs(1));
        let mut one = Tally::default();
        one.answered(Duration::from_micros(100), 13, false, now);
        one.failed(timeout(), true, now);
        let mut other = Tally::default();
        other.answered(Duration::from_micros(300), 13, true, now);
        other.failed(timeout(), true, now);
        other.failed(Trouble::Status(http::StatusCode::NOT_FOUND), true, now);
        one.merge(other);
        assert_eq!(
            (one.ok, one.failures(), one.reused, one.bytes),
            (2, 3, 4, 26)
        );
        assert_eq!(one.failures["timed out"].count, 2);
        assert_eq!(one.latencies.len(), 2);
        assert_eq!(one.latencies.max(), 300);
    }
}
