//! The pool as a pure structure: which connections are idle, who waits, who dials.
//!
//! No socket, no clock, no lock, no task: `now` is an argument, connections and waiters are
//! opaque. All operations are O(1). What an operation decides is its return value, and carrying
//! it out (closing, delivering, dialling) is the caller's, after it has released the lock.
//!
//! Invariants:
//! - a connection is idle or busy, never both, and is handed to one holder at a time;
//! - while somebody waits for a key and no dial of it is in progress, either all its connections
//!   are busy and will come back, or the operation that noticed says that a dial has to start;
//! - the counts of [`Stats`] add up after every operation.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::list::{Linked, Links, List};
use super::policy::Limits;
use super::stats::Stats;
use crate::{CloseReason, OpenReason};

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

/// What a queued waiter should do besides waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supply {
    /// Start a dial at once; it has been counted.
    Dial(OpenReason),
    /// A connection of this key is being drained: wait for that as long as a drain may take.
    Draining,
    /// As many dials as allowed are in progress: the next connection comes from one of them.
    DialsInProgress,
}

/// The answer to an operation that had a connection to give away.
#[derive(Debug)]
pub(crate) enum Given<C, W> {
    /// Deliver it to this waiter.
    To { waiter: W, connection: C },
    /// It is idle now. `place` finds it again; `first` says that no other was idle.
    Idle {
        place: usize,
        first: bool,
        evicted: Option<C>,
    },
    /// It is not kept.
    Refused { connection: C },
}

struct PerKey<K> {
    key: K,
    idle: List<BY_KEY>,
    waiters: List<BY_KEY>,
    dialling: usize,
    busy: usize,
    draining: usize,
    /// Why the last connection was lost; forgotten with the key.
    lost: Option<CloseReason>,
    links: Links,
}

impl<K> PerKey<K> {
    const fn is_unused(&self) -> bool {
        self.idle.is_empty() && self.waiters.is_empty() && self.dialling == 0 && self.busy == 0
    }
}

struct Idle<C> {
    connection: C,
    slot: usize,
    since: Instant,
    by_key: Links,
    by_age: Links,
}

struct Waiting<W> {
    waiter: W,
    slot: usize,
    serial: u64,
    links: Links,
}

/// List of the idle connections, or of the waiters, of one key.
const BY_KEY: usize = 0;
/// List of all idle connections.
const BY_AGE: usize = 1;

impl<C> Linked<BY_KEY> for Idle<C> {
    fn links(&mut self) -> &mut Links {
        &mut self.by_key
    }
}

impl<C> Linked<BY_AGE> for Idle<C> {
    fn links(&mut self) -> &mut Links {
        &mut self.by_age
    }
}

impl<W> Linked<BY_KEY> for Waiting<W> {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl<K> Linked<BY_AGE> for PerKey<K> {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// The state of one pool.
pub(crate) struct State<K, C, W> {
    limits: Limits,
    index: HashMap<K, usize>,
    keys: Slab<PerKey<K>>,
    /// Keys without connection, dial or waiter, kept for what is remembered of them.
    unused: List<BY_AGE>,
    idle: Slab<Idle<C>>,
    by_age: List<BY_AGE>,
    waiting: Slab<Waiting<W>>,
    serial: u64,
    dialling: usize,
    busy: usize,
    counts: Stats,
    is_shut_down: bool,
}

impl<K: Eq + Hash + Clone, C: Entry, W> State<K, C, W> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            index: HashMap::new(),
            keys: Slab::new(),
            unused: List::default(),
            idle: Slab::new(),
            by_age: List::default(),
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

    /// Takes the newest idle connection of `key`. Those that have been idle for too long go to
    /// `expired` and have been counted as closed.
    pub(crate) fn checkout(&mut self, key: &K, now: Instant, expired: &mut Vec<C>) -> Checkout<C> {
        let slot = self.slot(key);
        while let Some(place) = self.keys[slot].idle.back() {
            let since = self.idle[place].since;
            if self.is_expired(since, now) {
                expired.push(self.drop_idle(place, CloseReason::IdleTimeout));
                continue;
            }
            let connection = self.unlink(place);
            self.hold(slot, &connection);
            let idle_for = now.saturating_duration_since(since);
            return Checkout::Hit {
                slot: KeySlot(slot),
                connection,
                idle_for,
            };
        }
        Checkout::Miss {
            slot: KeySlot(slot),
        }
    }

    /// Queues a waiter after a miss, and says how it comes to a connection. The caller has not
    /// released the lock since [`checkout`](Self::checkout).
    pub(crate) fn enqueue(&mut self, slot: KeySlot, waiter: W) -> (WaiterId, Supply) {
        self.serial += 1;
        let serial = self.serial;
        let place = self.waiting.insert(Waiting {
            waiter,
            slot: slot.0,
            serial,
            links: Links::default(),
        });
        self.use_key(slot.0);
        self.keys[slot.0]
            .waiters
            .push_back(&mut self.waiting, place);
        let entry = &self.keys[slot.0];
        let supply = if entry.draining >= entry.waiters.len() {
            Supply::Draining
        } else {
            self.start_dial(slot)
                .map_or(Supply::DialsInProgress, Supply::Dial)
        };
        (WaiterId { place, serial }, supply)
    }

    /// Counts a dial for `slot`, unless there are as many as allowed.
    pub(crate) fn start_dial(&mut self, slot: KeySlot) -> Option<OpenReason> {
        let entry = &mut self.keys[slot.0];
        if entry.dialling >= self.limits.dials_per_key {
            return None;
        }
        let reason = match entry.lost {
            _ if entry.busy > 0 => OpenReason::AllBusy,
            Some(lost) => lost.into(),
            // Dials in progress are for others that wait: all there will be is taken.
            None if entry.dialling > 0 => OpenReason::AllBusy,
            None => OpenReason::First,
        };
        entry.dialling += 1;
        self.dialling += 1;
        Some(reason)
    }

    /// After a dial has failed, under the same lock: starts a dial if more wait than dial.
    pub(crate) fn dial_for_waiters(&mut self, slot: KeySlot) -> Option<OpenReason> {
        let entry = &self.keys[slot.0];
        let coming = entry.dialling + entry.draining;
        (entry.waiters.len() > coming)
            .then(|| self.start_dial(slot))
            .flatten()
    }

    /// A drain took longer than its waiter was to wait for it: starts a dial if more wait than
    /// dial.
    pub(crate) fn dial_despite_drains(&mut self, waiter: WaiterId) -> Option<OpenReason> {
        let slot = KeySlot(
            self.waiting
                .get(waiter.place)
                .filter(|x| x.serial == waiter.serial)?
                .slot,
        );
        let entry = &self.keys[slot.0];
        (entry.waiters.len() > entry.dialling)
            .then(|| self.start_dial(slot))
            .flatten()
    }

    /// Counts a dial that somebody makes for himself alone, beside the queue: for a retry, which
    /// must not meet a second stale connection. Not bound by the cap: there is one a request.
    pub(crate) fn start_own_dial(&mut self, key: &K) -> (KeySlot, OpenReason) {
        let slot = self.slot(key);
        self.use_key(slot);
        let reason = self.keys[slot]
            .lost
            .map_or(OpenReason::First, OpenReason::from);
        self.keys[slot].dialling += 1;
        self.dialling += 1;
        (KeySlot(slot), reason)
    }

    /// The connection of an own dial stays with the one who made it.
    pub(crate) fn opened_and_kept(&mut self, slot: KeySlot, reason: OpenReason, connection: &C) {
        self.dial_ended(slot);
        self.counts.opened.add(reason.index());
        self.hold(slot.0, connection);
    }

    /// A dial gave a connection, which is opened and busy now; hand it on with
    /// [`give`](Self::give). Answers why another dial has to start, if more wait than this
    /// connection and what is coming can serve.
    pub(crate) fn opened(&mut self, slot: KeySlot, reason: OpenReason) -> Option<OpenReason> {
        self.dial_ended(slot);
        self.counts.opened.add(reason.index());
        self.busy += 1;
        let entry = &mut self.keys[slot.0];
        entry.busy += 1;
        let coming = 1 + entry.dialling + entry.draining;
        (entry.waiters.len() > coming)
            .then(|| self.start_dial(slot))
            .flatten()
    }

    /// An own dial failed; nobody else is concerned.
    pub(crate) fn own_dial_failed(&mut self, slot: KeySlot) {
        self.dial_ended(slot);
        self.counts.dial_failures += 1;
        self.retire_if_unused(slot.0);
    }

    /// A dial failed. Its error goes to the waiter that started it if that still waits, else to
    /// the one that has waited longest and would otherwise have no dial of its own.
    pub(crate) fn dial_failed(&mut self, slot: KeySlot, starter: Option<WaiterId>) -> Option<W> {
        self.dial_ended(slot);
        self.counts.dial_failures += 1;
        let entry = &self.keys[slot.0];
        let starter = starter.filter(|id| self.is_waiting(*id)).map(|id| id.place);
        let place = starter.or_else(|| {
            entry
                .waiters
                .front()
                .filter(|_| entry.waiters.len() > entry.dialling)
        });
        let waiter = place.map(|place| self.unqueue(place));
        self.retire_if_unused(slot.0);
        waiter
    }

    /// Gives a busy connection away: to the waiter that has waited longest, else to the idle list.
    pub(crate) fn give(&mut self, slot: KeySlot, connection: C, now: Instant) -> Given<C, W> {
        self.release(slot);
        if let Some(place) = self.keys[slot.0].waiters.front() {
            let waiter = self.unqueue(place);
            self.hold(slot.0, &connection);
            return Given::To { waiter, connection };
        }
        if self.is_shut_down || self.limits.idle_total == 0 || self.limits.idle_per_key == 0 {
            let reason = if self.is_shut_down {
                CloseReason::Shutdown
            } else {
                CloseReason::IdleLimit
            };
            self.count_closed(slot.0, reason);
            self.retire_if_unused(slot.0);
            return Given::Refused { connection };
        }
        let first = self.idle.is_empty();
        let place = self.idle.insert(Idle {
            connection,
            slot: slot.0,
            since: now,
            by_key: Links::default(),
            by_age: Links::default(),
        });
        self.keys[slot.0].idle.push_back(&mut self.idle, place);
        self.by_age.push_back(&mut self.idle, place);
        Given::Idle {
            place,
            first,
            evicted: self.evict(slot),
        }
    }

    /// The oldest idle connection above a limit: of the key first, then of all.
    fn evict(&mut self, slot: KeySlot) -> Option<C> {
        let of_key = &self.keys[slot.0].idle;
        let oldest = if of_key.len() > self.limits.idle_per_key {
            of_key.front()
        } else if self.by_age.len() > self.limits.idle_total {
            self.by_age.front()
        } else {
            None
        };
        oldest.map(|place| self.drop_idle(place, CloseReason::IdleLimit))
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
    pub(crate) fn closed(&mut self, slot: KeySlot, reason: CloseReason) {
        self.release(slot);
        self.count_closed(slot.0, reason);
        self.retire_if_unused(slot.0);
    }

    /// The rest of a body is read from a busy connection, which may then be given away.
    pub(crate) fn drain_started(&mut self, slot: KeySlot) {
        self.keys[slot.0].draining += 1;
    }

    /// The drain has ended; [`give`](Self::give) or [`closed`](Self::closed) follows under the
    /// same lock.
    pub(crate) fn drain_ended(&mut self, slot: KeySlot) {
        self.keys[slot.0].draining -= 1;
    }

    /// A request is sent again.
    pub(crate) fn retried(&mut self) {
        self.counts.retries += 1;
    }

    /// A waiter no longer waits. `None`: it has been served, and a delivery is on its way.
    pub(crate) fn cancel(&mut self, id: WaiterId) -> Option<W> {
        let slot = self
            .waiting
            .get(id.place)
            .filter(|x| x.serial == id.serial)?
            .slot;
        let waiter = self.unqueue(id.place);
        self.retire_if_unused(slot);
        Some(waiter)
    }

    /// Takes the idle connection at `place` out, if it still is number `id`. It is busy then.
    pub(crate) fn take_idle(&mut self, place: usize, id: u64) -> Option<(KeySlot, C, Instant)> {
        let idle = self
            .idle
            .get(place)
            .filter(|idle| idle.connection.id() == id)?;
        let (slot, since) = (idle.slot, idle.since);
        let connection = self.unlink(place);
        self.keys[slot].busy += 1;
        self.busy += 1;
        Some((KeySlot(slot), connection, since))
    }

    /// Closes what has been idle for too long. Returns them, and when the next one will have been.
    pub(crate) fn expire(&mut self, now: Instant, expired: &mut Vec<C>) -> Option<Instant> {
        while let Some(place) = self.by_age.front() {
            let since = self.idle[place].since;
            if !self.is_expired(since, now) {
                return since.checked_add(self.limits.idle_timeout?);
            }
            expired.push(self.drop_idle(place, CloseReason::IdleTimeout));
        }
        None
    }

    /// Takes all idle connections out that `matches`, counted as closed for `reason`.
    pub(crate) fn purge(
        &mut self,
        reason: CloseReason,
        mut matches: impl FnMut(&C) -> bool,
    ) -> Vec<C> {
        let places: Vec<usize> = self
            .idle
            .iter()
            .filter(|(_, idle)| matches(&idle.connection))
            .map(|(place, _)| place)
            .collect();
        places
            .into_iter()
            .map(|place| self.drop_idle(place, reason))
            .collect()
    }

    /// From now on nothing is kept. Returns the idle connections, counted as closed, and those who
    /// wait.
    pub(crate) fn shut_down(&mut self) -> (Vec<C>, Vec<W>) {
        self.is_shut_down = true;
        let idle = self.purge(CloseReason::Shutdown, |_| true);
        let places: Vec<usize> = self.waiting.iter().map(|(place, _)| place).collect();
        let waiters = places.into_iter().map(|place| {
            let slot = self.waiting[place].slot;
            let waiter = self.unqueue(place);
            self.retire_if_unused(slot);
            waiter
        });
        (idle, waiters.collect())
    }
}

/// Bookkeeping that several operations share.
impl<K: Eq + Hash + Clone, C: Entry, W> State<K, C, W> {
    fn is_expired(&self, since: Instant, now: Instant) -> bool {
        self.limits
            .idle_timeout
            .is_some_and(|timeout| now.saturating_duration_since(since) >= timeout)
    }

    fn slot(&mut self, key: &K) -> usize {
        if let Some(&slot) = self.index.get(key) {
            return slot;
        }
        self.forget_surplus_keys();
        let slot = self.keys.insert(PerKey {
            key: key.clone(),
            idle: List::default(),
            waiters: List::default(),
            dialling: 0,
            busy: 0,
            draining: 0,
            lost: None,
            links: Links::default(),
        });
        self.index.insert(key.clone(), slot);
        self.unused.push_back(&mut self.keys, slot);
        slot
    }

    fn forget_surplus_keys(&mut self) {
        while self.unused.len() >= self.limits.remembered_keys {
            let Some(oldest) = self.unused.front() else {
                return;
            };
            self.unused.remove(&mut self.keys, oldest);
            let forgotten = self.keys.remove(oldest);
            self.index.remove(&forgotten.key);
        }
    }

    /// The key is about to get a connection, a dial or a waiter.
    fn use_key(&mut self, slot: usize) {
        if self.keys[slot].is_unused() {
            self.unused.remove(&mut self.keys, slot);
        }
    }

    /// The key may have lost its last connection, dial or waiter.
    fn retire_if_unused(&mut self, slot: usize) {
        if self.keys[slot].is_unused() {
            self.unused.push_back(&mut self.keys, slot);
        }
    }

    /// A connection is in somebody's hands now, who counts as having acquired it.
    fn hold(&mut self, slot: usize, connection: &C) {
        self.keys[slot].busy += 1;
        self.busy += 1;
        self.counts.acquired += 1;
        let part = if connection.served() {
            &mut self.counts.reused
        } else {
            &mut self.counts.first_use
        };
        *part += 1;
    }

    /// A connection is in nobody's hands now.
    fn release(&mut self, slot: KeySlot) {
        self.keys[slot.0].busy -= 1;
        self.busy -= 1;
    }

    fn is_waiting(&self, id: WaiterId) -> bool {
        self.waiting
            .get(id.place)
            .is_some_and(|waiting| waiting.serial == id.serial)
    }

    fn dial_ended(&mut self, slot: KeySlot) {
        self.keys[slot.0].dialling -= 1;
        self.dialling -= 1;
        // Not retired here: the caller goes on with this key under the same lock.
    }

    fn count_closed(&mut self, slot: usize, reason: CloseReason) {
        self.counts.closed.add(reason.index());
        self.keys[slot].lost = Some(reason);
    }

    fn unqueue(&mut self, place: usize) -> W {
        let slot = self.waiting[place].slot;
        self.keys[slot].waiters.remove(&mut self.waiting, place);
        self.waiting.remove(place).waiter
    }

    fn unlink(&mut self, place: usize) -> C {
        let slot = self.idle[place].slot;
        self.keys[slot].idle.remove(&mut self.idle, place);
        self.by_age.remove(&mut self.idle, place);
        self.idle.remove(place).connection
    }

    fn drop_idle(&mut self, place: usize, reason: CloseReason) -> C {
        let slot = self.idle[place].slot;
        let connection = self.unlink(place);
        self.count_closed(slot, reason);
        self.retire_if_unused(slot);
        connection
    }
}
