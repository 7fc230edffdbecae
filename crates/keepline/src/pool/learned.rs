//! Learns how long a server keeps an idle connection, from the FINs that it sends to idle ones.
//!
//! A server that says nothing (no `Keep-Alive: timeout=`) still has a limit, and a request sent
//! about then fails. The first closes of idle connections tell where the limit is; from then on
//! connections are given up shortly before it.
//!
//! # The algorithm and its bounds
//!
//! - A FIN that comes after an idle time of `d` suggests the limit `d`. A second one within a
//!   tenth of it (at least 100 ms) confirms it, and the smaller of both counts. One FIN alone
//!   proves nothing: servers also close when they restart.
//! - The confirmed limit, less a margin of a tenth (at least 50 ms, at most 2 s), is what
//!   [`LearnedLimit::limit`] answers. The margin covers the way of the FIN and of the request.
//! - A different `d` starts the suggestion anew, and a confirmed limit that is *shorter* than an
//!   idle time that a connection survived is forgotten at once.
//! - Closing first hides the server's limit, so a confirmed one is forgotten after ten minutes and
//!   learned again: a server whose limit was raised is noticed within that time.
//! - Idle times below 100 ms teach nothing: that is a server that closes after the response.

use std::time::Duration;

use tokio::time::Instant;

/// Shorter idle times teach nothing.
const SHORTEST: Duration = Duration::from_millis(100);
/// A confirmed limit is believed for so long.
const BELIEVED_FOR: Duration = Duration::from_secs(600);

/// What is known of a server's idle limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum LearnedLimit {
    /// Nothing.
    #[default]
    Unknown,
    /// An idle connection was closed after this time, once.
    Suggested(Duration),
    /// Twice or more, last at this instant.
    Confirmed { limit: Duration, at: Instant },
}

impl LearnedLimit {
    /// The server closed a connection that had been idle for `idle`.
    pub(super) fn closed_after(&mut self, idle: Duration, now: Instant) {
        if idle < SHORTEST {
            return;
        }
        *self = match *self {
            Self::Suggested(known) | Self::Confirmed { limit: known, .. }
                if are_close(known, idle) =>
            {
                Self::Confirmed {
                    limit: known.min(idle),
                    at: now,
                }
            }
            Self::Unknown | Self::Suggested(_) | Self::Confirmed { .. } => Self::Suggested(idle),
        };
    }

    /// A connection that had been idle for `idle` was still good.
    pub(super) fn survived(&mut self, idle: Duration) {
        match *self {
            Self::Suggested(known) | Self::Confirmed { limit: known, .. } if idle > known => {
                *self = Self::Unknown;
            }
            Self::Unknown | Self::Suggested(_) | Self::Confirmed { .. } => {}
        }
    }

    /// How long a connection may be idle, if that has been learned.
    pub(super) fn limit(&self, now: Instant) -> Option<Duration> {
        match *self {
            Self::Confirmed { limit, at } if now.saturating_duration_since(at) < BELIEVED_FOR => {
                let margin = (limit / 10).clamp(Duration::from_millis(50), Duration::from_secs(2));
                Some(limit.saturating_sub(margin))
            }
            Self::Unknown | Self::Suggested(_) | Self::Confirmed { .. } => None,
        }
    }
}

fn are_close(known: Duration, seen: Duration) -> bool {
    known.abs_diff(seen) <= (known / 10).max(Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn learned(fins: &[u64]) -> Option<Duration> {
        let now = Instant::now();
        let mut limit = LearnedLimit::default();
        for fin in fins {
            limit.closed_after(ms(*fin), now);
        }
        limit.limit(now)
    }

    #[test]
    fn two_equal_closes_make_a_limit_with_a_margin() {
        for (fins, limit) in [
            (&[][..], None),
            (&[5000], None),
            (&[5000, 5100], Some(4500)),
            (&[5100, 5000], Some(4500)),
            (&[5000, 1000], None),
            (&[5000, 5000, 1000], None),
            (&[1000, 5000, 5010], Some(4500)),
            (&[300, 350], Some(250)),
            (&[99, 99], None),
            (&[60_000, 60_000], Some(58_000)),
        ] {
            assert_eq!(learned(fins), limit.map(ms), "{fins:?}");
        }
    }

    #[test]
    fn a_connection_that_lives_longer_refutes_it() {
        let now = Instant::now();
        let mut limit = LearnedLimit::default();
        limit.closed_after(ms(5000), now);
        limit.closed_after(ms(5000), now);
        limit.survived(ms(4400));
        assert_eq!(limit.limit(now), Some(ms(4500)));
        limit.survived(ms(5001));
        assert_eq!(limit.limit(now), None);
    }

    #[test]
    fn it_is_learned_again_after_ten_minutes() {
        let now = Instant::now();
        let mut limit = LearnedLimit::default();
        limit.closed_after(ms(5000), now);
        limit.closed_after(ms(5000), now);
        assert!(limit.limit(now + BELIEVED_FOR - ms(1)).is_some());
        assert_eq!(limit.limit(now + BELIEVED_FOR), None);
    }
}
