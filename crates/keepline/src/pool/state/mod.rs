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

mod addresses;
mod book;
mod idle;
mod sharing;
mod supply;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use self::addresses::AtAddress;
use self::book::{BY_AGE, BY_HOME, BY_KEY};
use super::learned::LearnedLimit;
use super::policy::{Expiry, KeyLimits, Limits, Now};
use super::stats::Stats;
use super::wheel::{Wheel, WheelSlot};
use crate::list::{Links, List};
use crate::net::PeerAddr;
use crate::{CloseReason, OpenReason};
pub(crate) use supply::Supply;

/// What the pool has to know of a connection.
pub(crate) trait Entry {
    /// It has carried an exchange.
    fn served(&self) -> bool;
    /// Its number, unique in the pool.
    fn id(&self) -> u64;
    /// Where it is registered; does not change while it is idle.
    fn home(&self) -> Home;
    /// Its other end; does not change.
    fn address(&self) -> PeerAddr;
}

/// A runtime that connections are registered with, as a number that the caller gives: the smallest
/// that is free, since there is a list for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Home(pub(crate) usize);

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
    /// A shared connection that carries nothing is to be closed, to make room.
    pub(crate) evict_shared: bool,
}

impl<K, C> Default for Effects<K, C> {
    fn default() -> Self {
        Self {
            closed: Vec::new(),
            dials: Vec::new(),
            evict_shared: false,
        }
    }
}

/// Who would be glad of a connection that is busy for longer than one exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pressure {
    /// Nothing is kept any more, and no request is to be sent.
    pub(crate) is_shut_down: bool,
    /// Waiters of its key that no dial is on its way for.
    pub(crate) waiting: usize,
    /// Another key waits for room under the limit of all connections.
    pub(crate) is_felt_elsewhere: bool,
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
    /// The same connections, those of each runtime by themselves.
    homes: Vec<List<BY_HOME>>,
    /// Those of each address by themselves, where they are spread over these.
    addresses: Vec<AtAddress>,
    waiters: List<BY_KEY>,
    /// Dials in progress whose connection goes to the queue. Only these feed a waiter.
    dialling: usize,
    /// Dials in progress beside the queue.
    own_dials: usize,
    busy: usize,
    /// Busy ones that are free in a moment, in all likelihood: the rest of a body is read from them,
    /// or they were idle and are looked at.
    soon_free: usize,
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
    by_home: Links,
    by_address: Links,
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
    /// Of the busy ones, those that are shared and carry nothing now. Told from both sides of a
    /// race, it may be below 0 for a moment.
    resting: isize,
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
            resting: 0,
            counts: Stats::default(),
            is_shut_down: false,
        }
    }

    /// The counts, now.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            dialling: self.dialling,
            idle: self.idle.len() + self.resting(),
            busy: self.busy - self.resting(),
            waiting: self.waiting.len(),
            ..self.counts
        }
    }

    /// Nothing is kept any more.
    pub(crate) const fn is_shut_down(&self) -> bool {
        self.is_shut_down
    }

    /// Who would be glad of a busy connection of this key.
    pub(crate) fn pressure(&self, slot: KeySlot) -> Pressure {
        let key = &self.keys[slot.0];
        Pressure {
            is_shut_down: self.is_shut_down,
            waiting: key.waiters.len().saturating_sub(key.dialling),
            is_felt_elsewhere: self.starved.len() > usize::from(key.is_starved),
        }
    }
}
