//! What happens inside a Transport, told as it happens: Go's `httptrace`, for all of its requests.
//!
//! Invariant: without a listener an event costs one load of a number; with slow listeners nothing
//! waits for them: what they miss is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::net::PeerAddr;
use crate::{CloseReason, OpenReason};

/// Events that a listener may be behind.
const BACKLOG: usize = 1024;

/// Something that happened in a Transport.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A request asks for a connection (httptrace `GetConn`).
    Wanted {
        /// Scheme, host and port.
        origin: Arc<str>,
    },
    /// A request has a connection (`GotConn`).
    Acquired {
        /// Its number.
        connection: u64,
        /// It carried an exchange before.
        reused: bool,
        /// How long it had been idle.
        idle_for: Option<Duration>,
    },
    /// A dial begins (`DNSStart`).
    Dialling {
        /// Scheme, host and port.
        origin: Arc<str>,
        /// Why.
        reason: OpenReason,
    },
    /// The name is resolved (`DNSDone`, `ConnectStart`).
    Resolved {
        /// Scheme, host and port.
        origin: Arc<str>,
        /// How many addresses it has.
        addresses: usize,
    },
    /// The socket is connected (`ConnectDone`, and `TLSHandshakeStart` for https).
    Connected {
        /// Scheme, host and port.
        origin: Arc<str>,
        /// The other end.
        peer: PeerAddr,
    },
    /// The TLS handshake is done (`TLSHandshakeDone`).
    Secured {
        /// Scheme, host and port.
        origin: Arc<str>,
    },
    /// A dial failed.
    DialFailed {
        /// Scheme, host and port.
        origin: Arc<str>,
        /// What happened.
        error: Arc<str>,
    },
    /// A connection is open.
    Opened {
        /// Its number.
        connection: u64,
        /// Why.
        reason: OpenReason,
        /// The other end.
        peer: PeerAddr,
    },
    /// The head of a request is queued (`WroteHeaders`).
    SentHead {
        /// Number of the connection.
        connection: u64,
    },
    /// A whole request is written (`WroteRequest`).
    SentRequest {
        /// Number of the connection.
        connection: u64,
    },
    /// An interim response has come (`Got100Continue`, `Got1xxResponse`).
    Interim {
        /// Number of the connection.
        connection: u64,
        /// Its status.
        status: StatusCode,
    },
    /// The head of the final response has come (`GotFirstResponseByte`).
    Answered {
        /// Number of the connection.
        connection: u64,
        /// Its status.
        status: StatusCode,
    },
    /// It is known now whether a server bears pipelining (not in httptrace).
    Pipelining {
        /// Scheme, host and port.
        origin: Arc<str>,
        /// It has answered a request that was sent behind another; otherwise nothing is pipelined
        /// to it for some time.
        is_borne: bool,
    },
    /// A request is sent again (not in httptrace).
    Retrying {
        /// Number of the connection that was lost.
        connection: u64,
    },
    /// A connection has come back, and goes to who waits or becomes idle (`PutIdleConn`).
    Returned {
        /// Its number.
        connection: u64,
    },
    /// A connection is closed (`PutIdleConn` with an error).
    Closed {
        /// Its number.
        connection: u64,
        /// Why.
        reason: CloseReason,
    },
}

/// Sends events to those who listen.
#[derive(Debug)]
pub(crate) struct Hub {
    sender: broadcast::Sender<Event>,
    listeners: Arc<AtomicUsize>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(BACKLOG),
            listeners: Arc::default(),
        }
    }
}

impl Hub {
    /// Tells an event, which is made only if somebody listens.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.listeners.load(Ordering::Relaxed) > 0 {
            let _ = self.sender.send(event());
        }
    }

    /// Somebody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn listen(&self) -> Events {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        let listeners = Arc::clone(&self.listeners);
        Events {
            receiver: self.sender.subscribe(),
            listeners,
            missed: 0,
        }
    }
}

/// The events of a Transport, from when it was asked for.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
    listeners: Arc<AtomicUsize>,
    missed: u64,
}

impl Events {
    /// The next event; `None` when the Transport is gone. Cancel-safe. A listener that falls more
    /// than 1,024 events behind misses the oldest.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(missed)) => self.missed += missed,
            }
        }
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.try_recv() {
                Ok(event) => return Some(event),
                Err(broadcast::error::TryRecvError::Lagged(missed)) => self.missed += missed,
                Err(_) => return None,
            }
        }
    }

    /// Events that this listener was too slow for.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}
