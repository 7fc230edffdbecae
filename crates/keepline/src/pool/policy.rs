//! How much a pool keeps, for how long, and in which order it is used: settings, and the pure
//! functions that apply them to one connection.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::CloseReason;

/// The limits of a pool as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Idle connections over all keys. Above it the one that has been idle longest is closed.
    pub(crate) idle: usize,
    /// Connections over all keys: dialling, busy and idle.
    pub(crate) connections: Option<usize>,
    /// Keys without any connection of which something is remembered.
    pub(crate) remembered_keys: usize,
    /// Those of each key, unless it has its own.
    pub(crate) per_key: KeyLimits,
}

/// The limits of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyLimits {
    /// Idle connections. Above it the oldest is closed.
    pub(crate) idle: usize,
    /// Connections: dialling, busy and idle.
    pub(crate) connections: Option<usize>,
    /// Dials in progress at once.
    pub(crate) dials: usize,
    /// Connections that are kept ready, idle or being dialled, once the key has been used.
    pub(crate) min_idle: usize,
    /// A connection that has been idle for so long is closed.
    pub(crate) idle_timeout: Option<Duration>,
    /// Which idle connection is used first.
    pub(crate) order: IdleOrder,
    /// What a request does that finds no idle connection.
    pub(crate) on_miss: OnMiss,
    /// Whether idle limits are learned from the server's closes.
    pub(crate) learns: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: 100,
            connections: None,
            remembered_keys: 10_000,
            per_key: KeyLimits::default(),
        }
    }
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self {
            idle: 100,
            connections: None,
            dials: 64,
            min_idle: 0,
            idle_timeout: Some(Duration::from_secs(90)),
            order: IdleOrder::default(),
            on_miss: OnMiss::default(),
            learns: true,
        }
    }
}

/// Which idle connection is used first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum IdleOrder {
    /// The one that came back last: its state is the warmest and its idle time the shortest, and
    /// those that are not needed age out. As Go and nginx.
    #[default]
    Lifo,
    /// The one that has been idle longest: use is spread over all, and none ages out.
    Fifo,
    /// Of those to the address with the fewest connections in use, the one that came back last: the
    /// servers behind a name get equal shares, also one that has just been added. For a name with a
    /// few addresses; each choice looks at all of them.
    LeastUsed,
}

/// What a request does that finds no idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnMiss {
    /// Dials at once, and takes what comes first: the new connection or one that comes back. As
    /// Go, except that a dial whose request was served by what came back is left to the next
    /// request, which dials itself only if that takes more than 300 ms (the delay of RFC 8305 §5):
    /// so no more connections are opened than there are requests at a time.
    #[default]
    Race,
    /// Waits so long for a connection that comes back, if any of the key is busy, then dials.
    Wait(Duration),
    /// Dials, and takes only that.
    DialOnly,
}

/// The time, by two clocks. A suspended machine stops the first and not the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

impl Now {
    /// The clocks, read. Only who asks the pool, and its shell, do.
    pub(crate) fn read() -> Self {
        Self {
            instant: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// The time at a later instant, if the machine has not slept meanwhile. If it has, the wall clock
    /// is behind, and what has been idle since then seems to have been idle for longer: which is safe.
    /// (A clock costs as much as taking a connection out of the pool.)
    pub(crate) fn later(self, instant: Instant) -> Self {
        let elapsed = instant.saturating_duration_since(self.instant);
        Self {
            instant,
            wall: self.wall.checked_add(elapsed).unwrap_or(self.wall),
        }
    }
}

/// When an idle connection is given up, and why then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) at: Instant,
    pub(crate) reason: CloseReason,
}

/// The earlier of two expiries.
pub(crate) fn earlier(one: Option<Expiry>, other: Option<Expiry>) -> Option<Expiry> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.at < one.at { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// An expiry so long after `from`; none where that is too far to tell.
pub(crate) fn after(from: Instant, time: Option<Duration>, reason: CloseReason) -> Option<Expiry> {
    from.checked_add(time?).map(|at| Expiry { at, reason })
}

/// Whether a connection that has been idle since `since` is to be given up now. The wall clock
/// counts too: a machine that slept for an hour finds its connections dead, though its monotonic
/// clock says that no time has passed.
pub(crate) fn has_expired(since: Now, expiry: Option<Expiry>, now: Now) -> bool {
    let Some(expiry) = expiry else { return false };
    let allowed = expiry.at.saturating_duration_since(since.instant);
    let by_wall = now.wall.duration_since(since.wall).unwrap_or_default();
    expiry.at <= now.instant || by_wall >= allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspended_machine_finds_its_connections_expired() {
        let since = Now::read();
        let seconds = Duration::from_secs;
        let expiry = after(since.instant, Some(seconds(90)), CloseReason::IdleTimeout);
        let later = |by_monotonic, by_wall| Now {
            instant: since.instant + seconds(by_monotonic),
            wall: since.wall + seconds(by_wall),
        };
        assert!(!has_expired(since, expiry, later(89, 89)));
        assert!(has_expired(since, expiry, later(90, 90)));
        // Asleep for an hour.
        assert!(has_expired(since, expiry, later(1, 3600)));
        // Asleep for an hour before it became idle, unnoticed.
        assert!(has_expired(
            since.later(since.instant + seconds(1)),
            expiry,
            later(2, 3602)
        ));
        assert!(!has_expired(
            since.later(since.instant + seconds(1)),
            expiry,
            later(89, 89)
        ));
        // The wall clock was set back.
        let set_back = Now {
            wall: since.wall - seconds(3600),
            ..later(89, 0)
        };
        assert!(!has_expired(since, expiry, set_back));
        assert!(!has_expired(since, None, later(1 << 20, 1 << 20)));
    }

    #[test]
    fn the_earlier_expiry_holds_and_tells_its_reason() {
        let now = Instant::now();
        let idle = after(now, Some(Duration::from_secs(90)), CloseReason::IdleTimeout);
        let hint = after(
            now,
            Some(Duration::from_secs(4)),
            CloseReason::KeepAliveHint,
        );
        assert_eq!(earlier(idle, hint), hint);
        assert_eq!(earlier(hint, idle), hint);
        assert_eq!(earlier(idle, None), idle);
        assert_eq!(earlier(None, None), None);
    }
}
