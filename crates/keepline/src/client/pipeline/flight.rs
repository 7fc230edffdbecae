//! Requests that have been sent on a line and are not answered yet, oldest first.

use std::time::Duration;

use tokio::time::Instant;

use super::Job;
use super::flow::Source;
use crate::ConnectionInfo;
use crate::client::lease::Lease;
use crate::info::Timings;

/// A request on its way.
#[derive(Debug)]
pub(super) struct InFlight {
    /// `None` once its response has been handed over, whose content may still come.
    pub(super) job: Option<Box<Job>>,
    /// Its first byte and the one after its last, counted in what is written to the connection.
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) sent_at: Instant,
    pub(super) asked_at: Instant,
    /// How long the connection had been idle before this request.
    pub(super) idle_for: Option<Duration>,
    /// It was sent while another one was not answered.
    pub(super) was_behind: bool,
    /// That it is written has been told.
    pub(super) is_told: bool,
    pub(super) retries: u32,
}

/// Where the content of the answer goes that is being received.
#[derive(Debug)]
pub(super) enum Content {
    /// No final head has come.
    NotYet,
    ToReader(Source),
    /// Nobody reads it: so many bytes have been thrown away.
    Drained(u64),
}

impl InFlight {
    /// Bytes of it that were given to the socket, of so many in all.
    pub(super) fn written(&self, written: u64) -> u64 {
        written.clamp(self.from, self.to) - self.from
    }

    /// What there is to tell of its connection, on which it is the first that is not answered.
    /// `read`: bytes of its answer.
    pub(super) fn info(&self, lease: &Lease, read: u64, now: Instant) -> ConnectionInfo {
        let info = lease.info();
        ConnectionInfo {
            idle_for: self.idle_for,
            age: self
                .sent_at
                .saturating_duration_since(lease.connection().opened_at),
            retries: self.retries,
            bytes_written: self.written(lease.connection().driver.bytes_written()),
            bytes_read: read,
            timings: Timings {
                wait: self.sent_at.saturating_duration_since(self.asked_at),
                first_byte: (read > 0).then(|| now.saturating_duration_since(self.sent_at)),
                ..info.timings
            },
            ..info
        }
    }
}
