//! When connections are asked again, and what the answers say about the idle timeout.
//!
//! Pure: durations in, durations out. A connection that is watched shows the server's close to the
//! millisecond, so most of the work is to wait; the others are asked again after geometric waits,
//! because a server, or a firewall before it, may forget a connection without a word.

use std::time::Duration;

use super::wire::Close;

/// Waits shorter than this tell nothing that the answer before did not.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Once the first connection has closed, the others are given so long to close as well; then it is
/// known where the edge is.
pub(crate) const SPREAD_PATIENCE: Duration = Duration::from_millis(1500);

/// A second set of connections is opened this long after the first, so that the edge can be looked
/// at closely when the first set has shown where it is. It bounds what a long timeout costs.
pub(crate) const SECOND_SET: Duration = Duration::from_secs(5);

/// What a connection did after it had been idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Observation {
    /// The server ended it.
    Closed {
        /// It began to be idle so long after the measurement had begun.
        begun: Duration,
        /// After so long.
        after: Duration,
        close: Close,
        /// It may have been longer by up to this: the time that the answer took, somewhere in which
        /// the server began to wait.
        unsure: Duration,
    },
    /// It was asked again after so long, and answered.
    Answered(Duration),
    /// It was asked again after so long, nothing having been seen, and not answered.
    LostWhenAsked(Duration, Close),
    /// The same, and nothing at all came back.
    Silence(Duration),
}

/// `count` waits for the connections that are asked again, in geometric progression up to
/// `longest`.
pub(crate) fn geometric_waits(longest: Duration, count: u32) -> Vec<Duration> {
    if count == 0 {
        return Vec::new();
    }
    let (first, last) = (SHORTEST_WAIT.as_secs_f64(), longest.as_secs_f64());
    if last <= first || count == 1 {
        return vec![longest];
    }
    let ratio = (last / first).powf(1.0 / f64::from(count - 1));
    (0..count)
        .map(|place| Duration::from_secs_f64((first * ratio.powi(place as i32)).min(last)))
        .collect()
}

/// When the connections of the second set are asked again: around the edge, where a request may
/// meet the close on its way.
pub(crate) fn race_waits(edge: Edge, round_trip: Duration, count: u32) -> Vec<Duration> {
    let Edge { low, high, .. } = edge;
    let step = round_trip
        .max(Duration::from_millis(1))
        .max((high - low) / 4);
    // Two thirds of them before the first close that was seen.
    let first = low.saturating_sub(step * (count * 2 / 3));
    (0..count).map(|place| first + step * place).collect()
}

/// When the connections of the second set are asked again where the server forgets silently:
/// evenly between the last wait that was answered and the first that was not.
pub(crate) fn silent_waits(low: Duration, high: Duration, count: u32) -> Vec<Duration> {
    let step = high.saturating_sub(low) / (count + 1);
    (1..=count).map(|place| low + step * place).collect()
}

/// The idle timeout as it shows: the times at which idle connections ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    /// The lower quartile.
    pub(crate) middle: Duration,
    /// The shortest.
    pub(crate) low: Duration,
    /// The longest.
    pub(crate) high: Duration,
    /// How most of them ended.
    pub(crate) close: Ending,
    /// How many of them were seen to end.
    pub(crate) seen: usize,
}

/// How an idle connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// So that the client sees it.
    Seen(Close),
    /// Without a word: only a request shows it.
    Silent,
}

impl Ending {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Seen(close) => close.name(),
            Self::Silent => "silent",
        }
    }
}

/// Where the edge is, if any of `observations` shows one.
pub(crate) fn edge(observations: &[Observation]) -> Option<Edge> {
    let closes: Vec<_> = observations
        .iter()
        .filter_map(|observation| match *observation {
            Observation::Closed {
                after,
                close,
                unsure,
                ..
            } => Some((after, close, unsure)),
            _ => None,
        })
        .collect();
    let mut sure = sure_ones(&closes);
    sure.sort_unstable();
    let (Some(low), Some(high)) = (sure.first(), sure.last()) else {
        return silent_edge(observations);
    };
    let mut kinds: Vec<_> = closes.iter().map(|(_, close, _)| *close).collect();
    kinds.sort_unstable();
    Some(Edge {
        // What makes one of them late is the machine, so not the one in the middle.
        middle: sure[sure.len() / 4],
        low: *low,
        high: *high,
        close: Ending::Seen(kinds[kinds.len() / 2]),
        seen: closes.len(),
    })
}

/// The times of those of which it is known well when the wait began; of all, if they are few.
fn sure_ones(closes: &[(Duration, Close, Duration)]) -> Vec<Duration> {
    const FEW: usize = 3;
    let surest = closes.iter().map(|(_, _, unsure)| *unsure).min();
    let bound = surest.map_or(Duration::ZERO, |surest| {
        (surest * 3).max(Duration::from_millis(3))
    });
    let times = |is_wanted: fn(Duration, Duration) -> bool| -> Vec<Duration> {
        let wanted = closes
            .iter()
            .filter(|(_, _, unsure)| is_wanted(*unsure, bound));
        wanted.map(|(after, _, _)| *after).collect()
    };
    let sure = times(|unsure, bound| unsure <= bound);
    match sure.len() < FEW {
        true => times(|_, _| true),
        false => sure,
    }
}

/// Nobody was seen to close, but requests were lost: between the longest wait that was answered
/// and the shortest after it that was not.
fn silent_edge(observations: &[Observation]) -> Option<Edge> {
    let lost = observations
        .iter()
        .filter_map(|observation| match observation {
            Observation::LostWhenAsked(at, _) | Observation::Silence(at) => Some(*at),
            Observation::Closed { .. } | Observation::Answered(_) => None,
        });
    let high = lost.clone().min()?;
    let answered = observations
        .iter()
        .filter_map(|observation| match observation {
            Observation::Answered(at) if *at < high => Some(*at),
            _ => None,
        });
    let low = answered.max().unwrap_or_default();
    Some(Edge {
        middle: low + (high - low) / 2,
        low,
        high,
        close: Ending::Silent,
        seen: lost.count(),
    })
}

/// Whether all idle connections ended at the same moment, however long each had been idle, and a
/// busy one with them: then it was no timeout that ended them, but a server that was restarted, a way
/// that broke, or a machine that slept.
///
/// Of the busy connection: when it ended, since the measurement began, and the pause before that.
pub(crate) fn ended_together(observations: &[Observation], busy: (Duration, Duration)) -> bool {
    /// How exactly a moment can be seen.
    const MOMENT: Duration = Duration::from_millis(50);
    let closes = observations
        .iter()
        .filter_map(|observation| match *observation {
            Observation::Closed { begun, after, .. } => Some((begun, begun + after)),
            _ => None,
        });
    let spread = |times: &mut dyn Iterator<Item = Duration>| {
        let times: Vec<_> = times.collect();
        let (first, last) = (times.iter().min().copied(), times.iter().max().copied());
        first.zip(last)
    };
    let begun = spread(&mut closes.clone().map(|(begun, _)| begun));
    let ended = spread(&mut closes.map(|(_, ended)| ended));
    let (Some(begun), Some(ended)) = (begun, ended) else {
        return false;
    };
    // A busy connection may be told with the answer to its next request.
    let (busy_end, pause) = busy;
    let is_busy_too = busy_end + MOMENT >= ended.0 && busy_end <= ended.1 + pause + 2 * MOMENT;
    // A server that looks for idle connections now and then ends several of them at once too, but
    // not the busy one.
    let is_a_moment = 2 * (ended.1 - ended.0) + MOMENT / 2 <= begun.1 - begun.0;
    is_a_moment && is_busy_too
}

/// Requests that met the close on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Race {
    /// Requests sent around the edge, before a close was seen.
    pub(crate) asked: usize,
    /// Of these, those that were not answered.
    pub(crate) lost: usize,
    /// How long before and after the edge a request may be lost: from the first connection that
    /// ended to the last that lived, and the time that the news takes.
    pub(crate) window: Duration,
}

/// The race around `edge`.
pub(crate) fn race(observations: &[Observation], edge: Edge, round_trip: Duration) -> Race {
    let (mut asked, mut lost) = (0, 0);
    let (mut first_end, mut last_life) = (edge.low, edge.low);
    for observation in observations {
        match *observation {
            Observation::Closed { after: at, .. } => {
                first_end = first_end.min(at);
                last_life = last_life.max(at);
            }
            Observation::LostWhenAsked(at, _) | Observation::Silence(at) => {
                (asked, lost) = (asked + 1, lost + 1);
                first_end = first_end.min(at);
            }
            Observation::Answered(at) => {
                // Those far before the edge are no race.
                if at + (edge.high - edge.low) + round_trip + SHORTEST_WAIT >= edge.low {
                    asked += 1;
                }
                last_life = last_life.max(at);
            }
        }
    }
    Race {
        asked,
        lost,
        window: last_life.saturating_sub(first_end) + round_trip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn closed(after: u64, close: Close, unsure: u64) -> Observation {
        Observation::Closed {
            begun: Duration::ZERO,
            after: ms(after),
            close,
            unsure: ms(unsure),
        }
    }

    fn fin(at: u64) -> Observation {
        closed(at, Close::Fin, 0)
    }

    #[test]
    fn waits_grow_by_a_ratio_up_to_the_longest() {
        let waits = geometric_waits(ms(100_000), 4);
        let rounded: Vec<_> = waits.iter().map(|wait| wait.as_millis()).collect();
        assert_eq!(rounded, [100, 1000, 10_000, 100_000]);
        assert_eq!(geometric_waits(ms(50), 5), [ms(50)]);
        assert_eq!(geometric_waits(ms(5000), 1), [ms(5000)]);
        assert!(geometric_waits(ms(5000), 0).is_empty());
    }

    #[test]
    fn the_edge_is_the_lower_quartile_of_the_closes_and_their_spread() {
        let edge = edge(&[
            Observation::Answered(ms(100)),
            fin(3010),
            fin(3000),
            closed(3900, Close::Reset, 0),
            Observation::LostWhenAsked(ms(2999), Close::Reset),
        ]);
        let expected = Edge {
            middle: ms(3000),
            low: ms(3000),
            high: ms(3900),
            close: Ending::Seen(Close::Fin),
            seen: 3,
        };
        assert_eq!(edge, Some(expected));
    }

    #[test]
    fn those_that_began_who_knows_when_do_not_count() {
        let sure = [fin(3002), fin(3001), fin(3003), closed(3000, Close::Fin, 2)];
        let unsure = [closed(2900, Close::Fin, 110), closed(3200, Close::Fin, 50)];
        let edge = edge(&[&sure[..], &unsure].concat()).expect("it closed");
        assert_eq!(
            (edge.low, edge.middle, edge.high),
            (ms(3000), ms(3001), ms(3003))
        );
        assert_eq!(edge.seen, 6);
        // Where all are, all count.
        let edge = super::edge(&unsure).expect("it closed");
        assert_eq!((edge.low, edge.high), (ms(2900), ms(3200)));
    }

    #[test]
    fn what_is_forgotten_silently_lies_between_answered_and_lost() {
        let observations = [
            Observation::Answered(ms(1000)),
            Observation::Answered(ms(2000)),
            Observation::Silence(ms(4000)),
            Observation::Silence(ms(8000)),
        ];
        let edge = edge(&observations).expect("some were lost");
        assert_eq!((edge.low, edge.high), (ms(2000), ms(4000)));
        assert_eq!(edge.close, Ending::Silent);
        assert_eq!(
            silent_waits(edge.low, edge.high, 3),
            [ms(2500), ms(3000), ms(3500)]
        );
    }

    #[test]
    fn nothing_that_ended_is_no_edge() {
        assert_eq!(edge(&[]), None);
        assert_eq!(edge(&[Observation::Answered(ms(80_000))]), None);
    }

    #[test]
    fn what_ends_at_the_same_moment_is_no_timeout_if_a_busy_connection_ends_too() {
        let at = |begun, after| Observation::Closed {
            begun: ms(begun),
            after: ms(after),
            close: Close::Fin,
            unsure: Duration::ZERO,
        };
        let restart = [at(0, 7000), at(200, 6800), at(5000, 2001)];
        let timeout = [at(0, 7000), at(200, 7000), at(5000, 7001)];
        for (observations, busy, is_together) in [
            (&restart[..], (ms(7010), ms(1000)), true),
            (&restart, (ms(7900), ms(1000)), true),
            // Looked for every now and then.
            (&restart, (ms(3000), ms(1000)), false),
            (&restart, (ms(12_000), ms(1000)), false),
            (&timeout, (ms(7010), ms(1000)), false),
            (&[at(0, 7000)], (ms(7000), ms(1000)), false),
            (&[], (ms(7000), ms(1000)), false),
        ] {
            assert_eq!(ended_together(observations, busy), is_together, "{busy:?}");
        }
    }

    #[test]
    fn the_edge_is_asked_at_from_before_to_after() {
        let near = edge(&[fin(3000), fin(3000)]).expect("it closed");
        let waits = race_waits(near, ms(1), 6);
        assert_eq!(waits, [2996, 2997, 2998, 2999, 3000, 3001].map(ms));
        let wide = edge(&[fin(2000), fin(3000)]).expect("it closed");
        assert_eq!(
            race_waits(wide, ms(1), 6),
            [1000, 1250, 1500, 1750, 2000, 2250].map(ms)
        );
    }

    #[test]
    fn the_race_reaches_from_the_first_end_to_the_last_life() {
        let observations = [
            fin(3000),
            fin(3003),
            Observation::Answered(ms(200)),
            Observation::Answered(ms(2999)),
            Observation::LostWhenAsked(ms(2998), Close::Reset),
        ];
        let edge = edge(&observations).expect("it closed");
        let race = race(&observations, edge, ms(2));
        assert_eq!((race.asked, race.lost), (2, 1));
        assert_eq!(race.window, ms(5 + 2));
    }
}
