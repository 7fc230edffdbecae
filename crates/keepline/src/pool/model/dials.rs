//! Dials in the model: those of the queue, and those beside it.

use super::{Dial, KeySlot, Pair, Waiting, pick, take};
use crate::OpenReason;

impl Pair {
    pub(super) fn give_up_on_drain(&mut self, n: usize) {
        let Some(&Waiting { key, id, .. }) = pick(&self.waiting, n) else {
            return;
        };
        let is_short = self.waiters(key) > self.dialling(key);
        let is_below_cap = self.dialling(key) < self.limits.dials_per_key;
        let dial = self.state.dial_despite_drains(id);
        assert_eq!(dial.is_some(), is_short && is_below_cap);
        if dial.is_some() {
            // Then something is being drained, and has the slot.
            let slot = self.busy.iter().find(|x| x.key == key).unwrap().slot;
            self.dial_next(key, slot, true);
        }
    }

    pub(super) fn dial_alone(&mut self, key: u8) {
        let (slot, _) = self.state.start_own_dial(&key);
        let starter = None;
        self.alone.push(Dial { key, slot, starter });
    }

    pub(super) fn alone_opens(&mut self, n: usize) {
        if let Some(Dial { key, slot, .. }) = take(&mut self.alone, n) {
            let conn = self.new_conn();
            self.state.opened_and_kept(slot, OpenReason::First, &conn);
            self.counts.opened += 1;
            self.hold(key, slot, conn);
        }
    }

    pub(super) fn alone_fails(&mut self, n: usize) {
        if let Some(dial) = take(&mut self.alone, n) {
            self.state.own_dial_failed(dial.slot);
            self.counts.dial_failures += 1;
        }
    }

    pub(super) fn dial_opens(&mut self, n: usize) {
        let Some(Dial { key, slot, .. }) = take(&mut self.dials, n) else {
            return;
        };
        let conn = self.new_conn();
        let next = self.state.opened(slot, OpenReason::First);
        self.counts.opened += 1;
        // This connection serves one.
        assert_eq!(next.is_some(), self.wants_dial(key, 1));
        self.dial_next(key, slot, next.is_some());
        self.give(key, slot, conn, self.now);
    }

    pub(super) fn dial_fails(&mut self, n: usize) {
        let Some(Dial { key, slot, starter }) = take(&mut self.dials, n) else {
            return;
        };
        self.counts.dial_failures += 1;
        let told = self.state.dial_failed(slot, starter);
        let own = self.waiting.iter().position(|x| Some(x.id) == starter);
        let is_short = self.waiters(key) > self.dialling(key);
        let oldest = self.waiting.iter().position(|x| x.key == key);
        let expected = own.or_else(|| oldest.filter(|_| is_short));
        assert_eq!(
            told,
            expected.map(|place| self.waiting.remove(place).number)
        );
        let next = self.state.dial_for_waiters(slot);
        assert_eq!(next.is_some(), self.wants_dial(key, 0));
        self.dial_next(key, slot, next.is_some());
    }

    pub(super) fn dial_is_lost(&mut self, n: usize) {
        let Some(Dial { key, slot, .. }) = take(&mut self.dials, n) else {
            return;
        };
        self.counts.dial_failures += 1;
        for number in self.state.dial_lost(slot) {
            self.forsaken(key, number);
        }
    }

    pub(super) fn dial_next(&mut self, key: u8, slot: KeySlot, starts: bool) {
        if starts {
            let starter = None;
            self.dials.push(Dial { key, slot, starter });
        }
    }

    /// More wait than `here` and what is coming serve, and a dial may start.
    fn wants_dial(&self, key: u8, here: usize) -> bool {
        let coming = here + self.dialling(key) + self.draining(key);
        self.waiters(key) > coming && self.dialling(key) < self.limits.dials_per_key
    }
}
