//! Latencies: exactly, or in a histogram.
//!
//! A run of `get` or `demo` has at most some hundred thousand requests, so every sample is kept
//! and percentiles are read off the sorted list: exact, eight bytes each. A histogram bounds the
//! memory and rounds the values to three digits, which is right for a load of millions (`bench`).

use std::time::Duration;

use hdrhistogram::Histogram;

/// The latencies of a run, in microseconds.
#[derive(Debug, Clone)]
pub(crate) enum Latencies {
    /// All of them.
    Exact(Vec<u64>),
    /// So many of about each length.
    Rounded(Box<Histogram<u64>>),
}

impl Default for Latencies {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

/// What is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percentiles {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Latencies {
    pub(crate) fn rounded(histogram: Histogram<u64>) -> Self {
        Self::Rounded(Box::new(histogram))
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        match self {
            Self::Exact(samples) => samples.push(micros),
            Self::Rounded(histogram) => histogram.saturating_record(micros),
        }
    }

    /// Adds another run's; what is rounded stays so.
    pub(crate) fn merge(&mut self, other: &Self) {
        match other {
            Self::Exact(samples) => {
                for micros in samples {
                    self.add(Duration::from_micros(*micros));
                }
            }
            Self::Rounded(histogram) => {
                for value in histogram.iter_recorded() {
                    for _ in 0..value.count_at_value() {
                        self.add(Duration::from_micros(value.value_iterated_to()));
                    }
                }
            }
        }
    }

    /// `None` if nothing was measured.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        match self {
            Self::Exact(samples) => {
                let mut sorted = samples.clone();
                sorted.sort_unstable();
                Some(Percentiles {
                    p50: nearest_rank(&sorted, 50)?,
                    p99: nearest_rank(&sorted, 99)?,
                    max: nearest_rank(&sorted, 100)?,
                })
            }
            Self::Rounded(histogram) if histogram.is_empty() => None,
            Self::Rounded(histogram) => {
                let at = |percent| Duration::from_micros(histogram.value_at_percentile(percent));
                Some(Percentiles {
                    p50: at(50.0),
                    p99: at(99.0),
                    max: Duration::from_micros(histogram.max()),
                })
            }
        }
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
