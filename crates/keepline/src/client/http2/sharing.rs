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
use super::table::{Checkout, Effects, Rest, Table, Told};
use crate::CloseReason;
use crate::client::Shared;
use crate::client::acquire::{NoLease, acquire_either};
use crate::client::event::Event;
use crate::client::key::Key;
use crate::client::lease::{Lease, Pooled};
use crate::client::names::Residence;
use crate::error::{Error, ErrorKind};
use crate::pool::KeySlot;

/// What a waiter gets.
type Answer = Result<Given, Error>;

#[derive(Debug)]
enum Given {
    Told(Told<Arc<Session>>),
    /// The server speaks HTTP/1.1, on this connection. Not told yet.
    Http1(Box<Lease>),
}

type Sharing = Table<Key, Arc<Session>, oneshot::Sender<Answer>>;

/// The sessions of a Transport.
#[derive(Debug)]
pub(crate) struct Sessions {
    table: Mutex<Sharing>,
    /// Told when nobody waits any more for what is being supplied.
    unwanted: Notify,
}

impl Sessions {
    pub(crate) fn new(settings: &Http2) -> Self {
        Self {
            table: Mutex::new(Table::new(settings.strict_streams)),
            unwanted: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sharing> {
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
        let all = self.lock().retire_all(reason);
        for session in all {
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
fn carry_out(
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

/// Gets a connection for a key, in a task of its own: whoever waits may go away, and others come.
fn start_supply(shared: &Arc<Shared>, key: &Key) {
    let supply = Supply {
        shared: Arc::clone(shared),
        key: key.clone(),
        is_over: false,
    };
    // Without a runtime, dropping it says that nothing comes.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(supply.run());
    }
}

struct Supply {
    shared: Arc<Shared>,
    key: Key,
    is_over: bool,
}

impl Supply {
    async fn run(mut self) {
        let outcome = tokio::select! {
            // First of all it starts to dial, and a dial outlives those who asked for it.
            biased;
            outcome = acquire_either(&self.shared, &self.key, true) => outcome,
            // Dropped, it tells whoever has come meanwhile to ask again.
            () = self.unwanted() => return,
        };
        self.is_over = true;
        let (shared, key) = (&self.shared, &self.key);
        match outcome {
            Err(NoLease::Session) => {
                let effects = shared.sessions.lock().supply_ended(key, Instant::now());
                carry_out(shared, key, effects);
            }
            Ok((lease, _)) => {
                let mut effects = shared.sessions.lock().spoke_http1(key);
                // To the first who still waits, as any that is dialled for him; else into the pool,
                // before anybody is sent there.
                let mut lease = Some(Box::new(lease));
                let mut others = Vec::new();
                for (waiter, told) in effects.told.drain(..) {
                    match lease.take() {
                        None => others.push((waiter, told)),
                        Some(free) => {
                            if let Err(Ok(Given::Http1(free))) = waiter.send(Ok(Given::Http1(free)))
                            {
                                lease = Some(free);
                            }
                        }
                    }
                }
                if let Some(free) = lease {
                    free.give_back();
                }
                effects.told = others;
                carry_out(shared, key, effects);
            }
            Err(NoLease::Failed(error)) => {
                let waiters = shared.sessions.lock().supply_failed(key);
                for waiter in waiters {
                    let _ = waiter.send(Err(error.repeated()));
                }
            }
        }
    }
}

impl Supply {
    /// Ready when nobody waits for it any more, and it waits itself: a dial goes on.
    async fn unwanted(&self) {
        loop {
            let mut told = std::pin::pin!(self.shared.sessions.unwanted.notified());
            told.as_mut().enable();
            let is_unwanted = self.shared.sessions.lock().is_unwanted(&self.key);
            if is_unwanted && !self.shared.pool.is_dialling(&self.key) {
                return;
            }
            told.await;
        }
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        if !self.is_over {
            let effects = self.shared.sessions.lock().supply_lost(&self.key);
            carry_out(&self.shared, &self.key, effects);
        }
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
    let mut retire_at = None;
    session.with_pooled(|pooled| {
        retire_at = pooled.lifespan.retire_at();
        if pooled.residence.as_ref().is_some_and(Residence::is_gone) {
            retire_at = Some(now);
        }
    });
    let span = Span {
        idle_timeout: limits.idle_timeout,
        retire_at,
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
