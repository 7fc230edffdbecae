//! What the requests of a thread came to.

use std::collections::HashMap;
use std::time::Instant;

use hdrhistogram::Histogram;
use http::{StatusCode, Version};
use keepline::ConnectionInfo;

use super::phases::{self, Phases, micros};
use crate::trouble::Trouble;

/// Counts, latencies, and the first failure of each kind.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) ok: u64,
    pub(super) reused: u64,
    /// The most requests that one connection carried.
    pub(super) most_on_one: u64,
    /// Content that was received.
    pub(super) bytes: u64,
    /// Microseconds.
    pub(super) latencies: Histogram<u64>,
    pub(super) phases: Phases,
    /// Answers by version and status: few kinds, and nearly always the first.
    pub(super) answers: Vec<(Version, StatusCode, u64)>,
    pub(super) failures: HashMap<String, Failures>,
    /// When the last request ended.
    pub(super) last: Option<Instant>,
}

/// An answer that was received whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) version: Version,
    pub(super) status: StatusCode,
    /// Of content.
    pub(super) bytes: u64,
    pub(super) connection: Option<ConnectionInfo>,
}

/// When a request was to start, started and ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) due: Instant,
    pub(super) started: Instant,
    pub(super) ended: Instant,
}

/// Failures of one kind.
#[derive(Debug)]
pub(super) struct Failures {
    pub(super) count: u64,
    pub(super) first: Trouble,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            ok: 0,
            reused: 0,
            most_on_one: 0,
            bytes: 0,
            latencies: phases::histogram(),
            phases: Phases::default(),
            answers: Vec::new(),
            failures: HashMap::new(),
            last: None,
        }
    }
}

impl Tally {
    /// A request was answered in full.
    pub(super) fn answered(&mut self, answer: &Answer, times: &Times) {
        self.ok += 1;
        self.bytes += answer.bytes;
        self.count(answer.version, answer.status, 1);
        self.last = Some(times.ended);
        let took = times.ended.saturating_duration_since(times.due);
        self.latencies.saturating_record(micros(took));
        if let Some(info) = &answer.connection {
            self.reused += u64::from(info.reused);
            self.most_on_one = self.most_on_one.max(info.exchange_number);
            let late = times.started.saturating_duration_since(times.due);
            self.phases.add(took, late, &info.timings);
        }
    }

    fn count(&mut self, version: Version, status: StatusCode, count: u64) {
        let known = self
            .answers
            .iter_mut()
            .find(|known| (known.0, known.1) == (version, status));
        match known {
            Some((_, _, total)) => *total += count,
            None => self.answers.push((version, status, count)),
        }
    }

    /// A request was answered in full, with a status that was to count as failed.
    pub(super) fn refused(&mut self, answer: &Answer, now: Instant) {
        self.bytes += answer.bytes;
        self.count(answer.version, answer.status, 1);
        let info = answer.connection.as_ref();
        self.most_on_one = self
            .most_on_one
            .max(info.map_or(0, |info| info.exchange_number));
        let is_reused = info.is_some_and(|info| info.reused);
        self.failed(Trouble::Status(answer.status), is_reused, now);
    }

    /// A request failed.
    pub(super) fn failed(&mut self, trouble: Trouble, is_reused: bool, now: Instant) {
        self.last = Some(now);
        self.reused += u64::from(is_reused);
        let kind = match &trouble {
            Trouble::Status(status) => format!("status {}", status.as_u16()),
            other => other.short(),
        };
        let kind = self.failures.entry(kind);
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
        self.most_on_one = self.most_on_one.max(other.most_on_one);
        self.bytes += other.bytes;
        self.last = self.last.max(other.last);
        self.latencies
            .add(&other.latencies)
            .expect("both have the same bounds");
        self.phases.merge(&other.phases);
        for (version, status, count) in other.answers {
            self.count(version, status, count);
        }
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
    use std::time::Duration;

    use keepline::Phase;

    use super::*;

    fn answer(status: u16) -> Answer {
        Answer {
            version: Version::HTTP_11,
            status: StatusCode::from_u16(status).expect("it is one"),
            bytes: 13,
            connection: None,
        }
    }

    fn took(micros: u64) -> Times {
        let due = Instant::now();
        Times {
            due,
            started: due,
            ended: due + Duration::from_micros(micros),
        }
    }

    #[test]
    fn tallies_add_up() {
        let now = Instant::now();
        let timeout = || Trouble::Timeout(Duration::from_secs(1), Phase::Request);
        let mut one = Tally::default();
        one.answered(&answer(200), &took(100));
        one.failed(timeout(), true, now);
        let mut other = Tally::default();
        other.answered(&answer(200), &took(300));
        other.answered(&answer(204), &took(200));
        other.failed(timeout(), true, now);
        other.failed(Trouble::Status(StatusCode::NOT_FOUND), true, now);
        one.merge(other);
        assert_eq!(
            (one.ok, one.failures(), one.reused, one.bytes),
            (3, 3, 3, 39)
        );
        assert_eq!(one.failures["timed out"].count, 2);
        assert_eq!(one.latencies.len(), 3);
        assert_eq!(one.latencies.max(), 300);
        let counts: Vec<_> = one.answers.iter().map(|x| (x.1.as_u16(), x.2)).collect();
        assert_eq!(counts, [(200, 2), (204, 1)]);
    }
}
