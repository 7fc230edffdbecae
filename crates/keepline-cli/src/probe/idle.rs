//! Measures the idle timeout: opens connections, lets them be idle, and looks at what happens.
//!
//! All connections of the first set wait at the same time, so that the whole costs little more than
//! the timeout itself. The second set is opened a little later, and asked again around the edge that
//! the first has shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

use super::schedule::{self, Edge, Ending, Observation, Race, SECOND_SET, SPREAD_PATIENCE};
use super::target::Target;
use super::wire::{Lost, Watched, Wire};

/// A request needs so long at the end of the budget to show whether its connection lives.
const LAST_ASK: Duration = Duration::from_secs(3);

/// Connections of the first set are opened so long after each other: what delays one of them on a
/// busy machine does not delay all.
const STAGGER: Duration = Duration::from_millis(15);

/// How many connections are watched and asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    /// Watched until they end.
    pub(crate) watched: u32,
    /// Asked again after geometric waits.
    pub(crate) asked: u32,
    /// Asked again around the edge.
    pub(crate) around: u32,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Idle {
    /// When it began.
    pub(crate) started: Instant,
    pub(crate) observations: Vec<Observation>,
    pub(crate) edge: Option<Edge>,
    pub(crate) race: Option<Race>,
    /// The longest wait after which a connection was alive.
    pub(crate) alive_after: Duration,
    /// Connections of the first set that were still idle when the others had ended and those that were
    /// late had had their time.
    pub(crate) lived_on: usize,
}

/// The waits of the second set, once they are known.
type Waits = Option<Arc<[Duration]>>;

/// Measures until `end` at the latest; `seen` hears each observation.
pub(crate) async fn measure(
    target: &Arc<Target>,
    scale: Scale,
    end: Instant,
    round_trip: Duration,
    mut seen: impl FnMut(Observation),
) -> Idle {
    let started = Instant::now();
    let longest = end
        .saturating_duration_since(started)
        .saturating_sub(LAST_ASK);
    let mut first = JoinSet::new();
    let watched = std::iter::repeat_n(longest, scale.watched as usize);
    let waits = watched.chain(schedule::geometric_waits(longest, scale.asked));
    for (place, wait) in (0..).zip(waits) {
        let begin = started + STAGGER * place;
        first.spawn(observe(Arc::clone(target), started, begin, wait, end));
    }
    let (tell_waits, waits) = watch::channel::<Waits>(None);
    let mut second = JoinSet::new();
    for place in 0..scale.around as usize {
        let (target, waits) = (Arc::clone(target), waits.clone());
        second.spawn(around(target, started, place, waits, end));
    }
    let mut observations = gather(&mut first, end, &mut seen).await;
    let has_had_its_time = Instant::now() < end;
    let lived_on = if has_had_its_time { first.len() } else { 0 };
    if let Some(edge) = schedule::edge(&observations) {
        let waits = match edge.close {
            Ending::Seen(_) => schedule::race_waits(edge, round_trip, scale.around),
            Ending::Silent => schedule::silent_waits(edge.low, edge.high, scale.around),
        };
        tell_waits.send_replace(Some(waits.into()));
        while let Ok(Some(ended)) = timeout_at(end.into(), second.join_next()).await {
            if let Ok(Some(observation)) = ended {
                seen(observation);
                observations.push(observation);
            }
        }
    }
    conclude((started, lived_on), observations, round_trip)
}

fn conclude(
    (started, lived_on): (Instant, usize),
    observations: Vec<Observation>,
    round_trip: Duration,
) -> Idle {
    let edge = schedule::edge(&observations);
    let is_seen = edge.is_some_and(|edge| edge.close != Ending::Silent);
    let lives = observations.iter().map(|observation| match *observation {
        Observation::Answered(at) | Observation::Closed { after: at, .. } => at,
        Observation::LostWhenAsked(..) | Observation::Silence(_) => Duration::ZERO,
    });
    Idle {
        started,
        // Without a close that was seen, there is none to be late for.
        lived_on: if is_seen { lived_on } else { 0 },
        alive_after: lives.max().unwrap_or_default(),
        race: edge
            .filter(|edge| edge.close != Ending::Silent)
            .map(|edge| schedule::race(&observations, edge, round_trip)),
        edge,
        observations,
    }
}

/// Waits for the connections, but not for long after the first of them has ended.
async fn gather(
    set: &mut JoinSet<Option<Observation>>,
    end: Instant,
    seen: &mut impl FnMut(Observation),
) -> Vec<Observation> {
    let (mut observations, mut end) = (Vec::new(), end);
    while let Ok(Some(ended)) = timeout_at(end.into(), set.join_next()).await {
        let Ok(Some(observation)) = ended else {
            continue;
        };
        seen(observation);
        observations.push(observation);
        if !matches!(observation, Observation::Answered(_)) {
            end = end.min(Instant::now() + SPREAD_PATIENCE);
        }
    }
    observations
}

/// Asks once, waits, and asks again if nothing has happened.
async fn observe(
    target: Arc<Target>,
    started: Instant,
    begin: Instant,
    wait: Duration,
    end: Instant,
) -> Option<Observation> {
    sleep_until(begin.into()).await;
    let mut wire = target.open().await.ok()?;
    let begun = begin_to_wait(&mut wire, started).await?;
    look(&mut wire, begun, begun.since + wait, end).await
}

/// The same for a connection of the second set, whose wait becomes known later.
async fn around(
    target: Arc<Target>,
    started: Instant,
    place: usize,
    mut waits: watch::Receiver<Waits>,
    end: Instant,
) -> Option<Observation> {
    tokio::select! {
        () = sleep_until((started + SECOND_SET).into()) => {}
        known = waits.wait_for(Option::is_some) => drop(known.ok()?),
    }
    let mut wire = target.open().await.ok()?;
    let begun = begin_to_wait(&mut wire, started).await?;
    let wait = tokio::select! {
        biased;
        watched = wire.watch(end) => return closed(watched, begun),
        known = waits.wait_for(Option::is_some) => *known.ok()?.as_ref()?.get(place)?,
    };
    look(&mut wire, begun, begun.since + wait, end).await
}

async fn look(wire: &mut Wire, begun: Begun, until: Instant, end: Instant) -> Option<Observation> {
    let watched = wire.watch(until).await;
    if watched != Watched::Quiet {
        return closed(watched, begun);
    }
    let asked = Instant::now();
    let waited = asked.duration_since(begun.since);
    Some(match timeout_at(end.into(), wire.get()).await {
        Ok(Ok(_)) => Observation::Answered(waited),
        Ok(Err(Lost::Closed(close))) => Observation::LostWhenAsked(waited, close),
        Ok(Err(Lost::Silence | Lost::Unfinished | Lost::Malformed)) | Err(_) => {
            Observation::Silence(waited)
        }
    })
}

fn closed(watched: Watched, begun: Begun) -> Option<Observation> {
    match watched {
        Watched::Closed(close, at) => Some(Observation::Closed {
            begun: begun.since.duration_since(begun.started),
            after: at.duration_since(begun.since),
            close,
            unsure: begun.unsure,
        }),
        Watched::Quiet => None,
    }
}

/// When a connection began to be idle: at the end of the answer, as far as that was read in time.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// When the measurement began.
    started: Instant,
    since: Instant,
    unsure: Duration,
}

/// `None` also where the answer says close: the end that follows is none of an idle connection.
async fn begin_to_wait(wire: &mut Wire, started: Instant) -> Option<Begun> {
    let asked = Instant::now();
    let answer = wire.get().await.ok().filter(|answer| !answer.says_close)?;
    let since = answer.ended;
    Some(Begun {
        started,
        since,
        unsure: since.duration_since(asked),
    })
}
