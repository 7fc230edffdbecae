//! Who is connected: the open connections of one worker, how to wake them, and the counts.
//!
//! Each call of `serve` has a [`Shard`] of its own, so that workers share nothing that changes
//! with a request. A connection takes the lock when it is opened and when it is gone, never in
//! between. Opening, closing and counting happen under that one lock, which is why the counts add
//! up at every moment.
//!
//! Invariant: every [`Registration`] is counted as closed exactly once, with one reason, also when
//! its task is dropped with its runtime.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use super::census::{Census, CensusLimits, Full};
use super::reception::{Reception, Receptions};
use super::rest::WarmSeats;
use super::settings::Settings;
use super::state::{ConnectionState, StateChange};
use tokio::time::Instant;

use crate::net::PeerAddr;
use crate::{CloseCounts, CloseReason};

/// How far the server is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    /// It serves.
    Running,
    /// It takes no new connections; requests in progress finish.
    Draining,
    /// What is left is dropped.
    Aborting,
}

/// What all shards of a server share; written when a connection is opened, or never.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) settings: Settings,
    /// What may have changed of them since.
    pub(super) receptions: Receptions,
    /// What TLS offers the connections of a service; those of a raw handler are offered
    /// `settings.tls`.
    #[cfg(feature = "tls")]
    pub(super) typed_tls: Option<crate::tls::ServerTls>,
    /// Where connections are limited.
    pub(super) census: Option<Census>,
    phase: AtomicU8,
    /// When it began to drain.
    draining_since: OnceLock<Instant>,
    connections: AtomicU64,
    /// Requests in progress, where they are limited.
    in_progress: AtomicU64,
}

impl Hub {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            #[cfg(feature = "tls")]
            typed_tls: match &settings.tls {
                Some(tls) if settings.offers_http2() => Some(tls.with_http2()),
                tls => tls.clone(),
            },
            census: CensusLimits::of(&settings).map(Census::new),
            receptions: Receptions::new(Reception::of(&settings)),
            settings,
            draining_since: OnceLock::new(),
            in_progress: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Running as u8),
            connections: AtomicU64::new(0),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Aborting,
        }
    }

    /// Goes on to `phase`, never back. Whoever waits has to be woken after this.
    pub(super) fn advance(&self, phase: Phase) {
        // Before the phase: whoever sees that it drains sees since when.
        self.draining_since.get_or_init(Instant::now);
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
    }
}

impl Hub {
    /// When it began to drain, if it does.
    pub(super) fn draining_since(&self) -> Option<Instant> {
        self.draining_since.get().copied()
    }

    /// The right to have a request in progress. `Err`: there are as many as may be.
    pub(super) fn start_request(self: &Arc<Self>) -> Result<Option<InProgress>, TooMany> {
        let Some(limit) = self.settings.max_requests_in_progress else {
            return Ok(None);
        };
        if self.in_progress.fetch_add(1, Ordering::Relaxed) >= limit {
            self.in_progress.fetch_sub(1, Ordering::Relaxed);
            return Err(TooMany);
        }
        Ok(Some(InProgress(Arc::clone(self))))
    }
}

/// There are as many requests in progress as may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooMany;

/// The right to have a request in progress.
#[derive(Debug)]
pub(super) struct InProgress(Arc<Hub>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connections of one worker.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) hub: Arc<Hub>,
    pub(super) warm: WarmSeats,
    requests: AtomicU64,
    refused: AtomicU64,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    slots: Vec<Slot>,
    vacant: Option<u32>,
    open: u64,
    opened: u64,
    closed: CloseCounts,
    /// The accept loop, which waits for connections and for the end.
    acceptor: Option<Waker>,
}

#[derive(Debug)]
enum Slot {
    Open(Option<Waker>),
    /// The next vacant slot.
    Vacant(Option<u32>),
}

/// Connections and requests of a server, up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections accepted.
    pub opened: u64,
    /// Connections open now: `opened` less the sum of `closed`, at every moment.
    pub open: u64,
    /// Connections closed or handed over, by reason.
    pub closed: CloseCounts,
    /// Requests whose head was received whole.
    pub requests: u64,
    /// Connections that were closed as they were accepted, since their peer had too many. They are
    /// not among `opened`.
    pub refused: u64,
}

impl Shard {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            warm: WarmSeats::default(),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            ledger: Mutex::default(),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing in here panics half way; a poisoned lock is as good as another.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a new connection; `place` is its entry in the census.
    pub(super) fn open(self: &Arc<Self>, peer: PeerAddr, place: Option<usize>) -> Registration {
        let id = self.hub.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let registration = Registration {
            shard: Arc::clone(self),
            slot: self.ledger().enter(),
            id,
            peer,
            place,
            is_announced: false,
            reason: CloseReason::Cancelled,
        };
        registration.change(ConnectionState::New);
        registration
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Wakes the accept loop and every connection, to look at the phase: in this order, so that the
    /// listener of this shard is closed before a client sees that its connection is.
    pub(super) fn wake_all(&self) {
        let wakers: Vec<_> = {
            let ledger = self.ledger();
            let open = ledger.slots.iter().filter_map(|slot| match slot {
                Slot::Open(waker) => waker.clone(),
                Slot::Vacant(_) => None,
            });
            ledger.acceptor.clone().into_iter().chain(open).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ready when no more connections are to be accepted.
    pub(super) fn poll_draining(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_as_acceptor(cx, |_| self.hub.phase() > Phase::Running)
    }

    /// Ready when no connection is open.
    pub(super) fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_as_acceptor(cx, |ledger| ledger.open == 0)
    }

    fn poll_as_acceptor(
        &self,
        cx: &Context<'_>,
        is_ready: impl FnOnce(&Ledger) -> bool,
    ) -> Poll<()> {
        let mut ledger = self.ledger();
        if is_ready(&ledger) {
            return Poll::Ready(());
        }
        match &mut ledger.acceptor {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Adds this shard to the sum.
    pub(super) fn add_to(&self, stats: &mut ServerStats) {
        let ledger = self.ledger();
        stats.opened += ledger.opened;
        stats.open += ledger.open;
        stats.closed.add_all(&ledger.closed);
        stats.requests += self.requests.load(Ordering::Relaxed);
        stats.refused += self.refused.load(Ordering::Relaxed);
    }
}

impl Ledger {
    fn enter(&mut self) -> u32 {
        self.open += 1;
        self.opened += 1;
        let slot = self.vacant.unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(slot as usize) {
            Some(vacant) => {
                if let Slot::Vacant(next) = std::mem::replace(vacant, Slot::Open(None)) {
                    self.vacant = next;
                }
            }
            None => self.slots.push(Slot::Open(None)),
        }
        slot
    }

    fn leave(&mut self, slot: u32, reason: CloseReason) {
        self.open -= 1;
        self.closed.add(reason.index());
        self.slots[slot as usize] = Slot::Vacant(self.vacant.replace(slot));
        if self.open == 0
            && let Some(acceptor) = self.acceptor.take()
        {
            acceptor.wake();
        }
    }
}

/// One open connection; dropping it is its end.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) shard: Arc<Shard>,
    pub(super) id: u64,
    pub(super) peer: PeerAddr,
    slot: u32,
    reason: CloseReason,
    place: Option<usize>,
    /// A header of the PROXY protocol is to say whose it is.
    pub(super) is_announced: bool,
}

impl Registration {
    /// Makes [`Shard::wake_all`] wake the task that asks. A task asks once, at its start.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        self.shard.ledger().slots[self.slot as usize] = Slot::Open(Some(cx.waker().clone()));
    }

    /// Tells the hook, if there is one.
    pub(super) fn change(&self, state: ConnectionState) {
        if let Some(hook) = &self.shard.hub.settings.state_hook {
            hook(StateChange {
                connection: self.id,
                peer: self.peer,
                state,
            });
        }
    }

    fn census(&self) -> Option<(&Census, usize)> {
        Some((self.shard.hub.census.as_ref()?, self.place?))
    }

    /// It is known now whose it is: `peer`, or still that of the socket. It has been entered without
    /// an address.
    pub(super) fn name(&mut self, peer: Option<PeerAddr>) -> Result<(), Full> {
        self.peer = peer.unwrap_or(self.peer);
        match (self.census(), self.peer.counted_as()) {
            (Some((census, place)), Some(address)) => census.name(place, address),
            _ => Ok(()),
        }
    }

    /// It is idle from now on, and may be told to go to make room.
    pub(super) fn rest(&self, cx: &Context<'_>) {
        if let Some((census, place)) = self.census() {
            census.rest(place, cx.waker());
        }
    }

    /// It has something to do. Answers whether it had been told to go.
    pub(super) fn busy(&self) -> bool {
        self.census()
            .is_some_and(|(census, place)| census.busy(place))
    }

    /// It has been told to go.
    pub(super) fn is_evicted(&self) -> bool {
        self.census()
            .is_some_and(|(census, place)| census.is_evicted(place))
    }

    /// Why it will have ended when this is dropped.
    pub(super) const fn end(&mut self, reason: CloseReason) {
        self.reason = reason;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.reason == CloseReason::Cancelled && self.shard.hub.phase() == Phase::Aborting {
            self.reason = CloseReason::Shutdown;
        }
        self.shard.ledger().leave(self.slot, self.reason);
        if let Some((census, place)) = self.census() {
            census.leave(place);
        }
        self.change(match self.reason {
            CloseReason::Upgraded => ConnectionState::Upgraded,
            reason => ConnectionState::Closed(reason),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> Arc<Shard> {
        Arc::new(Shard::new(Arc::new(Hub::new(Settings::default()))))
    }

    fn stats(shard: &Shard) -> ServerStats {
        let mut stats = ServerStats::default();
        shard.add_to(&mut stats);
        stats
    }

    #[test]
    fn counts_add_up_and_slots_are_used_again() {
        let shard = shard();
        let mut open: Vec<_> = (0..5)
            .map(|_| shard.open(PeerAddr::Unknown, None))
            .collect();
        for _ in 0..20 {
            let mut ended = open.swap_remove(1);
            ended.end(CloseReason::IdleTimeout);
            drop(ended);
            drop(open.pop());
            open.push(shard.open(PeerAddr::Unknown, None));
            open.push(shard.open(PeerAddr::Unknown, None));
            let now = stats(&shard);
            assert_eq!(now.opened - now.open, now.closed.total());
            assert_eq!(now.open, 5);
        }
        assert_eq!(shard.ledger().slots.len(), 5);
        assert_eq!(stats(&shard).closed.of(CloseReason::IdleTimeout), 20);
        assert_eq!(stats(&shard).closed.of(CloseReason::Cancelled), 20);
        assert_eq!(open.last().map(|last| last.id), Some(45));
    }

    #[test]
    fn the_phase_never_goes_back() {
        let shard = shard();
        shard.hub.advance(Phase::Aborting);
        shard.hub.advance(Phase::Draining);
        assert_eq!(shard.hub.phase(), Phase::Aborting);
        drop(shard.open(PeerAddr::Unknown, None));
        assert_eq!(stats(&shard).closed.of(CloseReason::Shutdown), 1);
    }
}
