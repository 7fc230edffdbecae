//! Idle connections in the model: what the reaper, the limits and the shutdown do to them.

use super::{Conn, Idle, KeySlot, Pair, take};

impl Pair {
    pub(super) fn look(&mut self, n: usize) {
        if let Some((idle, slot)) = self.take_idle(n) {
            self.give(idle.key, slot, idle.conn, idle.since);
        }
    }

    pub(super) fn reap(&mut self, n: usize) {
        if let Some((idle, slot)) = self.take_idle(n) {
            self.close(idle.key, slot);
        }
    }

    pub(super) fn evict(&mut self, key: u8) -> Option<Idle> {
        let of_key = self.idle.iter().filter(|x| x.key == key).count();
        let place = if of_key > self.limits.idle_per_key {
            self.idle.iter().position(|x| x.key == key)
        } else {
            (self.idle.len() > self.limits.idle_total).then_some(0)
        };
        self.counts.closed += u64::from(place.is_some());
        place.map(|place| self.idle.remove(place))
    }

    pub(super) fn take_idle(&mut self, n: usize) -> Option<(Idle, KeySlot)> {
        let idle = take(&mut self.idle, n)?;
        // Where it lies is not the model's to know: only one place has it.
        let places = (0..64).filter_map(|place| self.state.take_idle(place, idle.conn.id));
        let found: Vec<_> = places.collect();
        let [(slot, conn, since)] = found[..] else {
            panic!("found {} times", found.len());
        };
        assert_eq!((conn, since), (idle.conn, idle.since));
        Some((idle, slot))
    }

    pub(super) fn expire(&mut self) {
        let mut expired = Vec::new();
        let next = self.state.expire(self.now, &mut expired);
        while let Some(idle) = self.idle.first().copied().filter(|x| self.is_expired(x)) {
            assert_eq!(expired.remove(0), idle.conn);
            self.idle.remove(0);
            self.counts.closed += 1;
        }
        assert!(expired.is_empty());
        assert!(!self.idle.iter().any(|x| self.is_expired(x)), "all of them");
        let timeout = self.limits.idle_timeout;
        let expected = self.idle.first().and_then(|x| Some(x.since + timeout?));
        assert_eq!(next, expected);
    }

    pub(super) fn shut_down(&mut self) {
        let (idle, waiters) = self.state.shut_down();
        self.is_shut_down = true;
        self.all_idle_closed(idle);
        let mut waiters = waiters;
        waiters.sort_unstable();
        let expected: Vec<u32> = self.waiting.drain(..).map(|x| x.number).collect();
        assert_eq!(waiters, expected);
    }

    pub(super) fn all_idle_closed(&mut self, mut closed: Vec<Conn>) {
        let mut expected: Vec<Conn> = self.idle.drain(..).map(|x| x.conn).collect();
        closed.sort_unstable_by_key(|x| x.id);
        expected.sort_unstable_by_key(|x| x.id);
        assert_eq!(closed, expected);
        self.counts.closed += closed.len() as u64;
    }

    pub(super) fn is_expired(&self, idle: &Idle) -> bool {
        self.limits
            .idle_timeout
            .is_some_and(|x| self.now - idle.since >= x)
    }
}
