//! Where connections come from: waiters, dials, and the limits that hold them back.
//!
//! A dial is counted when it is decided on, so that no burst can overrun a limit. Whatever frees
//! room (a close, a failed dial, an eviction) ends in [`State::freed`], which starts what was
//! held back: first for the key itself, then for the key that has waited longest for room.

use std::hash::Hash;
use std::time::Duration;

use super::{Demand, Effects, Entry, KeySlot, State, WaiterId, Waiting};
use crate::list::Links;
use crate::pool::policy::OnMiss;
use crate::{CloseReason, OpenReason};

/// What a queued waiter should do besides waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supply {
    /// Start a dial at once; it has been counted.
    Dial(OpenReason),
    /// A connection of this key is being drained, or looked at: wait for that as long as a drain may
    /// take.
    SoonFree,
    /// Connections of this key are busy: wait so long for one of them.
    Returning(Duration),
    /// A dial is on its way whose request was served by a connection that came back: it began
    /// earlier than a new one would, so wait for it, but only as long as a dial usually takes.
    Dialling,
    /// A limit holds dials back: the next connection is one that comes back or a dial that starts
    /// when there is room.
    Limited,
}

/// Why a dial cannot start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// A limit of the key; only what happens to the key can change that.
    ByKey,
    /// The limit of all connections.
    ByAll,
}

impl<K: Eq + Hash + Clone, C: Entry, W> State<K, C, W> {
    /// Queues a waiter after a miss, and says how it comes to a connection. The caller has not
    /// released the lock since [`checkout`](Self::checkout).
    pub(crate) fn enqueue(
        &mut self,
        slot: KeySlot,
        waiter: W,
        effects: &mut Effects<K, C>,
    ) -> (WaiterId, Supply) {
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
        let of_key = &self.keys[slot.0];
        let supply = match of_key.limits.on_miss {
            _ if of_key.soon_free >= of_key.waiters.len() => Supply::SoonFree,
            _ if of_key.soon_free + of_key.dialling >= of_key.waiters.len() => Supply::Dialling,
            OnMiss::Wait(time) if of_key.busy > 0 => Supply::Returning(time),
            OnMiss::Wait(_) | OnMiss::Race | OnMiss::DialOnly => self
                .start_dial(slot, effects)
                .map_or(Supply::Limited, Supply::Dial),
        };
        (WaiterId { place, serial }, supply)
    }

    /// A waiter has waited long enough for a connection that was to come back: a dial for it, if
    /// it still waits, more wait than dial, and there is room. `true`: a dial of somebody else is
    /// on its way to it.
    pub(crate) fn dial_after_all(&mut self, id: WaiterId, effects: &mut Effects<K, C>) -> bool {
        let Some(slot) = self.slot_of_waiting(id) else {
            return false;
        };
        if self.is_short(slot.0) {
            self.demand(slot, effects);
            return false;
        }
        true
    }

    /// The dial of somebody else on which a waiter counts takes too long; that one may be stuck
    /// where a new one is not. A dial if the waiter still waits, and there is room.
    pub(crate) fn dial_besides(&mut self, id: WaiterId, effects: &mut Effects<K, C>) {
        if let Some(slot) = self.slot_of_waiting(id) {
            self.demand(slot, effects);
        }
    }

    fn slot_of_waiting(&self, id: WaiterId) -> Option<KeySlot> {
        self.is_waiting(id)
            .then(|| KeySlot(self.waiting[id.place].slot))
    }

    /// Dials ahead of need, at most `count` and as many as there is room for.
    pub(crate) fn warm(&mut self, key: &K, count: usize, effects: &mut Effects<K, C>) -> usize {
        let slot = KeySlot(self.slot(key));
        (0..count)
            .take_while(|_| self.warm_one(slot, effects))
            .count()
    }

    /// Keeps as many connections ready as the key wants, idle or on their way.
    pub(super) fn refill(&mut self, slot: usize, effects: &mut Effects<K, C>) {
        let slot = KeySlot(slot);
        loop {
            let of_key = &self.keys[slot.0];
            let ready = of_key.idle.len() + of_key.dialling.saturating_sub(of_key.waiters.len());
            if ready >= of_key.limits.min_idle || !self.warm_one(slot, effects) {
                return;
            }
        }
    }

    fn warm_one(&mut self, slot: KeySlot, effects: &mut Effects<K, C>) -> bool {
        // Ahead of need, nobody is evicted and nobody starved.
        if self.is_shut_down || !self.has_room() || self.held(slot).is_some() {
            return false;
        }
        self.count_dial(slot);
        let key = self.keys[slot.0].key.clone();
        effects.dials.push(Demand {
            key,
            slot,
            reason: OpenReason::WarmUp,
        });
        true
    }

    /// Counts a dial that somebody makes for himself alone, beside the queue: for a retry, which
    /// must not meet a second stale connection, and for keys that only dial. `None`: there is no
    /// room.
    pub(crate) fn start_own_dial(
        &mut self,
        key: &K,
        effects: &mut Effects<K, C>,
    ) -> Option<(KeySlot, OpenReason)> {
        let slot = KeySlot(self.slot(key));
        self.own_dial(slot, effects).map(|reason| (slot, reason))
    }

    fn own_dial(&mut self, slot: KeySlot, effects: &mut Effects<K, C>) -> Option<OpenReason> {
        let reason = self
            .make_room(slot, effects)
            .then(|| self.open_reason(slot))?;
        self.use_key(slot.0);
        self.keys[slot.0].own_dials += 1;
        self.dialling += 1;
        Some(reason)
    }

    /// After a miss: counts an own dial if this key only dials, and there is room.
    pub(crate) fn dial_only(
        &mut self,
        slot: KeySlot,
        effects: &mut Effects<K, C>,
    ) -> Option<OpenReason> {
        match self.keys[slot.0].limits.on_miss {
            OnMiss::DialOnly => self.own_dial(slot, effects),
            OnMiss::Race | OnMiss::Wait(_) => None,
        }
    }

    /// The connection of an own dial stays with the one who made it.
    pub(crate) fn opened_and_kept(
        &mut self,
        slot: KeySlot,
        reason: OpenReason,
        connection: &C,
        effects: &mut Effects<K, C>,
    ) {
        self.own_dial_ended(slot);
        self.counts.opened.add(reason.index());
        self.hold(slot.0, connection);
        // It took the room of one dial, and others may wait for that.
        self.supply_waiters(slot, effects);
    }

    /// An own dial failed; it is no waiter's concern.
    pub(crate) fn own_dial_failed(&mut self, slot: KeySlot, effects: &mut Effects<K, C>) {
        self.own_dial_ended(slot);
        self.counts.dial_failures += 1;
        self.freed(slot, effects);
    }

    /// A dial was dropped in progress, with its runtime. Nobody can start another one here, so who
    /// counted on it is to ask again, and so are those who waited for its room.
    pub(crate) fn dial_lost(&mut self, slot: KeySlot) -> Vec<W> {
        self.dial_ended(slot);
        self.counts.dial_failures += 1;
        let mut forsaken: Vec<W> = std::iter::from_fn(|| self.forsaken(slot)).collect();
        self.retire_if_unused(slot.0);
        // Those may wait instead of dialling, so that others have to know of the room too.
        while let Some(longest) = self.starved.front().filter(|_| self.has_room()) {
            self.feed(longest);
            forsaken.extend(std::iter::from_fn(|| self.forsaken(KeySlot(longest))));
            self.retire_if_unused(longest);
        }
        forsaken
    }

    /// The newest waiter of a key that nothing in progress will serve, taken out of the queue; those
    /// before it keep their places.
    fn forsaken(&mut self, slot: KeySlot) -> Option<W> {
        let of_key = &self.keys[slot.0];
        let coming = of_key.dialling + of_key.soon_free + self.busy_hope(slot);
        let newest = of_key
            .waiters
            .back()
            .filter(|_| of_key.waiters.len() > coming);
        newest.map(|place| self.unqueue(place))
    }

    /// A dial gave a connection, which is opened and busy now; hand it on with
    /// [`give`](Self::give).
    pub(crate) fn opened(&mut self, slot: KeySlot, reason: OpenReason, connection: &C) {
        self.dial_ended(slot);
        self.counts.opened.add(reason.index());
        self.take_out(slot.0, connection);
    }

    /// A dial failed. Its error goes to the waiter that started it if that still waits, else to
    /// the one that has waited longest and would otherwise have no dial of its own: so each
    /// failure ends one wait, and a host that is down is not dialled without end.
    pub(crate) fn dial_failed(
        &mut self,
        slot: KeySlot,
        starter: Option<WaiterId>,
        effects: &mut Effects<K, C>,
    ) -> Option<W> {
        self.dial_ended(slot);
        self.counts.dial_failures += 1;
        let of_key = &self.keys[slot.0];
        let starter = starter.filter(|id| self.is_waiting(*id)).map(|id| id.place);
        let place = starter.or_else(|| {
            of_key
                .waiters
                .front()
                .filter(|_| of_key.waiters.len() > of_key.dialling)
        });
        let waiter = place.map(|place| self.unqueue(place));
        self.freed(slot, effects);
        waiter
    }

    /// The rest of a body is read from a busy connection, which may then be given away.
    pub(crate) fn drain_started(&mut self, slot: KeySlot) {
        self.keys[slot.0].soon_free += 1;
    }

    /// The drain has ended; [`give`](Self::give) or [`closed`](Self::closed) follows.
    pub(crate) fn drain_ended(&mut self, slot: KeySlot) {
        self.keys[slot.0].soon_free -= 1;
    }

    /// A waiter no longer waits. `None`: it has been served, and a delivery is on its way.
    pub(crate) fn cancel(&mut self, id: WaiterId) -> Option<W> {
        if !self.is_waiting(id) {
            return None;
        }
        let slot = self.waiting[id.place].slot;
        let waiter = self.unqueue(id.place);
        self.retire_if_unused(slot);
        Some(waiter)
    }

    /// There is room now: starts what was held back. Called after every close and failed dial of
    /// the key, whose bookkeeping ends here.
    pub(super) fn freed(&mut self, slot: KeySlot, effects: &mut Effects<K, C>) {
        self.supply_waiters(slot, effects);
        self.retire_if_unused(slot.0);
        while self.has_room() {
            let Some(longest) = self.starved.front() else {
                return;
            };
            self.feed(longest);
            // One at a time, so that keys take turns; the rest of its waiters wait behind the others.
            if self.is_short(longest)
                && self.demand(KeySlot(longest), effects)
                && self.is_short(longest)
            {
                self.starve(longest);
            }
        }
    }

    /// Starts a dial if more wait for the key than is on its way.
    pub(super) fn supply_waiters(&mut self, slot: KeySlot, effects: &mut Effects<K, C>) {
        let of_key = &self.keys[slot.0];
        if of_key.waiters.len() > of_key.dialling + of_key.soon_free + self.busy_hope(slot) {
            self.demand(slot, effects);
        }
    }

    /// Busy connections that waiters of a key count on before they dial: none, unless the key is
    /// one that waits.
    fn busy_hope(&self, slot: KeySlot) -> usize {
        let of_key = &self.keys[slot.0];
        match of_key.limits.on_miss {
            OnMiss::Wait(_) => of_key.busy,
            OnMiss::Race | OnMiss::DialOnly => 0,
        }
    }

    /// More wait for the key than dial.
    pub(super) fn is_short(&self, slot: usize) -> bool {
        self.keys[slot].waiters.len() > self.keys[slot].dialling
    }

    /// Starts a dial that nobody in particular asked for, if nothing holds it back.
    fn demand(&mut self, slot: KeySlot, effects: &mut Effects<K, C>) -> bool {
        let Some(reason) = self.start_dial(slot, effects) else {
            return false;
        };
        let key = self.keys[slot.0].key.clone();
        effects.dials.push(Demand { key, slot, reason });
        true
    }

    /// Counts a dial, unless a limit holds it back.
    fn start_dial(&mut self, slot: KeySlot, effects: &mut Effects<K, C>) -> Option<OpenReason> {
        self.make_room(slot, effects).then(|| {
            let reason = self.open_reason(slot);
            self.count_dial(slot);
            reason
        })
    }

    /// Whether there is room for another dial of the key. At the limit of all connections the
    /// oldest idle one, of whatever key, makes room.
    fn make_room(&mut self, slot: KeySlot, effects: &mut Effects<K, C>) -> bool {
        match self.held(slot) {
            None => true,
            Some(Held::ByKey) => false,
            Some(Held::ByAll) => match self.by_age.front() {
                Some(oldest) => {
                    let of_key = self.idle[oldest].slot;
                    let connection = self.unlink(oldest);
                    self.counts.closed.add(CloseReason::IdleLimit.index());
                    self.keys[of_key].lost = Some(CloseReason::IdleLimit);
                    self.retire_if_unused(of_key);
                    effects.closed.push((connection, CloseReason::IdleLimit));
                    true
                }
                None => {
                    // It takes a moment, and then gives its room to who has waited longest.
                    effects.evict_shared |= self.resting() > 0;
                    if self.is_short(slot.0) {
                        self.starve(slot.0);
                    }
                    false
                }
            },
        }
    }

    fn count_dial(&mut self, slot: KeySlot) {
        self.use_key(slot.0);
        self.keys[slot.0].dialling += 1;
        self.dialling += 1;
        self.feed_unless_short(slot.0);
    }

    fn open_reason(&self, slot: KeySlot) -> OpenReason {
        let of_key = &self.keys[slot.0];
        match of_key.lost {
            _ if of_key.busy > 0 => OpenReason::AllBusy,
            Some(CloseReason::IdleLimit) if !self.keeps_any(slot) => OpenReason::ReuseOff,
            Some(lost) => lost.into(),
            // Dials in progress are for others that wait: all there will be is taken.
            None if of_key.dialling > 0 => OpenReason::AllBusy,
            None => OpenReason::First,
        }
    }

    fn held(&self, slot: KeySlot) -> Option<Held> {
        let of_key = &self.keys[slot.0];
        let dialling = of_key.dialling + of_key.own_dials;
        let open = of_key.idle.len() + of_key.busy + dialling;
        if dialling >= of_key.limits.dials
            || of_key.limits.connections.is_some_and(|most| open >= most)
        {
            return Some(Held::ByKey);
        }
        (!self.has_room()).then_some(Held::ByAll)
    }

    /// There is room for another connection.
    pub(super) fn has_room(&self) -> bool {
        self.has_room_besides(0)
    }

    /// There is room for another connection besides so many that are not counted yet.
    pub(super) fn has_room_besides(&self, uncounted: usize) -> bool {
        let open = self.idle.len() + self.busy + self.dialling;
        self.limits
            .connections
            .is_none_or(|most| open + uncounted < most)
    }
}
