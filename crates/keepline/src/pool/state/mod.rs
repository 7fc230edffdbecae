//! The pool as a pure structure: which connections are idle, who waits, who dials.
//!
//! No socket, no clock, no lock, no task: the time is an argument, connections and waiters are
//! opaque. All operations are O(1). What an operation decides is its return value and the
//! [`Effects`] that it adds to; carrying them out (closing, delivering, dialling) is the caller's,
//! after it has released the lock.
//!
//! Invariants:
//! - a connection is idle or busy, never both, and is handed to one holder at a time;
//! - dialling, busy and idle connections together never exceed a limit;
//! - while somebody waits for a key, either a connection of it is on its way (a dial, a drain, a
//!   busy one), or a limit holds it back and whatever frees room starts its dial;
//! - the counts of [`Stats`] add up after every operation.

mod book;
mod supply;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use self::book::{BY_AGE, BY_KEY};
use super::learned::LearnedLimit;
use super::list::{Links, List};
use super::policy::{Expiry, IdleOrder, KeyLimits, Limits, Now, after, earlier, has_expired};
use super::stats::Stats;
use super::wheel::{Wheel, WheelSlot};
use crate::{CloseReason, OpenReason};
pub(crate) use supply::Supply;

/// What the pool has to know of a connection.
pub(crate) trait Entry {
    /// It has carried an exchange.
    fn served(&self) -> bool;
    /// Its number, unique in the pool.
    fn id(&self) -> u64;
}

/// The place of a key in the state. Valid while the key has a connection, a dial or a waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeySlot(usize);

/// A waiter that has been queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WaiterId {
    place: usize,
    serial: u64,
}

/// A dial that has been counted and is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demand<K> {
    pub(crate) key: K,
    pub(crate) slot: KeySlot,
    pub(crate) reason: OpenReason,
}

/// What is to be done once the lock is released.
#[derive(Debug)]
pub(crate) struct Effects<K, C> {
    /// To be closed; they have been counted.
    pub(crate) closed: Vec<(C, CloseReason)>,
    /// To be started; they have been counted.
    pub(crate) dials: Vec<Demand<K>>,
}

impl<K, C> Default for Effects<K, C> {
    fn default() -> Self {
        Self {
            closed: Vec::new(),
            dials: Vec::new(),
        }
    }
}

/// The answer to [`State::checkout`].
#[derive(Debug)]
pub(crate) enum Checkout<C> {
    /// An idle connection; whether it is still alive has to be looked at.
    Hit {
        slot: KeySlot,
        connection: C,
        idle_for: Duration,
    },
    /// None is idle.
    Miss { slot: KeySlot },
}

/// The answer to an operation that had a connection to give away.
#[derive(Debug)]
pub(crate) enum Given<C, W> {
    /// Deliver it to this waiter.
    To { waiter: W, connection: C },
    /// It is idle now. `place` finds it again; `look_at` is when the next idle connection expires,
    /// if that is earlier than it was before.
    Idle {
        place: usize,
        look_at: Option<Instant>,
    },
    /// It is not kept, and has been counted as closed.
    Refused { connection: C, reason: CloseReason },
}

/// An idle connection that was taken out to be looked at.
#[derive(Debug)]
pub(crate) struct Parked<C> {
    pub(crate) slot: KeySlot,
    pub(crate) connection: C,
    since: Now,
    expiry: Option<Expiry>,
}

impl<C> Parked<C> {
    /// How long it has been idle.
    pub(crate) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since.instant)
    }
}

struct PerKey<K> {
    key: K,
    limits: KeyLimits,
    idle: List<BY_KEY>,
    waiters: List<BY_KEY>,
    /// Dials in progress whose connection goes to the queue. Only these feed a waiter.
    dialling: usize,
    /// Dials in progress beside the queue.
    own_dials: usize,
    busy: usize,
    draining: usize,
    /// Why the last connection was lost; forgotten with the key.
    lost: Option<CloseReason>,
    learned: LearnedLimit,
    /// It waits for room under the limit of all connections.
    is_starved: bool,
    links: Links,
    starved: Links,
}

struct Idle<C> {
    connection: C,
    slot: usize,
    since: Now,
    expiry: Option<Expiry>,
    in_wheel: Option<WheelSlot>,
    by_key: Links,
    by_age: Links,
    by_expiry: Links,
}

struct Waiting<W> {
    waiter: W,
    slot: usize,
    serial: u64,
    links: Links,
}

/// The state of one pool.
pub(crate) struct State<K, C, W> {
    limits: Limits,
    overrides: HashMap<K, KeyLimits>,
    index: HashMap<K, usize>,
    keys: Slab<PerKey<K>>,
    /// Keys without connection, dial or waiter, kept for what is remembered of them.
    unused: List<BY_AGE>,
    /// Keys that wait for room under the limit of all connections.
    starved: List<BY_KEY>,
    idle: Slab<Idle<C>>,
    by_age: List<BY_AGE>,
    wheel: Wheel,
    /// When somebody is known to look at what has expired.
    look_at: Option<Instant>,
    waiting: Slab<Waiting<W>>,
    serial: u64,
    dialling: usize,
    busy: usize,
    counts: Stats,
    is_shut_down: bool,
}

impl<K: Eq + Hash + Clone, C: Entry, W> State<K, C, W> {
    pub(crate) fn new(limits: Limits, overrides: HashMap<K, KeyLimits>, now: Instant) -> Self {
        Self {
            limits,
            overrides,
            index: HashMap::new(),
            keys: Slab::new(),
            unused: List::default(),
            starved: List::default(),
            idle: Slab::new(),
            by_age: List::default(),
            wheel: Wheel::new(now),
            look_at: None,
            waiting: Slab::new(),
            serial: 0,
            dialling: 0,
            busy: 0,
            counts: Stats::default(),
            is_shut_down: false,
        }
    }

    /// The counts, now.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            dialling: self.dialling,
            idle: self.idle.len(),
            busy: self.busy,
            waiting: self.waiting.len(),
            ..self.counts
        }
    }

    /// Nothing is kept any more.
    pub(crate) const fn is_shut_down(&self) -> bool {
        self.is_shut_down
    }

    /// Takes an idle connection of `key`: the newest or the oldest, as its order says. Those that
    /// have expired are closed on the way.
    pub(crate) fn checkout(
        &mut self,
        key: &K,
        now: Now,
        effects: &mut Effects<K, C>,
    ) -> Checkout<C> {
        let slot = self.slot(key);
        loop {
            let of_key = &self.keys[slot];
            let next = match of_key.limits.order {
                IdleOrder::Lifo => of_key.idle.back(),
                IdleOrder::Fifo => of_key.idle.front(),
            };
            let Some(place) = next else {
                return Checkout::Miss {
                    slot: KeySlot(slot),
                };
            };
            let Idle { since, expiry, .. } = self.idle[place];
            if has_expired(since, expiry, now) {
                let reason = expiry.map_or(CloseReason::IdleTimeout, |expiry| expiry.reason);
                self.drop_idle(place, reason, effects);
                continue;
            }
            let connection = self.unlink(place);
            self.hold(slot, &connection);
            let idle_for = now.instant.saturating_duration_since(since.instant);
            self.keys[slot].learned.survived(idle_for);
            self.refill(slot, effects);
            return Checkout::Hit {
                slot: KeySlot(slot),
                connection,
                idle_for,
            };
        }
    }

    /// Gives a busy connection away: to the waiter that has waited longest, else to the idle list,
    /// where it stays at most until `own`.
    pub(crate) fn give(
        &mut self,
        slot: KeySlot,
        connection: C,
        own: Option<Expiry>,
        now: Now,
        effects: &mut Effects<K, C>,
    ) -> Given<C, W> {
        let of_key = &self.keys[slot.0];
        let limit = of_key.limits.idle_timeout;
        let learned = of_key
            .learned
            .limit(now.instant)
            .filter(|_| of_key.limits.learns);
        let expiry = earlier(
            earlier(own, after(now.instant, limit, CloseReason::IdleTimeout)),
            after(now.instant, learned, CloseReason::LearnedIdleLimit),
        );
        let parked = Parked {
            slot,
            connection,
            since: now,
            expiry,
        };
        self.put_back(parked, effects)
    }

    /// Gives a connection away that was taken out of the idle ones to be looked at, and found well.
    /// Meanwhile somebody may have come to wait, or the pool may have been filled or shut down.
    pub(crate) fn put_back(
        &mut self,
        parked: Parked<C>,
        effects: &mut Effects<K, C>,
    ) -> Given<C, W> {
        let Parked {
            slot,
            connection,
            since,
            expiry,
        } = parked;
        self.release(slot);
        if let Some(place) = self.keys[slot.0].waiters.front() {
            let waiter = self.unqueue(place);
            self.hold(slot.0, &connection);
            // A dial has ended, perhaps, and others wait that a limit on dials held back.
            self.supply_waiters(slot, effects);
            return Given::To { waiter, connection };
        }
        if let Some(reason) = self.refusal(slot) {
            self.count_closed(slot, reason, effects);
            return Given::Refused { connection, reason };
        }
        let place = self.park(slot.0, connection, since, expiry);
        self.evict(slot, effects);
        // The reaper sleeps until the instant that it was told last.
        let look_at = expiry
            .map(|expiry| expiry.at)
            .filter(|at| self.look_at.is_none_or(|look_at| *at < look_at));
        if look_at.is_some() {
            self.look_at = look_at;
        }
        Given::Idle { place, look_at }
    }

    /// Why a connection that came back is not kept, if it is not.
    fn refusal(&self, slot: KeySlot) -> Option<CloseReason> {
        let is_kept = self.keeps_any(slot);
        // Others wait for the room that it would take, and cannot use it.
        let is_in_the_way = !self.starved.is_empty() && !self.has_room_besides(1);
        match self.is_shut_down {
            true => Some(CloseReason::Shutdown),
            false if !is_kept || is_in_the_way => Some(CloseReason::IdleLimit),
            false => None,
        }
    }

    /// A connection of the key may become idle at all.
    fn keeps_any(&self, slot: KeySlot) -> bool {
        self.limits.idle > 0 && self.keys[slot.0].limits.idle > 0
    }

    /// Closes the oldest idle connection above a limit: of the key first, then of all.
    fn evict(&mut self, slot: KeySlot, effects: &mut Effects<K, C>) {
        let of_key = &self.keys[slot.0];
        let oldest = if of_key.idle.len() > of_key.limits.idle {
            of_key.idle.front()
        } else if self.by_age.len() > self.limits.idle {
            self.by_age.front()
        } else {
            None
        };
        if let Some(place) = oldest {
            self.drop_idle(place, CloseReason::IdleLimit, effects);
        }
    }

    /// A connection that was given to a waiter who had gone, or that was found dead before it was
    /// used: it counts as never acquired.
    pub(crate) fn not_acquired(&mut self, connection: &C) {
        self.counts.acquired -= 1;
        let part = if connection.served() {
            &mut self.counts.reused
        } else {
            &mut self.counts.first_use
        };
        *part -= 1;
    }

    /// A busy connection is closed.
    pub(crate) fn closed(
        &mut self,
        slot: KeySlot,
        reason: CloseReason,
        effects: &mut Effects<K, C>,
    ) {
        self.release(slot);
        self.count_closed(slot, reason, effects);
    }

    /// The peer has closed a connection that had been idle for `idle_for`.
    pub(crate) fn note_idle_close(&mut self, slot: KeySlot, idle_for: Duration, now: Instant) {
        self.keys[slot.0].learned.closed_after(idle_for, now);
    }

    /// A request is sent again.
    pub(crate) fn retried(&mut self) {
        self.counts.retries += 1;
    }

    /// Takes the idle connection at `place` out, if it still is number `id`. It is busy then.
    pub(crate) fn take_idle(&mut self, place: usize, id: u64) -> Option<Parked<C>> {
        let idle = self
            .idle
            .get(place)
            .filter(|idle| idle.connection.id() == id)?;
        let (slot, since, expiry) = (idle.slot, idle.since, idle.expiry);
        let connection = self.unlink(place);
        self.keys[slot].busy += 1;
        self.busy += 1;
        Some(Parked {
            slot: KeySlot(slot),
            connection,
            since,
            expiry,
        })
    }

    /// Closes what has expired, and answers when to look again.
    pub(crate) fn expire(&mut self, now: Now, effects: &mut Effects<K, C>) -> Option<Instant> {
        let expires = |idle: &Idle<C>| idle.expiry.map(|expiry| expiry.at);
        while let Some(place) = self.wheel.expired(&mut self.idle, now.instant, expires) {
            let expiry = self.idle[place].expiry;
            let reason = expiry.map_or(CloseReason::IdleTimeout, |expiry| expiry.reason);
            self.drop_idle(place, reason, effects);
        }
        self.look_at = self.wheel.next_look();
        self.look_at
    }

    /// Closes all idle connections that `matches`.
    pub(crate) fn purge(
        &mut self,
        reason: CloseReason,
        effects: &mut Effects<K, C>,
        mut matches: impl FnMut(&C) -> bool,
    ) {
        let places: Vec<usize> = self
            .idle
            .iter()
            .filter(|(_, idle)| matches(&idle.connection))
            .map(|(place, _)| place)
            .collect();
        for place in places {
            self.drop_idle(place, reason, effects);
        }
    }

    /// From now on nothing is kept. Closes the idle connections and returns those who wait.
    pub(crate) fn shut_down(&mut self, effects: &mut Effects<K, C>) -> Vec<W> {
        self.is_shut_down = true;
        let places: Vec<usize> = self.waiting.iter().map(|(place, _)| place).collect();
        let waiters = places
            .into_iter()
            .map(|place| {
                let slot = self.waiting[place].slot;
                let waiter = self.unqueue(place);
                self.retire_if_unused(slot);
                waiter
            })
            .collect();
        self.purge(CloseReason::Shutdown, effects, |_| true);
        waiters
    }
}
