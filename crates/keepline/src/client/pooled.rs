//! A connection of the pool, with all that belongs to it, and what it does while it is idle.
//!
//! Invariant: an idle connection holds no buffer, and whatever arrives on it closes it. Who uses it
//! is the business of its [`Lease`](super::lease::Lease).

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::life::Lifespan;
use super::meter::ConnectionMeter;
use super::names::Residence;
use crate::driver::Driver;
use crate::info::Timings;
use crate::net::{Arrived, PeerAddr};
use crate::pool::{self, Expiry, Watch};
use crate::{CloseReason, OpenReason};

/// Idle for longer than this, the kernel is asked before the connection is used.
const ASK_KERNEL_AFTER: Duration = Duration::from_secs(1);

/// A connection with all that belongs to it.
#[derive(Debug)]
pub(crate) struct Pooled {
    pub(crate) driver: Driver,
    pub(crate) id: u64,
    pub(crate) opened_at: Instant,
    pub(crate) open_reason: OpenReason,
    pub(crate) peer: PeerAddr,
    /// How long its opening took.
    pub(crate) dial: Timings,
    /// Exchanges that it has carried to their end.
    pub(crate) exchanges: u64,
    pub(crate) lifespan: Lifespan,
    pub(crate) watch: Arc<Watch>,
    /// Where it lives, if the addresses of names are followed.
    pub(crate) residence: Option<Residence>,
    pub(crate) meter: ConnectionMeter,
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.driver.stream.say_goodbye();
    }
}

impl pool::Entry for Box<Pooled> {
    fn served(&self) -> bool {
        self.exchanges > 0
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn address(&self) -> PeerAddr {
        self.peer
    }

    fn home(&self) -> pool::Home {
        self.watch.reaper().home()
    }
}

impl pool::Connection for Box<Pooled> {
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        Pooled::poll_idle(self, cx)
    }

    fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    fn expiry(&self, now: Instant) -> Option<Expiry> {
        self.lifespan.expiry(now)
    }
}

/// Why a connection is lost on which something arrived while it was idle. Whatever it is, it is
/// never parsed as the answer to the next request.
const fn lost_while_idle(arrived: Arrived) -> CloseReason {
    match arrived {
        Arrived::Fin | Arrived::Error => CloseReason::PeerClosed,
        Arrived::GivenUp => CloseReason::Timeout,
        Arrived::RequestTimeout => CloseReason::PeerAskedClose,
        Arrived::Bytes => CloseReason::UnsolicitedBytes,
    }
}

impl Pooled {
    /// Its address is no longer one of its name: it finishes what it does, and is not used again.
    pub(crate) fn is_displaced(&self) -> bool {
        self.residence.as_ref().is_some_and(Residence::is_gone)
    }

    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.driver.stream.poll_idle(cx).map(lost_while_idle)
    }

    /// Makes sure that the connection can be used from the runtime that this is called in, and that
    /// nothing has arrived on it.
    ///
    /// Without a hint from the runtime this makes no system call, unless the request could not be
    /// sent twice, the connection has been idle for more than a second, or it comes from another
    /// runtime, whose hints are lost: then the kernel is asked.
    pub(crate) fn revive(
        &mut self,
        shared: &Shared,
        idle_for: Duration,
        is_replayable: bool,
    ) -> Result<(), CloseReason> {
        if self.watch.reaper().is_gone() {
            return Err(CloseReason::Shutdown);
        }
        let here = tokio::runtime::Handle::current().id();
        let is_foreign = self.watch.reaper().runtime().id() != here;
        if is_foreign {
            self.driver
                .stream
                .register_here()
                .map_err(|_| CloseReason::IoError)?;
            self.watch = Watch::new(self.id, shared.pool.reaper_here());
        }
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(reason) = self.poll_idle(&mut nobody) {
            return Err(reason);
        }
        let arrived = if is_foreign || !is_replayable || idle_for > ASK_KERNEL_AFTER {
            self.driver.stream.arrived()
        } else {
            None
        };
        arrived.map_or(Ok(()), |arrived| Err(lost_while_idle(arrived)))
    }

    /// Becomes idle: holds no buffer, and is watched. The reason why it cannot, if something has
    /// arrived already.
    pub(super) fn settle_down(&mut self) -> Option<CloseReason> {
        self.driver.release_buffers();
        let waker = Waker::from(Arc::clone(&self.watch));
        match self.poll_idle(&mut Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(reason) => Some(reason),
        }
    }
}
