//! Idle connections: taken, given back, looked at, expired, closed.
//!
//! Each key has them in two orders at once, all of them and those of each runtime, so that a
//! checkout finds one of its own runtime first, and another's when there is none.

use std::hash::Hash;

use tokio::time::Instant;

use super::{Checkout, Effects, Entry, Given, Home, Idle, KeySlot, List, Parked, State};
use crate::CloseReason;
use crate::pool::policy::{Expiry, IdleOrder, Now, after, earlier, has_expired};

impl<K: Eq + Hash + Clone, C: Entry, W> State<K, C, W> {
    /// Takes an idle connection of `key`: one that is registered `here` if there is one, and of
    /// those the newest or the oldest, as the key's order says. Those that have expired are closed
    /// on the way.
    pub(crate) fn checkout(
        &mut self,
        key: &K,
        here: Option<Home>,
        now: Now,
        effects: &mut Effects<K, C>,
    ) -> Checkout<C> {
        let slot = self.slot(key);
        loop {
            let Some(place) = self.next_idle(slot, here) else {
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

    fn next_idle(&self, slot: usize, here: Option<Home>) -> Option<usize> {
        let of_key = &self.keys[slot];
        let own = here.and_then(|Home(home)| of_key.homes.get(home));
        match of_key.limits.order {
            IdleOrder::Lifo => own.and_then(List::back).or_else(|| of_key.idle.back()),
            IdleOrder::Fifo => own.and_then(List::front).or_else(|| of_key.idle.front()),
            IdleOrder::LeastUsed => self.least_used(slot),
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
        self.hand_on(parked, effects)
    }

    /// Gives a connection away that was taken out of the idle ones to be looked at, and found well.
    /// Meanwhile somebody may have come to wait, or the pool may have been filled or shut down.
    pub(crate) fn put_back(
        &mut self,
        parked: Parked<C>,
        effects: &mut Effects<K, C>,
    ) -> Given<C, W> {
        self.keys[parked.slot.0].soon_free -= 1;
        self.hand_on(parked, effects)
    }

    /// A connection that was taken out of the idle ones to be looked at is lost;
    /// [`closed`](Self::closed) follows.
    pub(crate) fn found_dead(&mut self, parked: &Parked<C>, reason: CloseReason, now: Instant) {
        let of_key = &mut self.keys[parked.slot.0];
        of_key.soon_free -= 1;
        if reason == CloseReason::PeerClosed {
            of_key.learned.closed_after(parked.idle_for(now), now);
        }
    }

    fn hand_on(&mut self, parked: Parked<C>, effects: &mut Effects<K, C>) -> Given<C, W> {
        let Parked {
            slot,
            connection,
            since,
            expiry,
        } = parked;
        self.release(slot, &connection);
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
    pub(super) fn keeps_any(&self, slot: KeySlot) -> bool {
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
        (slot, connection): (KeySlot, &C),
        reason: CloseReason,
        effects: &mut Effects<K, C>,
    ) {
        self.release(slot, connection);
        self.count_closed(slot, reason, effects);
    }

    /// Requests share a connection that is busy with an earlier one.
    pub(crate) const fn joined(&mut self, requests: u64, pipelined: u64) {
        self.counts.acquired += requests;
        self.counts.reused += requests;
        self.counts.pipelined += pipelined;
    }

    /// A request is sent again.
    pub(crate) fn retried(&mut self) {
        self.counts.retries += 1;
    }

    /// Takes the idle connection at `place` out to be looked at, if it still is number `id`. It is busy
    /// until [`put_back`](Self::put_back) or [`found_dead`](Self::found_dead), and whoever asks
    /// meanwhile waits for that.
    pub(crate) fn take_idle(&mut self, place: usize, id: u64) -> Option<Parked<C>> {
        let idle = self
            .idle
            .get(place)
            .filter(|idle| idle.connection.id() == id)?;
        let (slot, since, expiry) = (idle.slot, idle.since, idle.expiry);
        let connection = self.unlink(place);
        self.take_out(slot, &connection);
        self.keys[slot].soon_free += 1;
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
