//! What a pool counts.
//!
//! Invariant, at every moment that the pool's state is unlocked: `acquired = reused + first_use`,
//! and `opened.total() − closed.total() = open()`.

use crate::{CloseCounts, OpenCounts};

/// The counts of a Transport since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Times that a request got a connection; a retried request counts again.
    pub acquired: u64,
    /// Of these, on a connection that had carried an exchange before.
    pub reused: u64,
    /// Of these, on a connection that had carried none.
    pub first_use: u64,
    /// Of the reused, those that were sent before an earlier request on the same connection was
    /// answered.
    pub pipelined: u64,
    /// Requests that were sent again after their connection had died.
    pub retries: u64,
    /// Connections opened, by reason.
    pub opened: OpenCounts,
    /// Connections closed, by reason.
    pub closed: CloseCounts,
    /// Dials that failed: no connection was opened.
    pub dial_failures: u64,
    /// Dials in progress now.
    pub dialling: usize,
    /// Connections idle now.
    pub idle: usize,
    /// Connections in use now, those whose rest is being drained among them.
    pub busy: usize,
    /// Requests waiting for a connection now.
    pub waiting: usize,
}

impl Stats {
    /// Connections open now.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.idle + self.busy
    }

    /// Part of the acquisitions that reused a connection; 0 where there were none.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio for people; 2^53 requests are exact"
    )]
    pub fn reuse_ratio(&self) -> f64 {
        if self.acquired == 0 {
            0.0
        } else {
            self.reused as f64 / self.acquired as f64
        }
    }
}
