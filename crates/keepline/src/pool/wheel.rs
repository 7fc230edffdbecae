//! When idle connections expire, in O(1) for each.
//!
//! A hashed wheel: time is cut into ticks, and the slot of a tick lists what expires in it, one
//! turn of the wheel or several from now. Connections enter and leave from the middle (most are
//! used again long before), which costs two links; only slots that have become due are visited.
//! Nothing is found before it has expired, and everything at most a tick after.
//!
//! Invariant: an entry is in the slot that [`Wheel::insert`] answered until it is removed.

use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::list::{Linked, List};

/// The length of a tick.
pub(super) const TICK: Duration = Duration::from_millis(20);
/// Slots of the wheel: a turn takes 20.48 s.
const SLOTS: u64 = 1024;

/// Which list of an entry the wheel uses.
pub(super) const BY_EXPIRY: usize = 2;

/// A slot of the wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WheelSlot(usize);

/// The expiries of the entries of one slab.
pub(super) struct Wheel {
    slots: Box<[List<BY_EXPIRY>]>,
    /// The beginning of time.
    start: Instant,
    /// The first tick that may hold something.
    next: u64,
    len: usize,
}

impl Wheel {
    pub(super) fn new(start: Instant) -> Self {
        let slots = (0..SLOTS).map(|_| List::default()).collect();
        Self {
            slots,
            start,
            next: 0,
            len: 0,
        }
    }

    /// Adds an entry that expires at `at`.
    pub(super) fn insert<T: Linked<BY_EXPIRY>>(
        &mut self,
        slab: &mut Slab<T>,
        entry: usize,
        at: Instant,
    ) -> WheelSlot {
        let tick = self.tick_after(at);
        if self.len == 0 || tick < self.next {
            self.next = tick;
        }
        let slot = slot_of(tick);
        self.slots[slot].push_back(slab, entry);
        self.len += 1;
        WheelSlot(slot)
    }

    /// Takes an entry out.
    pub(super) fn remove<T: Linked<BY_EXPIRY>>(
        &mut self,
        slab: &mut Slab<T>,
        entry: usize,
        slot: WheelSlot,
    ) {
        self.slots[slot.0].remove(slab, entry);
        self.len -= 1;
    }

    /// An entry that has expired by `now`, if there is one; the caller removes it. `expires` tells
    /// when an entry does. Slots without one are not visited again before they are due.
    pub(super) fn expired<T: Linked<BY_EXPIRY>>(
        &mut self,
        slab: &mut Slab<T>,
        now: Instant,
        expires: impl Fn(&T) -> Option<Instant>,
    ) -> Option<usize> {
        let due = self.tick_before(now)?;
        // A long sleep passes every slot, but none twice.
        let first = self.next.max((due + 1).saturating_sub(SLOTS));
        for tick in first..=due {
            self.next = tick;
            if self.len == 0 {
                break;
            }
            let list = self.slots[slot_of(tick)];
            let mut cursor = list.front();
            while let Some(entry) = cursor {
                if expires(&slab[entry]).is_some_and(|at| at <= now) {
                    return Some(entry);
                }
                cursor = List::after(slab, entry);
            }
        }
        self.next = self.next.max(due + 1);
        None
    }

    /// When to look again: not later than a tick after the next expiry, and perhaps for nothing,
    /// when what is there expires in a later turn.
    pub(super) fn next_look(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let tick = (self.next..self.next + SLOTS)
            .find(|tick| !self.slots[slot_of(*tick)].is_empty())
            .unwrap_or(self.next);
        let ticks = u32::try_from(tick).unwrap_or(u32::MAX);
        self.start.checked_add(TICK * ticks)
    }

    /// The first tick that begins at or after `at`.
    fn tick_after(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start).as_nanos();
        u64::try_from(since.div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX)
    }

    /// The last tick that has begun at `now`.
    fn tick_before(&self, now: Instant) -> Option<u64> {
        let since = now.checked_duration_since(self.start)?.as_nanos();
        u64::try_from(since / TICK.as_nanos()).ok()
    }
}

const fn slot_of(tick: u64) -> usize {
    (tick % SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::Links;

    struct Entry {
        at: Instant,
        slot: WheelSlot,
        links: Links,
    }

    impl Linked<BY_EXPIRY> for Entry {
        fn links(&mut self) -> &mut Links {
            &mut self.links
        }
    }

    fn add(wheel: &mut Wheel, slab: &mut Slab<Entry>, at: Instant) -> usize {
        let entry = slab.insert(Entry {
            at,
            slot: WheelSlot(0),
            links: Links::default(),
        });
        slab[entry].slot = wheel.insert(slab, entry, at);
        entry
    }

    fn take_expired(wheel: &mut Wheel, slab: &mut Slab<Entry>, now: Instant) -> Vec<usize> {
        let mut all = Vec::new();
        while let Some(entry) = wheel.expired(slab, now, |entry| Some(entry.at)) {
            let slot = slab[entry].slot;
            wheel.remove(slab, entry, slot);
            all.push(entry);
        }
        all
    }

    #[test]
    fn everything_expires_within_a_tick_and_nothing_early() {
        let start = Instant::now();
        let (mut wheel, mut slab) = (Wheel::new(start), Slab::new());
        let milliseconds = [
            0_u64, 1, 19, 20, 21, 500, 20_470, 20_480, 20_500, 41_000, 90_000,
        ];
        let entries: Vec<_> = milliseconds
            .iter()
            .map(|&ms| add(&mut wheel, &mut slab, start + Duration::from_millis(ms)))
            .collect();
        let mut seen = Vec::new();
        for now in (0..91_000)
            .step_by(7)
            .map(|ms| start + Duration::from_millis(ms))
        {
            for entry in take_expired(&mut wheel, &mut slab, now) {
                let at = slab[entry].at;
                assert!(
                    at <= now && now - at <= TICK + Duration::from_millis(7),
                    "{entry}"
                );
                seen.push(entry);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, entries);
        assert_eq!(wheel.next_look(), None);
    }

    #[test]
    fn after_a_long_sleep_all_that_is_due_is_found() {
        let start = Instant::now();
        let (mut wheel, mut slab) = (Wheel::new(start), Slab::new());
        for seconds in [1, 30, 60, 3600] {
            add(&mut wheel, &mut slab, start + Duration::from_secs(seconds));
        }
        let found = take_expired(&mut wheel, &mut slab, start + Duration::from_secs(1000));
        assert_eq!(found.len(), 3);
        // Something that expires sooner than what the wheel waits for is not overlooked.
        let now = start + Duration::from_secs(1000);
        let soon = add(&mut wheel, &mut slab, now + Duration::from_millis(50));
        assert!(wheel.next_look().unwrap() <= now + Duration::from_millis(70));
        assert_eq!(
            take_expired(&mut wheel, &mut slab, now + Duration::from_millis(80)),
            [soon]
        );
    }
}
