//! The shell of the pool under concurrent schedules, made up by shuttle: threads ask, wait, dial,
//! give back, lose and cancel, and whoever holds the lock decides who goes on. In the end nobody
//! waits, nothing is counted twice, and every connection is closed or idle.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use shuttle::future::block_on;
use shuttle::rand::Rng;
use shuttle::thread;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;

use super::reaper::look_at;
use super::*;

const KEY: u8 = 7;
const WORKERS: usize = 4;
const REQUESTS: usize = 3;

/// A connection that knows how many there are.
struct Fake {
    id: u64,
    served: bool,
    watch: Arc<Watch>,
    alive: Arc<AtomicUsize>,
    /// Somebody holds it.
    in_use: bool,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Entry for Fake {
    fn served(&self) -> bool {
        self.served
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn address(&self) -> crate::net::PeerAddr {
        crate::net::PeerAddr::Unknown
    }

    fn home(&self) -> Home {
        self.watch.reaper().home()
    }
}

impl Connection for Fake {
    fn poll_idle(&mut self, _: &mut Context<'_>) -> Poll<CloseReason> {
        Poll::Pending
    }

    fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    fn expiry(&self, _: Instant) -> Option<Expiry> {
        None
    }
}

/// Dials that the pool has asked for, and nobody has started.
#[derive(Default, Clone)]
struct Demands(Arc<Mutex<Vec<Demand<u8>>>>);

impl Owner<u8, Fake> for Demands {
    fn dial(&self, demand: Demand<u8>, _: Option<&Handle>) {
        self.0.lock().unwrap().push(demand);
    }

    fn evict_shared(&self) {}

    fn note(&self, _: &Fake, _: Note) {}
}

/// What the threads of one schedule share.
#[derive(Clone)]
struct World {
    pool: Pool<u8, Fake>,
    demands: Demands,
    reaper: Arc<Reaper>,
    alive: Arc<AtomicUsize>,
    next_id: Arc<AtomicUsize>,
}

impl World {
    fn new(limits: Limits, runtime: &Runtime) -> Self {
        let demands = Demands::default();
        Self {
            pool: Pool::new(limits, HashMap::new(), demands.clone()),
            demands,
            reaper: Reaper::new(runtime.handle().clone(), Home(0)),
            alive: Arc::default(),
            next_id: Arc::default(),
        }
    }

    /// A dial ends: with a connection, a failure, or its runtime.
    fn dial(&self, slot: KeySlot, reason: OpenReason, starter: Option<WaiterId>) {
        match shuttle::rand::thread_rng().gen_range(0..8) {
            0 => {
                let error = Error::new(ErrorKind::Connect);
                self.pool.dial_failed(slot, starter, error);
            }
            1 => self.pool.dial_lost(slot),
            _ => {
                self.open(slot, reason);
            }
        }
    }

    fn open(&self, slot: KeySlot, reason: OpenReason) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) as u64;
        self.alive.fetch_add(1, Ordering::Relaxed);
        let connection = Fake {
            id,
            served: false,
            watch: Watch::new(id, Arc::clone(&self.reaper)),
            alive: Arc::clone(&self.alive),
            in_use: false,
        };
        self.pool.dialled(slot, reason, connection);
    }

    /// Looks at those that are new or were woken, as the reaper does.
    fn look(&self) {
        for watch in self.reaper.take_woken() {
            look_at(&self.pool.0, &watch);
        }
    }

    /// Asks once, where every dial gives a connection and every connection comes back. Answers the
    /// thread of the dial, if there is one.
    fn ask_in_peace(&self) -> Option<thread::JoinHandle<()>> {
        let (slot, connection, dial) = match self.pool.checkout(&KEY, Now::read()).unwrap() {
            Acquired::Idle {
                slot, connection, ..
            } => (slot, connection, None),
            Acquired::Dial { .. } => unreachable!("the key does not only dial"),
            Acquired::Wait(waiter) => {
                let slot = waiter.slot;
                let dial = match waiter.supply {
                    Supply::Dial(reason) => {
                        let world = self.clone();
                        Some(thread::spawn(move || {
                            thread::yield_now();
                            world.open(slot, reason);
                        }))
                    }
                    _ => None,
                };
                (slot, block_on(waiter).unwrap(), dial)
            }
        };
        thread::yield_now();
        self.pool.give(slot, connection);
        dial
    }

    /// Starts what the pool has asked for.
    fn dial_on_demand(&self) {
        loop {
            let demand = self.demands.0.lock().unwrap().pop();
            let Some(Demand { slot, reason, .. }) = demand else {
                return;
            };
            self.dial(slot, reason, None);
        }
    }

    /// Uses a connection, then gives it back or loses it.
    fn exchange(&self, slot: KeySlot, mut connection: Fake) {
        assert!(
            !std::mem::replace(&mut connection.in_use, true),
            "one holder"
        );
        thread::yield_now();
        (connection.in_use, connection.served) = (false, true);
        if shuttle::rand::thread_rng().gen_bool(0.7) {
            self.pool.give(slot, connection);
        } else {
            self.pool.close(slot, connection, CloseReason::IoError);
        }
        self.dial_on_demand();
    }

    /// Asks, and waits or gives up.
    fn request(&self) {
        loop {
            let waiter = match self.pool.checkout(&KEY, Now::read()) {
                Err(_) => return,
                Ok(Acquired::Idle {
                    slot, connection, ..
                }) => return self.exchange(slot, connection),
                Ok(Acquired::Dial { .. }) => unreachable!("the key does not only dial"),
                Ok(Acquired::Wait(waiter)) => waiter,
            };
            self.dial_on_demand();
            let (slot, starter) = (waiter.slot, waiter.id);
            let dial = match waiter.supply {
                Supply::Dial(reason) => {
                    let world = self.clone();
                    Some(thread::spawn(move || {
                        world.dial(slot, reason, Some(starter));
                        world.dial_on_demand();
                    }))
                }
                Supply::SoonFree | Supply::Dialling | Supply::Returning(_) | Supply::Limited => {
                    None
                }
            };
            let outcome = if shuttle::rand::thread_rng().gen_bool(0.3) {
                thread::yield_now();
                drop(waiter);
                None
            } else {
                Some(block_on(waiter))
            };
            self.dial_on_demand();
            if let Some(dial) = dial {
                dial.join().unwrap();
            }
            match outcome {
                None | Some(Err(NoDelivery::Failed(_))) => return,
                Some(Ok(connection)) => return self.exchange(slot, connection),
                Some(Err(NoDelivery::AskAgain)) => {}
            }
        }
    }

    fn check(&self) {
        self.dial_on_demand();
        let stats = self.pool.stats();
        assert_eq!(
            (stats.waiting, stats.busy, stats.dialling),
            (0, 0, 0),
            "{stats:?}"
        );
        assert_eq!(stats.acquired, stats.reused + stats.first_use);
        let open = stats.opened.total() - stats.closed.total();
        assert_eq!(open, stats.idle as u64);
        assert_eq!(self.alive.load(Ordering::Relaxed), stats.idle, "{stats:?}");
    }
}

fn runtime() -> Runtime {
    // Only its handle is used: nothing runs on it.
    Builder::new_current_thread().build().unwrap()
}

fn limits(connections: Option<usize>, idle: usize) -> Limits {
    Limits {
        idle,
        connections,
        per_key: KeyLimits {
            idle,
            dials: 2,
            ..KeyLimits::default()
        },
        ..Limits::default()
    }
}

/// Runs so many schedules of all workers at once.
fn check(limits: Limits, ends: fn(&World)) {
    let runtime = Arc::new(runtime());
    shuttle::check_random(
        move || {
            let world = World::new(limits, &runtime);
            let workers: Vec<_> = (0..WORKERS)
                .map(|_| {
                    let world = world.clone();
                    thread::spawn(move || (0..REQUESTS).for_each(|_| world.request()))
                })
                .collect();
            ends(&world);
            for worker in workers {
                worker.join().unwrap();
            }
            world.check();
        },
        300,
    );
}

#[test]
fn every_schedule_serves_everybody_and_counts_each_connection_once() {
    for limits in [
        limits(None, 100),
        limits(Some(2), 100),
        limits(Some(1), 1),
        limits(None, 0),
    ] {
        check(limits, |_| {});
    }
}

#[test]
fn a_shutdown_at_any_moment_leaves_nothing() {
    check(limits(Some(2), 100), |world| {
        thread::yield_now();
        block_on(world.pool.shut_down());
        assert_eq!(world.pool.stats().idle, 0);
    });
}

#[test]
fn closing_the_idle_ones_at_any_moment_loses_nobody() {
    check(limits(Some(2), 100), |world| {
        for _ in 0..3 {
            world.pool.close_idle(CloseReason::Shutdown);
            world.dial_on_demand();
        }
    });
}

/// A dial whose request was served by a connection that came back is the next request's, at
/// whatever moment that asks: while it is on its way, while it ends, and while its connection is
/// looked at.
#[test]
fn no_schedule_opens_more_than_there_are_requests_at_a_time() {
    let runtime = Arc::new(runtime());
    shuttle::check_random(
        move || {
            let world = World::new(Limits::default(), &runtime);
            let workers: Vec<_> = (0..WORKERS)
                .map(|_| {
                    let world = world.clone();
                    thread::spawn(move || {
                        let mut dials = Vec::new();
                        for _ in 0..2 * REQUESTS {
                            dials.extend(world.ask_in_peace());
                        }
                        for dial in dials {
                            dial.join().unwrap();
                        }
                    })
                })
                .collect();
            for _ in 0..30 {
                world.look();
                thread::yield_now();
            }
            for worker in workers {
                worker.join().unwrap();
            }
            world.check();
            let opened = world.pool.stats().opened.total();
            assert!(opened <= WORKERS as u64, "{opened} were opened");
        },
        1_000,
    );
}
