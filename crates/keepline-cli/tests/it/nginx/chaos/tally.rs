//! What came of all requests, counted by both sides.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::plan::{Fault, Token};

/// Shared by the clients and the backend.
#[derive(Debug)]
pub(super) struct Tally {
    /// A fault that this gateway is known not to bear.
    pub(super) left_out: Option<Fault>,
    /// How often a backend has read the whole request with this token.
    served: Vec<AtomicU8>,
    next: AtomicU64,
    /// Responses that were compared, byte by byte, with what the request's token demands.
    pub(super) checked: AtomicU64,
    pub(super) whole: AtomicU64,
    pub(super) cut: AtomicU64,
    /// The gateway's own: 400, 502, 504.
    pub(super) refused: AtomicU64,
    /// Requests whose connection ended before an answer.
    pub(super) unanswered: AtomicU64,
    pub(super) upstream_connections: AtomicU64,
    pub(super) upstream_requests: AtomicU64,
    /// The first wrong thing that was seen, and how many followed.
    wrong: Mutex<(Vec<String>, u64)>,
}

/// More are only counted.
const WRONGS_KEPT: usize = 20;

impl Tally {
    pub(super) fn new(requests: u64, left_out: Option<Fault>) -> Self {
        // Requests that get no answer use tokens as well: about one in seven.
        let tokens = 2 * usize::try_from(requests).expect("they fit in memory") + 100_000;
        Self {
            left_out,
            served: (0..tokens).map(|_| AtomicU8::new(0)).collect(),
            next: AtomicU64::new(0),
            checked: AtomicU64::new(0),
            whole: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            upstream_connections: AtomicU64::new(0),
            upstream_requests: AtomicU64::new(0),
            wrong: Mutex::default(),
        }
    }

    pub(super) fn token(&self) -> Token {
        Token(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts a service; answers how many there were before.
    pub(super) fn served(&self, token: Token) -> u8 {
        let place = usize::try_from(token.0).ok();
        match place.and_then(|place| self.served.get(place)) {
            Some(times) => times.fetch_add(1, Ordering::Relaxed),
            None => {
                self.wrong(format!("a request that nobody made: {token:?}"));
                0
            }
        }
    }

    pub(super) fn wrong(&self, what: String) {
        let mut wrong = self.wrong.lock().expect("nobody panics with the lock");
        if wrong.0.len() < WRONGS_KEPT {
            wrong.0.push(what);
        } else {
            wrong.1 += 1;
        }
    }

    pub(super) fn all_wrongs(&self) -> String {
        let wrong = self.wrong.lock().expect("nobody panics with the lock");
        match wrong.1 {
            0 => wrong.0.join("\n"),
            more => format!("{}\nand {more} more", wrong.0.join("\n")),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
