//! The state against a naive model: random operations, the same answers, the same counts.

mod dials;
mod growth;
mod idle;
mod starved;
mod steps;
mod surplus;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tokio::time::Instant;

use self::steps::{Step, limits, step};
use super::*;
use crate::pool::policy::{IdleOrder, OnMiss};
use crate::pool::wheel::TICK;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fake {
    id: u64,
    served: bool,
    home: usize,
}

impl Entry for Fake {
    fn served(&self) -> bool {
        self.served
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn home(&self) -> Home {
        Home(self.home)
    }

    fn address(&self) -> PeerAddr {
        address(self.id)
    }
}

/// A name has three addresses.
fn address(id: u64) -> PeerAddr {
    PeerAddr::Tcp(([127, 0, 0, (id % 3) as u8], 80).into())
}

type Pool = State<u8, Fake, u32>;

/// A connection in somebody's hands.
#[derive(Debug)]
struct Held {
    key: u8,
    slot: KeySlot,
    fake: Fake,
    is_draining: bool,
}

/// An idle connection, and where the pool has it.
#[derive(Debug, Clone, Copy)]
struct Lying {
    id: u64,
    key: u8,
    home: usize,
    place: usize,
    since: Instant,
}

/// The world around a pool: who holds what. Everything is a plain list.
struct World {
    pool: Pool,
    limits: Limits,
    now: Now,
    next_id: u64,
    next_waiter: u32,
    dialling: Vec<(u8, KeySlot, OpenReason, Option<WaiterId>)>,
    own_dials: Vec<(u8, KeySlot, OpenReason)>,
    busy: Vec<Held>,
    /// In the order in which they became idle.
    idle: Vec<Lying>,
    /// Taken out to be looked at.
    out: Vec<(u8, Parked<Fake>)>,
    waiting: HashMap<u8, VecDeque<(u32, WaiterId)>>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let now = Now {
            instant: Instant::now(),
            wall: SystemTime::now(),
        };
        Self {
            pool: Pool::new(limits, HashMap::new(), now.instant),
            limits,
            now,
            next_id: 0,
            next_waiter: 0,
            dialling: Vec::new(),
            own_dials: Vec::new(),
            busy: Vec::new(),
            idle: Vec::new(),
            out: Vec::new(),
            waiting: HashMap::new(),
        }
    }

    fn carry_out(&mut self, effects: Effects<u8, Fake>) {
        for (connection, _) in effects.closed {
            self.no_longer_idle(connection.id);
        }
        for Demand { key, slot, reason } in effects.dials {
            self.dialling.push((key, slot, reason, None));
        }
    }

    fn hold(&mut self, key: u8, slot: KeySlot, fake: Fake) {
        let is_held = self.busy.iter().any(|x| x.fake.id == fake.id);
        let is_idle = self.idle.iter().any(|x| x.id == fake.id);
        assert!(!is_held && !is_idle, "one holder at a time");
        self.busy.push(Held {
            key,
            slot,
            fake,
            is_draining: false,
        });
    }

    fn drain(&mut self, choice: usize) {
        let at = choice % self.busy.len().max(1);
        if let Some(held) = self.busy.get_mut(at).filter(|x| !x.is_draining) {
            held.is_draining = true;
            self.pool.drain_started(held.slot);
        }
    }

    /// Somebody lets go of a connection, whose drain ends with that.
    fn release(&mut self, choice: usize) -> Option<Held> {
        if self.busy.is_empty() {
            return None;
        }
        let held = self.busy.swap_remove(choice % self.busy.len());
        if held.is_draining {
            self.pool.drain_ended(held.slot);
        }
        Some(held)
    }

    fn take(&mut self, step: Step) {
        let mut effects = Effects::default();
        match step {
            // The shell lets nobody in any more.
            Step::Ask { .. } | Step::AskAlone { .. } if self.pool.is_shut_down() => {}
            Step::ShutDown => {
                let told = self.pool.shut_down(&mut effects).len();
                let waited: usize = self.waiting.drain().map(|x| x.1.len()).sum();
                assert_eq!(told, waited);
            }
            Step::Ask { key, home } => self.ask(key, home, &mut effects),
            Step::DialEnds { choice, opens } => self.some_dial_ends(choice, opens, &mut effects),
            Step::Return { choice } => {
                if let Some(mut held) = self.release(choice) {
                    held.fake.served = true;
                    self.give(held.key, held.slot, held.fake, &mut effects);
                }
            }
            Step::Lose { choice } => {
                if let Some(held) = self.release(choice) {
                    let of = (held.slot, &held.fake);
                    self.pool.closed(of, CloseReason::IoError, &mut effects);
                }
            }
            Step::Drain { choice } => self.drain(choice),
            Step::GiveUp { choice } => {
                let mut all = self.waiting.values().flatten();
                let count = all.clone().count().max(1);
                if let Some((_, id)) = all.nth(choice % count)
                    && self.pool.dial_after_all(*id, &mut effects)
                {
                    self.pool.dial_besides(*id, &mut effects);
                }
            }
            Step::Cancel { choice } => self.cancel(choice),
            Step::AskAlone { key } => {
                if let Some((slot, reason)) = self.pool.start_own_dial(&key, &mut effects) {
                    self.own_dials.push((key, slot, reason));
                }
            }
            Step::LoseDial { choice } => self.lose_dial(choice, &mut effects),
            Step::Pass { milliseconds } => {
                let passed = Duration::from_millis(milliseconds);
                self.now = Now {
                    instant: self.now.instant + passed,
                    wall: self.now.wall + passed,
                };
            }
            Step::Expire => self.expire(&mut effects),
            Step::Warm { key, count } => {
                let started = self.pool.warm(&key, count, &mut effects);
                assert!(started <= count);
            }
            Step::Look { choice } => self.look(choice),
            Step::LookEnds { choice, is_alive } => self.look_ends(choice, is_alive, &mut effects),
        }
        self.carry_out(effects);
    }

    fn ask(&mut self, key: u8, home: Option<usize>, effects: &mut Effects<u8, Fake>) {
        // The newest or the oldest of the key that is not too old; those from here first.
        let alive = || {
            let of_key = self.idle.iter().filter(|x| x.key == key);
            of_key.filter(|x| !self.has_expired(x))
        };
        let mut own = alive().filter(|x| Some(x.home) == home);
        let next = match self.limits.per_key.order {
            IdleOrder::Lifo => own.next_back().or_else(|| alive().next_back()),
            IdleOrder::Fifo => own.next().or_else(|| alive().next()),
            IdleOrder::LeastUsed => self.least_used(key),
        };
        let next = next.map(|x| x.id);
        let fewest = self.fewest_busy(key);
        let here = home.map(Home);
        let checkout = self.pool.checkout(&key, here, self.now, effects);
        let hit = match &checkout {
            Checkout::Hit { connection, .. } => Some(connection.id),
            Checkout::Miss { .. } => None,
        };
        if self.limits.per_key.order == IdleOrder::LeastUsed {
            // Of addresses that are used as much, any will do.
            assert_eq!(hit.is_some(), next.is_some());
            assert!(
                hit.is_none_or(|id| self.busy_at(key, id) == fewest && self.is_newest(key, id))
            );
        } else {
            assert_eq!(hit, next);
        }
        match checkout {
            Checkout::Hit {
                slot,
                connection,
                idle_for,
            } => {
                let lying = self.no_longer_idle(connection.id);
                assert_eq!(idle_for, self.now.instant - lying.since);
                let home = home.unwrap_or(connection.home);
                self.hold(key, slot, Fake { home, ..connection });
            }
            Checkout::Miss { slot } => {
                let waiter = self.next_waiter;
                self.next_waiter += 1;
                let (id, supply) = self.pool.enqueue(slot, waiter, effects);
                self.waiting.entry(key).or_default().push_back((waiter, id));
                if let Supply::Dial(reason) = supply {
                    self.dialling.push((key, slot, reason, Some(id)));
                }
            }
        }
    }

    fn give(&mut self, key: u8, slot: KeySlot, fake: Fake, effects: &mut Effects<u8, Fake>) {
        let lying = Lying {
            id: fake.id,
            key,
            home: fake.home,
            place: usize::MAX,
            since: self.now.instant,
        };
        let given = self.pool.give(slot, fake, None, self.now, effects);
        self.follow(lying, slot, given, effects);
    }

    fn follow(
        &mut self,
        lying: Lying,
        slot: KeySlot,
        given: Given<Fake, u32>,
        effects: &Effects<u8, Fake>,
    ) {
        let key = lying.key;
        let waiting = self.waiting.entry(key).or_default();
        match given {
            Given::To { waiter, connection } => {
                let first = waiting.pop_front().map(|(waiter, _)| waiter);
                assert_eq!(first, Some(waiter), "first come, first served");
                self.hold(key, slot, connection);
            }
            Given::Idle { place, .. } => {
                assert!(waiting.is_empty());
                self.lie_down(Lying { place, ..lying });
                self.check_eviction(key, effects);
            }
            Given::Refused { .. } => assert!(waiting.is_empty()),
        }
    }

    fn cancel(&mut self, choice: usize) {
        let keys: Vec<u8> = self
            .waiting
            .iter()
            .filter(|(_, queue)| !queue.is_empty())
            .map(|x| *x.0)
            .collect();
        let Some(key) = keys.get(choice % keys.len().max(1)) else {
            return;
        };
        let queue = self.waiting.get_mut(key).expect("it is there");
        let (waiter, id) = queue.remove(choice % queue.len()).expect("it is there");
        assert_eq!(self.pool.cancel(id), Some(waiter));
        assert_eq!(self.pool.cancel(id), None, "nobody is cancelled twice");
    }

    fn check(&self) {
        let stats = self.pool.stats();
        let waiting: usize = self.waiting.values().map(VecDeque::len).sum();
        assert_eq!(stats.idle, self.idle.len());
        assert_eq!(stats.busy, self.busy.len() + self.out.len());
        assert_eq!(stats.dialling, self.dialling.len() + self.own_dials.len());
        assert_eq!(stats.waiting, waiting);
        assert_eq!(stats.acquired, stats.reused + stats.first_use);
        assert_eq!(
            stats.opened.total() - stats.closed.total(),
            stats.open() as u64
        );
        assert!(stats.idle <= self.limits.idle);
        assert!(stats.idle == 0 || !self.pool.is_shut_down());
        let all = stats.open() + stats.dialling;
        assert!(
            self.limits.connections.is_none_or(|most| all <= most),
            "{stats:?}"
        );
        for (slot, of_key) in &self.pool.keys {
            assert!(!of_key.is_starved || self.pool.is_short(slot));
        }
        for key in 0..3 {
            let busy = self.busy.iter().filter(|x| x.key == key).count()
                + self.out.iter().filter(|x| x.0 == key).count();
            let dialling = self.dialling.iter().filter(|x| x.0 == key).count()
                + self.own_dials.iter().filter(|x| x.0 == key).count();
            let idle = self.idle.iter().filter(|x| x.key == key).count();
            let most = self.limits.per_key.connections;
            assert!(idle <= self.limits.per_key.idle);
            assert!(dialling <= self.limits.per_key.dials);
            assert!(most.is_none_or(|most| busy + dialling + idle <= most));
            self.check_supply(key, busy + dialling + idle);
        }
    }

    /// Nobody waits in vain: as many connections are on their way to the queue as there are waiters,
    /// or a limit holds the next dial back.
    fn check_supply(&self, key: u8, open: usize) {
        if self.limits.per_key.on_miss != OnMiss::Race {
            // Each has a timer of its own, and then dials.
            return;
        }
        let waiting = self.waiting.get(&key).map_or(0, VecDeque::len);
        let queued = self.dialling.iter().filter(|x| x.0 == key).count();
        let alone = self.own_dials.iter().filter(|x| x.0 == key).count();
        let of_key = self.busy.iter().filter(|x| x.key == key);
        let looked_at = self.out.iter().filter(|x| x.0 == key).count();
        let soon_free = of_key.filter(|x| x.is_draining).count() + looked_at;
        let stats = self.pool.stats();
        let limits = &self.limits.per_key;
        let is_held = queued + alone >= limits.dials
            || limits.connections.is_some_and(|most| open >= most)
            || (self.limits.connections).is_some_and(|most| stats.open() + stats.dialling >= most);
        assert!(
            waiting <= queued + soon_free || is_held,
            "{waiting} wait for key {key}, {queued} dials, {soon_free} soon free: {stats:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn random_schedules_keep_every_invariant(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(limits);
        for step in steps {
            world.take(step);
            world.check();
        }
    }

    /// However it came to where it is: when dials end and connections come back, everybody who
    /// waits is served.
    #[test]
    fn nobody_waits_for_ever(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(limits);
        for step in steps {
            world.take(step);
        }
        for round in 0.. {
            let waiting: usize = world.waiting.values().map(VecDeque::len).sum();
            if waiting == 0 {
                break;
            }
            prop_assert!(round < 10_000, "{:?}", world.pool.stats());
            world.take(Step::DialEnds { choice: 0, opens: true });
            world.take(Step::Return { choice: 0 });
            world.take(Step::LookEnds {
                choice: 0,
                is_alive: true,
            });
            world.check();
        }
    }
}
