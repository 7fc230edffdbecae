//! The state against a naive model: random operations, the same answers, the same counts.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::pool::policy::OnMiss;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fake {
    id: u64,
    served: bool,
}

impl Entry for Fake {
    fn served(&self) -> bool {
        self.served
    }

    fn id(&self) -> u64 {
        self.id
    }
}

type Pool = State<u8, Fake, u32>;

/// What a random schedule does next; numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask {
        key: u8,
    },
    /// Dial beside the queue.
    AskAlone {
        key: u8,
    },
    LoseDial {
        choice: usize,
    },
    DialEnds {
        choice: usize,
        opens: bool,
    },
    Return {
        choice: usize,
    },
    Lose {
        choice: usize,
    },
    Cancel {
        choice: usize,
    },
    Pass {
        milliseconds: u64,
    },
    Expire,
    Warm {
        key: u8,
        count: usize,
    },
    Reap {
        choice: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8).prop_map(|key| Step::Ask { key }),
        1 => (0..3_u8).prop_map(|key| Step::AskAlone { key }),
        1 => any::<usize>().prop_map(|choice| Step::LoseDial { choice }),
        6 => (any::<usize>(), prop::bool::weighted(0.8))
            .prop_map(|(choice, opens)| Step::DialEnds { choice, opens }),
        5 => any::<usize>().prop_map(|choice| Step::Return { choice }),
        1 => any::<usize>().prop_map(|choice| Step::Lose { choice }),
        1 => any::<usize>().prop_map(|choice| Step::Cancel { choice }),
        2 => (0..400_u64).prop_map(|milliseconds| Step::Pass { milliseconds }),
        1 => Just(Step::Expire),
        1 => (0..3_u8, 0..4_usize).prop_map(|(key, count)| Step::Warm { key, count }),
        1 => any::<usize>().prop_map(|choice| Step::Reap { choice }),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let on_miss = prop_oneof![
        Just(OnMiss::Race),
        Just(OnMiss::Wait(Duration::from_millis(10))),
    ];
    let order = prop_oneof![Just(IdleOrder::Lifo), Just(IdleOrder::Fifo)];
    let maybe = |range: std::ops::Range<usize>| prop::option::of(range);
    (
        1..5_usize,
        maybe(1..7),
        1..4_usize,
        maybe(1..5),
        1..4_usize,
        on_miss,
        order,
    )
        .prop_map(
            |(idle, connections, key_idle, key_connections, dials, on_miss, order)| Limits {
                idle,
                connections,
                remembered_keys: 2,
                per_key: KeyLimits {
                    idle: key_idle,
                    connections: key_connections,
                    dials,
                    min_idle: 0,
                    idle_timeout: Some(Duration::from_secs(1)),
                    order,
                    on_miss,
                    learns: true,
                },
            },
        )
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
    busy: Vec<(u8, KeySlot, Fake)>,
    idle: HashMap<u64, (u8, usize)>,
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
            idle: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    fn carry_out(&mut self, effects: Effects<u8, Fake>) {
        for (connection, _) in effects.closed {
            self.idle
                .remove(&connection.id)
                .expect("only idle connections are closed so");
        }
        for Demand { key, slot, reason } in effects.dials {
            self.dialling.push((key, slot, reason, None));
        }
    }

    fn take(&mut self, step: Step) {
        let mut effects = Effects::default();
        match step {
            Step::Ask { key } => self.ask(key, &mut effects),
            Step::DialEnds { choice, opens } => {
                let all = self.dialling.len() + self.own_dials.len();
                if choice % all.max(1) >= self.dialling.len() && all > 0 {
                    self.own_dial_ends(opens, &mut effects);
                } else if !self.dialling.is_empty() {
                    let dial = self.dialling.swap_remove(choice % self.dialling.len());
                    self.dial_ends(dial, opens, &mut effects);
                }
            }
            Step::Return { choice } => {
                if !self.busy.is_empty() {
                    let (key, slot, mut fake) = self.busy.swap_remove(choice % self.busy.len());
                    fake.served = true;
                    self.give(key, slot, fake, &mut effects);
                }
            }
            Step::Lose { choice } => {
                if !self.busy.is_empty() {
                    let (_, slot, _) = self.busy.swap_remove(choice % self.busy.len());
                    self.pool.closed(slot, CloseReason::IoError, &mut effects);
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
            Step::Expire => {
                self.pool.expire(self.now, &mut effects);
            }
            Step::Warm { key, count } => {
                let started = self.pool.warm(&key, count, &mut effects);
                assert!(started <= count);
            }
            Step::Reap { choice } => self.reap(choice, &mut effects),
        }
        self.carry_out(effects);
    }

    fn ask(&mut self, key: u8, effects: &mut Effects<u8, Fake>) {
        match self.pool.checkout(&key, self.now, effects) {
            Checkout::Hit {
                slot, connection, ..
            } => {
                let (of_key, _) = self.idle.remove(&connection.id).expect("it was idle");
                assert_eq!(of_key, key);
                self.busy.push((key, slot, connection));
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

    fn dial_ends(
        &mut self,
        (key, slot, reason, starter): (u8, KeySlot, OpenReason, Option<WaiterId>),
        opens: bool,
        effects: &mut Effects<u8, Fake>,
    ) {
        if opens {
            self.next_id += 1;
            self.pool.opened(slot, reason);
            self.give(
                key,
                slot,
                Fake {
                    id: self.next_id,
                    served: false,
                },
                effects,
            );
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

    fn own_dial_ends(&mut self, opens: bool, effects: &mut Effects<u8, Fake>) {
        let (key, slot, reason) = self.own_dials.pop().expect("there is one");
        if opens {
            self.next_id += 1;
            let fake = Fake {
                id: self.next_id,
                served: false,
            };
            self.pool.opened_and_kept(slot, reason, &fake);
            self.busy.push((key, slot, fake));
        } else {
            self.pool.own_dial_failed(slot, effects);
        }
    }

    /// A dial goes down with its runtime: who counted on it asks again.
    fn lose_dial(&mut self, choice: usize, effects: &mut Effects<u8, Fake>) {
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
            self.ask(key, effects);
        }
    }

    fn give(&mut self, key: u8, slot: KeySlot, fake: Fake, effects: &mut Effects<u8, Fake>) {
        let id = fake.id;
        match self.pool.give(slot, fake, None, self.now, effects) {
            Given::To { waiter, connection } => {
                let first = self.waiting.get_mut(&key).and_then(VecDeque::pop_front);
                assert_eq!(
                    first.map(|(waiter, _)| waiter),
                    Some(waiter),
                    "first come, first served"
                );
                self.busy.push((key, slot, connection));
            }
            Given::Idle { place, .. } => {
                assert!(self.waiting.get(&key).is_none_or(VecDeque::is_empty));
                self.idle.insert(id, (key, place));
            }
            Given::Refused { .. } => {}
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

    fn reap(&mut self, choice: usize, effects: &mut Effects<u8, Fake>) {
        let mut ids: Vec<u64> = self.idle.keys().copied().collect();
        ids.sort_unstable();
        let Some(id) = ids.get(choice % ids.len().max(1)).copied() else {
            return;
        };
        let (key, place) = self.idle[&id];
        let parked = self.pool.take_idle(place, id).expect("it is idle");
        assert!(
            self.pool.take_idle(place, id).is_none(),
            "nothing is taken twice"
        );
        if choice.is_multiple_of(2) {
            let place = self.pool.put_back(parked);
            self.idle.insert(id, (key, place));
        } else {
            self.idle.remove(&id);
            self.pool
                .closed(parked.slot, CloseReason::PeerClosed, effects);
        }
    }

    fn check(&self) {
        let stats = self.pool.stats();
        let waiting: usize = self.waiting.values().map(VecDeque::len).sum();
        assert_eq!(stats.idle, self.idle.len());
        assert_eq!(stats.busy, self.busy.len());
        assert_eq!(stats.dialling, self.dialling.len() + self.own_dials.len());
        assert_eq!(stats.waiting, waiting);
        assert_eq!(stats.acquired, stats.reused + stats.first_use);
        assert_eq!(
            stats.opened.total() - stats.closed.total(),
            stats.open() as u64
        );
        assert!(stats.idle <= self.limits.idle);
        let all = stats.open() + stats.dialling;
        assert!(
            self.limits.connections.is_none_or(|most| all <= most),
            "{stats:?}"
        );
        for key in 0..3 {
            let busy = self.busy.iter().filter(|x| x.0 == key).count();
            let dialling = self.dialling.iter().filter(|x| x.0 == key).count()
                + self.own_dials.iter().filter(|x| x.0 == key).count();
            let idle = self.idle.values().filter(|x| x.0 == key).count();
            let most = self.limits.per_key.connections;
            assert!(idle <= self.limits.per_key.idle);
            assert!(dialling <= self.limits.per_key.dials);
            assert!(most.is_none_or(|most| busy + dialling + idle <= most));
            // Nobody waits for nothing: something of the key is on its way, or of another one
            // that takes the room.
            if self
                .waiting
                .get(&key)
                .is_some_and(|queue| !queue.is_empty())
            {
                let hope = busy + dialling > 0 || stats.busy + stats.dialling > 0;
                assert!(hope, "{stats:?}");
            }
        }
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
            world.check();
        }
    }
}
