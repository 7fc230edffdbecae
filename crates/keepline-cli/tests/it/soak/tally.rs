//! What became of the requests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::IDLE_TIMEOUT;

/// Wrong answers that are kept to be shown.
const SHOWN: usize = 10;
/// The server and its client do not begin to count in the same moment.
const MARGIN: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Tally {
    right: AtomicU64,
    /// Given up by the client, on purpose.
    abandoned: AtomicU64,
    /// Sent as the server closed a connection that had been idle for as long as it may be, and
    /// nothing of an answer came.
    met_idle_close: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    pub(super) fn right(&self, answers: u64) {
        self.right.fetch_add(answers, Ordering::Relaxed);
    }

    pub(super) fn abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    /// The connection of a request was closed before a byte of its answer; it had been `idle` before.
    ///
    /// "A client, server, or proxy MAY close the transport connection at any time. For example, a client
    /// might have started to send a new request at the same time that the server has decided to close
    /// the 'idle' connection" (RFC 9112 §9.5). That is the only way in which a request may be lost that
    /// cannot be sent again, and it takes a connection that has been idle for as long as the server
    /// waits. Whatever else is lost is a fault of the server.
    pub(super) fn note_lost(&self, idle: Duration, what: &str) {
        if idle + MARGIN >= IDLE_TIMEOUT {
            self.met_idle_close.fetch_add(1, Ordering::Relaxed);
        } else {
            self.note_wrong(format!("lost after {idle:?} idle: {what}"));
        }
    }

    pub(super) fn note_wrong(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < SHOWN {
            wrong.push(what);
        }
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.clone()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        write!(
            f,
            "{} answers right, {} wrong, {} requests abandoned, {} met the close of an idle connection",
            of(&self.right),
            self.wrong().len(),
            of(&self.abandoned),
            of(&self.met_idle_close)
        )
    }
}
