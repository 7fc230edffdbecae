//! Whether a server bears pipelining: what its connections have shown, remembered for each key.
//!
//! RFC 9112 §9.3.2 allows a client to pipeline; servers that drop what they have read ahead, close,
//! or answer nonsense are why browsers gave it up. So a server has to show that it bears it, and
//! may lose that trust:
//!
//! - A new server gets its first request alone. Its answer shows whether the connection persists.
//! - Then one request is sent behind another. When the second one is answered too, the server
//!   bears pipelining ([`Verdict::Bears`]). If that takes longer than the patience of a trial, it
//!   does not, for it may have thrown the request away.
//! - HTTP/1.0, or bytes that are no answer, while requests were pipelined: it does not bear it.
//! - A connection that the server closed before it answered any request that had been sent behind
//!   another is a strike; two of them without such an answer between: it does not bear it.
//! - [`Verdict::Refuses`] holds for ten minutes, then the server is tried again.
//!
//! Answers that come in the wrong order cannot be told from others: HTTP/1.1 gives them no number.
//! This is one reason why pipelining is off unless it is asked for.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// A server that does not bear pipelining is tried again after so long.
const REFUSES_FOR: Duration = Duration::from_secs(600);
/// So many strikes make a refusal.
const MOST_STRIKES: u8 = 2;

/// What is known of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing certain.
    Unknown { strikes: u8 },
    /// It has answered a request that was sent behind another.
    Bears { strikes: u8 },
    /// It does not bear pipelining, as was seen then.
    Refuses { since: Instant },
}

/// What a connection that ended has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) cause: Cause,
    /// Answers to requests that had been sent behind another one.
    pub(super) borne: u64,
    /// All answers.
    pub(super) answered: u64,
    /// Requests that were sent and not answered.
    pub(super) unanswered: usize,
    /// Requests that were still to be sent.
    pub(super) unsent: usize,
    /// It had been idle in the pool when it was taken: the server may have closed it then.
    pub(super) was_pooled: bool,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// This side wanted it so: a limit, a deadline, a cancellation.
    Ours,
    /// The server closed it, or said that it would.
    Closed,
    /// The way to the server was lost, which is not the server's doing.
    Lost,
    /// The server sent what is no answer.
    Nonsense,
    /// The server speaks HTTP/1.0.
    OldVersion,
    /// A request that was sent behind another stayed without an answer for too long.
    Silence,
}

impl Default for Verdict {
    fn default() -> Self {
        Self::Unknown { strikes: 0 }
    }
}

impl Verdict {
    /// Nothing is pipelined now.
    pub(super) fn refuses(self, now: Instant) -> bool {
        match self {
            Self::Refuses { since } => now.saturating_duration_since(since) < REFUSES_FOR,
            Self::Unknown { .. } | Self::Bears { .. } => false,
        }
    }

    /// It has answered a request that was sent behind another.
    pub(super) const fn bore(&mut self) {
        *self = Self::Bears { strikes: 0 };
    }

    /// A connection has ended.
    pub(super) fn learn(&mut self, shown: &Shown, now: Instant) {
        if shown.borne > 0
            && let Self::Bears { strikes } = self
        {
            *strikes = 0;
        }
        let was_pipelined = shown.unanswered > 1 || shown.borne > 0;
        // It closes after each answer, and whoever waits for the next one waits in vain.
        let closes_always = shown.answered <= 1 && shown.unanswered + shown.unsent > 1;
        match shown.cause {
            Cause::OldVersion | Cause::Silence => *self = Self::Refuses { since: now },
            Cause::Nonsense if was_pipelined => *self = Self::Refuses { since: now },
            // The expected race (RFC 9112 §9.3.1), which tells nothing.
            Cause::Closed if shown.was_pooled && shown.answered == 0 => {}
            Cause::Closed if shown.borne == 0 && (was_pipelined || closes_always) => {
                self.strike(now);
            }
            Cause::Ours | Cause::Lost | Cause::Nonsense | Cause::Closed => {}
        }
    }

    fn strike(&mut self, now: Instant) {
        *self = match *self {
            Self::Unknown { strikes } | Self::Bears { strikes } if strikes + 1 >= MOST_STRIKES => {
                Self::Refuses { since: now }
            }
            Self::Unknown { strikes } => Self::Unknown {
                strikes: strikes + 1,
            },
            Self::Bears { strikes } => Self::Bears {
                strikes: strikes + 1,
            },
            // It has been tried again, and is as it was.
            Self::Refuses { .. } => Self::Refuses { since: now },
        };
    }
}

/// How freely requests are sent on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// One, until it is answered.
    Alone,
    /// One behind another, to see whether the server bears it.
    Trial,
    /// As many as the depth allows.
    Full,
}

impl Pace {
    /// On a new connection. After a cut pipeline "a client MUST NOT pipeline immediately after
    /// connection establishment" (RFC 9112 §9.3.2), whatever the server has borne.
    pub(super) const fn begin(verdict: Verdict, is_after_cut: bool) -> Self {
        match verdict {
            Verdict::Bears { .. } if !is_after_cut => Self::Full,
            Verdict::Bears { .. } | Verdict::Unknown { .. } | Verdict::Refuses { .. } => {
                Self::Alone
            }
        }
    }

    /// After an answer to a request, which had been sent behind another or not.
    #[must_use]
    pub(super) const fn after_answer(self, verdict: Verdict, was_behind: bool) -> Self {
        match (self, verdict) {
            (Self::Full, _) | (Self::Alone, Verdict::Bears { .. }) => Self::Full,
            (Self::Trial, _) if was_behind => Self::Full,
            (Self::Alone | Self::Trial, _) => Self::Trial,
        }
    }

    /// How many requests may be unanswered.
    pub(super) fn window(self, depth: usize) -> usize {
        match self {
            Self::Alone => 1,
            Self::Trial => depth.min(2),
            Self::Full => depth,
        }
    }
}

/// The verdicts on the keys that have no line now. Above its size the half that has been learned
/// first is forgotten: O(1) for each verdict in the long run.
#[derive(Debug)]
pub(super) struct Memory<K> {
    size: usize,
    verdicts: HashMap<K, (Verdict, u64)>,
    learned: u64,
}

impl<K: Eq + Hash + Clone> Memory<K> {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            verdicts: HashMap::new(),
            learned: 0,
        }
    }

    pub(super) fn recall(&self, key: &K) -> Verdict {
        self.verdicts
            .get(key)
            .map_or_else(Verdict::default, |x| x.0)
    }

    pub(super) fn keep(&mut self, key: &K, verdict: Verdict) {
        self.learned += 1;
        if verdict == Verdict::default() {
            self.verdicts.remove(key);
            return;
        }
        self.verdicts.insert(key.clone(), (verdict, self.learned));
        if self.verdicts.len() > self.size {
            let mut ages: Vec<u64> = self.verdicts.values().map(|x| x.1).collect();
            let middle = ages.len() / 2;
            let (_, median, _) = ages.select_nth_unstable(middle);
            let median = *median;
            self.verdicts.retain(|_, x| x.1 >= median);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: Shown = Shown {
        cause: Cause::Closed,
        borne: 0,
        answered: 1,
        unanswered: 3,
        unsent: 0,
        was_pooled: false,
    };

    /// What two such connections make of a server of which nothing is known.
    fn after(shown: Shown, times: usize) -> Verdict {
        let now = Instant::now();
        let mut verdict = Verdict::default();
        for _ in 0..times {
            verdict.learn(&shown, now);
        }
        match verdict {
            Verdict::Refuses { .. } => Verdict::Refuses { since: now },
            known => known,
        }
    }

    #[test]
    fn what_a_connection_has_shown() {
        let one = |cause| Shown { cause, ..CUT };
        let strike = |strikes| Verdict::Unknown { strikes };
        let is_refusal = |verdict| matches!(verdict, Verdict::Refuses { .. });
        // Once, or twice.
        assert_eq!(after(CUT, 1), strike(1));
        assert!(is_refusal(after(CUT, 2)));
        for cause in [Cause::Nonsense, Cause::OldVersion, Cause::Silence] {
            assert!(is_refusal(after(one(cause), 1)), "{cause:?}");
        }
        for (what, shown) in [
            ("ours", one(Cause::Ours)),
            ("the network's", one(Cause::Lost)),
            ("it bore some", Shown { borne: 1, ..CUT }),
            (
                "the race",
                Shown {
                    was_pooled: true,
                    answered: 0,
                    ..CUT
                },
            ),
            (
                "the last of all",
                Shown {
                    unanswered: 0,
                    ..CUT
                },
            ),
            (
                "one alone",
                Shown {
                    unanswered: 1,
                    ..CUT
                },
            ),
            (
                "after some",
                Shown {
                    answered: 2,
                    unanswered: 1,
                    unsent: 9,
                    ..CUT
                },
            ),
            (
                "nonsense alone",
                Shown {
                    unanswered: 1,
                    ..one(Cause::Nonsense)
                },
            ),
        ] {
            assert_eq!(after(shown, 5), strike(0), "{what}");
        }
        // A server that closes after each answer makes those wait that are to be sent.
        let closes = Shown {
            unanswered: 0,
            unsent: 2,
            ..CUT
        };
        assert!(is_refusal(after(closes, 2)));
    }

    #[test]
    fn an_answer_in_a_pipeline_forgives_strikes() {
        let now = Instant::now();
        let mut verdict = Verdict::default();
        for _ in 0..5 {
            verdict.learn(&CUT, now);
            verdict.bore();
        }
        assert_eq!(verdict, Verdict::Bears { strikes: 0 });
        verdict.learn(&CUT, now);
        verdict.learn(&CUT, now);
        assert!(verdict.refuses(now) && verdict.refuses(now + Duration::from_secs(599)));
        assert!(!verdict.refuses(now + Duration::from_secs(600)));
    }

    #[test]
    fn a_server_is_tried_before_it_is_trusted() {
        let unknown = Verdict::default();
        let bears = Verdict::Bears { strikes: 0 };
        let pace = Pace::begin(unknown, false);
        assert_eq!((pace, pace.window(16)), (Pace::Alone, 1));
        let pace = pace.after_answer(unknown, false);
        assert_eq!((pace, pace.window(16)), (Pace::Trial, 2));
        let pace = pace.after_answer(unknown, false);
        assert_eq!(pace, Pace::Trial);
        let pace = pace.after_answer(unknown, true);
        assert_eq!((pace, pace.window(16)), (Pace::Full, 16));
        // One that is trusted, on a new connection; and after a cut.
        assert_eq!(Pace::begin(bears, false), Pace::Full);
        let pace = Pace::begin(bears, true);
        assert_eq!(
            (pace, pace.after_answer(bears, false)),
            (Pace::Alone, Pace::Full)
        );
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut memory = Memory::new(100);
        for key in 0..1000 {
            memory.keep(&key, Verdict::Bears { strikes: 0 });
            assert!(memory.verdicts.len() <= 100);
            assert_eq!(memory.recall(&key), Verdict::Bears { strikes: 0 });
            assert_eq!(memory.recall(&(key - 101)), Verdict::default());
        }
        memory.keep(&999, Verdict::default());
        assert_eq!(memory.recall(&999), Verdict::default());
    }
}
