//! Dials in the world around a pool: those of the queue, and those beside it.

use super::{Effects, Fake, KeySlot, OpenReason, WaiterId, World};

impl World {
    /// Dials run in one runtime after the other.
    const fn next_home(&self) -> usize {
        (self.next_id % 3) as usize
    }

    pub(super) fn some_dial_ends(
        &mut self,
        choice: usize,
        opens: bool,
        effects: &mut Effects<u8, Fake>,
    ) {
        let all = self.dialling.len() + self.own_dials.len();
        if choice % all.max(1) >= self.dialling.len() && all > 0 {
            self.own_dial_ends(opens, effects);
        } else if !self.dialling.is_empty() {
            let dial = self.dialling.swap_remove(choice % self.dialling.len());
            self.dial_ends(dial, opens, effects);
        }
    }

    pub(super) fn dial_ends(
        &mut self,
        (key, slot, reason, starter): (u8, KeySlot, OpenReason, Option<WaiterId>),
        opens: bool,
        effects: &mut Effects<u8, Fake>,
    ) {
        if opens {
            self.next_id += 1;
            let fake = Fake {
                id: self.next_id,
                served: false,
                home: self.next_home(),
            };
            self.pool.opened(slot, reason, &fake);
            self.give(key, slot, fake, effects);
        } else if let Some(waiter) = self.pool.dial_failed(slot, starter, effects) {
            let queue = self.waiting.get_mut(&key).expect("somebody waited");
            let before = queue.len();
            queue.retain(|(other, _)| *other != waiter);
            assert_eq!(
                queue.len(),
                before - 1,
                "an error ends one wait of its own key"
            );
        }
    }

    pub(super) fn own_dial_ends(&mut self, opens: bool, effects: &mut Effects<u8, Fake>) {
        let (key, slot, reason) = self.own_dials.pop().expect("there is one");
        if opens {
            self.next_id += 1;
            let fake = Fake {
                id: self.next_id,
                served: false,
                home: self.next_home(),
            };
            self.pool.opened_and_kept(slot, reason, &fake, effects);
            self.hold(key, slot, fake);
        } else {
            self.pool.own_dial_failed(slot, effects);
        }
    }

    /// A dial goes down with its runtime: who counted on it asks again.
    pub(super) fn lose_dial(&mut self, choice: usize, effects: &mut Effects<u8, Fake>) {
        if self.dialling.is_empty() {
            return;
        }
        let (_, slot, ..) = self.dialling.swap_remove(choice % self.dialling.len());
        let forsaken = self.pool.dial_lost(slot);
        let mut again = Vec::new();
        for waiter in forsaken {
            let newest = self
                .waiting
                .iter_mut()
                .find(|(_, queue)| queue.back().is_some_and(|newest| newest.0 == waiter));
            let (key, queue) = newest.expect("the newest of its key is sent away");
            queue.pop_back();
            again.push(*key);
        }
        for key in again {
            if !self.pool.is_shut_down() {
                self.ask(key, None, effects);
            }
        }
    }
}
