//! Connections follow the addresses of their names.
//!
//! Off unless asked for. Then a name that has connections is resolved again when its answer no
//! longer holds, and connections to addresses that are gone retire: idle ones are closed, the others
//! finish what they do, sessions their streams. New connections go to the addresses that have the fewest.
//!
//! Invariants: a name is known only while it has connections, or was resolved a moment ago; an
//! error and an empty answer change nothing; one task watches a name, and ends with its runtime, its
//! Transport or its last connection.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;
use crate::CloseReason;
use crate::net::Resolved;

/// A name is not resolved more often, whatever its TTL.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// A resolver's own cache may still hold an answer when its time is just over.
const CACHE_MARGIN: Duration = Duration::from_millis(50);
/// A question that is not answered in this time is asked again later.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The names whose addresses are followed.
#[derive(Debug)]
pub(crate) struct Names {
    /// How long an answer holds that does not say so itself.
    interval: Duration,
    known: Mutex<HashMap<Box<str>, Name>>,
    /// Dropped with the Transport, which ends the watches.
    alive: watch::Sender<()>,
}

#[derive(Debug)]
struct Name {
    /// The newest answer, and when it was asked for.
    answer: Vec<IpAddr>,
    asked_at: Instant,
    /// The addresses of the answer, and others that still have connections.
    places: Vec<Arc<Place>>,
    /// When to resolve it again.
    due: Instant,
    is_watched: bool,
}

/// An address of a name.
#[derive(Debug)]
struct Place {
    address: IpAddr,
    connections: AtomicUsize,
    is_gone: AtomicBool,
}

/// A connection's stay at an address.
#[derive(Debug)]
pub(crate) struct Residence(Arc<Place>);

impl Residence {
    fn at(place: &Arc<Place>) -> Self {
        place.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(place))
    }

    /// The address is no longer one of the name: its connections retire.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.is_gone.load(Ordering::Relaxed)
    }
}

impl Drop for Residence {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is to be done about connections after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// All are where the name is.
    AllWell,
    /// Some are at addresses that are gone.
    SomeRetire,
}

impl Name {
    const fn new(now: Instant) -> Self {
        Self {
            answer: Vec::new(),
            asked_at: now,
            places: Vec::new(),
            due: now,
            is_watched: false,
        }
    }

    /// Takes note of an answer, which is not empty, unless there is one that was asked for later:
    /// who has connected at length comes with an old one.
    fn learn(&mut self, answer: &[IpAddr], asked_at: Instant, due: Instant) -> Verdict {
        if asked_at >= self.asked_at {
            self.asked_at = asked_at;
            self.due = due;
            self.answer = answer.to_vec();
            for place in &self.places {
                let is_gone = !answer.contains(&place.address);
                place.is_gone.store(is_gone, Ordering::Relaxed);
            }
        }
        self.places.retain(|place| {
            !place.is_gone.load(Ordering::Relaxed) || place.connections.load(Ordering::Relaxed) > 0
        });
        let is_gone = |place: &Arc<Place>| place.is_gone.load(Ordering::Relaxed);
        if self.places.iter().any(is_gone) {
            Verdict::SomeRetire
        } else {
            Verdict::AllWell
        }
    }

    fn place(&mut self, address: IpAddr) -> &Arc<Place> {
        let known = self
            .places
            .iter()
            .position(|place| place.address == address);
        let position = known.unwrap_or_else(|| {
            self.places.push(Arc::new(Place {
                address,
                connections: AtomicUsize::new(0),
                is_gone: AtomicBool::new(!self.answer.contains(&address)),
            }));
            self.places.len() - 1
        });
        &self.places[position]
    }

    fn connections(&self) -> usize {
        let counts = self
            .places
            .iter()
            .map(|x| x.connections.load(Ordering::Relaxed));
        counts.sum()
    }
}

impl Names {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            known: Mutex::default(),
            alive: watch::Sender::new(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Name>> {
        // A panic under the lock leaves at worst a name without its latest answer.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self, resolved: &Resolved) -> Instant {
        let holds = resolved
            .valid_for
            .map_or(self.interval, |ttl| ttl + CACHE_MARGIN);
        let now = Instant::now();
        // An answer that holds for longer than can be told holds for a year.
        let longest = Duration::from_secs(365 * 24 * 60 * 60);
        now + holds.clamp(LEAST_PAUSE, longest)
    }

    /// Connections to each address of a name.
    pub(crate) fn usage(&self, host: &str) -> HashMap<IpAddr, usize> {
        let known = self.lock();
        let places = known.get(host).map(|name| name.places.iter());
        places
            .into_iter()
            .flatten()
            .map(|place| (place.address, place.connections.load(Ordering::Relaxed)))
            .collect()
    }

    /// Takes note of what a name resolves to.
    fn learn(&self, host: &str, resolved: &Resolved, asked_at: Instant) -> Verdict {
        let due = self.due(resolved);
        match self.lock().get_mut(host) {
            Some(name) => name.learn(&resolved.addresses, asked_at, due),
            // Nobody lives there.
            None => Verdict::AllWell,
        }
    }

    /// When the name is to be resolved again. `None`: it has no connection left, and is forgotten.
    fn next(&self, host: &str) -> Option<Instant> {
        let mut known = self.lock();
        let name = known.get(host)?;
        if name.connections() > 0 {
            return Some(name.due);
        }
        known.remove(host);
        None
    }

    fn postpone(&self, host: &str) {
        if let Some(name) = self.lock().get_mut(host) {
            name.due = Instant::now() + LEAST_PAUSE;
        }
    }
}

/// A connection to `address` of `host` has been opened, after this answer to a question at `asked_at`.
/// It counts there as long as what is returned lives.
pub(super) fn settle(
    shared: &Arc<Shared>,
    host: &str,
    address: IpAddr,
    resolved: &Resolved,
    asked_at: Instant,
) -> Option<Residence> {
    let names = shared.names.as_ref()?;
    let due = names.due(resolved);
    let (residence, verdict, is_watched) = {
        let mut known = names.lock();
        let name = known
            .entry(host.into())
            .or_insert_with(|| Name::new(asked_at));
        let verdict = name.learn(&resolved.addresses, asked_at, due);
        let residence = Residence::at(name.place(address));
        let is_watched = std::mem::replace(&mut name.is_watched, true);
        (residence, verdict, is_watched)
    };
    act(shared, verdict);
    if !is_watched {
        let watched = Watched {
            shared: Arc::downgrade(shared),
            host: host.into(),
        };
        tokio::spawn(watch(watched, names.alive.subscribe()));
    }
    Some(residence)
}

fn act(shared: &Shared, verdict: Verdict) {
    if verdict == Verdict::SomeRetire {
        shared
            .pool
            .close_idle_if(CloseReason::DnsChanged, |connection| {
                connection.is_displaced()
            });
        shared.sessions.stop_displaced();
    }
}

/// A name in the hands of its watch.
struct Watched {
    shared: Weak<Shared>,
    host: Box<str>,
}

impl Watched {
    /// Asks the Transport, if it is still there.
    fn with<T>(&self, ask: impl FnOnce(&Shared, &Names) -> T) -> Option<T> {
        let shared = self.shared.upgrade()?;
        shared.names.as_ref().map(|names| ask(&shared, names))
    }
}

impl Drop for Watched {
    /// The runtime may be gone, and others have connections: their next dial starts the watch anew.
    fn drop(&mut self) {
        self.with(|_, names| {
            if let Some(name) = names.lock().get_mut(&self.host) {
                name.is_watched = false;
            }
        });
    }
}

/// Resolves a name again and again while it has connections.
async fn watch(watched: Watched, mut alive: watch::Receiver<()>) {
    let work = async {
        while let Some(Some(due)) = watched.with(|_, names| names.next(&watched.host)) {
            if due > Instant::now() {
                // Looked at again then: the last connection may go, or a dial may ask for its own.
                sleep_until(due).await;
                continue;
            }
            let resolving = watched.with(|shared, _| {
                let resolver = shared.settings.dial.resolver.clone();
                let host = watched.host.clone();
                async move { resolver.resolve(&host).await }
            });
            let Some(resolving) = resolving else { return };
            resolve_again(&watched, resolving).await;
        }
    };
    tokio::select! {
        () = work => {}
        // Nothing is ever sent: this is the end of the Transport.
        _ = alive.changed() => {}
    }
}

async fn resolve_again(
    watched: &Watched,
    resolving: impl Future<Output = std::io::Result<Resolved>>,
) {
    let asked_at = Instant::now();
    let answer = timeout(ANSWER_TIMEOUT, resolving).await;
    watched.with(|shared, names| match &answer {
        Ok(Ok(resolved)) => {
            let verdict = names.learn(&watched.host, resolved, asked_at);
            tracing::debug!(host = %watched.host, ?resolved, ?verdict, "resolved again");
            act(shared, verdict);
        }
        Ok(Err(error)) => {
            tracing::debug!(host = %watched.host, %error, "not resolved: nothing changes");
            names.postpone(&watched.host);
        }
        Err(_) => names.postpone(&watched.host),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(last: &[u8]) -> Vec<IpAddr> {
        last.iter().map(|x| IpAddr::from([192, 0, 2, *x])).collect()
    }

    /// Which connections retire when an answer follows another.
    #[test]
    fn connections_to_addresses_that_are_gone_retire_and_no_others() {
        let connected: [&[u8]; 3] = [&[1], &[1, 2], &[1, 2, 3]];
        for live in connected {
            for (answer, retire) in [
                (&[1][..], &[2, 3][..]),
                (&[1, 2], &[3]),
                (&[2, 1, 9], &[3]),
                (&[3, 2, 1], &[]),
                (&[9], &[1, 2, 3]),
            ] {
                let now = Instant::now();
                let mut name = Name::new(now);
                name.learn(&ips(&[1, 2, 3]), now, now);
                let residences = live.iter().map(|x| (*x, settle(&mut name, *x)));
                let residences: Vec<_> = residences.collect();
                let verdict = name.learn(&ips(answer), now, now);
                for (address, residence) in &residences {
                    assert_eq!(residence.is_gone(), retire.contains(address));
                }
                let some = residences.iter().any(|(_, residence)| residence.is_gone());
                assert_eq!(verdict == Verdict::SomeRetire, some, "{live:?} {answer:?}");
                assert_eq!(name.connections(), live.len());
                // Back again: who is still there may stay.
                assert_eq!(name.learn(&ips(&[1, 2, 3]), now, now), Verdict::AllWell);
                assert!(residences.iter().all(|(_, residence)| !residence.is_gone()));
                drop(residences);
                assert_eq!(name.connections(), 0);
                name.learn(&ips(&[9]), now, now);
                assert!(name.places.is_empty(), "empty places are forgotten");
            }
        }
    }

    fn settle(name: &mut Name, last: u8) -> Residence {
        Residence::at(name.place(ips(&[last])[0]))
    }

    /// A dial takes its time, and the name has moved meanwhile.
    #[test]
    fn an_older_answer_does_not_undo_a_newer_one() {
        let early = Instant::now();
        let late = early + Duration::from_secs(1);
        let mut name = Name::new(early);
        name.learn(&ips(&[2]), late, late);
        let moved = settle(&mut name, 2);
        assert_eq!(name.learn(&ips(&[1]), early, early), Verdict::AllWell);
        assert!(!moved.is_gone());
        assert_eq!(name.due, late);
        let outdated = settle(&mut name, 1);
        assert!(outdated.is_gone());
        assert_eq!(name.learn(&ips(&[2]), late, late), Verdict::SomeRetire);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_asked_again_when_its_answer_no_longer_holds() {
        let names = Names::new(Duration::from_secs(30));
        for (ttl, pause) in [
            (None, 30.0),
            (Some(0.0), 1.0),
            (Some(0.5), 1.0),
            (Some(1.0), 1.05),
            (Some(300.0), 300.05),
        ] {
            let resolved = Resolved {
                addresses: ips(&[1]),
                valid_for: ttl.map(Duration::from_secs_f64),
            };
            let due = names.due(&resolved) - Instant::now();
            assert_eq!(due, Duration::from_secs_f64(pause), "{ttl:?}");
        }
        let forever = Resolved {
            addresses: ips(&[1]),
            valid_for: Some(Duration::MAX - CACHE_MARGIN),
        };
        assert!(names.due(&forever) > Instant::now());
    }
}
