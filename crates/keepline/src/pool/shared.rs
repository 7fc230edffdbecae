//! What all handles of a pool share: the lock around its state, and what follows from a decision
//! once the lock is released.
//!
//! Invariant: nothing is closed, polled or delivered while the lock is held.

use std::hash::Hash;
use std::sync::{Arc, PoisonError};
#[cfg(not(test))]
use std::sync::{Mutex, MutexGuard};

// In unit tests, which run the shell under made-up schedules (see `schedules`), the lock is one that
// decides who goes on.
#[cfg(test)]
use shuttle::sync::{Mutex, MutexGuard};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::policy::Now;
use super::reaper::Watch;
use super::reapers::Reapers;
use super::state::{Effects, Entry, Given, KeySlot, Parked, State};
use super::{Connection, Delivery, Note, Owner};
use crate::{CloseReason, OpenReason};

/// What all handles of a pool share.
pub(crate) struct Shared<K, C>
where
    K: Eq + Hash + Clone,
    C: Entry,
{
    state: Mutex<State<K, C, oneshot::Sender<Delivery<C>>>>,
    owner: Box<dyn Owner<K, C>>,
    pub(super) reapers: Reapers,
    /// Told when something has ended after the shutdown began.
    pub(super) quiet: Notify,
    /// Told when the shutdown begins.
    pub(super) stopping: Notify,
}

impl<K: Eq + Hash + Clone, C: Entry> Shared<K, C> {
    pub(super) fn new(
        state: State<K, C, oneshot::Sender<Delivery<C>>>,
        owner: Box<dyn Owner<K, C>>,
    ) -> Self {
        Self {
            state: Mutex::new(state),
            owner,
            reapers: Reapers::default(),
            quiet: Notify::new(),
            stopping: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<K, C, oneshot::Sender<Delivery<C>>>> {
        // A panic under the lock would be a bug of the pure state; what it holds is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_quiet(&self) {
        self.quiet.notify_waiters();
    }
}

impl<K, C> Shared<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    /// Decides under the lock, and carries out what follows without it.
    pub(super) fn with<T>(
        &self,
        decide: impl FnOnce(&mut State<K, C, oneshot::Sender<Delivery<C>>>, &mut Effects<K, C>) -> T,
    ) -> T {
        let mut effects = Effects::default();
        let decided = decide(&mut self.lock(), &mut effects);
        self.carry_out(effects);
        decided
    }

    fn carry_out(&self, effects: Effects<K, C>) {
        for (connection, reason) in effects.closed {
            self.owner.note(&connection, Note::Closing(reason));
        }
        if effects.evict_shared {
            self.owner.evict_shared();
        }
        if effects.dials.is_empty() {
            return;
        }
        let elsewhere = match Handle::try_current() {
            Ok(_) => None,
            Err(_) => self.reapers.any_runtime(),
        };
        for demand in effects.dials {
            self.owner.dial(demand, elsewhere.as_ref());
        }
    }

    pub(super) fn give(&self, slot: KeySlot, connection: C, now: Now) {
        let mut next = Some(connection);
        while let Some(connection) = next {
            next = self.hand_on(slot, connection, None, now);
        }
    }

    /// Gives what a dial has opened. Both under one lock: a request that came between the two would
    /// find neither the dial nor the connection, and dial again.
    pub(super) fn give_opened(&self, slot: KeySlot, reason: OpenReason, connection: C) {
        let now = Now::read();
        if let Some(undelivered) = self.hand_on(slot, connection, Some(reason), now) {
            self.give(slot, undelivered, now);
        }
    }

    /// Answers the connection if its waiter went away between the lock and the delivery.
    fn hand_on(
        &self,
        slot: KeySlot,
        connection: C,
        opened: Option<OpenReason>,
        now: Now,
    ) -> Option<C> {
        let watch = Arc::clone(connection.watch());
        self.owner.note(&connection, Note::Returned);
        let own = connection.expiry(now.instant);
        let given = self.with(|state, effects| {
            if let Some(reason) = opened {
                state.opened(slot, reason, &connection);
            }
            let given = state.give(slot, connection, own, now, effects);
            watch.follow(&given);
            given
        });
        self.deliver(given, &watch)
    }

    /// Puts a connection back among the idle ones, as if it had never been taken out; or to whoever
    /// has come to wait for it meanwhile.
    pub(super) fn put_back(&self, parked: Parked<C>) {
        let (slot, watch) = (parked.slot, Arc::clone(parked.connection.watch()));
        let given = self.with(|state, effects| {
            let given = state.put_back(parked, effects);
            watch.follow(&given);
            given
        });
        if let Some(undelivered) = self.deliver(given, &watch) {
            self.give(slot, undelivered, Now::read());
        }
    }

    /// Carries out where a connection goes. Answers it if its waiter went away between the lock
    /// and the delivery.
    fn deliver(
        &self,
        given: Given<C, oneshot::Sender<Delivery<C>>>,
        watch: &Arc<Watch>,
    ) -> Option<C> {
        match given {
            Given::To { waiter, connection } => {
                if let Err(Ok(returned)) = waiter.send(Ok(connection)) {
                    self.lock().not_acquired(&returned);
                    return Some(returned);
                }
            }
            Given::Idle { look_at, .. } => match look_at {
                Some(_) => watch.reaper().look(),
                None => watch.reaper().care(),
            },
            Given::Refused { connection, reason } => {
                self.owner.note(&connection, Note::Closing(reason));
                drop(connection);
                self.note_quiet();
            }
        }
        None
    }

    pub(super) fn close(&self, slot: KeySlot, connection: C, reason: CloseReason) {
        let is_shut_down = self.with(|state, effects| {
            state.closed((slot, &connection), reason, effects);
            state.is_shut_down()
        });
        self.owner.note(&connection, Note::Closing(reason));
        drop(connection);
        if is_shut_down {
            self.note_quiet();
        }
    }

    pub(super) fn expire(&self) -> Option<Instant> {
        self.with(|state, effects| state.expire(Now::read(), effects))
    }
}

impl<K: Eq + Hash + Clone, C: Entry> Drop for Shared<K, C> {
    fn drop(&mut self) {
        self.reapers.look();
    }
}
