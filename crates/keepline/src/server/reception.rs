//! How clients are received, until a handler has their request: the settings that may be changed while the
//! server runs, as a gateway does when its configuration is read anew.
//!
//! Invariant: a head is read under one [`Reception`]; a change holds from the next head on. Looking whether
//! there was one costs a load of a number, which nobody writes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keepline_proto::Config;

use super::settings::{InvalidSetting, Settings};
use super::terms::Terms;

/// How clients are received, until a handler has their request; see
/// [`Handle::receive_with`](super::Handle::receive_with). What each means is told at the methods of
/// [`ServerBuilder`](super::ServerBuilder) with the same names.
///
/// `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reception {
    /// How long a TLS handshake may take.
    pub handshake_timeout: Option<Duration>,
    /// How long the head of a request may take, and how long the first one may be awaited.
    pub head_timeout: Option<Duration>,
    /// Limits on heads and chunk framing, and what is read tolerantly.
    pub protocol: Arc<Config>,
    /// The terms of exchanges whose handler chooses no others, and of requests that are refused.
    pub terms: Terms,
}

impl Reception {
    /// That of a server's settings.
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            handshake_timeout: settings.handshake_timeout,
            head_timeout: settings.head_timeout,
            protocol: Arc::clone(&settings.protocol),
            terms: settings.terms,
        }
    }

    /// It, if it can work in the place of the one of `settings`.
    pub(super) fn validated(self, settings: &Settings) -> Result<Self, InvalidSetting> {
        let settings = Settings {
            handshake_timeout: self.handshake_timeout,
            head_timeout: self.head_timeout,
            protocol: self.protocol,
            terms: self.terms,
            ..settings.clone()
        };
        settings.validated().map(|settings| Self::of(&settings))
    }
}

/// The reception that holds, for all connections to look at.
#[derive(Debug)]
pub(super) struct Receptions {
    /// How many there have been. Changed after `now`, under its lock.
    changes: AtomicU32,
    now: Mutex<Arc<Reception>>,
}

/// A reception that a connection has seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    changes: u32,
    pub(super) reception: Arc<Reception>,
}

impl Receptions {
    pub(super) fn new(first: Reception) -> Self {
        Self {
            changes: AtomicU32::new(0),
            now: Mutex::new(Arc::new(first)),
        }
    }

    pub(super) fn change(&self, to: Reception) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = Arc::new(to);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn look(&self) -> Seen {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        Seen {
            changes: self.changes.load(Ordering::Relaxed),
            reception: Arc::clone(&now),
        }
    }

    /// Another one than that holds.
    pub(super) fn have_changed(&self, since: &Seen) -> bool {
        self.changes.load(Ordering::Relaxed) != since.changes
    }
}
