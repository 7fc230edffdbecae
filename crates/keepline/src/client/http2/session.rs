//! One HTTP/2 connection: what requests need of it, and the task that drives it.
//!
//! The task is where one is right: frames of all streams arrive whoever reads. It also watches the
//! time: no stream for too long, too old, no SETTINGS, no answer to a PING. Invariant: however it
//! ends (closed, failed, dropped with its runtime), the session leaves the table, and its connection
//! is closed in the pool with a reason, once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::settings::UNSETTLED;
use super::sharing;
use crate::client::Shared;
use crate::client::event::Event;
use crate::client::key::Key;
use crate::client::pooled::Pooled;
use crate::error::Phase;
use crate::info::Timings;
use crate::net::{PeerAddr, Stream};
use crate::pool::KeySlot;
use crate::{CloseReason, OpenReason};

/// How many streams a peer is taken to allow that sets no limit (Go: the same).
const WITHOUT_LIMIT: usize = 1000;
/// How long the farewell of a session may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A session whose preface has been sent.
pub(crate) struct Handshaken {
    pub(super) send: SendRequest<Bytes>,
    pub(super) connection: Connection<Stream, Bytes>,
}

/// What requests need of a session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) id: u64,
    pub(super) open_reason: OpenReason,
    pub(super) peer: PeerAddr,
    pub(super) dial: Timings,
    pub(super) opened_at: Instant,
    /// Whether it is kept when it has no stream.
    pub(super) keeps_idle: bool,
    slot: KeySlot,
    inner: Mutex<Inner>,
    /// Something has happened that the task has to look at.
    changed: Notify,
}

#[derive(Debug)]
struct Inner {
    /// `None` once it starts no further stream.
    send: Option<SendRequest<Bytes>>,
    /// `None` once the connection is closed.
    pooled: Option<Box<Pooled>>,
    /// Who wants to know whether the peer is alive.
    pings: Vec<oneshot::Sender<()>>,
    /// It is to be closed, for this reason, as soon as it has no stream.
    stop: Option<CloseReason>,
    /// The deadline by which it died, which its streams fail with.
    timed_out: Option<Phase>,
}

impl Session {
    pub(super) fn new(
        pooled: Box<Pooled>,
        slot: KeySlot,
        send: SendRequest<Bytes>,
        keeps_idle: bool,
    ) -> Self {
        Self {
            id: pooled.id,
            open_reason: pooled.open_reason,
            peer: pooled.peer,
            dial: pooled.dial,
            opened_at: pooled.opened_at,
            keeps_idle,
            slot,
            inner: Mutex::new(Inner {
                send: Some(send),
                pooled: Some(pooled),
                pings: Vec::new(),
                stop: None,
                timed_out: None,
            }),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle that starts streams, unless it starts none any more.
    pub(super) fn sender(&self) -> Option<SendRequest<Bytes>> {
        self.lock().send.clone()
    }

    /// By which deadline the session died, if it did by one.
    pub(super) fn timed_out(&self) -> Option<Phase> {
        self.lock().timed_out
    }

    /// Something has changed in the table.
    pub(super) fn poke(&self) {
        self.changed.notify_one();
    }

    /// It is to be closed as soon as it has no stream.
    pub(super) fn stop(&self, reason: CloseReason) {
        self.lock().stop.get_or_insert(reason);
        self.poke();
    }

    /// Whether the peer answers. Bounded by the timeout of a PING, after which the session is closed.
    pub(super) async fn is_alive(&self) -> bool {
        let (sender, pong) = oneshot::channel();
        self.lock().pings.push(sender);
        self.poke();
        pong.await.is_ok()
    }

    /// It is at an address that its name has left.
    pub(super) fn is_displaced(&self) -> bool {
        let inner = self.lock();
        inner
            .pooled
            .as_ref()
            .is_some_and(|pooled| pooled.is_displaced())
    }

    /// The meter of its connection is told something.
    pub(super) fn with_pooled(&self, tell: impl FnOnce(&mut Pooled)) {
        if let Some(pooled) = &mut self.lock().pooled {
            tell(pooled);
        }
    }
}

/// Drives one session to its end.
pub(super) struct Task {
    shared: Weak<Shared>,
    key: Key,
    session: Arc<Session>,
    connection: Connection<Stream, Bytes>,
    /// Learns of a GOAWAY; `None` once the session is being closed.
    watch: Option<SendRequest<Bytes>>,
    ping: Option<PingPong>,
    /// A PING is to be answered until then.
    pong_until: Option<Instant>,
    /// When the next PING goes out, while streams are open.
    ping_at: Option<Instant>,
    /// The peer's limit of streams, as told to the table.
    limit: usize,
    /// SETTINGS have to come until then.
    settings_until: Option<Instant>,
    /// No further stream is started, for this reason.
    retired: Option<CloseReason>,
    /// It is being closed, for this reason; at the latest then.
    closing: Option<(CloseReason, Option<Instant>)>,
    is_over: bool,
}

/// What the task woke up for.
enum Woken {
    Ended(Result<(), h2::Error>),
    /// The peer allows so many streams.
    Limit(usize),
    GoAway,
    Pong(bool),
    Poked,
    Time,
}

impl Task {
    pub(super) fn new(
        shared: &Arc<Shared>,
        key: Key,
        session: Arc<Session>,
        mut connection: Connection<Stream, Bytes>,
    ) -> Self {
        let settle = shared.settings.dial.tls_timeout;
        Self {
            shared: Arc::downgrade(shared),
            key,
            ping: connection.ping_pong(),
            watch: session.sender(),
            session,
            connection,
            pong_until: None,
            ping_at: None,
            limit: UNSETTLED,
            settings_until: settle.and_then(|time| Instant::now().checked_add(time)),
            retired: None,
            closing: None,
            is_over: false,
        }
    }

    /// Until the connection is closed.
    pub(super) async fn run(mut self) {
        loop {
            let deadline = self.look();
            if self.is_over {
                return;
            }
            match self.sleep(deadline).await {
                Woken::Ended(outcome) => return self.end(self.reason_of(outcome.as_ref())),
                Woken::Limit(limit) => self.settle(limit),
                Woken::GoAway => {
                    self.watch = None;
                    self.retire(CloseReason::PeerAskedClose);
                }
                Woken::Pong(is_alive) => self.pong(is_alive),
                Woken::Poked | Woken::Time => {}
            }
        }
    }

    /// Looks at the clock and at what is wanted. When to look again at the latest.
    fn look(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let Some(shared) = self.shared.upgrade() else {
            // Nobody can ask any more, nor wait.
            self.close(CloseReason::Shutdown, now);
            return self.give_up(now);
        };
        let settings = &shared.settings.http2;
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.settings_until) {
            self.fail(Phase::Handshake);
            return None;
        }
        if passed(self.pong_until) {
            self.fail(Phase::Ping);
            return None;
        }
        let (stop, wants_ping) = {
            let inner = self.session.lock();
            (inner.stop, !inner.pings.is_empty())
        };
        let is_shut_down = shared.pool.is_shut_down().then_some(CloseReason::Shutdown);
        if let Some(reason) = stop.or(is_shut_down) {
            self.retire(reason);
        }
        let (due, is_resting, idle_timeout) = sharing::due(&shared, &self.key, &self.session, now);
        match due {
            Err(reason) => self.close(reason, now),
            Ok(Some(due)) if due.at <= now => self.retire(due.reason),
            Ok(_) => {}
        }
        let keeps_asking = settings.ping_interval.filter(|_| !is_resting);
        self.ping_at = keeps_asking.map(|time| self.ping_at.unwrap_or(now + time));
        if (wants_ping || passed(self.ping_at)) && self.pong_until.is_none() {
            self.send_ping(settings.ping_timeout, now);
            self.ping_at = keeps_asking.map(|time| now + time);
        }
        let due = due.ok().flatten().map(|due| due.at).filter(|at| *at > now);
        // It will not rest for too long before that, so nobody has to say when it comes to rest.
        let rested = idle_timeout.filter(|_| !is_resting);
        let rested = rested.and_then(|time| now.checked_add(time));
        [
            due,
            rested,
            self.pong_until,
            self.ping_at,
            self.settings_until,
            self.give_up(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// While it is being closed: ends it if that takes too long; else until when.
    fn give_up(&mut self, now: Instant) -> Option<Instant> {
        let (reason, at) = self.closing?;
        let at = at?;
        if at <= now {
            self.end(reason);
        }
        Some(at)
    }

    async fn sleep(&mut self, deadline: Option<Instant>) -> Woken {
        let Self {
            connection,
            watch,
            ping,
            pong_until,
            limit,
            session,
            ..
        } = self;
        let asked = ping.as_mut().filter(|_| pong_until.is_some());
        tokio::select! {
            woken = std::future::poll_fn(|cx| poll_connection(connection, watch, *limit, cx)) => woken,
            () = session.changed.notified() => Woken::Poked,
            pong = poll_pong(asked) => Woken::Pong(pong),
            () = until(deadline) => Woken::Time,
        }
    }

    fn settle(&mut self, limit: usize) {
        self.limit = limit;
        self.settings_until = None;
        if let Some(shared) = self.shared.upgrade() {
            sharing::settled(
                &shared,
                &self.key,
                self.session.id,
                limit.min(WITHOUT_LIMIT),
            );
        }
    }

    /// No further stream; those that are open go on.
    fn retire(&mut self, reason: CloseReason) {
        self.retired.get_or_insert(reason);
        if let Some(shared) = self.shared.upgrade() {
            sharing::retire(&shared, &self.key, self.session.id, reason);
        }
    }

    fn send_ping(&mut self, timeout: Duration, now: Instant) {
        if let Some(ping) = &mut self.ping
            && ping.send_ping(Ping::opaque()).is_ok()
        {
            self.pong_until = now.checked_add(timeout);
        }
    }

    fn pong(&mut self, is_alive: bool) {
        self.pong_until = None;
        // Dropped, they say that it is not.
        let asked = std::mem::take(&mut self.session.lock().pings);
        for asker in asked.into_iter().filter(|_| is_alive) {
            let _ = asker.send(());
        }
    }

    /// Says farewell, now that there is no stream.
    fn close(&mut self, reason: CloseReason, now: Instant) {
        if self.closing.is_none() {
            self.closing = Some((reason, now.checked_add(FAREWELL)));
            self.watch = None;
            self.session.lock().send = None;
            self.retire(reason);
        }
    }

    /// A deadline has passed: what is open fails with it.
    fn fail(&mut self, phase: Phase) {
        self.session.lock().timed_out = Some(phase);
        self.end(CloseReason::Timeout);
    }

    fn reason_of(&self, outcome: Result<&(), &h2::Error>) -> CloseReason {
        let wanted = self.closing.map(|closing| closing.0).or(self.retired);
        if let Some(reason) = wanted {
            return reason;
        }
        match outcome {
            Ok(()) => CloseReason::PeerClosed,
            Err(error) if error.is_io() => CloseReason::PeerClosed,
            Err(error) if error.is_remote() => CloseReason::PeerAskedClose,
            Err(_) => CloseReason::ProtocolError,
        }
    }

    /// The connection is closed; so is what is open on it, when the task is dropped.
    fn end(&mut self, reason: CloseReason) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let pooled = {
            let mut inner = self.session.lock();
            inner.send = None;
            inner.pings.clear();
            inner.pooled.take()
        };
        self.watch = None;
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        sharing::gone(&shared, &self.key, self.session.id);
        if let Some(pooled) = pooled {
            shared.pool.close(self.session.slot, pooled, reason);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // In progress, it is dropped with its runtime.
        self.end(CloseReason::Shutdown);
    }
}

fn poll_connection(
    connection: &mut Connection<Stream, Bytes>,
    watch: &mut Option<SendRequest<Bytes>>,
    known: usize,
    cx: &mut Context<'_>,
) -> Poll<Woken> {
    use std::future::Future;
    if let Poll::Ready(outcome) = std::pin::Pin::new(&mut *connection).poll(cx) {
        return Poll::Ready(Woken::Ended(outcome));
    }
    if let Some(watch) = watch
        && let Poll::Ready(Err(_)) = watch.poll_ready(cx)
    {
        return Poll::Ready(Woken::GoAway);
    }
    let limit = connection.max_concurrent_send_streams();
    if limit == known {
        Poll::Pending
    } else {
        Poll::Ready(Woken::Limit(limit))
    }
}

/// Whether the peer has answered; never ready if it was not asked.
async fn poll_pong(asked: Option<&mut PingPong>) -> bool {
    match asked {
        Some(ping) => std::future::poll_fn(|cx| ping.poll_pong(cx)).await.is_ok(),
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Tells what happens to a session.
pub(super) fn tell(shared: &Shared, session: &Session, event: impl FnOnce(u64) -> Event) {
    shared.events.tell(|| event(session.id));
}
