//! The lease that one exchange has on a connection of the pool.
//!
//! Invariant: a lease ends in exactly one way: the connection is given back, or closed with a
//! reason. Dropping a lease closes the connection; what was on its way is not known any more.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use keepline_proto::RemoteError;
use keepline_proto::keep_alive::KeepAlive;
use tokio::time::Instant;

use super::Shared;
use super::event::Event;
use super::pooled::Pooled;
use super::reuse::{Ending, ending};
use crate::CloseReason;
use crate::driver::Driver;
use crate::error::{Error, ErrorKind};
use crate::info::{ConnectionInfo, Timings};
use crate::pool::{KeySlot, Now, Pressure};
use crate::upgrade::Upgraded;

/// The right to use one connection for one exchange.
#[derive(Debug)]
pub(crate) struct Lease {
    /// `None` once the lease has ended.
    connection: Option<Box<Pooled>>,
    slot: KeySlot,
    shared: Arc<Shared>,
    /// The connection was idle in the pool: the peer may have closed it meanwhile.
    pub(crate) was_pooled: bool,
    pub(crate) idle_for: Option<Duration>,
    pub(crate) acquired: Now,
    pub(crate) waited: Duration,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) retries: u32,
}

impl Lease {
    /// A lease on a connection that the pool has handed out, asked at a time and given at another.
    pub(crate) fn new(
        connection: Box<Pooled>,
        slot: KeySlot,
        shared: Arc<Shared>,
        asked_at: Instant,
        now: Now,
    ) -> Self {
        let mut lease = Self {
            connection: Some(connection),
            slot,
            shared,
            was_pooled: false,
            idle_for: None,
            acquired: now,
            waited: now.instant.saturating_duration_since(asked_at),
            first_byte: None,
            retries: 0,
        };
        let connection = lease.connection_mut();
        connection.driver.reset_counters();
        connection.meter.active();
        lease
    }

    /// The connection.
    pub(crate) fn connection(&self) -> &Pooled {
        self.connection
            .as_ref()
            .expect("a lease holds its connection until it ends")
    }

    fn connection_mut(&mut self) -> &mut Pooled {
        self.connection
            .as_mut()
            .expect("a lease holds its connection until it ends")
    }

    /// Tells that the lease is used, on a connection that had been idle for so long.
    #[must_use]
    pub(crate) fn told(mut self, idle_for: Option<Duration>) -> Self {
        self.idle_for = idle_for;
        let (connection, reused) = (self.connection().id, self.is_reused());
        self.connection().meter.acquired(reused, self.waited);
        self.shared.events.tell(|| Event::Acquired {
            connection,
            reused,
            idle_for,
        });
        self
    }

    /// Takes note of what the server says about the connection's future.
    pub(crate) fn note_hint(&mut self, hint: KeepAlive) {
        let connection = self.connection_mut();
        let exchange = connection.exchanges + 1;
        connection.lifespan.note_hint(hint, exchange);
    }

    /// Why the connection is not used for a further request, after `unanswered` ones that are on
    /// their way.
    pub(crate) fn over(&self, unanswered: u64, now: Instant) -> Option<CloseReason> {
        let connection = self.connection();
        let over = connection
            .lifespan
            .over(connection.exchanges + unanswered, now);
        let displaced = || connection.is_displaced().then_some(CloseReason::DnsChanged);
        over.or_else(displaced)
    }

    /// How many further requests the connection may be used for, after `unanswered` ones that are
    /// on their way.
    pub(crate) fn left(&self, unanswered: u64, now: Instant) -> u64 {
        if self.over(unanswered, now).is_some() {
            return 0;
        }
        let connection = self.connection();
        let used = connection.exchanges + unanswered;
        connection.lifespan.allowed().saturating_sub(used)
    }

    /// Who would be glad of the connection.
    pub(crate) fn pressure(&self) -> Pressure {
        self.shared.pool.pressure(self.slot)
    }

    /// Whether anything has arrived though nothing was asked; without a hint from the runtime this
    /// makes no system call.
    pub(crate) fn arrived_unasked(&mut self) -> Option<CloseReason> {
        let connection = self.connection_mut();
        if connection.driver.buffered() > 0 {
            return Some(CloseReason::UnsolicitedBytes);
        }
        if connection.driver.is_eof() {
            return Some(CloseReason::PeerClosed);
        }
        let mut nobody = Context::from_waker(Waker::noop());
        match connection.poll_idle(&mut nobody) {
            Poll::Ready(reason) => Some(reason),
            Poll::Pending => None,
        }
    }

    /// Makes sure that the connection can be used here and now; otherwise why not.
    pub(crate) fn revive(
        &mut self,
        idle_for: Duration,
        is_replayable: bool,
    ) -> Result<(), CloseReason> {
        let shared = Arc::clone(&self.shared);
        self.connection_mut()
            .revive(&shared, idle_for, is_replayable)
    }

    /// The driver of the connection.
    pub(crate) fn driver(&mut self) -> &mut Driver {
        &mut self.connection_mut().driver
    }

    /// What belongs to the Transport.
    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// It has carried an exchange before this one.
    pub(crate) fn is_reused(&self) -> bool {
        self.connection().exchanges > 0
    }

    /// Its address is no longer one of its name.
    pub(crate) fn is_displaced(&self) -> bool {
        self.connection().is_displaced()
    }

    /// It comes straight from its dial. A failure of any other one may be a race that it lost: the
    /// peer may close an idle connection at any time (RFC 9112 §9.3.1).
    pub(crate) fn is_fresh(&self) -> bool {
        !self.was_pooled && !self.is_reused()
    }

    /// What there is to tell about the connection and this exchange, now.
    pub(crate) fn info(&self) -> ConnectionInfo {
        let connection = self.connection();
        let dial = if connection.exchanges == 0 {
            connection.dial
        } else {
            Timings::default()
        };
        ConnectionInfo {
            id: connection.id,
            reused: connection.exchanges > 0,
            idle_for: self.idle_for,
            age: self
                .acquired
                .instant
                .saturating_duration_since(connection.opened_at),
            exchange_number: connection.exchanges + 1,
            open_reason: connection.open_reason,
            peer: connection.peer,
            retries: self.retries,
            bytes_written: connection.driver.bytes_written(),
            bytes_read: connection.driver.bytes_read(),
            timings: Timings {
                wait: self.waited,
                first_byte: self.first_byte,
                ..dial
            },
        }
    }

    /// Ends the lease after an exchange: the connection is given back if it can carry another
    /// one, else closed for the reason why it cannot.
    pub(crate) fn end(self) {
        self.end_after(1);
    }

    /// Ends the lease after exchanges that have been [counted](Self::count_exchange), as
    /// [`end`](Self::end) does.
    pub(crate) fn rest(self) {
        self.end_after(0);
    }

    /// One of several exchanges of this lease has ended.
    pub(crate) fn count_exchange(&mut self) {
        self.connection_mut().exchanges += 1;
    }

    fn end_after(mut self, uncounted: u64) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let driver = &connection.driver;
        let decision = ending(&Ending {
            is_over: driver.proto.is_exchange_over(),
            persistence: driver.proto.persistence(),
            buffered: driver.buffered(),
            has_unsent: driver.has_output(),
            is_eof: driver.is_eof(),
            is_runtime_gone: connection.watch.reaper().is_gone(),
        });
        let now = self.acquired.later(Instant::now());
        let reason = match decision {
            Ok(()) => {
                connection.exchanges += uncounted;
                let over = connection.lifespan.over(connection.exchanges, now.instant);
                let displaced = connection.is_displaced().then_some(CloseReason::DnsChanged);
                over.or(displaced)
                    .or_else(|| match connection.driver.proto.next_exchange() {
                        Ok(()) => connection.settle_down(),
                        Err(_) => Some(CloseReason::ProtocolError),
                    })
            }
            Err(reason) => Some(reason),
        };
        match reason {
            None => self.shared.pool.give_at(self.slot, connection, now),
            Some(reason) => self.shared.pool.close(self.slot, connection, reason),
        }
    }

    /// Ends the lease by taking the stream out of it, with what has been read of it: it speaks
    /// another protocol now.
    pub(crate) fn upgrade(mut self) -> Upgraded {
        let driver = self.driver();
        let early = driver.take_input();
        let upgraded = Upgraded::new(driver.take_stream(), early);
        self.close(CloseReason::Upgraded);
        upgraded
    }

    /// Ends the lease by closing the connection.
    pub(crate) fn close(mut self, reason: CloseReason) {
        if let Some(connection) = self.connection.take() {
            self.shared.pool.close(self.slot, connection, reason);
        }
    }

    /// Ends the lease on a fresh connection that the peer has closed, or spoken on, before anything
    /// was asked; what is wrong with it.
    pub(crate) fn dead_on_arrival(mut self, reason: CloseReason) -> Error {
        let error = match reason {
            CloseReason::PeerClosed => self.last_words(),
            CloseReason::Shutdown => Error::caused(
                ErrorKind::Connect,
                "the runtime of the connection was shut down",
            ),
            CloseReason::IoError => Error::new(ErrorKind::Io),
            _ => RemoteError::UnsolicitedBytes.into(),
        };
        let error = error.on(self.info());
        self.close(reason);
        error
    }

    /// With what the peer has closed the connection: TLS tells its alert again.
    fn last_words(&mut self) -> Error {
        let mut nobody = Context::from_waker(Waker::noop());
        match self.driver().poll_event(&mut nobody) {
            #[cfg(feature = "tls")]
            Poll::Ready(Err(error)) => error.told_by_tls(),
            #[cfg(not(feature = "tls"))]
            Poll::Ready(Err(error)) => error,
            _ => RemoteError::IncompleteHead { received: 0 }.into(),
        }
    }

    /// Ends the lease before anything was sent: the connection is as good as before.
    pub(crate) fn give_back(mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        self.shared.pool.not_acquired(&connection);
        match connection.settle_down() {
            None => self.shared.pool.give(self.slot, connection),
            Some(reason) => self.shared.pool.close(self.slot, connection, reason),
        }
    }

    /// Ends the lease before anything was sent: it counts as never acquired.
    pub(crate) fn close_unused(mut self, reason: CloseReason) {
        if let Some(connection) = self.connection.take() {
            self.shared.pool.close_unused(self.slot, connection, reason);
        }
    }

    /// Tells the pool that the rest of a body is being read, so that the next request of this key
    /// may wait for it instead of dialling.
    pub(crate) fn drain_started(&self) {
        self.shared.pool.drain_started(self.slot);
    }

    /// Tells the pool that this has ended.
    pub(crate) fn drain_ended(&self) {
        self.shared.pool.drain_ended(self.slot);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.shared
                .pool
                .close(self.slot, connection, CloseReason::Cancelled);
        }
    }
}
