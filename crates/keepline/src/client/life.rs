//! How long a connection is used: its lifetime, its number of exchanges, and what the server
//! says about both in `Keep-Alive`.
//!
//! All retirement is soft: an exchange in progress is never disturbed; a connection that has had
//! its time is not given back, or leaves the pool.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use keepline_proto::keep_alive::KeepAlive;
use tokio::time::Instant;

use crate::CloseReason;
use crate::pool::{Expiry, after, earlier};

/// The settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LifeSettings {
    /// Age at which a connection is retired.
    pub(crate) lifetime: Option<Duration>,
    /// By which part of itself the lifetime of each connection is shortened at most, at random:
    /// connections that were opened together are not retired together.
    pub(crate) jitter: f64,
    /// Exchanges that a connection carries at most.
    pub(crate) max_requests: Option<u64>,
    /// How much earlier than the server's `Keep-Alive: timeout=` a connection is given up; `None`
    /// ignores the server's hints.
    pub(crate) hint_margin: Option<Duration>,
}

impl Default for LifeSettings {
    fn default() -> Self {
        Self {
            lifetime: None,
            jitter: 0.1,
            max_requests: None,
            hint_margin: Some(Duration::from_secs(1)),
        }
    }
}

/// What is left to one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifespan {
    retire_at: Option<Instant>,
    /// Exchanges that it may carry in all.
    allowed: u64,
    /// How long it may be idle, by the server's hint less the margin.
    idle_hint: Option<Duration>,
    hint_margin: Option<Duration>,
}

impl Lifespan {
    /// Of a connection that has just been opened.
    pub(crate) fn begin(settings: &LifeSettings, opened_at: Instant, id: u64) -> Self {
        let shortened = settings.lifetime.map(|lifetime| {
            lifetime.mul_f64(1.0 - settings.jitter * fraction(RandomState::new().hash_one(id)))
        });
        Self {
            retire_at: shortened.and_then(|lifetime| opened_at.checked_add(lifetime)),
            allowed: settings.max_requests.unwrap_or(u64::MAX),
            idle_hint: None,
            hint_margin: settings.hint_margin,
        }
    }

    /// Takes note of the hint on the answer to exchange number `exchange` (from 1). `max=M` there
    /// allows `exchange − 1 + M` in all; of several such values the smallest holds. The latest
    /// `timeout` holds.
    pub(crate) fn note_hint(&mut self, hint: KeepAlive, exchange: u64) {
        let Some(margin) = self.hint_margin else {
            return;
        };
        if let Some(max) = hint.max {
            self.allowed = self.allowed.min((exchange - 1).saturating_add(max));
        }
        if let Some(timeout) = hint.timeout {
            self.idle_hint = Some(timeout.saturating_sub(margin));
        }
    }

    /// Exchanges that it may carry in all.
    pub(crate) const fn allowed(&self) -> u64 {
        self.allowed
    }

    /// When it is retired.
    #[cfg(feature = "http2")]
    pub(crate) const fn retire_at(&self) -> Option<Instant> {
        self.retire_at
    }

    /// Why a connection that has carried `exchanges` is not used again, if it is not.
    pub(crate) fn over(&self, exchanges: u64, now: Instant) -> Option<CloseReason> {
        if exchanges >= self.allowed {
            Some(CloseReason::MaxRequests)
        } else if self.retire_at.is_some_and(|at| at <= now) {
            Some(CloseReason::Lifetime)
        } else if self.idle_hint == Some(Duration::ZERO) {
            Some(CloseReason::KeepAliveHint)
        } else {
            None
        }
    }

    /// When a connection that becomes idle now is given up.
    pub(crate) fn expiry(&self, now: Instant) -> Option<Expiry> {
        let retired = self.retire_at.map(|at| Expiry {
            at,
            reason: CloseReason::Lifetime,
        });
        earlier(
            after(now, self.idle_hint, CloseReason::KeepAliveHint),
            retired,
        )
    }
}

/// A number from 0 to 1 out of random bits.
#[expect(clippy::cast_precision_loss, reason = "any fraction will do")]
fn fraction(bits: u64) -> f64 {
    bits as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn span(settings: LifeSettings) -> (Lifespan, Instant) {
        let now = Instant::now();
        (Lifespan::begin(&settings, now, 1), now)
    }

    #[test]
    fn hints_are_seconds_less_a_margin_and_a_count_of_further_exchanges() {
        let (mut span, now) = span(LifeSettings::default());
        span.note_hint(
            KeepAlive {
                timeout: Some(seconds(5)),
                max: Some(3),
            },
            1,
        );
        let expiry = span.expiry(now).unwrap();
        assert_eq!(
            (expiry.at - now, expiry.reason),
            (seconds(4), CloseReason::KeepAliveHint)
        );
        assert_eq!(span.over(2, now), None);
        assert_eq!(span.over(3, now), Some(CloseReason::MaxRequests));
        // The server counts down; it comes to the same.
        span.note_hint(
            KeepAlive {
                timeout: None,
                max: Some(2),
            },
            2,
        );
        assert_eq!(span.over(2, now), None);
        assert_eq!(span.over(3, now), Some(CloseReason::MaxRequests));
        // It lies: the smallest holds.
        span.note_hint(
            KeepAlive {
                timeout: None,
                max: Some(1_000_000_000_000),
            },
            2,
        );
        assert_eq!(span.over(3, now), Some(CloseReason::MaxRequests));
        span.note_hint(
            KeepAlive {
                timeout: None,
                max: Some(0),
            },
            3,
        );
        assert_eq!(span.over(2, now), Some(CloseReason::MaxRequests));
    }

    #[test]
    fn short_hints_keep_a_connection_out_of_the_pool() {
        for (timeout, expected) in [
            (0, Some(CloseReason::KeepAliveHint)),
            (1, Some(CloseReason::KeepAliveHint)),
            (2, None),
            (1_000_000_000_000, None),
        ] {
            let (mut span, now) = span(LifeSettings::default());
            span.note_hint(
                KeepAlive {
                    timeout: Some(seconds(timeout)),
                    max: None,
                },
                1,
            );
            assert_eq!(span.over(1, now), expected, "timeout={timeout}");
        }
    }

    #[test]
    fn the_lifetime_is_shortened_by_the_jitter_at_most() {
        let settings = LifeSettings {
            lifetime: Some(seconds(100)),
            jitter: 0.2,
            ..LifeSettings::default()
        };
        for _ in 0..100 {
            let (span, now) = span(settings);
            let at = span.expiry(now).unwrap().at - now;
            assert!(at >= seconds(80) && at <= seconds(100), "{at:?}");
            assert_eq!(span.over(1, now + seconds(79)), None);
            assert_eq!(
                span.over(1, now + seconds(100)),
                Some(CloseReason::Lifetime)
            );
        }
    }
}
