//! An upstream while the process runs: its connections, and the health of its servers.
//!
//! One for the whole process, whatever the number of workers: `keepalive N`, passive health and
//! balancing hold for all of them together. It outlives a reload that does not change it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use keepline::client::KeySettings;
use keepline::proto::{Config as Protocol, Limits, ObsFold};
use keepline::{Error, Transport};
use tokio::time::Instant;

use super::balance::{Asker, Balancer, Disabled, Fared, NoLiveServer, Tried};
use super::moves::Moves;
use super::roster::{Entry, Listed, Roster};
use crate::config::{Address, Upstream};

/// A dial ends after this time at the latest, whoever waited for it: requests have limits of their
/// own, which are shorter (`proxy_connect_timeout`).
const LONGEST_DIAL: Duration = Duration::from_secs(75);

/// An upstream and its connections.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) transport: Transport,
    balancer: Mutex<Balancer>,
    /// Where each server of the balancer is.
    pub(super) roster: Roster,
    /// Where servers move.
    pub(super) moves: Option<Moves>,
}

impl Group {
    pub(crate) fn new(upstream: &Arc<Upstream>) -> Result<Arc<Self>, Error> {
        let addresses = upstream.servers.iter().flat_map(|server| &server.addresses);
        let listed = addresses.map(|address| Listed::new(address.clone()));
        let (roster, moves) = if upstream.is_moving() {
            let listed = listed.map(Arc::new).collect();
            let moves = Moves::new(upstream);
            (Roster::Moving(ArcSwap::from_pointee(listed)), Some(moves))
        } else {
            (Roster::Fixed(listed.collect()), None)
        };
        Ok(Arc::new(Self {
            transport: transport(upstream)?,
            balancer: Mutex::new(Balancer::new(upstream)),
            roster,
            moves,
            upstream: Arc::clone(upstream),
        }))
    }

    /// The servers' addresses, in the order of [`choose`](Self::choose)'s answers; none where some of them move.
    pub(crate) fn fixed_addresses(&self) -> impl Iterator<Item = &Address> {
        self.roster.fixed().iter().map(|listed| &listed.address)
    }

    /// The server with this number. `None`: there is none, which no seat has.
    pub(crate) fn server(&self, index: usize) -> Option<Entry<'_>> {
        self.roster.get(index)
    }

    /// The server for a request. The seat is given back when it is dropped.
    pub(crate) fn choose(
        &self,
        now: Instant,
        tried: &Tried,
        asker: Asker<'_>,
    ) -> Result<Seat<'_>, NoLiveServer> {
        let index = self.balancer().choose(now, tried, asker)?;
        Ok(Seat {
            group: self,
            index,
            since: now,
            is_held: true,
        })
    }

    pub(crate) fn tries(&self) -> u32 {
        self.balancer().tries()
    }

    pub(super) fn balancer(&self) -> std::sync::MutexGuard<'_, Balancer> {
        self.balancer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place on a server for one attempt. Dropped, it says nothing against the server: the attempt was
/// given up.
#[derive(Debug)]
pub(crate) struct Seat<'g> {
    group: &'g Group,
    pub(crate) index: usize,
    /// When it was taken.
    pub(crate) since: Instant,
    is_held: bool,
}

impl<'g> Seat<'g> {
    /// The server's address is no longer one of its name: a connection to it is not used again.
    pub(crate) fn has_left(&self) -> bool {
        self.group.moves.is_some() && self.group.balancer().has_left(self.index)
    }

    /// The attempt is over.
    pub(crate) fn release(mut self, fared: Fared) -> Option<Disabled> {
        self.is_held = false;
        let mut balancer = self.group.balancer();
        balancer.release(self.index, fared, Instant::now())
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if self.is_held {
            let mut balancer = self.group.balancer();
            // When it was is of interest for a failure alone.
            balancer.release(self.index, Fared::Well, self.since);
        }
    }
}

/// The pool of an upstream, with its limits.
fn transport(upstream: &Upstream) -> Result<Transport, Error> {
    let keepalive = upstream
        .keepalive
        .as_ref()
        .filter(|_| !upstream.is_implicit);
    let kept = keepalive.map_or(0, |keepalive| keepalive.connections);
    let mut builder = Transport::builder()
        .max_idle(kept)
        .for_every_key(KeySettings::new().max_idle(kept).max_dials(usize::MAX))
        .connect_timeout(LONGEST_DIAL)
        .tls_handshake_timeout(LONGEST_DIAL)
        // A gateway decides itself what becomes of an answer that nobody reads to its end.
        .drain(0, Duration::ZERO)
        .protocol(protocol());
    if let Some(keepalive) = keepalive {
        // nginx counts its uses when one is over: 0 is as 1.
        builder = builder
            .max_requests(keepalive.requests.max(1))
            .lifetime(Some(keepalive.time).filter(|time| !time.is_zero()), 0.0);
        builder = match Some(keepalive.timeout).filter(|timeout| !timeout.is_zero()) {
            Some(timeout) => builder.idle_timeout(timeout),
            None => builder.max_idle(0),
        };
    }
    builder.build()
}

/// How answers of upstreams are read.
fn protocol() -> Protocol {
    Protocol {
        limits: Limits::default(),
        bare_lf: true,
        obs_fold: ObsFold::Refuse,
        ..Protocol::default()
    }
}
