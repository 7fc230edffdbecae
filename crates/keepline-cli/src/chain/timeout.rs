//! For how long an idle connection is kept, and whether two sides agree about it.
//!
//! Pure. The rule: a server has to keep an idle connection for as long as its client may reuse it,
//! and for a round trip and a margin longer: a second or a tenth of the client's time, whichever is
//! more, but never more than half of it. A server that closes earlier, or at the same time, meets
//! requests on their way: the client sees a reset, and a balancer says 502.

use std::fmt;
use std::time::Duration;

use crate::human::Time;

/// For how long a side keeps an idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// It closes after this.
    After(Duration),
    /// It closes after something between the two: that depends on its version, or on its load.
    Between(Duration, Duration),
    /// It was alive after this; how much longer it keeps one was not measured.
    AtLeast(Duration),
    /// It has no such timer.
    Never,
}

impl Timeout {
    /// What it is at the worst as a client: of a range, the end.
    pub(crate) const fn at_the_longest(self) -> Self {
        match self {
            Self::Between(_, to) => Self::After(to),
            other => other,
        }
    }

    /// What it is at the worst as a server: of a range, the beginning.
    pub(crate) const fn at_the_shortest(self) -> Self {
        match self {
            Self::Between(from, _) => Self::After(from),
            other => other,
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What was measured is not exact to the millisecond.
            Self::After(time) => {
                let near = Duration::from_millis(5);
                let later = *time + near;
                match later.subsec_nanos() <= 2 * near.subsec_nanos() && later.as_secs() < 600 {
                    true => write!(f, "{} s", later.as_secs()),
                    false => Time(*time).fmt(f),
                }
            }
            Self::Between(from, to) => write!(f, "{} to {}", Self::After(*from), Self::After(*to)),
            Self::AtLeast(time) => write!(f, "more than {}", Self::After(*time)),
            Self::Never => f.write_str("for ever"),
        }
    }
}

/// What two neighbours' timeouts mean for the connections between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server outlives its client.
    Holds,
    /// The server closes before its client stops reusing, by this much; `None`: the client never
    /// stops.
    Inverted { by: Option<Duration> },
    /// The server outlives its client, but by less than the margin.
    TooClose { spare: Duration, needed: Duration },
    /// One of the two is not known.
    Unknown,
}

impl Verdict {
    /// Requests may be lost.
    pub(crate) const fn is_at_fault(self) -> bool {
        match self {
            Self::Inverted { .. } | Self::TooClose { .. } => true,
            Self::Holds | Self::Unknown => false,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Inverted { .. } => "inverted",
            Self::TooClose { .. } => "too-close",
            Self::Unknown => "unknown",
        }
    }
}

/// By how much a server has to outlive a client that keeps idle connections for `client`.
pub(crate) fn margin(client: Duration, round_trip: Duration) -> Duration {
    (client / 10).max(Duration::from_secs(1).min(client / 2)) + round_trip
}

/// Compares the time for which `client` may reuse a connection with that for which `server` keeps
/// it.
pub(crate) fn check(
    client: Option<Timeout>,
    server: Option<Timeout>,
    round_trip: Duration,
) -> Verdict {
    match (client, server) {
        (_, Some(Timeout::Never)) => Verdict::Holds,
        (None | Some(Timeout::AtLeast(_)), _)
        | (_, None)
        | (Some(Timeout::Never), Some(Timeout::AtLeast(_))) => Verdict::Unknown,
        (
            Some(Timeout::After(client) | Timeout::Between(_, client)),
            Some(Timeout::AtLeast(server)),
        ) => match server >= client + margin(client, round_trip) {
            true => Verdict::Holds,
            false => Verdict::Unknown,
        },
        (Some(Timeout::Never), Some(Timeout::After(_) | Timeout::Between(..))) => {
            Verdict::Inverted { by: None }
        }
        (
            Some(Timeout::After(client) | Timeout::Between(_, client)),
            Some(Timeout::After(server) | Timeout::Between(server, _)),
        ) => {
            let needed = margin(client, round_trip);
            match server.checked_sub(client) {
                None => Verdict::Inverted {
                    by: Some(client - server),
                },
                // What is measured misses a round figure by a millisecond now and then.
                Some(spare) if spare < needed - needed / 100 => Verdict::TooClose { spare, needed },
                Some(_) => Verdict::Holds,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_written_so_also_where_they_were_measured() {
        for (ms, text) in [
            (6000, "6 s"),
            (5996, "6 s"),
            (6004, "6 s"),
            (6020, "6.02s"),
            (250, "250ms"),
            (600_000, "10m00s"),
        ] {
            let time = Timeout::After(Duration::from_millis(ms));
            assert_eq!(time.to_string(), text);
        }
        let range = Timeout::Between(Duration::from_secs(15), Duration::from_secs(40));
        assert_eq!(range.to_string(), "15 s to 40 s");
    }

    #[test]
    fn a_server_has_to_outlive_its_client_by_the_margin() {
        let after = |seconds| Some(Timeout::After(Duration::from_secs_f64(seconds)));
        let at_least = |seconds| Some(Timeout::AtLeast(Duration::from_secs_f64(seconds)));
        let between = |from, to| {
            let seconds = Duration::from_secs_f64;
            Some(Timeout::Between(seconds(from), seconds(to)))
        };
        let never = Some(Timeout::Never);
        let s = Duration::from_secs;
        for (client, server, verdict) in [
            (after(60.0), after(66.0), Verdict::Holds),
            (after(4.0), after(5.0), Verdict::Holds),
            (after(0.12), after(0.25), Verdict::Holds),
            (after(90.0), never, Verdict::Holds),
            (never, never, Verdict::Holds),
            (None, never, Verdict::Holds),
            (
                after(60.0),
                after(5.0),
                Verdict::Inverted { by: Some(s(55)) },
            ),
            (never, after(5.0), Verdict::Inverted { by: None }),
            (
                after(60.0),
                after(60.0),
                Verdict::TooClose {
                    spare: s(0),
                    needed: s(6),
                },
            ),
            (
                after(60.0),
                after(65.0),
                Verdict::TooClose {
                    spare: s(5),
                    needed: s(6),
                },
            ),
            (after(5.0), after(5.9996), Verdict::Holds),
            (between(15.0, 40.0), after(44.0), Verdict::Holds),
            (
                between(15.0, 40.0),
                between(5.0, 6.0),
                Verdict::Inverted { by: Some(s(35)) },
            ),
            (after(60.0), at_least(86.0), Verdict::Holds),
            (after(90.0), at_least(86.0), Verdict::Unknown),
            (never, at_least(86.0), Verdict::Unknown),
            (None, after(5.0), Verdict::Unknown),
            (after(5.0), None, Verdict::Unknown),
        ] {
            let found = check(client, server, Duration::ZERO);
            assert_eq!(found, verdict, "{client:?} {server:?}");
        }
        let far = check(after(4.0), after(5.0), Duration::from_millis(200));
        assert_eq!(far.name(), "too-close");
    }
}
