//! The bookkeeping that the operations of the state share: lists, keys and counts.
//!
//! Invariant: a key is in the list of unused keys exactly while it has no connection, no dial and
//! no waiter; in the list of starved keys exactly while its flag says so, which is only while more
//! wait for it than dial: room that nobody needs is kept for nobody.

use std::hash::Hash;

use super::{
    CloseReason, Effects, Entry, Expiry, Home, Idle, KeySlot, LearnedLimit, Links, List, Now,
    PerKey, State, WaiterId, Waiting,
};
use crate::list::Linked;
use crate::pool::wheel::BY_EXPIRY;

/// List of the idle connections, or of the waiters, of one key; of the keys: the starved ones.
pub(super) const BY_KEY: usize = 0;
/// List of all idle connections; of the keys: the unused ones.
pub(super) const BY_AGE: usize = 1;
/// List of the idle connections of one key that are registered with one runtime.
pub(super) const BY_HOME: usize = 3;
/// List of the idle connections of one key that lead to one address.
pub(super) const BY_ADDRESS: usize = 4;

impl<C> Linked<BY_KEY> for Idle<C> {
    fn links(&mut self) -> &mut Links {
        &mut self.by_key
    }
}

impl<C> Linked<BY_HOME> for Idle<C> {
    fn links(&mut self) -> &mut Links {
        &mut self.by_home
    }
}

impl<C> Linked<BY_ADDRESS> for Idle<C> {
    fn links(&mut self) -> &mut Links {
        &mut self.by_address
    }
}

impl<C> Linked<BY_AGE> for Idle<C> {
    fn links(&mut self) -> &mut Links {
        &mut self.by_age
    }
}

impl<C> Linked<BY_EXPIRY> for Idle<C> {
    fn links(&mut self) -> &mut Links {
        &mut self.by_expiry
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

impl<K> Linked<BY_KEY> for PerKey<K> {
    fn links(&mut self) -> &mut Links {
        &mut self.starved
    }
}

impl<K> PerKey<K> {
    const fn is_unused(&self) -> bool {
        self.idle.is_empty()
            && self.waiters.is_empty()
            && self.dialling == 0
            && self.own_dials == 0
            && self.busy == 0
    }
}

impl<K: Eq + Hash + Clone, C: Entry, W> State<K, C, W> {
    /// The place of a key, made if it is not known.
    pub(super) fn slot(&mut self, key: &K) -> usize {
        if let Some(&slot) = self.index.get(key) {
            return slot;
        }
        self.forget_surplus_keys();
        let slot = self.keys.insert(PerKey {
            key: key.clone(),
            limits: self
                .overrides
                .get(key)
                .copied()
                .unwrap_or(self.limits.per_key),
            idle: List::default(),
            homes: Vec::new(),
            addresses: Vec::new(),
            waiters: List::default(),
            dialling: 0,
            own_dials: 0,
            busy: 0,
            soon_free: 0,
            lost: None,
            learned: LearnedLimit::default(),
            is_starved: false,
            links: Links::default(),
            starved: Links::default(),
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
    pub(super) fn use_key(&mut self, slot: usize) {
        if self.keys[slot].is_unused() {
            self.unused.remove(&mut self.keys, slot);
        }
    }

    /// The key may have lost its last connection, dial or waiter. It has had one until now.
    pub(super) fn retire_if_unused(&mut self, slot: usize) {
        if self.keys[slot].is_unused() {
            self.unused.push_back(&mut self.keys, slot);
        }
    }

    /// The key waits for room.
    pub(super) fn starve(&mut self, slot: usize) {
        if !self.keys[slot].is_starved {
            self.keys[slot].is_starved = true;
            self.starved.push_back(&mut self.keys, slot);
        }
    }

    /// The key no longer waits for room.
    pub(super) fn feed(&mut self, slot: usize) {
        if std::mem::take(&mut self.keys[slot].is_starved) {
            self.starved.remove(&mut self.keys, slot);
        }
    }

    /// The key waits for room no longer, if as many dial as wait.
    pub(super) fn feed_unless_short(&mut self, slot: usize) {
        if !self.is_short(slot) {
            self.feed(slot);
        }
    }

    /// A connection is in somebody's hands now, who counts as having acquired it.
    pub(super) fn hold(&mut self, slot: usize, connection: &C) {
        self.take_out(slot, connection);
        self.counts.acquired += 1;
        let part = if connection.served() {
            &mut self.counts.reused
        } else {
            &mut self.counts.first_use
        };
        *part += 1;
    }

    /// A connection is in somebody's hands now, who does not count as having acquired it.
    pub(super) fn take_out(&mut self, slot: usize, connection: &C) {
        self.keys[slot].busy += 1;
        self.busy += 1;
        self.busy_at(slot, connection);
    }

    /// A connection is in nobody's hands now.
    pub(super) fn release(&mut self, slot: KeySlot, connection: &C) {
        self.keys[slot.0].busy -= 1;
        self.busy -= 1;
        self.free_at(slot.0, connection);
    }

    pub(super) fn dial_ended(&mut self, slot: KeySlot) {
        self.keys[slot.0].dialling -= 1;
        self.dialling -= 1;
    }

    pub(super) fn own_dial_ended(&mut self, slot: KeySlot) {
        self.keys[slot.0].own_dials -= 1;
        self.dialling -= 1;
    }

    /// A connection that nobody holds any more is gone.
    pub(super) fn count_closed(
        &mut self,
        slot: KeySlot,
        reason: CloseReason,
        effects: &mut Effects<K, C>,
    ) {
        self.counts.closed.add(reason.index());
        self.keys[slot.0].lost = Some(reason);
        self.freed(slot, effects);
    }

    pub(super) fn is_waiting(&self, id: WaiterId) -> bool {
        self.waiting
            .get(id.place)
            .is_some_and(|waiting| waiting.serial == id.serial)
    }

    pub(super) fn unqueue(&mut self, place: usize) -> W {
        let slot = self.waiting[place].slot;
        self.keys[slot].waiters.remove(&mut self.waiting, place);
        self.feed_unless_short(slot);
        self.waiting.remove(place).waiter
    }

    /// Makes a connection idle.
    pub(super) fn park(
        &mut self,
        slot: usize,
        connection: C,
        since: Now,
        expiry: Option<Expiry>,
    ) -> usize {
        let Home(home) = connection.home();
        let place = self.idle.insert(Idle {
            connection,
            slot,
            since,
            expiry,
            in_wheel: None,
            by_key: Links::default(),
            by_home: Links::default(),
            by_address: Links::default(),
            by_age: Links::default(),
            by_expiry: Links::default(),
        });
        // Nearly always the newest. One that was only looked at has been idle for longer than those
        // that came meanwhile, and goes before them.
        let is_newer = |idle: &Idle<C>| idle.since.instant > since.instant;
        let of_key = &mut self.keys[slot];
        if of_key.homes.len() <= home {
            of_key.homes.resize(home + 1, List::default());
        }
        of_key.homes[home].push_before(&mut self.idle, place, is_newer);
        of_key.idle.push_before(&mut self.idle, place, is_newer);
        self.by_age.push_before(&mut self.idle, place, is_newer);
        self.lies_at(slot, place, is_newer);
        if let Some(expiry) = expiry {
            let in_wheel = self.wheel.insert(&mut self.idle, place, expiry.at);
            self.idle[place].in_wheel = Some(in_wheel);
        }
        place
    }

    /// Takes an idle connection out of all lists.
    pub(super) fn unlink(&mut self, place: usize) -> C {
        let (slot, in_wheel) = (self.idle[place].slot, self.idle[place].in_wheel);
        let Home(home) = self.idle[place].connection.home();
        let of_key = &mut self.keys[slot];
        of_key.idle.remove(&mut self.idle, place);
        of_key.homes[home].remove(&mut self.idle, place);
        self.by_age.remove(&mut self.idle, place);
        self.leaves(slot, place);
        if let Some(in_wheel) = in_wheel {
            self.wheel.remove(&mut self.idle, place, in_wheel);
        }
        self.idle.remove(place).connection
    }

    /// Closes an idle connection.
    pub(super) fn drop_idle(
        &mut self,
        place: usize,
        reason: CloseReason,
        effects: &mut Effects<K, C>,
    ) {
        let slot = KeySlot(self.idle[place].slot);
        let connection = self.unlink(place);
        effects.closed.push((connection, reason));
        self.count_closed(slot, reason, effects);
    }
}
