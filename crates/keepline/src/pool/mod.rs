//! The pool: connections that are kept for the next request, and the requests that wait for one.
//!
//! [`state`] decides, as a pure structure; this module is the shell around it: the lock, the
//! deliveries, the reaper. It knows neither client nor server nor HTTP. Invariants: no connection
//! is closed, polled or delivered while the lock is held; a waiter that is dropped at any moment
//! leaves nothing behind; a connection is handed to one holder at a time.

mod learned;
mod policy;
mod reaper;
mod reapers;
#[cfg(test)]
mod schedules;
mod shared;
mod state;
mod stats;
mod waiter;
mod wheel;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub(crate) use policy::{Expiry, KeyLimits, Limits, Now, after, earlier};
pub use policy::{IdleOrder, OnMiss};
pub(crate) use reaper::{Reaper, Watch};
use shared::Shared;
use state::{Checkout, State};
pub(crate) use state::{Demand, Entry, Home, KeySlot, Pressure, Supply, WaiterId};
pub use stats::Stats;
pub(crate) use waiter::Waiter;

use crate::error::{Error, ErrorKind};
use crate::{CloseReason, OpenReason};

/// What the pool has to do with a connection.
pub(crate) trait Connection: Entry + Send + 'static {
    /// Looks whether anything has arrived on it while it is idle; `Pending` is healthy.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason>;
    /// The watch over it.
    fn watch(&self) -> &Arc<Watch>;
    /// When it has to be given up if it becomes idle now, for reasons of its own: a hint of the
    /// peer, or its lifetime.
    fn expiry(&self, now: Instant) -> Option<Expiry>;
}

/// What the pool has others do.
pub(crate) trait Owner<K, C>: Send + Sync + 'static {
    /// Starts a dial that the pool has counted. `runtime`: where, if this is called outside one.
    fn dial(&self, demand: Demand<K>, runtime: Option<&Handle>);
    /// Closes the shared connection that has carried nothing for longest: its room is needed.
    fn evict_shared(&self);
    /// Something worth telling has happened to a connection.
    fn note(&self, connection: &C, note: Note);
}

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// It has come back, and goes to a waiter or becomes idle.
    Returned,
    /// It is about to be closed.
    Closing(CloseReason),
}

/// What a waiter gets.
type Delivery<C> = Result<C, NoDelivery>;

/// Why a waiter gets no connection.
#[derive(Debug)]
pub(crate) enum NoDelivery {
    /// The dial failed, or the pool was shut down.
    Failed(Error),
    /// What it waited for is lost, and nothing else is coming: it is to ask the pool again.
    AskAgain,
}

/// A pool of connections by key.
pub(crate) struct Pool<K, C>(Arc<Shared<K, C>>)
where
    K: Eq + Hash + Clone,
    C: Entry;

impl<K: Eq + Hash + Clone, C: Entry> Clone for Pool<K, C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The answer to [`Pool::checkout`].
pub(crate) enum Acquired<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    /// An idle connection; whether it is still alive has to be looked at.
    Idle {
        slot: KeySlot,
        connection: C,
        idle_for: Duration,
    },
    /// Dial, and keep what that gives.
    Dial {
        slot: KeySlot,
        reason: OpenReason,
    },
    Wait(Waiter<K, C>),
}

impl<K, C> Pool<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    pub(crate) fn new(
        limits: Limits,
        overrides: HashMap<K, KeyLimits>,
        owner: impl Owner<K, C>,
    ) -> Self {
        let state = State::new(limits, overrides, Instant::now());
        Self(Arc::new(Shared::new(state, Box::new(owner))))
    }

    /// Takes an idle connection, of this runtime if it has one, or queues for the next one.
    pub(crate) fn checkout(&self, key: &K, now: Now) -> Result<Acquired<K, C>, Error> {
        let here = self.0.reapers.home_here();
        self.0.with(|state, effects| {
            if state.is_shut_down() {
                return Err(Error::new(ErrorKind::Shutdown));
            }
            Ok(match state.checkout(key, here, now, effects) {
                Checkout::Hit {
                    slot,
                    connection,
                    idle_for,
                } => Acquired::Idle {
                    slot,
                    connection,
                    idle_for,
                },
                Checkout::Miss { slot } => {
                    if let Some(reason) = state.dial_only(slot, effects) {
                        return Ok(Acquired::Dial { slot, reason });
                    }
                    let (sender, receiver) = oneshot::channel();
                    let (id, supply) = state.enqueue(slot, sender, effects);
                    Acquired::Wait(Waiter {
                        pool: self.clone(),
                        slot,
                        id,
                        supply,
                        receiver,
                    })
                }
            })
        })
    }

    /// Counts a dial beside the queue. `None`: a limit holds it back.
    pub(crate) fn start_own_dial(&self, key: &K) -> Result<Option<(KeySlot, OpenReason)>, Error> {
        self.0.with(|state, effects| {
            if state.is_shut_down() {
                return Err(Error::new(ErrorKind::Shutdown));
            }
            Ok(state.start_own_dial(key, effects))
        })
    }

    /// The own dial has given a connection, which stays with the caller.
    pub(crate) fn own_dial_opened(&self, slot: KeySlot, reason: OpenReason, connection: &C) {
        self.0
            .with(|state, effects| state.opened_and_kept(slot, reason, connection, effects));
    }

    /// The own dial has failed.
    pub(crate) fn own_dial_failed(&self, slot: KeySlot) {
        self.0
            .with(|state, effects| state.own_dial_failed(slot, effects));
        self.0.note_quiet();
    }

    /// A dial has given a connection: it goes to a waiter or becomes idle.
    pub(crate) fn dialled(&self, slot: KeySlot, reason: OpenReason, connection: C) {
        let watch = Arc::clone(connection.watch());
        self.0.give_opened(slot, reason, connection);
        watch.begin();
        self.0.note_quiet();
    }

    /// A dial has failed.
    pub(crate) fn dial_failed(&self, slot: KeySlot, starter: Option<WaiterId>, error: Error) {
        let waiter = self
            .0
            .with(|state, effects| state.dial_failed(slot, starter, effects));
        if let Some(waiter) = waiter {
            // Whoever has gone meanwhile does not need the error.
            let _ = waiter.send(Err(NoDelivery::Failed(error)));
        }
        self.0.note_quiet();
    }

    /// A dial was dropped in progress, with the runtime that it ran on.
    pub(crate) fn dial_lost(&self, slot: KeySlot) {
        let forsaken = self.0.lock().dial_lost(slot);
        for waiter in forsaken {
            let _ = waiter.send(Err(NoDelivery::AskAgain));
        }
        self.0.note_quiet();
    }

    /// A dial has given a connection that several exchanges share: it is busy for as long as it
    /// lives, and [`close`](Self::close) ends it.
    pub(crate) fn opened_shared(&self, slot: KeySlot, reason: OpenReason, connection: &C) {
        self.0.lock().opened(slot, reason, connection);
        self.0.note_quiet();
    }

    /// Those who wait for a connection of this key are to ask again: there is one that they can
    /// share.
    pub(crate) fn recall(&self, slot: KeySlot) {
        let waiters = self.0.lock().recall(slot);
        for waiter in waiters {
            let _ = waiter.send(Err(NoDelivery::AskAgain));
        }
    }

    /// A shared connection carries one more exchange, on a connection that had carried one before or
    /// not.
    #[cfg(feature = "http2")]
    pub(crate) fn count_exchange(&self, reused: bool) {
        self.0.lock().count_exchange(reused);
    }

    /// A shared connection carries no exchange now, or does again. It stays busy in all else.
    #[cfg(feature = "http2")]
    pub(crate) fn rests(&self, rests: bool) {
        self.0.lock().rests(rests);
    }

    /// Whether a dial of this key is in progress.
    #[cfg(feature = "http2")]
    pub(crate) fn is_dialling(&self, key: &K) -> bool {
        self.0.lock().is_dialling(key)
    }

    /// The limits of a key.
    #[cfg(feature = "http2")]
    pub(crate) fn key_limits(&self, key: &K) -> KeyLimits {
        self.0.lock().key_limits(key)
    }

    /// A connection is about to be given back without having been used.
    pub(crate) fn not_acquired(&self, connection: &C) {
        self.0.lock().not_acquired(connection);
    }

    /// Gives a connection back after an exchange: to a waiter, or to the idle list.
    pub(crate) fn give(&self, slot: KeySlot, connection: C) {
        self.give_at(slot, connection, Now::read());
    }

    /// The same, of somebody who has just read the clocks.
    pub(crate) fn give_at(&self, slot: KeySlot, connection: C, now: Now) {
        self.0.give(slot, connection, now);
    }

    /// Closes a connection that was acquired.
    pub(crate) fn close(&self, slot: KeySlot, connection: C, reason: CloseReason) {
        self.0.close(slot, connection, reason);
    }

    /// Closes a connection that was found dead before it was used.
    pub(crate) fn close_unused(&self, slot: KeySlot, connection: C, reason: CloseReason) {
        self.0.lock().not_acquired(&connection);
        self.0.close(slot, connection, reason);
    }

    /// Dials ahead of need. Answers how many dials were started.
    pub(crate) fn warm(&self, key: &K, count: usize) -> usize {
        self.0
            .with(|state, effects| state.warm(key, count, effects))
    }

    /// The rest of a body is being read from a connection.
    pub(crate) fn drain_started(&self, slot: KeySlot) {
        self.0.lock().drain_started(slot);
    }

    /// That has ended; the connection is given back or closed next.
    pub(crate) fn drain_ended(&self, slot: KeySlot) {
        self.0.lock().drain_ended(slot);
    }

    /// So many requests are sent on a connection that another one has acquired, `pipelined` of them
    /// before an earlier one was answered.
    pub(crate) fn joined(&self, requests: u64, pipelined: u64) {
        self.0.lock().joined(requests, pipelined);
    }

    /// Nothing is kept any more, and no request is to be sent.
    #[cfg(feature = "http2")]
    pub(crate) fn is_shut_down(&self) -> bool {
        self.0.lock().is_shut_down()
    }

    /// Who would be glad of a busy connection of this key.
    pub(crate) fn pressure(&self, slot: KeySlot) -> Pressure {
        self.0.lock().pressure(slot)
    }

    /// A request is sent again.
    pub(crate) fn note_retry(&self) {
        self.0.lock().retried();
    }

    /// The counts, now.
    pub(crate) fn stats(&self) -> Stats {
        self.0.lock().stats()
    }

    /// Closes all idle connections.
    pub(crate) fn close_idle(&self, reason: CloseReason) {
        self.0
            .with(|state, effects| state.purge(reason, effects, |_| true));
    }

    /// Closes the idle connections that `matches`.
    pub(crate) fn close_idle_if(&self, reason: CloseReason, matches: impl FnMut(&C) -> bool) {
        self.0
            .with(|state, effects| state.purge(reason, effects, matches));
    }

    /// The reaper of the runtime that this is called in.
    pub(crate) fn reaper_here(&self) -> Arc<Reaper> {
        self.0.reapers.here(&self.0)
    }

    /// Ready when the pool is being shut down.
    pub(crate) async fn stopping(&self) {
        let mut notified = std::pin::pin!(self.0.stopping.notified());
        notified.as_mut().enable();
        if !self.0.lock().is_shut_down() {
            notified.await;
        }
    }

    /// Closes all idle connections, fails all that wait, keeps nothing from now on, and waits
    /// until no connection and no dial is left. Cancel-safe: the shutdown stays.
    pub(crate) async fn shut_down(&self) {
        let waiters = self.0.with(|state, effects| state.shut_down(effects));
        self.0.stopping.notify_waiters();
        for waiter in waiters {
            let _ = waiter.send(Err(NoDelivery::Failed(Error::new(ErrorKind::Shutdown))));
        }
        loop {
            let mut notified = std::pin::pin!(self.0.quiet.notified());
            notified.as_mut().enable();
            let stats = self.stats();
            if stats.open() == 0 && stats.dialling == 0 {
                return;
            }
            notified.await;
        }
    }
}
