//! How many streams a session carries and may carry: pure accounting, the time an argument.
//!
//! Invariant: there are never more streams than the peer allows. Before its SETTINGS have come that
//! is one: whoever sends more at once has them refused (Go assumes 100).

use std::time::Duration;

use tokio::time::Instant;

use crate::CloseReason;

/// What is allowed until the peer's SETTINGS say more.
const BEFORE_SETTINGS: usize = 1;

/// The streams of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Streams {
    open: usize,
    started: u64,
    /// `None`: the peer has not said.
    limit: Option<usize>,
    /// Streams that it may carry in all.
    allowed: u64,
    /// No stream is started any more, for this reason.
    retiring: Option<CloseReason>,
    /// Since when there has been no stream.
    resting_since: Instant,
}

/// A stream that may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reserved {
    /// From 1, in the order in which they are started.
    pub(super) number: u64,
    /// How long the session had had no stream; `None` if it had one, or is new.
    pub(super) idle_for: Option<Duration>,
}

/// When something is to be done about a session that nothing happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) reason: CloseReason,
}

/// How long a session is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Without a stream.
    pub(super) idle_timeout: Option<Duration>,
    /// In all, and why; until then nothing is disturbed.
    pub(super) retires: Option<Due>,
    /// Whether sessions without a stream are kept at all.
    pub(super) keeps_idle: bool,
}

impl Streams {
    pub(super) const fn new(allowed: u64, now: Instant) -> Self {
        Self {
            open: 0,
            started: 0,
            limit: None,
            allowed,
            retiring: None,
            resting_since: now,
        }
    }

    /// Counts a stream, if one more is allowed.
    pub(super) fn reserve(&mut self, now: Instant) -> Option<Reserved> {
        if self.retiring.is_some() || self.open >= self.limit.unwrap_or(BEFORE_SETTINGS) {
            return None;
        }
        let rested = now.saturating_duration_since(self.resting_since);
        let idle_for = (self.open == 0 && self.started > 0).then_some(rested);
        self.open += 1;
        self.started += 1;
        if self.started >= self.allowed {
            self.retiring = Some(CloseReason::MaxRequests);
        }
        Some(Reserved {
            number: self.started,
            idle_for,
        })
    }

    /// A stream has ended.
    pub(super) const fn release(&mut self, now: Instant) {
        self.open -= 1;
        self.resting_since = now;
    }

    /// The peer allows so many at a time.
    pub(super) const fn settle(&mut self, limit: usize) {
        self.limit = Some(limit);
    }

    /// The peer has said how many it allows.
    pub(super) const fn is_settled(&self) -> bool {
        self.limit.is_some()
    }

    /// Starts no further stream. The first reason stays.
    pub(super) fn retire(&mut self, reason: CloseReason) {
        self.retiring.get_or_insert(reason);
    }

    /// Why no further stream is started, if none is.
    pub(super) const fn retiring(&self) -> Option<CloseReason> {
        self.retiring
    }

    /// No stream is open.
    pub(super) const fn is_resting(&self) -> bool {
        self.open == 0
    }

    /// Since when it has had no stream and could have one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.is_resting() && self.retiring.is_none();
        is_idle.then_some(self.resting_since)
    }

    /// Why it is to be closed now, or when next to ask.
    pub(super) fn due(&self, span: &Span, now: Instant) -> Result<Option<Due>, CloseReason> {
        if !self.is_resting() {
            return Ok(span.retires.filter(|_| self.retiring.is_none()));
        }
        if let Some(reason) = self.retiring {
            return Err(reason);
        }
        // A new session is given to whoever asked for it, and is no idle one before.
        if !span.keeps_idle && self.started > 0 {
            return Err(CloseReason::IdleLimit);
        }
        let idle = span
            .idle_timeout
            .and_then(|time| self.resting_since.checked_add(time));
        let idle = idle.map(|at| Due {
            at,
            reason: CloseReason::IdleTimeout,
        });
        let dues = [idle, span.retires].into_iter().flatten();
        let first = dues.min_by_key(|due| due.at);
        match first {
            Some(due) if due.at <= now => Err(due.reason),
            first => Ok(first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_stream_until_the_peer_has_spoken_and_then_as_many_as_it_says() {
        let now = Instant::now();
        let mut streams = Streams::new(u64::MAX, now);
        assert_eq!(
            streams.reserve(now).map(|x| (x.number, x.idle_for)),
            Some((1, None))
        );
        assert_eq!(streams.reserve(now), None);
        streams.settle(3);
        assert!(streams.reserve(now).is_some() && streams.reserve(now).is_some());
        assert_eq!(streams.reserve(now), None);
        // It takes some back: what is open stays, nothing new starts.
        streams.settle(1);
        streams.release(now);
        streams.release(now);
        assert_eq!(streams.reserve(now), None);
        assert!(!streams.is_resting());
        streams.release(now);
        assert!(streams.is_resting());
        let again = streams.reserve(now + SECOND).unwrap();
        assert_eq!((again.number, again.idle_for), (4, Some(SECOND)));
        streams.settle(0);
        streams.release(now);
        assert_eq!(streams.reserve(now), None);
    }

    #[test]
    fn whatever_retires_a_session_leaves_its_streams_alone() {
        let now = Instant::now();
        let mut streams = Streams::new(2, now);
        streams.settle(10);
        let span = Span {
            idle_timeout: Some(SECOND),
            retires: None,
            keeps_idle: true,
        };
        assert!(streams.reserve(now).is_some() && streams.reserve(now).is_some());
        assert_eq!(streams.reserve(now), None, "two were allowed");
        streams.retire(CloseReason::Lifetime);
        assert_eq!(streams.due(&span, now + 9 * SECOND), Ok(None));
        streams.release(now);
        streams.release(now);
        assert_eq!(streams.due(&span, now), Err(CloseReason::MaxRequests));
    }

    #[test]
    fn a_session_without_streams_ends_by_what_comes_first() {
        let now = Instant::now();
        let streams = Streams::new(u64::MAX, now);
        let span = |idle: u32, life: u32| Span {
            idle_timeout: Some(idle * SECOND),
            retires: Some(Due {
                at: now + life * SECOND,
                reason: CloseReason::Lifetime,
            }),
            keeps_idle: true,
        };
        for (span, after, expected) in [
            (span(5, 9), 0, Ok(Some((5, CloseReason::IdleTimeout)))),
            (span(9, 5), 0, Ok(Some((5, CloseReason::Lifetime)))),
            (span(5, 9), 5, Err(CloseReason::IdleTimeout)),
            (span(9, 5), 6, Err(CloseReason::Lifetime)),
        ] {
            let due = streams.due(&span, now + after * SECOND);
            let due = due.map(|due| due.map(|due| ((due.at - now).as_secs(), due.reason)));
            assert_eq!(due, expected);
        }
        let mut used = streams;
        used.reserve(now);
        used.release(now);
        let keeps_none = Span {
            keeps_idle: false,
            ..span(5, 9)
        };
        assert_eq!(used.due(&keeps_none, now), Err(CloseReason::IdleLimit));
    }
}
