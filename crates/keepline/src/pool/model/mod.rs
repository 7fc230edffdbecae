//! The state of the pool against a naive model: random operations, and after each of them the
//! same connections idle in the same order, the same requests waiting, the same counts.
//!
//! The model is vectors that are searched from end to end. It shares with the state only the
//! rules, as [`state`](super::state) tells them.

mod dials;
mod idle;
mod ops;

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use self::ops::{Op, limits, op};
use super::policy::Limits;
use super::state::{Checkout, Entry, Given, KeySlot, State, Supply, WaiterId};
use crate::CloseReason;

const KEYS: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Conn {
    id: u64,
    served: bool,
}

impl Entry for Conn {
    fn served(&self) -> bool {
        self.served
    }

    fn id(&self) -> u64 {
        self.id
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Idle {
    key: u8,
    conn: Conn,
    since: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Busy {
    key: u8,
    slot: KeySlot,
    conn: Conn,
    is_draining: bool,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    key: u8,
    number: u32,
    id: WaiterId,
}

#[derive(Debug, Clone, Copy)]
struct Dial {
    key: u8,
    slot: KeySlot,
    starter: Option<WaiterId>,
}

#[derive(Default)]
struct Counts {
    acquired: u64,
    reused: u64,
    opened: u64,
    closed: u64,
    dial_failures: u64,
}

/// The state and its model, side by side.
struct Pair {
    state: State<u8, Conn, u32>,
    limits: Limits,
    now: Instant,
    /// Oldest first.
    idle: Vec<Idle>,
    busy: Vec<Busy>,
    waiting: Vec<Waiting>,
    dials: Vec<Dial>,
    alone: Vec<Dial>,
    counts: Counts,
    last_id: u64,
    last_waiter: u32,
    is_shut_down: bool,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        Self {
            state: State::new(limits),
            limits,
            now: Instant::now(),
            idle: Vec::new(),
            busy: Vec::new(),
            waiting: Vec::new(),
            dials: Vec::new(),
            alone: Vec::new(),
            counts: Counts::default(),
            last_id: 0,
            last_waiter: 0,
            is_shut_down: false,
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Request(_) | Op::DialAlone(_) if self.is_shut_down => {}
            Op::Request(key) => self.request(key),
            Op::Cancel(n) => self.cancel(n),
            Op::GiveUpOnDrain(n) => self.give_up_on_drain(n),
            Op::DialOpens(n) => self.dial_opens(n),
            Op::DialFails(n) => self.dial_fails(n),
            Op::DialIsLost(n) => self.dial_is_lost(n),
            Op::DialAlone(key) => self.dial_alone(key),
            Op::AloneOpens(n) => self.alone_opens(n),
            Op::AloneFails(n) => self.alone_fails(n),
            Op::Give(n) => self.give_busy(n),
            Op::Close(n) => self.close_busy(n),
            Op::Drain(n) => self.drain(n),
            Op::Look(n) => self.look(n),
            Op::Reap(n) => self.reap(n),
            Op::Pass(seconds) => self.now += Duration::from_secs(seconds),
            Op::Expire => self.expire(),
            Op::CloseIdle => {
                let closed = self.state.purge(CloseReason::Shutdown, |_| true);
                self.all_idle_closed(closed);
            }
            Op::ShutDown => self.shut_down(),
        }
    }

    fn cancel(&mut self, n: usize) {
        if let Some(waiter) = take(&mut self.waiting, n) {
            assert_eq!(self.state.cancel(waiter.id), Some(waiter.number));
            assert_eq!(self.state.cancel(waiter.id), None, "only once");
        }
    }

    fn give_busy(&mut self, n: usize) {
        if let Some(busy) = take(&mut self.busy, n) {
            self.end_drain(&busy);
            let id = busy.conn.id;
            self.give(busy.key, busy.slot, Conn { id, served: true }, self.now);
        }
    }

    fn close_busy(&mut self, n: usize) {
        if let Some(busy) = take(&mut self.busy, n) {
            self.end_drain(&busy);
            self.close(busy.key, busy.slot);
        }
    }

    fn drain(&mut self, n: usize) {
        let place = n % self.busy.len().max(1);
        if let Some(busy) = self.busy.get_mut(place).filter(|x| !x.is_draining) {
            busy.is_draining = true;
            self.state.drain_started(busy.slot);
        }
    }

    fn request(&mut self, key: u8) {
        let mut expired = Vec::new();
        let checkout = self.state.checkout(&key, self.now, &mut expired);
        // Newest first, past those that have been idle for too long.
        let mut found = None;
        while let Some(place) = self.idle.iter().rposition(|x| x.key == key) {
            let idle = self.idle.remove(place);
            if !self.is_expired(&idle) {
                found = Some(idle);
                break;
            }
            assert_eq!(expired.remove(0), idle.conn);
            self.counts.closed += 1;
        }
        assert!(expired.is_empty());
        match (checkout, found) {
            (
                Checkout::Hit {
                    slot,
                    connection,
                    idle_for,
                },
                Some(idle),
            ) => {
                assert_eq!(connection, idle.conn);
                assert_eq!(idle_for, self.now - idle.since);
                self.hold(key, slot, connection);
            }
            (Checkout::Miss { slot }, None) => {
                self.last_waiter += 1;
                let number = self.last_waiter;
                let (id, supply) = self.state.enqueue(slot, number);
                let waiting = Waiting { key, number, id };
                self.waiting.push(waiting);
                let starter = Some(id);
                let expected_drain = self.draining(key) >= self.waiters(key);
                let is_at_cap = self.dialling(key) >= self.limits.dials_per_key;
                assert_eq!(supply == Supply::Draining, expected_drain);
                assert_eq!(
                    supply == Supply::DialsInProgress,
                    !expected_drain && is_at_cap
                );
                if matches!(supply, Supply::Dial(_)) {
                    self.dials.push(Dial { key, slot, starter });
                }
            }
            (checkout, found) => panic!("{checkout:?}, but {found:?}"),
        }
    }

    /// The newest of the key is sent back.
    fn forsaken(&mut self, key: u8, number: u32) {
        let newest = self.waiting.iter().rposition(|x| x.key == key).unwrap();
        assert_eq!(self.waiting.remove(newest).number, number);
    }

    fn give(&mut self, key: u8, slot: KeySlot, conn: Conn, since: Instant) {
        let oldest = self.waiting.iter().position(|x| x.key == key);
        match self.state.give(slot, conn, since) {
            Given::To { waiter, connection } => {
                assert_eq!(connection, conn);
                let served = self.waiting.remove(oldest.expect("somebody waits"));
                assert_eq!(waiter, served.number);
                self.hold(key, slot, conn);
            }
            Given::Idle { evicted, .. } => {
                assert!(oldest.is_none() && !self.is_shut_down);
                let place = self.idle.iter().rposition(|x| x.since <= since);
                let place = place.map_or(0, |x| x + 1);
                self.idle.insert(place, Idle { key, conn, since });
                let evicts = self.evict(key).map(|x| x.conn);
                assert_eq!(evicted, evicts);
            }
            Given::Refused { connection } => {
                assert_eq!(connection, conn);
                assert!(
                    self.is_shut_down || self.limits.idle_total.min(self.limits.idle_per_key) == 0
                );
                self.counts.closed += 1;
            }
        }
    }

    fn close(&mut self, key: u8, slot: KeySlot) {
        self.counts.closed += 1;
        if let Some(number) = self.state.closed(slot, CloseReason::PeerClosed) {
            self.forsaken(key, number);
        }
    }

    fn hold(&mut self, key: u8, slot: KeySlot, conn: Conn) {
        let is_held = self.busy.iter().any(|x| x.conn.id == conn.id);
        let is_idle = self.idle.iter().any(|x| x.conn.id == conn.id);
        assert!(!is_held && !is_idle, "one holder at a time");
        self.counts.acquired += 1;
        self.counts.reused += u64::from(conn.served);
        self.busy.push(Busy {
            key,
            slot,
            conn,
            is_draining: false,
        });
    }

    fn end_drain(&mut self, busy: &Busy) {
        if busy.is_draining {
            self.state.drain_ended(busy.slot);
        }
    }

    fn new_conn(&mut self) -> Conn {
        self.last_id += 1;
        Conn {
            id: self.last_id,
            served: false,
        }
    }

    fn waiters(&self, key: u8) -> usize {
        self.waiting.iter().filter(|x| x.key == key).count()
    }

    fn dialling(&self, key: u8) -> usize {
        self.dials.iter().filter(|x| x.key == key).count()
    }

    fn draining(&self, key: u8) -> usize {
        let of_key = self.busy.iter().filter(|x| x.key == key);
        of_key.filter(|x| x.is_draining).count()
    }

    fn check(&self) {
        let stats = self.state.stats();
        let counts = &self.counts;
        assert_eq!(stats.idle, self.idle.len());
        assert_eq!(stats.busy, self.busy.len());
        assert_eq!(stats.waiting, self.waiting.len());
        assert_eq!(stats.dialling, self.dials.len() + self.alone.len());
        assert_eq!(stats.acquired, counts.acquired);
        assert_eq!(stats.reused, counts.reused);
        assert_eq!(stats.first_use, counts.acquired - counts.reused);
        assert_eq!(stats.opened.total(), counts.opened);
        assert_eq!(stats.closed.total(), counts.closed);
        assert_eq!(stats.dial_failures, counts.dial_failures);
        assert_eq!(
            stats.opened.total() - stats.closed.total(),
            stats.open() as u64
        );
        assert!(stats.idle <= self.limits.idle_total);
        for key in 0..KEYS {
            let of_key = self.idle.iter().filter(|x| x.key == key).count();
            assert!(of_key <= self.limits.idle_per_key);
            let (waiters, dialling) = (self.waiters(key), self.dialling(key));
            assert!(dialling <= self.limits.dials_per_key);
            assert!(
                waiters <= dialling + self.draining(key) || dialling == self.limits.dials_per_key,
                "{waiters} wait in vain for key {key}"
            );
        }
    }
}

/// One of the things there are.
fn pick<T>(from: &[T], n: usize) -> Option<&T> {
    from.get(n % from.len().max(1))
}

fn take<T>(from: &mut Vec<T>, n: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.remove(n % from.len()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_state_does_what_the_model_does(
        limits in limits(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut pair = Pair::new(limits);
        for op in &ops {
            pair.apply(op);
            pair.check();
        }
    }
}
