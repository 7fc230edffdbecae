//! Who speaks HTTP/2, over which sessions, and who waits for a stream: a pure structure.
//!
//! Sessions and waiters are opaque, the time is an argument. What an operation decides is its return
//! value; handing it out is the caller's, after it has released the lock.
//!
//! Invariants:
//! - while it is not known what the server of a key speaks, there is one supply for the key, however
//!   many ask; the others wait for what it finds out;
//! - while somebody waits for a key, a supply for it is under way, or the SETTINGS of a session are,
//!   or (where further connections are not wanted) a session has streams that will end;
//! - waiters are served in the order in which they came.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use tokio::time::Instant;

use super::streams::{Reserved, Streams};
use crate::CloseReason;

/// Keys without session and waiter of which it is remembered what they speak.
const REMEMBERED: usize = 10_000;

/// What the server of a key speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Unknown,
    Http1,
    Http2,
}

/// The answer to [`Table::checkout`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checkout<S> {
    Stream(S, Reserved),
    /// The server speaks HTTP/1.1: ask the pool.
    Http1,
    /// Queue; and start a supply if `supply`.
    Wait {
        supply: bool,
    },
}

/// What a waiter is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told<S> {
    Stream(S, Reserved),
    /// What it waited for will not come so: it is to ask again.
    AskAgain,
}

/// A session that has no stream any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It may have more.
    More,
    /// It has had its last one.
    Last,
}

/// What follows from an operation.
#[derive(Debug)]
pub(super) struct Effects<S, W> {
    pub(super) told: Vec<(W, Told<S>)>,
    /// A supply is to be started for the key; it has been noted.
    pub(super) supply: bool,
    /// One is under way, and nobody waits for it any more.
    pub(super) unwanted: bool,
}

#[derive(Debug)]
struct Carried<S> {
    id: u64,
    session: S,
    streams: Streams,
}

#[derive(Debug)]
struct OfKey<S, W> {
    spoken: Spoken,
    sessions: Vec<Carried<S>>,
    /// By the order in which they came.
    waiters: BTreeMap<u64, W>,
    /// A connection is on its way.
    is_supplied: bool,
}

/// All keys that HTTP/2 is spoken with, or may be.
#[derive(Debug)]
pub(super) struct Table<K, S, W> {
    keys: HashMap<K, OfKey<S, W>>,
    serial: u64,
    /// At the peer's limit of streams requests wait, instead of opening a further connection.
    is_strict: bool,
}

impl<K: Eq + Hash + Clone, S: Clone, W> Table<K, S, W> {
    pub(super) fn new(is_strict: bool) -> Self {
        Self {
            keys: HashMap::new(),
            serial: 0,
            is_strict,
        }
    }

    fn of(&mut self, key: &K) -> &mut OfKey<S, W> {
        if !self.keys.contains_key(key) && self.keys.len() >= REMEMBERED {
            self.keys.retain(|_, of| of.is_in_use());
        }
        self.keys.entry(key.clone()).or_insert_with(OfKey::new)
    }

    /// A stream for `key`, or what to do to come by one. `prior`: it is known that the server
    /// speaks HTTP/2.
    pub(super) fn checkout(&mut self, key: &K, prior: bool, now: Instant) -> Checkout<S> {
        let is_strict = self.is_strict;
        let of = self.of(key);
        if prior {
            of.spoken = Spoken::Http2;
        }
        if of.spoken == Spoken::Http1 {
            return Checkout::Http1;
        }
        // Nobody overtakes those who wait.
        let free = if of.waiters.is_empty() {
            of.reserve(now)
        } else {
            None
        };
        match free {
            Some((session, reserved)) => Checkout::Stream(session, reserved),
            None => Checkout::Wait {
                supply: of.start_supply(1, is_strict),
            },
        }
    }

    /// Queues a waiter. The caller has not released the lock since [`checkout`](Self::checkout).
    pub(super) fn enqueue(&mut self, key: &K, waiter: W) -> u64 {
        self.serial += 1;
        let serial = self.serial;
        self.of(key).waiters.insert(serial, waiter);
        serial
    }

    /// A waiter no longer waits. `None`: it has been told something.
    pub(super) fn cancel(&mut self, key: &K, serial: u64) -> Option<W> {
        self.keys.get_mut(key)?.waiters.remove(&serial)
    }

    /// A supply is under way, and nobody waits for it.
    pub(super) fn is_unwanted(&self, key: &K) -> bool {
        let of = self.keys.get(key);
        of.is_some_and(|of| of.is_supplied && of.waiters.is_empty())
    }

    /// Whether there is a session.
    pub(super) fn has_session(&self, key: &K) -> bool {
        self.keys.get(key).is_some_and(|of| !of.sessions.is_empty())
    }

    /// A session has been opened.
    pub(super) fn opened(
        &mut self,
        key: &K,
        (id, session): (u64, S),
        allowed: u64,
        now: Instant,
    ) -> Effects<S, W> {
        let of = self.of(key);
        of.spoken = Spoken::Http2;
        of.sessions.push(Carried {
            id,
            session,
            streams: Streams::new(allowed, now),
        });
        self.serve(key, now)
    }

    /// The supply has ended, with a session or without one.
    pub(super) fn supply_ended(&mut self, key: &K, now: Instant) -> Effects<S, W> {
        self.of(key).is_supplied = false;
        self.serve(key, now)
    }

    /// The supply has found a server that speaks HTTP/1.1.
    pub(super) fn spoke_http1(&mut self, key: &K) -> Effects<S, W> {
        let of = self.of(key);
        of.is_supplied = false;
        of.spoken = Spoken::Http1;
        Effects::ask_again(of.take_waiters())
    }

    /// The supply was dropped in progress: those who counted on it start another one.
    pub(super) fn supply_lost(&mut self, key: &K) -> Effects<S, W> {
        let of = self.of(key);
        of.is_supplied = false;
        Effects::ask_again(of.take_waiters())
    }

    /// How many wait, but for those that stand in the queue of the pool.
    pub(super) fn waiting(&self) -> usize {
        self.keys.values().map(|of| of.waiters.len()).sum()
    }

    /// The supply has failed. Those who counted on it are answered; they are to be told why. With a
    /// session left there are streams to wait for.
    pub(super) fn supply_failed(&mut self, key: &K) -> Vec<W> {
        let of = self.of(key);
        of.is_supplied = false;
        if of
            .sessions
            .iter()
            .any(|carried| carried.streams.retiring().is_none())
        {
            return Vec::new();
        }
        of.take_waiters()
    }

    /// The peer's SETTINGS allow so many streams.
    pub(super) fn settled(
        &mut self,
        key: &K,
        id: u64,
        limit: usize,
        now: Instant,
    ) -> Effects<S, W> {
        if let Some(streams) = self.streams(key, id) {
            streams.settle(limit);
        }
        self.serve(key, now)
    }

    /// A stream has ended. Whether the session has none now.
    pub(super) fn released(
        &mut self,
        key: &K,
        id: u64,
        now: Instant,
    ) -> (Option<Rest>, Effects<S, W>) {
        if let Some(streams) = self.streams(key, id) {
            streams.release(now);
        }
        let effects = self.serve(key, now);
        let streams = self.streams(key, id).filter(|x| x.is_resting());
        let rest = streams.map(|streams| match streams.retiring() {
            Some(_) => Rest::Last,
            None => Rest::More,
        });
        (rest, effects)
    }

    /// No further stream is started on a session.
    pub(super) fn retire(
        &mut self,
        key: &K,
        id: u64,
        reason: CloseReason,
        now: Instant,
    ) -> Effects<S, W> {
        if let Some(streams) = self.streams(key, id) {
            streams.retire(reason);
        }
        self.serve(key, now)
    }

    /// A session is gone. Answers it if it had no stream.
    pub(super) fn gone(&mut self, key: &K, id: u64, now: Instant) -> (Option<S>, Effects<S, W>) {
        let of = self.of(key);
        let place = of.sessions.iter().position(|carried| carried.id == id);
        let gone = place.map(|place| of.sessions.remove(place));
        let rested = gone.filter(|gone| gone.streams.is_resting());
        (rested.map(|gone| gone.session), self.serve(key, now))
    }

    /// The streams of a session.
    pub(super) fn streams(&mut self, key: &K, id: u64) -> Option<&mut Streams> {
        let of = self.keys.get_mut(key)?;
        let carried = of.sessions.iter_mut().find(|carried| carried.id == id);
        carried.map(|carried| &mut carried.streams)
    }

    /// No further stream is started on any of these sessions. Answers them; each is to see to those who wait
    /// for it.
    pub(super) fn retire_where(
        &mut self,
        reason: CloseReason,
        which: impl Fn(&S) -> bool,
    ) -> Vec<S> {
        let of_keys = self.keys.values_mut();
        let all = of_keys.flat_map(|of| &mut of.sessions);
        let chosen = all.filter(|carried| which(&carried.session));
        chosen
            .map(|carried| {
                carried.streams.retire(reason);
                carried.session.clone()
            })
            .collect()
    }

    /// Retires the session that has had no stream for longest, if any has none.
    pub(super) fn evict(&mut self) -> Option<S> {
        let of_keys = self.keys.values_mut();
        let all = of_keys.flat_map(|of| &mut of.sessions);
        let oldest = all
            .filter_map(|carried| Some((carried.streams.idle_since()?, carried)))
            .min_by_key(|found| found.0);
        oldest.map(|(_, carried)| {
            carried.streams.retire(CloseReason::IdleLimit);
            carried.session.clone()
        })
    }

    /// Sessions without a stream.
    pub(super) fn resting(&self) -> impl Iterator<Item = &S> {
        let of_keys = self.keys.values();
        let all = of_keys.flat_map(|of| &of.sessions);
        all.filter(|carried| carried.streams.is_resting())
            .map(|carried| &carried.session)
    }

    /// Gives streams to those who wait, and has more supplied if that is not enough.
    fn serve(&mut self, key: &K, now: Instant) -> Effects<S, W> {
        let is_strict = self.is_strict;
        let Some(of) = self.keys.get_mut(key) else {
            return Effects::ask_again(Vec::new());
        };
        let mut told = Vec::new();
        while !of.waiters.is_empty() {
            let Some((session, reserved)) = of.reserve(now) else {
                break;
            };
            if let Some((_, waiter)) = of.waiters.pop_first() {
                told.push((waiter, Told::Stream(session, reserved)));
            }
        }
        let supply = of.start_supply(of.waiters.len(), is_strict);
        let unwanted = of.is_supplied && of.waiters.is_empty();
        Effects {
            told,
            supply,
            unwanted,
        }
    }
}

impl<S: Clone, W> OfKey<S, W> {
    fn new() -> Self {
        Self {
            spoken: Spoken::Unknown,
            sessions: Vec::new(),
            waiters: BTreeMap::new(),
            is_supplied: false,
        }
    }

    fn is_in_use(&self) -> bool {
        !self.sessions.is_empty() || !self.waiters.is_empty() || self.is_supplied
    }

    fn take_waiters(&mut self) -> Vec<W> {
        std::mem::take(&mut self.waiters).into_values().collect()
    }

    /// A stream on the oldest session that has room: the younger ones then come to rest and age out.
    fn reserve(&mut self, now: Instant) -> Option<(S, Reserved)> {
        self.sessions.iter_mut().find_map(|carried| {
            let reserved = carried.streams.reserve(now)?;
            Some((carried.session.clone(), reserved))
        })
    }

    /// Notes a supply if so many wait for one, and nothing that is coming may serve them.
    fn start_supply(&mut self, waiting: usize, is_strict: bool) -> bool {
        let is_coming = |carried: &Carried<S>| {
            carried.streams.retiring().is_none() && (is_strict || !carried.streams.is_settled())
        };
        let is_wanted = waiting > 0 && !self.is_supplied && !self.sessions.iter().any(is_coming);
        self.is_supplied |= is_wanted;
        is_wanted
    }
}

impl<S, W> Effects<S, W> {
    fn ask_again(waiters: Vec<W>) -> Self {
        Self {
            told: waiters
                .into_iter()
                .map(|waiter| (waiter, Told::AskAgain))
                .collect(),
            supply: false,
            unwanted: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Table<&'static str, char, u32>;

    /// Asks, and waits under this number if there is nothing. Whether a supply is to be started.
    fn ask(table: &mut Small, waiter: u32, now: Instant) -> Option<bool> {
        match table.checkout(&"a", false, now) {
            Checkout::Wait { supply } => {
                table.enqueue(&"a", waiter);
                Some(supply)
            }
            _ => None,
        }
    }

    fn served(effects: &Effects<char, u32>) -> Vec<u32> {
        let streams = effects
            .told
            .iter()
            .filter(|x| matches!(x.1, Told::Stream(..)));
        streams.map(|x| x.0).collect()
    }

    #[test]
    fn while_the_protocol_is_unknown_there_is_one_supply_and_all_wait_for_it() {
        let (now, mut table) = (Instant::now(), Small::new(false));
        assert_eq!(ask(&mut table, 1, now), Some(true));
        assert_eq!(
            (ask(&mut table, 2, now), ask(&mut table, 3, now)),
            (Some(false), Some(false))
        );
        let effects = table.opened(&"a", (1, 'x'), u64::MAX, now);
        assert_eq!((served(&effects), effects.supply), (vec![1], false));
        // The connection is there, and what it allows is on its way: no other one yet.
        assert!(!table.supply_ended(&"a", now).supply);
        let effects = table.settled(&"a", 1, 10, now);
        assert_eq!((served(&effects), effects.supply), (vec![2, 3], false));
    }

    #[test]
    fn a_server_of_http1_sends_all_to_the_pool() {
        let (now, mut table) = (Instant::now(), Small::new(false));
        ask(&mut table, 1, now);
        ask(&mut table, 2, now);
        let effects = table.spoke_http1(&"a");
        assert_eq!(effects.told, [(1, Told::AskAgain), (2, Told::AskAgain)]);
        assert_eq!(table.checkout(&"a", false, now), Checkout::Http1);
        // It has learned to speak HTTP/2 since.
        table.opened(&"a", (1, 'x'), u64::MAX, now);
        assert!(matches!(
            table.checkout(&"a", false, now),
            Checkout::Stream('x', _)
        ));
    }

    #[test]
    fn at_the_limit_of_streams_one_further_connection_at_a_time_is_opened() {
        for strict in [false, true] {
            let (now, mut table) = (Instant::now(), Small::new(strict));
            ask(&mut table, 1, now);
            table.opened(&"a", (1, 'x'), u64::MAX, now);
            table.supply_ended(&"a", now);
            table.settled(&"a", 1, 1, now);
            assert_eq!(ask(&mut table, 2, now), Some(!strict));
            assert_eq!(ask(&mut table, 3, now), Some(false));
            let (rests, effects) = table.released(&"a", 1, now);
            assert_eq!((served(&effects), rests), (vec![2], None));
            if !strict {
                let effects = table.opened(&"a", (2, 'y'), u64::MAX, now);
                assert_eq!(effects.told[0].0, 3);
                assert!(matches!(effects.told[0].1, Told::Stream('y', _)));
            }
        }
    }

    #[test]
    fn a_failed_supply_is_told_to_all_who_counted_on_it_and_to_none_who_has_sessions() {
        let (now, mut table) = (Instant::now(), Small::new(false));
        ask(&mut table, 1, now);
        ask(&mut table, 2, now);
        assert_eq!(table.supply_failed(&"a"), [1, 2]);
        assert_eq!(ask(&mut table, 3, now), Some(true));
        table.opened(&"a", (1, 'x'), u64::MAX, now);
        table.supply_ended(&"a", now);
        table.settled(&"a", 1, 1, now);
        assert_eq!(ask(&mut table, 4, now), Some(true));
        assert_eq!(table.supply_failed(&"a"), [] as [u32; 0]);
        assert_eq!(served(&table.released(&"a", 1, now).1), [4]);
    }

    #[test]
    fn a_session_that_retires_or_goes_is_replaced_for_those_who_wait() {
        let (now, mut table) = (Instant::now(), Small::new(true));
        ask(&mut table, 1, now);
        table.opened(&"a", (1, 'x'), u64::MAX, now);
        table.supply_ended(&"a", now);
        assert_eq!(ask(&mut table, 2, now), Some(false));
        assert!(
            table
                .retire(&"a", 1, CloseReason::PeerAskedClose, now)
                .supply
        );
        assert!(!table.gone(&"a", 1, now).1.supply, "it has been started");
        // Its stream is released after it.
        assert_eq!(table.released(&"a", 1, now).0, None);
        let effects = table.opened(&"a", (2, 'y'), u64::MAX, now);
        assert_eq!(served(&effects), [2]);
        assert!(table.has_session(&"a"));
    }

    #[test]
    fn who_gives_up_is_not_served_and_nobody_overtakes() {
        let (now, mut table) = (Instant::now(), Small::new(false));
        ask(&mut table, 1, now);
        assert_eq!(table.cancel(&"a", 1), Some(1));
        assert_eq!(table.cancel(&"a", 1), None);
        let effects = table.opened(&"a", (1, 'x'), u64::MAX, now);
        assert_eq!(served(&effects), [] as [u32; 0]);
        ask(&mut table, 2, now);
        ask(&mut table, 3, now);
        let late = table.checkout(&"a", false, now);
        assert_eq!(late, Checkout::Wait { supply: false });
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut table: Table<usize, char, u32> = Table::new(false);
        for key in 0..REMEMBERED * 2 {
            table.spoke_http1(&key);
        }
        assert!(table.keys.len() <= REMEMBERED);
    }
}
