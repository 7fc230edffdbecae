//! From a key to a connection in hand.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::connect::ATTEMPT_DELAY;
use super::event::Event;
use super::key::Key;
use super::lease::Lease;
use super::pooled::Pooled;
use super::{Shared, dial};
use crate::CloseReason;
use crate::error::{Error, ErrorKind, Phase};
use crate::pool::{Acquired, Demand, NoDelivery, Now, Supply, Waiter};

/// How sure a caller of the raw layer wants to be that its connection is alive. A peer may close an
/// idle connection at any moment (RFC 9112 §9.3.1), so only a new one can be relied on, and that
/// not for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Freshness {
    /// Any that the runtime knows nothing bad of, which costs no system call: for a request that
    /// can be sent again.
    Any,
    /// One on which the kernel has seen nothing either, which costs one system call: for a request
    /// that cannot be sent again.
    Checked,
    /// A newly dialled one, whatever the pool has: for a request that is sent again and may have
    /// been received the first time. Where a limit leaves no room for a dial, whatever comes.
    New,
}

/// Why there is no lease.
#[derive(Debug)]
pub(super) enum NoLease {
    Failed(Error),
    /// HTTP/2 is spoken on what was dialled: there is a session now, which is shared.
    Session,
}

impl From<Error> for NoLease {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<NoLease> for Error {
    /// For keys that do not offer HTTP/2.
    fn from(none: NoLease) -> Self {
        match none {
            NoLease::Failed(error) => error,
            NoLease::Session => Self::caused(ErrorKind::Connect, "the server speaks only HTTP/2"),
        }
    }
}

/// A connection for `key`, of this freshness.
pub(super) async fn acquire_as(
    shared: &Arc<Shared>,
    key: &Key,
    freshness: Freshness,
) -> Result<Lease, Error> {
    match freshness {
        Freshness::Any => Ok(acquire(shared, key, true).await?),
        Freshness::Checked => Ok(acquire(shared, key, false).await?),
        Freshness::New => Ok(acquire_new(shared, key).await?),
    }
}

/// A connection for `key`: an idle one that is alive, else the first that comes back or is opened.
/// `is_replayable`: the request can be sent again if the connection turns out dead.
pub(super) async fn acquire(
    shared: &Arc<Shared>,
    key: &Key,
    is_replayable: bool,
) -> Result<Lease, NoLease> {
    shared.events.tell(|| Event::Wanted {
        origin: key.to_string().into(),
    });
    let (lease, idle_for) = acquire_either(shared, key, is_replayable).await?;
    Ok(lease.told(idle_for))
}

/// The same, not told yet; with how long the connection had been idle.
pub(super) async fn acquire_either(
    shared: &Arc<Shared>,
    key: &Key,
    is_replayable: bool,
) -> Result<(Lease, Option<Duration>), NoLease> {
    let mut now = Now::read();
    let asked_at = now.instant;
    loop {
        // Each turn takes a dead connection out of the pool, so there are at most as many.
        let (slot, connection, idle_for) = match shared.pool.checkout(key, now)? {
            Acquired::Idle {
                slot,
                connection,
                idle_for,
            } => (slot, connection, Some(idle_for)),
            Acquired::Dial { slot, reason } => {
                let connection = dial::own(shared, key, slot, reason).await?;
                let lease = Lease::new(connection, slot, Arc::clone(shared), asked_at, Now::read());
                return Ok((lease, None));
            }
            Acquired::Wait(waiter) => {
                let slot = waiter.slot;
                let delivered = wait_in_time(shared, key, waiter).await;
                now = Now::read();
                match delivered {
                    Ok(connection) => (slot, connection, None),
                    Err(NoDelivery::AskAgain) if shared.sessions.has_session(key) => {
                        return Err(NoLease::Session);
                    }
                    Err(NoDelivery::AskAgain) => continue,
                    Err(NoDelivery::Failed(error)) => return Err(error.into()),
                }
            }
        };
        let mut lease = Lease::new(connection, slot, Arc::clone(shared), asked_at, now);
        lease.was_pooled = idle_for.is_some();
        let idle_for = idle_for.filter(|_| lease.is_reused());
        if lease.was_pooled && lease.is_displaced() {
            lease.close_unused(CloseReason::DnsChanged);
            continue;
        }
        match lease.revive(idle_for.unwrap_or_default(), is_replayable) {
            Ok(()) => return Ok((lease, idle_for)),
            // A server that opens connections only to close them: dialling again would not end.
            Err(reason) if lease.is_fresh() => return Err(lease.dead_on_arrival(reason).into()),
            Err(reason) => lease.close_unused(reason),
        }
    }
}

/// A newly dialled connection for `key`, whatever the pool has; where a limit leaves no room for
/// one, whatever comes.
pub(super) async fn acquire_new(shared: &Arc<Shared>, key: &Key) -> Result<Lease, NoLease> {
    let asked_at = Instant::now();
    match shared.pool.start_own_dial(key)? {
        Some((slot, reason)) => {
            let connection = dial::own(shared, key, slot, reason).await?;
            let lease = Lease::new(connection, slot, Arc::clone(shared), asked_at, Now::read());
            Ok(lease.told(None))
        }
        None => acquire(shared, key, false).await,
    }
}

async fn wait_in_time(
    shared: &Arc<Shared>,
    key: &Key,
    waiter: Waiter<Key, Box<Pooled>>,
) -> Result<Box<Pooled>, NoDelivery> {
    match shared.settings.acquire_timeout {
        None => wait(shared, key, waiter).await,
        Some(time) => timeout(time, wait(shared, key, waiter))
            .await
            .unwrap_or_else(|_| Err(NoDelivery::Failed(Error::timeout(Phase::Acquire)))),
    }
}

/// Waits for a connection, and sees to it that one comes.
async fn wait(
    shared: &Arc<Shared>,
    key: &Key,
    mut waiter: Waiter<Key, Box<Pooled>>,
) -> Result<Box<Pooled>, NoDelivery> {
    let patience = match waiter.supply {
        Supply::Dial(reason) => {
            let demand = Demand {
                key: key.clone(),
                slot: waiter.slot,
                reason,
            };
            dial::spawn(Arc::clone(shared), demand, Some(waiter.id), None);
            return waiter.await;
        }
        Supply::Limited => return waiter.await,
        Supply::SoonFree => Some(shared.settings.drain.time),
        Supply::Returning(time) => Some(time),
        Supply::Dialling => None,
    };
    if let Some(patience) = patience {
        if let Ok(delivered) = timeout(patience, &mut waiter).await {
            return delivered;
        }
        if !waiter.dial_after_all() {
            return waiter.await;
        }
    }
    if let Ok(delivered) = timeout(ATTEMPT_DELAY, &mut waiter).await {
        return delivered;
    }
    waiter.dial_besides();
    waiter.await
}
