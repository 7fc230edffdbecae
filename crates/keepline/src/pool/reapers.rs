//! The reapers of a pool: one for each runtime that has connections in it, with a number.
//!
//! The number is the [`Home`] of the connections there, the smallest that was free. It serves the
//! choice among idle connections and nothing else: a wrong one would cost a registration.

use std::cell::Cell;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Handle, Id};

use super::reaper::{self, Reaper};
use super::shared::Shared;
use super::{Connection, Home};

/// Number of the next pool of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The pool and runtime that this thread asked for last, and what the answer was. Most threads
    /// have one of each.
    static LAST: Cell<Option<(u64, Id, Home)>> = const { Cell::new(None) };
}

/// The reapers of one pool.
#[derive(Debug)]
pub(super) struct Reapers {
    /// Number of the pool, never used again.
    pool: u64,
    known: Mutex<Vec<Arc<Reaper>>>,
}

impl Default for Reapers {
    fn default() -> Self {
        Self {
            pool: NEXT.fetch_add(1, Ordering::Relaxed),
            known: Mutex::default(),
        }
    }
}

impl Reapers {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Reaper>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reaper of the runtime that this is called in; made if there is none.
    pub(super) fn here<K, C>(&self, pool: &Arc<Shared<K, C>>) -> Arc<Reaper>
    where
        K: Eq + Hash + Clone + Send + 'static,
        C: Connection,
    {
        let handle = Handle::current();
        let mut reapers = self.lock();
        let of_here = |known: &&Arc<Reaper>| known.runtime().id() == handle.id();
        if let Some(known) = reapers.iter().find(of_here) {
            return Arc::clone(known);
        }
        let is_taken = |home| reapers.iter().any(|known| known.home() == Home(home));
        // Among one more numbers than there are reapers, one is free.
        let home = (0..).find(|home| !is_taken(*home)).unwrap_or_default();
        let reaper = Reaper::new(handle.clone(), Home(home));
        reapers.push(Arc::clone(&reaper));
        // A runtime that is shutting down drops the task here and now, which takes the same lock.
        drop(reapers);
        handle.spawn(reaper::run(Arc::downgrade(pool), Arc::clone(&reaper)));
        reaper
    }

    /// The number of the runtime that this is called in, if it has connections.
    pub(super) fn home_here(&self) -> Option<Home> {
        let runtime = Handle::try_current().ok()?.id();
        let last = LAST.try_with(Cell::get).ok().flatten();
        if let Some((pool, of, home)) = last
            && (pool, of) == (self.pool, runtime)
        {
            return Some(home);
        }
        let reapers = self.lock();
        let own = reapers.iter().find(|x| x.runtime().id() == runtime)?;
        let _ = LAST.try_with(|last| last.set(Some((self.pool, runtime, own.home()))));
        Some(own.home())
    }

    /// A runtime that connections of this pool live in.
    pub(super) fn any_runtime(&self) -> Option<Handle> {
        let reapers = self.lock();
        let living = reapers.iter().find(|reaper| !reaper.is_gone())?;
        Some(living.runtime().clone())
    }

    pub(super) fn forget(&self, gone: &Arc<Reaper>) {
        self.lock().retain(|reaper| !Arc::ptr_eq(reaper, gone));
    }

    /// Wakes all of them: the pool is gone.
    pub(super) fn look(&self) {
        for reaper in self.lock().iter() {
            reaper.look();
        }
    }
}
