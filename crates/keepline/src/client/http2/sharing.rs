//! The sessions of a Transport: the lock around their table, and what follows from its decisions.
//!
//! Invariant: nobody is told anything while the lock is held.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::session::{Handshaken, Session, Task};
use super::settings::Http2;
use super::streams::{Due, Reserved, Span};
use super::supply::start_supply;
use super::table::{Checkout, Effects, Rest, Table, Told};
use crate::CloseReason;
use crate::client::Shared;
use crate::client::event::Event;
use crate::client::key::Key;
use crate::client::lease::Lease;
use crate::client::pooled::Pooled;
use crate::error::{Error, ErrorKind};
use crate::pool::KeySlot;

/// What a waiter gets.
pub(super) type Answer = Result<Given, Error>;

/// What a request gets that waited.
#[derive(Debug)]
pub(super) enum Given {
    Told(Told<Arc<Session>>),
    /// The server speaks HTTP/1.1, on this connection. Not told yet.
    Http1(Box<Lease>),
}

pub(super) type Sharing = Table<Key, Arc<Session>, oneshot::Sender<Answer>>;

/// The sessions of a Transport.
#[derive(Debug)]
pub(crate) struct Sessions {
    table: Mutex<Sharing>,
    /// Told when nobody waits any more for what is being supplied.
    pub(super) unwanted: Notify,
}

impl Sessions {
    pub(crate) fn new(settings: &Http2) -> Self {
        Self {
            table: Mutex::new(Table::new(settings.strict_streams)),
            unwanted: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Sharing> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a server has been found to speak HTTP/2, and there is a session with it.
    pub(crate) fn has_session(&self, key: &Key) -> bool {
        self.lock().has_session(key)
    }

    /// Closes those that have no stream.
    pub(crate) fn close_resting(&self, reason: CloseReason) {
        let resting: Vec<_> = self.lock().resting().cloned().collect();
        for session in resting {
            session.stop(reason);
        }
    }

    /// Closes the one that has had no stream for longest, if any has none.
    pub(crate) fn evict(&self) {
        let evicted = self.lock().evict();
        if let Some(session) = evicted {
            session.stop(CloseReason::IdleLimit);
        }
    }

    /// Starts no further stream anywhere, and closes each session when it has none.
    pub(crate) fn stop(&self, reason: CloseReason) {
        self.stop_where(reason, |_| true);
    }

    /// The same, for those at addresses that their names have left.
    pub(crate) fn stop_displaced(&self) {
        self.stop_where(CloseReason::DnsChanged, Session::is_displaced);
    }

    fn stop_where(&self, reason: CloseReason, which: impl Fn(&Session) -> bool) {
        let stopped = self.lock().retire_where(reason, |session| which(session));
        for session in stopped {
            session.stop(reason);
        }
    }

    /// Requests that wait for a stream.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting()
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.stop(CloseReason::Shutdown);
    }
}

/// The right to one stream of a session.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Arc<Session>,
    pub(super) reserved: Reserved,
    key: Key,
}

impl Permit {
    /// No further stream is started on the session.
    pub(super) fn retire(&self, reason: CloseReason) {
        retire(&self.shared, &self.key, self.session.id, reason);
    }

    fn new(shared: &Arc<Shared>, key: &Key, session: Arc<Session>, reserved: Reserved) -> Self {
        if reserved.number == 1 || reserved.idle_for.is_some() {
            shared.pool.rests(false);
            session.with_pooled(|pooled| pooled.meter.active());
        }
        Self {
            shared: Arc::clone(shared),
            session,
            reserved,
            key: key.clone(),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (shared, session) = (&self.shared, &self.session);
        let (rests, effects) =
            shared
                .sessions
                .lock()
                .released(&self.key, session.id, Instant::now());
        if let Some(rest) = rests {
            shared.pool.rests(true);
            session.with_pooled(|pooled| pooled.meter.idle());
            // Else the task looks by itself before it has rested for too long.
            if rest == Rest::Last || !session.keeps_idle {
                session.poke();
            }
        }
        carry_out(shared, &self.key, effects);
    }
}

/// What [`stream`] comes to.
pub(super) enum Found {
    Stream(Permit),
    /// The server speaks HTTP/1.1; perhaps on a connection that has just been dialled.
    Http1(Option<Box<Lease>>),
}

/// A stream to the server of `key`: of a session that there is, or of one that is opened.
pub(super) async fn stream(shared: &Arc<Shared>, key: &Key, prior: bool) -> Result<Found, Error> {
    let mut is_told = false;
    loop {
        if let Some(found) = wait(shared, key, prior, &mut is_told).await? {
            return Ok(found);
        }
    }
}

/// `None`: what was waited for will not come; ask again.
async fn wait(
    shared: &Arc<Shared>,
    key: &Key,
    prior: bool,
    is_told: &mut bool,
) -> Result<Option<Found>, Error> {
    // Who is sent to the pool is told of there.
    let mut tell_wanted = || {
        if !std::mem::replace(is_told, true) {
            shared.events.tell(|| Event::Wanted {
                origin: key.to_string().into(),
            });
        }
    };
    if shared.pool.is_shut_down() {
        return Err(Error::new(ErrorKind::Shutdown));
    }
    let waiting = {
        let now = Instant::now();
        let mut table = shared.sessions.lock();
        match table.checkout(key, prior, now) {
            Checkout::Http1 => return Ok(Some(Found::Http1(None))),
            Checkout::Stream(session, reserved) => {
                drop(table);
                tell_wanted();
                let permit = Permit::new(shared, key, session, reserved);
                return Ok(Some(Found::Stream(permit)));
            }
            Checkout::Wait { supply } => {
                let (sender, answer) = oneshot::channel();
                let serial = table.enqueue(key, sender);
                drop(table);
                tell_wanted();
                let waiting = Waiting {
                    shared,
                    key,
                    serial,
                    answer,
                };
                if supply {
                    start_supply(shared, key);
                }
                waiting
            }
        }
    };
    waiting.await
}

/// A place in the queue for a stream. Dropped, it gives up the place, and passes a stream on that
/// was given meanwhile.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    key: &'a Key,
    serial: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Future for Waiting<'_> {
    type Output = Result<Option<Found>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(cx)
            .map(|answer| match answer {
                Ok(Ok(Given::Told(Told::Stream(session, reserved)))) => {
                    let permit = Permit::new(self.shared, self.key, session, reserved);
                    Ok(Some(Found::Stream(permit)))
                }
                Ok(Ok(Given::Http1(lease))) => Ok(Some(Found::Http1(Some(lease)))),
                Ok(Ok(Given::Told(Told::AskAgain))) => Ok(None),
                Ok(Err(error)) => Err(error),
                // Only the table holds the other end.
                Err(_) => Err(Error::new(ErrorKind::Shutdown)),
            })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let (cancelled, is_unwanted) = {
            let mut table = self.shared.sessions.lock();
            (
                table.cancel(self.key, self.serial),
                table.is_unwanted(self.key),
            )
        };
        if is_unwanted {
            self.shared.sessions.unwanted.notify_waiters();
        }
        if cancelled.is_some() {
            return;
        }
        // Told: it has been taken, or is in the channel, or whoever sends it finds this closed.
        self.answer.close();
        match self.answer.try_recv() {
            Ok(Ok(Given::Told(Told::Stream(session, reserved)))) => {
                drop(Permit::new(self.shared, self.key, session, reserved));
            }
            Ok(Ok(Given::Http1(lease))) => lease.give_back(),
            Ok(Ok(Given::Told(Told::AskAgain)) | Err(_)) | Err(_) => {}
        }
    }
}

/// Tells waiters, and starts a supply if one is wanted.
pub(super) fn carry_out(
    shared: &Arc<Shared>,
    key: &Key,
    effects: Effects<Arc<Session>, oneshot::Sender<Answer>>,
) {
    for (waiter, told) in effects.told {
        let undelivered = waiter.send(Ok(Given::Told(told))).err();
        if let Some(Ok(Given::Told(Told::Stream(session, reserved)))) = undelivered {
            // It went away between the lock and here: the stream goes to the next.
            drop(Permit::new(shared, key, session, reserved));
        }
    }
    if effects.supply {
        start_supply(shared, key);
    }
    if effects.unwanted {
        shared.sessions.unwanted.notify_waiters();
    }
}

/// A dial has given a connection on which HTTP/2 is spoken: it is driven from here on, and shared.
/// The pool counts it as busy.
pub(crate) fn adopt(
    shared: &Arc<Shared>,
    key: &Key,
    slot: KeySlot,
    pooled: Box<Pooled>,
    handshaken: Handshaken,
) {
    let Handshaken { send, connection } = handshaken;
    let (id, allowed) = (pooled.id, pooled.lifespan.allowed());
    let keeps_idle = shared.pool.key_limits(key).idle > 0;
    let session = Arc::new(Session::new(pooled, slot, send, keeps_idle));
    shared.pool.rests(true);
    session.with_pooled(|pooled| pooled.meter.idle());
    let task = Task::new(shared, key.clone(), Arc::clone(&session), connection);
    let effects = shared
        .sessions
        .lock()
        .opened(key, (id, session), allowed, Instant::now());
    carry_out(shared, key, effects);
    // A dial runs in a runtime; were there none, the task would close the session as it is dropped.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(task.run());
    }
}

/// The peer allows so many streams.
pub(super) fn settled(shared: &Arc<Shared>, key: &Key, id: u64, limit: usize) {
    let effects = shared
        .sessions
        .lock()
        .settled(key, id, limit, Instant::now());
    carry_out(shared, key, effects);
}

/// No further stream is started on a session.
pub(super) fn retire(shared: &Arc<Shared>, key: &Key, id: u64, reason: CloseReason) {
    let effects = shared
        .sessions
        .lock()
        .retire(key, id, reason, Instant::now());
    carry_out(shared, key, effects);
}

/// A session is gone.
pub(super) fn gone(shared: &Arc<Shared>, key: &Key, id: u64) {
    let (rested, effects) = shared.sessions.lock().gone(key, id, Instant::now());
    if rested.is_some() {
        shared.pool.rests(false);
    }
    carry_out(shared, key, effects);
}

/// What is to be done about a session, now or later; whether it has no stream; and how long it may
/// have none.
pub(super) fn due(
    shared: &Arc<Shared>,
    key: &Key,
    session: &Session,
    now: Instant,
) -> (Result<Option<Due>, CloseReason>, bool, Option<Duration>) {
    let limits = shared.pool.key_limits(key);
    let mut retires = None;
    session.with_pooled(|pooled| {
        let of_age = pooled.lifespan.retire_at().map(|at| Due {
            at,
            reason: CloseReason::Lifetime,
        });
        // Its name may have moved while it was dialled.
        let displaced = pooled.is_displaced().then_some(Due {
            at: now,
            reason: CloseReason::DnsChanged,
        });
        retires = displaced.or(of_age);
    });
    let span = Span {
        idle_timeout: limits.idle_timeout,
        retires,
        keeps_idle: session.keeps_idle,
    };
    let mut table = shared.sessions.lock();
    match table.streams(key, session.id) {
        Some(streams) => {
            let due = streams.due(&span, now);
            (due, streams.is_resting(), limits.idle_timeout)
        }
        None => (Ok(None), false, None),
    }
}

/// How long after which a session is asked before it is used.
pub(super) fn wants_ping(settings: &Http2, idle_for: Option<Duration>) -> bool {
    idle_for
        .zip(settings.ping_after)
        .is_some_and(|(idle, after)| idle >= after)
}
