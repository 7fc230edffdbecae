//! How far a request is, for whoever gives up on it: a deadline of one's own knows that it passed,
//! and not what was waited for.
//!
//! Dials serve whoever comes first, so a request without a connection has no dial of its own. What it
//! waits for is the dial of its key that has been under way for longest, if there is one. Invariant:
//! a request that nobody watches costs nothing, and nothing is locked but at the steps of a dial.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key::Key;
use crate::error::Phase;

/// Where a request is right now. Put into the [extensions](http::Request::extensions_mut) of a request,
/// of which a clone is kept, it tells at any time what the request waits for:
///
/// ```no_run
/// # async fn example(transport: keepline::Transport) {
/// use keepline::client::Progress;
///
/// let progress = Progress::default();
/// let mut request = http::Request::get("http://example.com/").body(keepline::Body::empty()).unwrap();
/// request.extensions_mut().insert(progress.clone());
/// if tokio::time::timeout(std::time::Duration::from_secs(1), transport.send(request)).await.is_err() {
///     println!("given up {}", progress.phase()); // "given up while connecting"
/// }
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Progress(Arc<Mutex<Step>>);

/// The last step of a request.
#[derive(Debug, Clone, Default)]
enum Step {
    /// Nothing has begun.
    #[default]
    New,
    /// It waits for a connection for this key.
    Waits(Arc<Dials>, Key),
    /// It has one.
    On(Phase),
}

impl Progress {
    /// What the request waits for. [`Phase::Acquire`] until there is a connection, unless one is being
    /// opened for its server, whose phase that is; then [`Phase::Write`] until the request is written,
    /// [`Phase::Head`] until the response begins, [`Phase::Body`] from then on.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let step = self.lock().clone();
        match step {
            Step::New => Phase::Acquire,
            Step::Waits(dials, key) => dials.oldest(&key).unwrap_or(Phase::Acquire),
            Step::On(phase) => phase,
        }
    }

    /// It asks for a connection.
    pub(super) fn waits(&self, dials: &Arc<Dials>, key: &Key) {
        *self.lock() = Step::Waits(Arc::clone(dials), key.clone());
    }

    /// It has one, and is in this phase.
    pub(super) fn is_in(&self, phase: Phase) {
        *self.lock() = Step::On(phase);
    }

    fn lock(&self) -> MutexGuard<'_, Step> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.phase()).finish()
    }
}

/// The dials in progress of a Transport, oldest first, and how far they are.
#[derive(Debug, Default)]
pub(crate) struct Dials {
    under_way: Mutex<BTreeMap<u64, (Key, Phase)>>,
    serial: AtomicU64,
}

impl Dials {
    /// A dial begins.
    pub(super) fn begin(self: &Arc<Self>, key: &Key) -> Dial {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(serial, (key.clone(), Phase::Resolve));
        Dial {
            dials: Arc::clone(self),
            serial,
        }
    }

    /// How far the oldest one for `key` is.
    fn oldest(&self, key: &Key) -> Option<Phase> {
        let under_way = self.lock();
        let mut phases = under_way.values();
        phases.find(|(its, _)| its == key).map(|(_, phase)| *phase)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (Key, Phase)>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dial in progress. Dropped, it has ended.
#[derive(Debug)]
pub(super) struct Dial {
    dials: Arc<Dials>,
    serial: u64,
}

impl Dial {
    /// Its next phase begins.
    pub(super) fn is_in(&self, phase: Phase) {
        if let Some(dial) = self.dials.lock().get_mut(&self.serial) {
            dial.1 = phase;
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        self.dials.lock().remove(&self.serial);
    }
}
