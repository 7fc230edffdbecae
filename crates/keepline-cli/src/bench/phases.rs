//! Where the time of requests went: a histogram for each phase.
//!
//! Phases do not overlap, and those of a request add up to its latency. A connection that is reused
//! has no name to resolve and no handshakes, so these phases count the connections that requests
//! opened, and the others count requests.

use std::time::Duration;

use hdrhistogram::Histogram;
use keepline::Timings;

/// Latencies are told exactly up to three digits, up to this one.
const LONGEST: Duration = Duration::from_secs(3600);

/// A part of a request, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// For a free connection, and from when the request was due until somebody could send it.
    Wait,
    /// The name is resolved.
    Dns,
    Connect,
    /// A proxy opens a tunnel.
    Proxy,
    Tls,
    /// From the request to the whole head of the answer.
    FirstByte,
    /// From then to the end of the answer.
    Body,
}

impl Phase {
    pub(super) const ALL: [Self; 7] = [
        Self::Wait,
        Self::Dns,
        Self::Connect,
        Self::Proxy,
        Self::Tls,
        Self::FirstByte,
        Self::Body,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::FirstByte => "first byte",
            Self::Body => "body",
        }
    }
}

/// A histogram of microseconds.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, micros(LONGEST), 3)
        .expect("these bounds are in their order, and three digits are few enough")
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The histograms.
#[derive(Debug)]
pub(super) struct Phases([Histogram<u64>; Phase::ALL.len()]);

impl Default for Phases {
    fn default() -> Self {
        Self(std::array::from_fn(|_| histogram()))
    }
}

impl Phases {
    pub(super) fn of(&self, phase: Phase) -> &Histogram<u64> {
        &self.0[phase as usize]
    }

    /// A request that took so long from when it was due, of which `late` had passed before anybody
    /// could start it.
    pub(super) fn add(&mut self, took: Duration, late: Duration, timings: &Timings) {
        let first_byte = timings.first_byte.unwrap_or_default();
        let dialled = [
            (Phase::Dns, timings.dns),
            (Phase::Connect, timings.connect),
            (Phase::Proxy, timings.proxy),
            (Phase::Tls, timings.tls),
        ];
        let mut dialling = Duration::ZERO;
        for (phase, time) in dialled {
            if let Some(time) = time {
                dialling += time;
                self.record(phase, time);
            }
        }
        // A dial may have begun for another request, before this one asked.
        self.record(Phase::Wait, late + timings.wait.saturating_sub(dialling));
        self.record(Phase::FirstByte, first_byte);
        let before = late + timings.wait + first_byte;
        self.record(Phase::Body, took.saturating_sub(before));
    }

    fn record(&mut self, phase: Phase, time: Duration) {
        self.0[phase as usize].saturating_record(micros(time));
    }

    /// Adds those of another thread.
    pub(super) fn merge(&mut self, other: &Self) {
        for (histogram, others) in self.0.iter_mut().zip(&other.0) {
            histogram.add(others).expect("both have the same bounds");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timings(wait: u64, connect: Option<u64>, first_byte: u64) -> Timings {
        let mut timings = Timings::default();
        timings.wait = Duration::from_micros(wait);
        timings.connect = connect.map(Duration::from_micros);
        timings.first_byte = Some(Duration::from_micros(first_byte));
        timings
    }

    #[test]
    fn the_phases_of_a_request_add_up_to_its_latency() {
        for (late, wait, connect, first_byte, took) in
            [(0, 100, Some(80), 200, 350), (500, 7, None, 90, 700)]
        {
            let mut phases = Phases::default();
            let timings = timings(wait, connect, first_byte);
            let (took, late) = (Duration::from_micros(took), Duration::from_micros(late));
            phases.add(took, late, &timings);
            let sum: u64 = phases.0.iter().map(Histogram::max).sum();
            assert_eq!(sum, micros(took));
        }
    }

    #[test]
    fn a_reused_connection_has_no_handshakes() {
        let mut phases = Phases::default();
        let took = Duration::from_micros(300);
        phases.add(took, Duration::ZERO, &timings(100, Some(80), 150));
        phases.add(took, Duration::ZERO, &timings(1, None, 150));
        let counts = Phase::ALL.map(|phase| phases.of(phase).len());
        assert_eq!(counts, [2, 0, 1, 0, 0, 2, 2]);
        let mut both = Phases::default();
        both.merge(&phases);
        both.merge(&phases);
        assert_eq!(both.of(Phase::Connect).len(), 2);
    }
}
