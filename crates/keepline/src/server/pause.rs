//! How long a connection at rest may stay there: a pure decision.

use std::time::Duration;

use tokio::time::Instant;

use super::registry::Phase;
use crate::CloseReason;

/// When the server is shut down, a connection that has never said anything may still send its
/// first request until it is this old: it has only just been accepted, and its client would have
/// to report a failure that no rule lets it retry (Go: the same).
const NEW_GRACE: Duration = Duration::from_secs(5);

/// What is known of a connection that waits for a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resting {
    /// It has never said anything.
    pub(super) is_new: bool,
    pub(super) opened: Instant,
    /// When it will have rested for too long.
    pub(super) rests_until: Option<Instant>,
    /// Before this nobody but its client may end its rest.
    pub(super) held_until: Option<Instant>,
    /// It makes room for another.
    pub(super) is_evicted: bool,
    pub(super) phase: Phase,
    /// When its turn to be closed comes in a shutdown.
    pub(super) turn: Option<Instant>,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// It may rest on; to be asked again then, if not before.
    Until(Option<Instant>),
    End(CloseReason),
}

/// What becomes of a connection that has nothing to do at `now`.
pub(super) fn pause(facts: &Resting, now: Instant) -> Pause {
    let has_come = |at: Option<Instant>| at.is_some_and(|at| now >= at);
    if facts.is_evicted {
        return Pause::End(CloseReason::IdleLimit);
    }
    let closes = match facts.phase {
        Phase::Running => None,
        Phase::Draining if facts.is_new => Some(facts.opened + NEW_GRACE),
        Phase::Draining => Some(facts.held_until.max(facts.turn).unwrap_or(now)),
        Phase::Aborting => Some(now),
    };
    if has_come(closes) {
        return Pause::End(CloseReason::Shutdown);
    }
    if has_come(facts.rests_until) {
        return Pause::End(match facts.phase {
            Phase::Draining | Phase::Aborting => CloseReason::Shutdown,
            Phase::Running if facts.is_new => CloseReason::Timeout,
            Phase::Running => CloseReason::IdleTimeout,
        });
    }
    // While it is held it cannot be told to make room; afterwards it can.
    let held = facts.held_until.filter(|&until| now < until);
    let next = [facts.rests_until, closes, held];
    Pause::Until(next.into_iter().flatten().min())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[expect(clippy::too_many_lines, reason = "a table")]
    async fn truth_table() {
        use CloseReason::{IdleLimit, IdleTimeout, Shutdown, Timeout};
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let idle = Resting {
            is_new: false,
            opened: start,
            rests_until: Some(at(75)),
            held_until: None,
            is_evicted: false,
            phase: Phase::Running,
            turn: None,
        };
        let new = Resting {
            is_new: true,
            rests_until: Some(at(10)),
            ..idle
        };
        let draining = |facts| Resting {
            phase: Phase::Draining,
            ..facts
        };
        let held = Resting {
            held_until: Some(at(8)),
            ..idle
        };
        let spread = Resting {
            turn: Some(at(12)),
            ..draining(held)
        };
        let until = |seconds| Pause::Until(Some(at(seconds)));
        let end = Pause::End;
        for (line, facts, now, expected) in [
            (1, idle, 7, until(75)),
            (2, idle, 75, end(IdleTimeout)),
            (3, new, 7, until(10)),
            (4, new, 10, end(Timeout)),
            (5, draining(idle), 7, end(Shutdown)),
            (6, draining(new), 3, until(5)),
            (7, draining(new), 5, end(Shutdown)),
            // Held: nobody but its client ends it, and it is looked at again when it may be.
            (8, held, 7, until(8)),
            (9, held, 8, until(75)),
            (10, draining(held), 7, until(8)),
            (11, draining(held), 8, end(Shutdown)),
            // Its turn comes later.
            (12, spread, 8, until(12)),
            (13, spread, 12, end(Shutdown)),
            (
                14,
                Resting {
                    is_evicted: true,
                    ..idle
                },
                7,
                end(IdleLimit),
            ),
            (
                15,
                Resting {
                    rests_until: None,
                    ..idle
                },
                7,
                Pause::Until(None),
            ),
            (
                16,
                Resting {
                    phase: Phase::Aborting,
                    ..spread
                },
                7,
                end(Shutdown),
            ),
        ] {
            assert_eq!(pause(&facts, at(now)), expected, "line {line}");
        }
    }
}
