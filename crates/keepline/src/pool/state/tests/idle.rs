//! Idle connections in the world around a pool: their order, and what the limits, the clock and
//! the reaper do to them.

use super::{CloseReason, Effects, Fake, Lying, TICK, World, address};

impl World {
    /// Behind those that have been idle for as long or longer.
    pub(super) fn lie_down(&mut self, lying: Lying) {
        let at = self.idle.partition_point(|x| x.since <= lying.since);
        self.idle.insert(at, lying);
    }

    /// Above a limit the oldest goes: of the key first, then of all.
    pub(super) fn check_eviction(&self, key: u8, effects: &Effects<u8, Fake>) {
        let mut of_key = self.idle.iter().filter(|x| x.key == key);
        let evicted = if of_key.clone().count() > self.limits.per_key.idle {
            of_key.next()
        } else if self.idle.len() > self.limits.idle {
            self.idle.first()
        } else {
            None
        };
        let closed: Vec<u64> = effects.closed.iter().map(|x| x.0.id).collect();
        assert_eq!(closed, Vec::from_iter(evicted.map(|x| x.id)));
    }

    pub(super) fn has_expired(&self, lying: &Lying) -> bool {
        let timeout = self.limits.per_key.idle_timeout;
        timeout.is_some_and(|timeout| self.now.instant - lying.since >= timeout)
    }

    /// All that have been too old for a tick of the wheel go, and none that is not too old.
    pub(super) fn expire(&mut self, effects: &mut Effects<u8, Fake>) {
        let timeout = self.limits.per_key.idle_timeout.expect("there is one");
        let age = |lying: &Lying| self.now.instant - lying.since;
        let before = self.idle.clone();
        let overdue = before.iter().filter(|x| age(x) >= timeout + TICK);
        self.pool.expire(self.now, effects);
        let closed: Vec<u64> = effects.closed.iter().map(|x| x.0.id).collect();
        assert!(overdue.into_iter().all(|x| closed.contains(&x.id)));
        let is_old = |id: &u64| before.iter().any(|x| x.id == *id && self.has_expired(x));
        assert!(closed.iter().all(is_old));
    }

    pub(super) fn look(&mut self, choice: usize) {
        let at = choice % self.idle.len().max(1);
        if at < self.idle.len() {
            let Lying { id, key, place, .. } = self.idle.remove(at);
            let parked = self.pool.take_idle(place, id).expect("it is idle");
            assert!(
                self.pool.take_idle(place, id).is_none(),
                "nothing is taken twice"
            );
            self.out.push((key, parked));
        }
    }

    pub(super) fn look_ends(
        &mut self,
        choice: usize,
        is_alive: bool,
        effects: &mut Effects<u8, Fake>,
    ) {
        if self.out.is_empty() {
            return;
        }
        let (key, parked) = self.out.swap_remove(choice % self.out.len());
        let (slot, id) = (parked.slot, parked.connection.id);
        if is_alive {
            let lying = Lying {
                id,
                key,
                home: parked.connection.home,
                place: usize::MAX,
                since: parked.since.instant,
            };
            let given = self.pool.put_back(parked, effects);
            self.follow(lying, slot, given, effects);
        } else {
            let now = self.now.instant;
            self.pool.found_dead(&parked, CloseReason::PeerClosed, now);
            let of = (slot, &parked.connection);
            self.pool.closed(of, CloseReason::PeerClosed, effects);
        }
    }

    /// Connections of the key in use that lead where this one does.
    pub(super) fn busy_at(&self, key: u8, id: u64) -> usize {
        let busy = self.busy.iter().filter(|x| x.key == key).map(|x| x.fake.id);
        let out = self.out.iter().filter(|x| x.0 == key);
        let all = busy.chain(out.map(|x| x.1.connection.id));
        all.filter(|other| address(*other) == address(id)).count()
    }

    fn alive_of(&self, key: u8) -> impl DoubleEndedIterator<Item = &Lying> {
        let of_key = self.idle.iter().filter(move |x| x.key == key);
        of_key.filter(|x| !self.has_expired(x))
    }

    pub(super) fn fewest_busy(&self, key: u8) -> usize {
        let all = self.alive_of(key).map(|x| self.busy_at(key, x.id));
        all.min().unwrap_or(0)
    }

    /// One to an address that is used least.
    pub(super) fn least_used(&self, key: u8) -> Option<&Lying> {
        self.alive_of(key).min_by_key(|x| self.busy_at(key, x.id))
    }

    /// It came back last of those that lead where it does.
    pub(super) fn is_newest(&self, key: u8, id: u64) -> bool {
        let there = |x: &&Lying| address(x.id) == address(id);
        self.alive_of(key)
            .rev()
            .find(there)
            .is_some_and(|x| x.id == id)
    }

    pub(super) fn no_longer_idle(&mut self, id: u64) -> Lying {
        let at = self.idle.iter().position(|x| x.id == id);
        self.idle.remove(at.expect("it was idle"))
    }
}
