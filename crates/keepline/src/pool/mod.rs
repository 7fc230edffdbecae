//! The pool: connections that are kept for the next request, and the requests that wait for one.
//!
//! [`state`] decides, as a pure structure; this module is the shell around it: the lock, the
//! deliveries, the reaper. It knows neither client nor server nor HTTP. Invariants: no connection
//! is closed, polled or delivered while the lock is held; a waiter that is dropped at any moment
//! leaves nothing behind; a connection is handed to one holder at a time.

mod list;
mod policy;
mod reaper;
mod state;
mod stats;

use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

pub(crate) use policy::Limits;
pub(crate) use reaper::{Reaper, Watch};
use state::{Checkout, Given, State};
pub(crate) use state::{Entry, KeySlot, Supply, WaiterId};
pub use stats::Stats;

use crate::error::{Error, ErrorKind};
use crate::{CloseReason, OpenReason};

/// What the pool has to do with a connection.
pub(crate) trait Connection: Entry + Send + 'static {
    /// Looks whether anything has arrived on it while it is idle; `Pending` is healthy.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason>;
    /// The watch over it.
    fn watch(&self) -> &Arc<Watch>;
}

type Delivery<C> = Result<C, Error>;

/// What all handles of a pool share.
pub(crate) struct Shared<K, C>
where
    K: Eq + Hash + Clone,
    C: Entry,
{
    state: Mutex<State<K, C, oneshot::Sender<Delivery<C>>>>,
    reapers: Mutex<Vec<Arc<Reaper>>>,
    /// Told when something has ended after the shutdown began.
    quiet: Notify,
    /// Told when the shutdown begins.
    stopping: Notify,
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

/// An idle connection was there, or somebody has to wait.
pub(crate) enum Acquired<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    Idle {
        slot: KeySlot,
        connection: C,
        idle_for: std::time::Duration,
    },
    Wait(Waiter<K, C>),
}

impl<K, C> Pool<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State::new(limits)),
            reapers: Mutex::default(),
            quiet: Notify::new(),
            stopping: Notify::new(),
        }))
    }

    /// Takes the newest idle connection, or queues for the next one.
    pub(crate) fn checkout(&self, key: &K) -> Result<Acquired<K, C>, Error> {
        let mut expired = Vec::new();
        let acquired = {
            let mut state = self.0.lock();
            if state.is_shut_down() {
                return Err(Error::new(ErrorKind::Shutdown));
            }
            match state.checkout(key, Instant::now(), &mut expired) {
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
                    let (sender, receiver) = oneshot::channel();
                    let (id, supply) = state.enqueue(slot, sender);
                    Acquired::Wait(Waiter {
                        pool: self.clone(),
                        slot,
                        id,
                        supply,
                        receiver,
                    })
                }
            }
        };
        drop(expired);
        Ok(acquired)
    }

    /// Starts a dial beside the queue.
    pub(crate) fn start_own_dial(&self, key: &K) -> Result<(KeySlot, OpenReason), Error> {
        let mut state = self.0.lock();
        if state.is_shut_down() {
            return Err(Error::new(ErrorKind::Shutdown));
        }
        Ok(state.start_own_dial(key))
    }

    /// The own dial has given a connection, which stays with the caller.
    pub(crate) fn own_dial_opened(&self, slot: KeySlot, reason: OpenReason, connection: &C) {
        self.0.lock().opened_and_kept(slot, reason, connection);
    }

    /// The own dial has failed.
    pub(crate) fn own_dial_failed(&self, slot: KeySlot) {
        self.0.lock().own_dial_failed(slot);
        self.0.note_quiet();
    }

    /// A dial has given a connection: it goes to a waiter or becomes idle. Returns why another
    /// dial has to start, if one has to.
    pub(crate) fn dialled(
        &self,
        slot: KeySlot,
        reason: OpenReason,
        connection: C,
    ) -> Option<OpenReason> {
        let next = self.0.lock().opened(slot, reason);
        self.0.give(slot, connection, Instant::now());
        next
    }

    /// A dial has failed. Returns why another dial has to start, if one has to.
    pub(crate) fn dial_failed(
        &self,
        slot: KeySlot,
        starter: Option<WaiterId>,
        error: Error,
    ) -> Option<OpenReason> {
        let (waiter, next) = {
            let mut state = self.0.lock();
            let waiter = state.dial_failed(slot, starter);
            (waiter, state.dial_for_waiters(slot))
        };
        if let Some(waiter) = waiter {
            // Whoever has gone meanwhile does not need the error.
            let _ = waiter.send(Err(error));
        }
        self.0.note_quiet();
        next
    }

    /// Gives a connection back after an exchange: to a waiter, or to the idle list.
    pub(crate) fn give(&self, slot: KeySlot, connection: C) {
        self.0.give(slot, connection, Instant::now());
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

    /// The rest of a body is being read from a connection.
    pub(crate) fn drain_started(&self, slot: KeySlot) {
        self.0.lock().drain_started(slot);
    }

    /// That has ended; the connection is given back or closed next.
    pub(crate) fn drain_ended(&self, slot: KeySlot) {
        self.0.lock().drain_ended(slot);
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
        let idle = self.0.lock().purge(reason, |_| true);
        drop(idle);
    }

    /// The reaper of the runtime that this is called in.
    pub(crate) fn reaper_here(&self) -> Arc<Reaper> {
        let handle = Handle::current();
        let mut reapers = self
            .0
            .reapers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = reapers
            .iter()
            .find(|known| known.handle.id() == handle.id())
        {
            return Arc::clone(known);
        }
        let reaper = Reaper::new(handle.clone());
        reapers.push(Arc::clone(&reaper));
        handle.spawn(reaper::run(Arc::downgrade(&self.0), Arc::clone(&reaper)));
        reaper
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
        let (idle, waiters) = self.0.lock().shut_down();
        self.0.stopping.notify_waiters();
        drop(idle);
        for waiter in waiters {
            let _ = waiter.send(Err(Error::new(ErrorKind::Shutdown)));
        }
        loop {
            let mut notified = std::pin::pin!(self.0.quiet.notified());
            notified.as_mut().enable();
            let stats = self.stats();
            if stats.busy == 0 && stats.dialling == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl<K: Eq + Hash + Clone, C: Entry> Shared<K, C> {
    fn lock(&self) -> MutexGuard<'_, State<K, C, oneshot::Sender<Delivery<C>>>> {
        // A panic under the lock would be a bug of the pure state; what it holds is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_quiet(&self) {
        self.quiet.notify_waiters();
    }
}

impl<K, C> Shared<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    fn give(&self, slot: KeySlot, mut connection: C, now: Instant) {
        loop {
            let watch = Arc::clone(connection.watch());
            let given = {
                let mut state = self.lock();
                let given = state.give(slot, connection, now);
                if let Given::Idle { place, .. } = &given {
                    watch.placed(*place);
                }
                given
            };
            match given {
                Given::To {
                    waiter,
                    connection: delivered,
                } => match waiter.send(Ok(delivered)) {
                    Ok(()) => return,
                    // The waiter went away between the lock and the delivery: next, please.
                    Err(Ok(returned)) => {
                        self.lock().not_acquired(&returned);
                        connection = returned;
                    }
                    Err(Err(_)) => return,
                },
                Given::Idle { first, evicted, .. } => {
                    drop(evicted);
                    if first {
                        watch.reaper().look();
                    }
                    return;
                }
                Given::Refused { connection } => {
                    drop(connection);
                    self.note_quiet();
                    return;
                }
            }
        }
    }

    fn close(&self, slot: KeySlot, connection: C, reason: CloseReason) {
        tracing::debug!(connection = connection.id(), %reason, "connection closed");
        let is_shut_down = {
            let mut state = self.lock();
            state.closed(slot, reason);
            state.is_shut_down()
        };
        drop(connection);
        if is_shut_down {
            self.note_quiet();
        }
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut expired = Vec::new();
        let next = self.lock().expire(now, &mut expired);
        drop(expired);
        next
    }

    fn forget_reaper(&self, gone: &Arc<Reaper>) {
        let mut reapers = self.reapers.lock().unwrap_or_else(PoisonError::into_inner);
        reapers.retain(|reaper| !Arc::ptr_eq(reaper, gone));
    }
}

impl<K: Eq + Hash + Clone, C: Entry> Drop for Shared<K, C> {
    fn drop(&mut self) {
        let reapers = self
            .reapers
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for reaper in reapers.drain(..) {
            reaper.look();
        }
    }
}

/// Somebody who waits for a connection. Dropping it gives up the place in the queue, and passes a
/// connection on that was delivered meanwhile.
pub(crate) struct Waiter<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    pool: Pool<K, C>,
    pub(crate) slot: KeySlot,
    pub(crate) id: WaiterId,
    pub(crate) supply: Supply,
    receiver: oneshot::Receiver<Delivery<C>>,
}

impl<K, C> Waiter<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    /// The drain that it waits for takes too long: the reason for a dial, if one has to start.
    pub(crate) fn give_up_on_drain(&self) -> Option<OpenReason> {
        self.pool.0.lock().dial_despite_drains(self.id)
    }
}

impl<K, C> Future for Waiter<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    type Output = Result<C, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map(|delivered| {
            // The sender is dropped undelivered only when the pool itself goes.
            delivered.unwrap_or_else(|_| Err(Error::new(ErrorKind::Shutdown)))
        })
    }
}

impl<K, C> Drop for Waiter<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    fn drop(&mut self) {
        let cancelled = self.pool.0.lock().cancel(self.id);
        if cancelled.is_some() {
            return;
        }
        // Served: either the delivery has been taken, or it is in the channel, or whoever is about
        // to send it finds the channel closed and keeps it.
        self.receiver.close();
        if let Ok(Ok(connection)) = self.receiver.try_recv() {
            self.pool.0.lock().not_acquired(&connection);
            self.pool.give(self.slot, connection);
        }
    }
}
