//! Latencies, exactly.
//!
//! A run of `get` or `demo` has at most some hundred thousand requests, so every sample is kept
//! and percentiles are read off the sorted list: exact, eight bytes each. A histogram would bound
//! the memory and round the values; that is worth it for a load of millions, not here.

use std::time::Duration;

/// The latencies of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    micros: Vec<u64>,
}

/// What is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percentiles {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.micros
            .push(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.micros.extend_from_slice(&other.micros);
    }

    /// `None` if nothing was measured.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        Some(Percentiles {
            p50: nearest_rank(&sorted, 50)?,
            p99: nearest_rank(&sorted, 99)?,
            max: nearest_rank(&sorted, 100)?,
        })
    }
}

/// The smallest sample that at least `percent` of all samples do not exceed: always one that was
/// measured, never one between two.
fn nearest_rank(sorted: &[u64], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    let sample = sorted.get(rank.checked_sub(1)?)?;
    Some(Duration::from_micros(*sample))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Option<(u128, u128, u128)> {
        let mut latencies = Latencies::default();
        for sample in micros {
            latencies.add(Duration::from_micros(sample));
        }
        let Percentiles { p50, p99, max } = latencies.percentiles()?;
        Some((p50.as_micros(), p99.as_micros(), max.as_micros()))
    }

    #[test]
    fn percentiles_are_samples() {
        assert_eq!(of([]), None);
        assert_eq!(of([7]), Some((7, 7, 7)));
        assert_eq!(of([3, 1, 2, 4]), Some((2, 4, 4)));
        assert_eq!(of((1..=100).rev()), Some((50, 99, 100)));
        assert_eq!(of(1..=1000), Some((500, 990, 1000)));
    }
}
