//! A place in the queue of the pool.
//!
//! Invariant: a waiter that is dropped at any moment leaves nothing behind: its place is given up,
//! and a connection that was delivered meanwhile goes to the next.

use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::state::{KeySlot, Supply, WaiterId};
use super::{Connection, Delivery, NoDelivery, Pool};
use crate::error::{Error, ErrorKind};

/// Somebody who waits for a connection. Dropping it gives up the place in the queue, and passes a
/// connection on that was delivered meanwhile.
pub(crate) struct Waiter<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    pub(super) pool: Pool<K, C>,
    pub(crate) slot: KeySlot,
    pub(crate) id: WaiterId,
    pub(crate) supply: Supply,
    pub(super) receiver: oneshot::Receiver<Delivery<C>>,
}

impl<K, C> Waiter<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    /// What it waited for takes too long: a dial starts, if there is room for one and none is on
    /// its way already, which is then answered with `true`.
    pub(crate) fn dial_after_all(&self) -> bool {
        self.pool
            .0
            .with(|state, effects| state.dial_after_all(self.id, effects))
    }

    /// The dial of somebody else, on which it counted, takes too long: another one starts, if there
    /// is room for it.
    pub(crate) fn dial_besides(&self) {
        self.pool
            .0
            .with(|state, effects| state.dial_besides(self.id, effects));
    }
}

impl<K, C> Future for Waiter<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    type Output = Result<C, NoDelivery>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map(|delivered| {
            // The sender is dropped undelivered only when the pool itself goes.
            delivered.unwrap_or_else(|_| Err(NoDelivery::Failed(Error::new(ErrorKind::Shutdown))))
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
