//! The account of a run: how many requests, on how many connections, and why.
//!
//! [`Summary::json`] is a fixed contract, keys and their order included; scripts read it.

use std::fmt;
use std::time::Duration;

use keepline::{CloseCounts, OpenCounts, Stats};
use serde_json::{Map, Value, json};

use crate::human::{Plural, Time};
use crate::latency::{Latencies, Percentiles};
use crate::load::Outcome;

/// What a run of requests came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    pub(crate) requests: u64,
    pub(crate) ok: u64,
    /// Requests that ran on a connection that had carried one before.
    pub(crate) reused: u64,
    pub(crate) retries: u64,
    pub(crate) opened: Reasons,
    pub(crate) closed: Reasons,
    pub(crate) latencies: Latencies,
}

/// How many connections for which reason: those that occurred, in the order of their declaration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reasons(Vec<(&'static str, u64)>);

impl Reasons {
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// `1 first, 2 peer-closed`.
    pub(crate) fn list(&self) -> String {
        let listed = self
            .0
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"));
        listed.collect::<Vec<_>>().join(", ")
    }

    /// Those that are new go last.
    fn merge(&mut self, other: &Self) {
        for &(reason, count) in &other.0 {
            match self.0.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, total)) => *total += count,
                None => self.0.push((reason, count)),
            }
        }
    }

    fn json(&self) -> Value {
        let object: Map<_, _> = self
            .0
            .iter()
            .map(|&(reason, count)| (reason.to_owned(), count.into()))
            .collect();
        object.into()
    }
}

impl From<&OpenCounts> for Reasons {
    fn from(counts: &OpenCounts) -> Self {
        Self(
            counts
                .iter()
                .map(|(reason, count)| (reason.name(), count))
                .collect(),
        )
    }
}

impl From<&CloseCounts> for Reasons {
    fn from(counts: &CloseCounts) -> Self {
        Self(
            counts
                .iter()
                .map(|(reason, count)| (reason.name(), count))
                .collect(),
        )
    }
}

impl fmt::Display for Reasons {
    /// `3 connections: 1 first, 2 peer-closed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Plural(self.total(), "connection"))?;
        if !self.0.is_empty() {
            write!(f, ": {}", self.list())?;
        }
        Ok(())
    }
}

impl Summary {
    /// Counts a request. Latencies are those of requests that were answered in full, or as far as
    /// was wanted: what a failure took says nothing about the server's speed.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.requests += 1;
        self.reused += u64::from(
            outcome
                .connection()
                .is_some_and(|connection| connection.reused),
        );
        if outcome.is_ok() {
            self.ok += 1;
            self.latencies.add(outcome.elapsed);
        }
    }

    /// Takes over what the pool counted, once it is shut down: then as many connections are
    /// closed as were opened.
    pub(crate) fn account(&mut self, stats: &Stats) {
        self.retries = stats.retries;
        self.opened = (&stats.opened).into();
        self.closed = (&stats.closed).into();
    }

    /// Adds another run.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.ok += other.ok;
        self.reused += other.reused;
        self.retries += other.retries;
        self.opened.merge(&other.opened);
        self.closed.merge(&other.closed);
        self.latencies.merge(&other.latencies);
    }

    pub(crate) fn failed(&self) -> u64 {
        self.requests - self.ok
    }

    fn reuse_ratio(&self) -> f64 {
        if self.requests == 0 {
            return 0.0;
        }
        self.reused as f64 / self.requests as f64
    }

    /// The summary object of the `--json` output.
    pub(crate) fn json(&self) -> Value {
        json!({
            "requests": self.requests,
            "ok": self.ok,
            "failed": self.failed(),
            "connections_opened": self.opened.total(),
            "reuse_ratio": self.reuse_ratio(),
            "opened": self.opened.json(),
            "closed": self.closed.json(),
            "retries": self.retries,
            "latency_us": latency(self.latencies.percentiles()),
        })
    }

    /// The summary for people, a line each.
    pub(crate) fn lines(&self, took: Duration) -> Vec<String> {
        let mut lines = vec![
            format!(
                "{} in {}: {} ok, {} failed, {} retried",
                Plural(self.requests, "request"),
                Time(took),
                self.ok,
                self.failed(),
                self.retries
            ),
            format!("opened   {}", self.opened),
            format!("closed   {}", self.closed),
            format!(
                "reuse    {} of {} on a connection that had carried one before",
                self.reused,
                Plural(self.requests, "request")
            ),
        ];
        if let Some(Percentiles { p50, p99, max }) = self.latencies.percentiles() {
            lines.push(format!(
                "latency  p50 {}, p99 {}, max {}",
                Time(p50),
                Time(p99),
                Time(max)
            ));
        }
        lines
    }
}

fn latency(percentiles: Option<Percentiles>) -> Value {
    let micros = |time: fn(&Percentiles) -> Duration| {
        percentiles
            .as_ref()
            .map(|percentiles| u64::try_from(time(percentiles).as_micros()).unwrap_or(u64::MAX))
    };
    json!({
        "p50": micros(|percentiles| percentiles.p50),
        "p99": micros(|percentiles| percentiles.p99),
        "max": micros(|percentiles| percentiles.max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Summary {
        let mut latencies = Latencies::default();
        for micros in [300, 250, 900] {
            latencies.add(Duration::from_micros(micros));
        }
        Summary {
            requests: 4,
            ok: 3,
            reused: 2,
            retries: 1,
            opened: Reasons(vec![("first", 1), ("peer-closed", 1)]),
            closed: Reasons(vec![("peer-closed", 1), ("shutdown", 1)]),
            latencies,
        }
    }

    #[test]
    fn the_json_is_the_contract_to_the_letter() {
        assert_eq!(
            sample().json().to_string(),
            concat!(
                r#"{"requests":4,"ok":3,"failed":1,"connections_opened":2,"reuse_ratio":0.5,"#,
                r#""opened":{"first":1,"peer-closed":1},"closed":{"peer-closed":1,"shutdown":1},"#,
                r#""retries":1,"latency_us":{"p50":300,"p99":900,"max":900}}"#
            )
        );
    }

    #[test]
    fn without_an_answer_there_is_no_latency() {
        let json = Summary::default().json().to_string();
        assert!(json.ends_with(r#""opened":{},"closed":{},"retries":0,"latency_us":{"p50":null,"p99":null,"max":null}}"#));
    }

    #[test]
    fn people_read_a_few_lines() {
        assert_eq!(
            sample().lines(Duration::from_millis(12)),
            [
                "4 requests in 12.0ms: 3 ok, 1 failed, 1 retried",
                "opened   2 connections: 1 first, 1 peer-closed",
                "closed   2 connections: 1 peer-closed, 1 shutdown",
                "reuse    2 of 4 requests on a connection that had carried one before",
                "latency  p50 300µs, p99 900µs, max 900µs",
            ]
        );
    }
}
