//! What became of the requests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Wrong answers that are kept to be shown.
const SHOWN: usize = 10;

#[derive(Debug, Default)]
pub(super) struct Tally {
    right: AtomicU64,
    /// Given up by the client, on purpose.
    abandoned: AtomicU64,
    /// Sent as the server closed its connection: nothing of an answer came.
    lost: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    pub(super) fn right(&self, answers: u64) {
        self.right.fetch_add(answers, Ordering::Relaxed);
    }

    pub(super) fn abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
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

    /// A request may meet the close of its connection (RFC 9112 §9.5); that is rare, or clients
    /// are not told of closes that could have been foreseen.
    pub(super) fn assert_few_lost(&self) {
        let (right, lost) = (&self.right, &self.lost);
        let (right, lost) = (right.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
        assert!(lost <= 5 + right / 1000, "{self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        write!(
            f,
            "{} answers right, {} wrong, {} requests abandoned, {} lost to a close",
            of(&self.right),
            self.wrong().len(),
            of(&self.abandoned),
            of(&self.lost)
        )
    }
}
