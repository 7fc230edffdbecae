//! Who may be connected: limits on connections in all and for each peer address, and who makes room.
//!
//! When the connections run out, the one that has been idle longest is closed for the next
//! (nginx: `ngx_drain_connections`, which closes several); a busy one never is. Where nobody is
//! idle, a connection that nobody has accepted stays with the kernel, and one whose peer has too
//! many is closed at once.
//!
//! Invariants: what is counted never exceeds the limit; an entry is in the lists exactly while
//! it is [`Standing::Idle`]. A connection that was told to go and turns out to have a request is no
//! longer counted, serves that request, and is closed with its answer: so the limits may be
//! exceeded by the requests that arrive at the very moment of their eviction, and by nothing else.
//! This is a pure structure but for the wakers that it hands out; nobody is woken under its lock.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::settings::Settings;
use crate::list::{Linked, Links, List};

/// The list of all idle connections, and that of a peer.
const ALL: usize = 0;
const OF_PEER: usize = 1;

/// The limits; at least one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CensusLimits {
    pub(super) in_all: Option<usize>,
    pub(super) per_peer: Option<usize>,
}

impl CensusLimits {
    /// `None`: nothing is limited.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let limits = Self {
            in_all: settings.max_connections,
            per_peer: settings.max_connections_per_peer,
        };
        (limits.in_all.is_some() || limits.per_peer.is_some()).then_some(limits)
    }
}

/// What a connection is doing, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Busy,
    Idle,
    /// Told to go; no longer counted.
    Evicted,
}

#[derive(Debug)]
struct Entry {
    /// `None`: it has no address, and only the limit in all concerns it.
    peer: Option<IpAddr>,
    standing: Standing,
    waker: Option<Waker>,
    in_all: Links,
    of_peer: Links,
}

impl Linked<ALL> for Entry {
    fn links(&mut self) -> &mut Links {
        &mut self.in_all
    }
}

impl Linked<OF_PEER> for Entry {
    fn links(&mut self) -> &mut Links {
        &mut self.of_peer
    }
}

#[derive(Debug, Default)]
struct Peer {
    counted: usize,
    idle: List<OF_PEER>,
}

/// Why a connection may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// There are as many as may be, and none is idle.
    InAll,
    /// The peer has as many as it may, and none is idle.
    OfPeer,
}

/// Who is connected, and since when they are idle.
#[derive(Debug)]
struct State {
    limits: CensusLimits,
    entries: Slab<Entry>,
    /// Connections that have not been told to go.
    counted: usize,
    idle: List<ALL>,
    peers: HashMap<IpAddr, Peer>,
    /// Accept loops that wait for room.
    waiting: Vec<Waker>,
}

impl State {
    fn new(limits: CensusLimits) -> Self {
        Self {
            limits,
            entries: Slab::new(),
            counted: 0,
            idle: List::default(),
            peers: HashMap::new(),
            waiting: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.limits.in_all.is_some_and(|max| self.counted >= max)
    }

    /// Enters a connection, which begins busy. The waker is that of the one that makes room.
    fn admit(&mut self, peer: Option<IpAddr>) -> Result<(usize, Option<Waker>), Full> {
        let peer = peer.filter(|_| self.limits.per_peer.is_some());
        let known = peer.and_then(|peer| self.peers.get(&peer));
        let is_peer_full = known.is_some_and(|known| Some(known.counted) >= self.limits.per_peer);
        let evicted = if is_peer_full {
            let oldest = known.and_then(|known| known.idle.front());
            Some(oldest.ok_or(Full::OfPeer)?)
        } else if self.is_full() {
            Some(self.idle.front().ok_or(Full::InAll)?)
        } else {
            None
        };
        let waker = evicted.and_then(|evicted| self.evict(evicted));
        self.counted += 1;
        if let Some(peer) = peer {
            self.peers.entry(peer).or_default().counted += 1;
        }
        let entry = self.entries.insert(Entry {
            peer,
            standing: Standing::Busy,
            waker: None,
            in_all: Links::default(),
            of_peer: Links::default(),
        });
        Ok((entry, waker))
    }

    /// Counts a connection that was entered without an address as that of `peer`, and may make
    /// one of its idle ones go for it.
    fn name(&mut self, entry: usize, peer: IpAddr) -> Result<Option<Waker>, Full> {
        let Some(limit) = self.limits.per_peer else {
            return Ok(None);
        };
        let known = self.peers.get(&peer).filter(|known| known.counted >= limit);
        let evicted = match known {
            Some(full) => Some(full.idle.front().ok_or(Full::OfPeer)?),
            None => None,
        };
        let waker = evicted.and_then(|evicted| self.evict(evicted));
        self.peers.entry(peer).or_default().counted += 1;
        self.entries[entry].peer = Some(peer);
        Ok(waker)
    }

    fn evict(&mut self, entry: usize) -> Option<Waker> {
        self.unlist(entry);
        self.uncount(entry);
        let evicted = &mut self.entries[entry];
        evicted.standing = Standing::Evicted;
        evicted.waker.take()
    }

    fn unlist(&mut self, entry: usize) {
        self.idle.remove(&mut self.entries, entry);
        if let Some(peer) = self.entries[entry].peer
            && let Some(peer) = self.peers.get_mut(&peer)
        {
            peer.idle.remove(&mut self.entries, entry);
        }
    }

    fn uncount(&mut self, entry: usize) {
        self.counted -= 1;
        if let Some(address) = self.entries[entry].peer
            && let Some(peer) = self.peers.get_mut(&address)
        {
            peer.counted -= 1;
            if peer.counted == 0 {
                self.peers.remove(&address);
            }
        }
    }

    /// The connection is idle from now on, and may be told to go through `waker`.
    fn rest(&mut self, entry: usize, waker: &Waker) {
        let resting = &mut self.entries[entry];
        if resting.standing != Standing::Busy {
            return;
        }
        resting.standing = Standing::Idle;
        resting.waker = Some(waker.clone());
        self.idle.push_back(&mut self.entries, entry);
        if let Some(peer) = self.entries[entry].peer
            && let Some(peer) = self.peers.get_mut(&peer)
        {
            peer.idle.push_back(&mut self.entries, entry);
        }
    }

    /// The connection has something to do. Answers whether it had been told to go.
    fn busy(&mut self, entry: usize) -> bool {
        match self.entries[entry].standing {
            Standing::Busy => false,
            Standing::Evicted => true,
            Standing::Idle => {
                self.unlist(entry);
                self.entries[entry].standing = Standing::Busy;
                false
            }
        }
    }

    fn leave(&mut self, entry: usize) {
        match self.entries[entry].standing {
            Standing::Busy => self.uncount(entry),
            Standing::Idle => {
                self.unlist(entry);
                self.uncount(entry);
            }
            Standing::Evicted => {}
        }
        self.entries.remove(entry);
    }
}

/// A [`State`] that the workers of a server share.
#[derive(Debug)]
pub(super) struct Census(Mutex<State>);

impl Census {
    pub(super) fn new(limits: CensusLimits) -> Self {
        Self(Mutex::new(State::new(limits)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when a connection can be let in, also by closing an idle one.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if !state.is_full() || !state.idle.is_empty() {
            return Poll::Ready(());
        }
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Enters a connection, and tells the one that makes room for it to go.
    pub(super) fn admit(&self, peer: Option<IpAddr>) -> Result<usize, Full> {
        let (entry, waker) = self.state().admit(peer)?;
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(entry)
    }

    /// Counts a connection as that of `peer`, whose it has turned out to be.
    pub(super) fn name(&self, entry: usize, peer: IpAddr) -> Result<(), Full> {
        let waker = self.state().name(entry, peer)?;
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Tells the longest idle connection to go, for the sake of what is not a connection (files).
    pub(super) fn make_room(&self) {
        let waker = {
            let mut state = self.state();
            let oldest = state.idle.front();
            oldest.and_then(|oldest| state.evict(oldest))
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Only `room` places are left, or each peer has few, so that who is idle should be known at
    /// once.
    pub(super) fn is_crowded(&self, room: usize) -> bool {
        let state = self.state();
        let in_all = state.limits.in_all;
        state.limits.per_peer.is_some()
            || in_all.is_some_and(|max| state.counted.saturating_add(room) >= max)
    }

    pub(super) fn rest(&self, entry: usize, waker: &Waker) {
        self.after(|state| state.rest(entry, waker));
    }

    pub(super) fn busy(&self, entry: usize) -> bool {
        self.state().busy(entry)
    }

    pub(super) fn is_evicted(&self, entry: usize) -> bool {
        self.state().entries[entry].standing == Standing::Evicted
    }

    pub(super) fn leave(&self, entry: usize) {
        self.after(|state| state.leave(entry));
    }

    /// Does what makes room, and tells whoever waits for it.
    fn after(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.state();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state(in_all: Option<usize>, per_peer: Option<usize>) -> State {
        State::new(CensusLimits { in_all, per_peer })
    }

    fn peer(number: u8) -> Option<IpAddr> {
        Some(IpAddr::from([127, 0, 0, number]))
    }

    #[test]
    fn the_longest_idle_makes_room_and_a_busy_one_never() {
        let mut state = state(Some(3), None);
        let [a, b, c] = [1, 1, 2].map(|number| state.admit(peer(number)).unwrap().0);
        assert_eq!(state.admit(None).unwrap_err(), Full::InAll);
        for entry in [b, a, c] {
            state.rest(entry, Waker::noop());
        }
        state.busy(b);
        state.admit(None).unwrap();
        assert_eq!(state.entries[a].standing, Standing::Evicted);
        // It had a request after all: it is told, and leaves without being counted twice.
        assert!(state.busy(a));
        state.leave(a);
        assert_eq!(state.counted, 3);
        state.admit(None).unwrap();
        assert_eq!(state.entries[c].standing, Standing::Evicted);
        assert_eq!(state.admit(None).unwrap_err(), Full::InAll);
    }

    #[test]
    fn a_peer_makes_room_for_itself() {
        let mut state = state(None, Some(2));
        let other = state.admit(peer(2)).unwrap().0;
        state.rest(other, Waker::noop());
        let [a, _b] = [(); 2].map(|()| state.admit(peer(1)).unwrap().0);
        assert_eq!(state.admit(peer(1)).unwrap_err(), Full::OfPeer);
        state.rest(a, Waker::noop());
        state.admit(peer(1)).unwrap();
        assert_eq!(state.entries[a].standing, Standing::Evicted);
        assert_eq!(state.entries[other].standing, Standing::Idle);
        // Who has no address is not limited by it.
        for _ in 0..5 {
            state.admit(None).unwrap();
        }
    }

    proptest! {
        /// Any schedule keeps the limits, and forgets whoever has left.
        #[test]
        fn the_limits_hold(steps in prop::collection::vec((0_u8..4, any::<u8>()), 0..200)) {
            let mut state = state(Some(6), Some(3));
            let mut inside: Vec<usize> = Vec::new();
            for (step, detail) in steps {
                let chosen = (!inside.is_empty()).then(|| usize::from(detail) % inside.len());
                match (step, chosen) {
                    (0, _) => inside.extend(state.admit(peer(detail % 3)).map(|entry| entry.0)),
                    (1, Some(chosen)) => state.rest(inside[chosen], Waker::noop()),
                    (2, Some(chosen)) => _ = state.busy(inside[chosen]),
                    (3, Some(chosen)) => state.leave(inside.swap_remove(chosen)),
                    _ => {}
                }
                prop_assert!(state.counted <= 6);
                prop_assert!(state.peers.values().all(|peer| peer.counted <= 3));
                prop_assert_eq!(state.entries.len(), inside.len());
                let of = |standing| {
                    state.entries.iter().filter(|(_, entry)| entry.standing == standing).count()
                };
                prop_assert_eq!(of(Standing::Idle), state.idle.len());
                prop_assert_eq!(state.counted, inside.len() - of(Standing::Evicted));
                let by_peer: usize = state.peers.values().map(|peer| peer.counted).sum();
                prop_assert_eq!(by_peer, state.counted);
            }
            for entry in inside {
                state.leave(entry);
            }
            prop_assert_eq!((state.counted, state.peers.len()), (0, 0));
        }
    }
}
