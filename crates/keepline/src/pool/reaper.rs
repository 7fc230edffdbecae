//! Watches idle connections: one task for each pool and runtime, a waker for each connection.
//!
//! An idle connection has no task and no buffer. Its stream is polled once with the waker of its
//! [`Watch`]; when the peer closes, or sends what nobody asked for, the waker tells the reaper,
//! which takes the connection out of the pool. The reaper also closes what has been idle for too
//! long. Both are tested again at checkout, so a reaper that is late or gone costs sockets, never
//! correctness.
//!
//! When its runtime is shut down the reaper is dropped, and takes with it the idle connections
//! whose sockets are registered there: nothing would ever wake them again.

use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Wake, Waker};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::shared::Shared;
use super::state::Given;
use super::{Connection, Home};
use crate::CloseReason;

/// The place of a connection that has never been idle.
const NOWHERE: usize = usize::MAX;

/// What the reaper of one runtime and the connections there share.
#[derive(Debug)]
pub(crate) struct Reaper {
    handle: Handle,
    home: Home,
    woken: Mutex<Vec<Arc<Watch>>>,
    notify: Notify,
    /// It sleeps until the next connection expires, or is about to. Otherwise it has to be told of
    /// the next one that becomes idle: another reaper may know of it, but may never run again.
    is_caring: AtomicBool,
    is_gone: AtomicBool,
}

/// The watch over one connection, for its whole life.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Number of the connection.
    id: u64,
    /// Where it lies in the pool's state while it is idle.
    place: AtomicUsize,
    /// It has been woken, and nobody has looked yet.
    is_woken: AtomicBool,
    reaper: Arc<Reaper>,
}

impl Reaper {
    pub(super) fn new(handle: Handle, home: Home) -> Arc<Self> {
        Arc::new(Self {
            handle,
            home,
            woken: Mutex::default(),
            notify: Notify::new(),
            is_caring: AtomicBool::new(true),
            is_gone: AtomicBool::new(false),
        })
    }

    /// Its runtime has been shut down.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// The runtime in which its connections are registered.
    pub(crate) const fn runtime(&self) -> &Handle {
        &self.handle
    }

    /// The number of its runtime.
    pub(crate) const fn home(&self) -> Home {
        self.home
    }

    /// Looks at the state again: something expires earlier than it thinks, or the pool is gone.
    pub(super) fn look(&self) {
        self.notify.notify_one();
    }

    /// A connection of this reaper has become idle: sees to it that it expires.
    pub(super) fn care(&self) {
        if !self.is_caring.load(Ordering::Acquire) && !self.is_caring.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    fn wake(&self, watch: Arc<Watch>) {
        self.woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(watch);
        self.notify.notify_one();
    }

    pub(super) fn take_woken(&self) -> Vec<Arc<Watch>> {
        std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watch {
    pub(crate) fn new(id: u64, reaper: Arc<Reaper>) -> Arc<Self> {
        Arc::new(Self {
            id,
            place: AtomicUsize::new(NOWHERE),
            is_woken: AtomicBool::new(false),
            reaper,
        })
    }

    pub(crate) const fn reaper(&self) -> &Arc<Reaper> {
        &self.reaper
    }

    /// The connection has just been opened, and nobody has polled it: if it has become idle, its
    /// reaper looks at it, which is told from then on what happens to it.
    pub(super) fn begin(self: &Arc<Self>) {
        if self.place.load(Ordering::Relaxed) != NOWHERE {
            self.reaper.wake(Arc::clone(self));
        }
    }

    /// Notes where the connection has gone. Called under the pool's lock, as is
    /// [`missed`](Self::missed): whoever comes second sees what the first has done.
    pub(super) fn follow<C, W>(self: &Arc<Self>, given: &Given<C, W>) {
        let Given::Idle { place, .. } = given else {
            return;
        };
        self.place.store(*place, Ordering::Relaxed);
        if self.is_woken.swap(false, Ordering::AcqRel) {
            self.reaper.wake(Arc::clone(self));
        }
    }

    /// The reaper looked and did not find the connection idle.
    fn missed(&self) {
        self.is_woken.store(true, Ordering::Release);
    }
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        let reaper = Arc::clone(&self.reaper);
        reaper.wake(self);
    }
}

/// The reaper's task. Ends with the pool, or with the runtime.
pub(super) fn run<K, C>(
    pool: Weak<Shared<K, C>>,
    reaper: Arc<Reaper>,
) -> impl Future<Output = ()> + Send + 'static
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    // Made here and not in the task, which may be dropped before it is polled.
    let last_words = LastWords { pool, reaper };
    async move { watch_over(&last_words.pool, &last_words.reaper).await }
}

async fn watch_over<K, C>(pool: &Weak<Shared<K, C>>, reaper: &Reaper)
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    loop {
        let next = {
            let Some(pool) = pool.upgrade() else { return };
            for watch in reaper.take_woken() {
                look_at(&pool, &watch);
            }
            // Before it looks: what becomes idle from now on is either seen or announced.
            reaper.is_caring.store(false, Ordering::Release);
            let next = pool.expire();
            if next.is_some() {
                reaper.is_caring.store(true, Ordering::Release);
            }
            next
        };
        let sleep = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = reaper.notify.notified() => {}
        }
    }
}

/// A watch has been woken: whatever arrived, an idle connection with it is not reused. Only a
/// wake for nothing (TLS took a session ticket) leaves it idle.
pub(super) fn look_at<K, C>(pool: &Arc<Shared<K, C>>, watch: &Arc<Watch>)
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    let mut parked = {
        let mut state = pool.lock();
        watch.is_woken.store(false, Ordering::Release);
        match state.take_idle(watch.place.load(Ordering::Relaxed), watch.id) {
            Some(parked) => parked,
            None => {
                watch.missed();
                return;
            }
        }
    };
    // Not `watch` itself: a connection that has moved to another runtime has another one.
    let waker = Waker::from(Arc::clone(parked.connection.watch()));
    match parked
        .connection
        .poll_idle(&mut Context::from_waker(&waker))
    {
        std::task::Poll::Pending => pool.put_back(parked),
        std::task::Poll::Ready(reason) => {
            pool.lock().found_dead(&parked, reason, Instant::now());
            pool.close(parked.slot, parked.connection, reason);
        }
    }
}

/// Runs when the task is dropped, in particular with its runtime.
struct LastWords<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    pool: Weak<Shared<K, C>>,
    reaper: Arc<Reaper>,
}

impl<K, C> Drop for LastWords<K, C>
where
    K: Eq + Hash + Clone + Send + 'static,
    C: Connection,
{
    fn drop(&mut self) {
        self.reaper.is_gone.store(true, Ordering::Release);
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        pool.with(|state, effects| {
            state.purge(CloseReason::Shutdown, effects, |connection| {
                Arc::ptr_eq(connection.watch().reaper(), &self.reaper)
            });
        });
        pool.reapers.forget(&self.reaper);
    }
}
