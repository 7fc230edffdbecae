//! The supply of a key: the one task that gets a connection for all who wait for a stream there.
//!
//! Invariant: whoever waits is told. A supply that ends early, with its runtime or because nobody
//! wants it, has those who have come meanwhile ask again.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::sharing::{Given, carry_out};
use crate::client::Shared;
use crate::client::acquire::{NoLease, acquire_either};
use crate::client::key::Key;

/// Gets a connection for a key, in a task of its own: whoever waits may go away, and others come.
pub(super) fn start_supply(shared: &Arc<Shared>, key: &Key) {
    let supply = Supply {
        shared: Arc::clone(shared),
        key: key.clone(),
        is_over: false,
    };
    // Without a runtime, dropping it says that nothing comes.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(supply.run());
    }
}

struct Supply {
    shared: Arc<Shared>,
    key: Key,
    is_over: bool,
}

impl Supply {
    async fn run(mut self) {
        let outcome = tokio::select! {
            // First of all it starts to dial, and a dial outlives those who asked for it.
            biased;
            outcome = acquire_either(&self.shared, &self.key, true) => outcome,
            // Dropped, it tells whoever has come meanwhile to ask again.
            () = self.unwanted() => return,
        };
        self.is_over = true;
        let (shared, key) = (&self.shared, &self.key);
        match outcome {
            Err(NoLease::Session) => {
                let effects = shared.sessions.lock().supply_ended(key, Instant::now());
                carry_out(shared, key, effects);
            }
            Ok((lease, _)) => {
                let mut effects = shared.sessions.lock().spoke_http1(key);
                // To the first who still waits, as any that is dialled for him; else into the pool,
                // before anybody is sent there.
                let mut lease = Some(Box::new(lease));
                let mut others = Vec::new();
                for (waiter, told) in effects.told.drain(..) {
                    match lease.take() {
                        None => others.push((waiter, told)),
                        Some(free) => {
                            if let Err(Ok(Given::Http1(free))) = waiter.send(Ok(Given::Http1(free)))
                            {
                                lease = Some(free);
                            }
                        }
                    }
                }
                if let Some(free) = lease {
                    free.give_back();
                }
                effects.told = others;
                carry_out(shared, key, effects);
            }
            Err(NoLease::Failed(error)) => {
                let waiters = shared.sessions.lock().supply_failed(key);
                for waiter in waiters {
                    let _ = waiter.send(Err(error.repeated()));
                }
            }
        }
    }
}

impl Supply {
    /// Ready when nobody waits for it any more, and it waits itself: a dial goes on.
    async fn unwanted(&self) {
        loop {
            let mut told = std::pin::pin!(self.shared.sessions.unwanted.notified());
            told.as_mut().enable();
            let is_unwanted = self.shared.sessions.lock().is_unwanted(&self.key);
            if is_unwanted && !self.shared.pool.is_dialling(&self.key) {
                return;
            }
            told.await;
        }
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        if !self.is_over {
            let effects = self.shared.sessions.lock().supply_lost(&self.key);
            carry_out(&self.shared, &self.key, effects);
        }
    }
}
