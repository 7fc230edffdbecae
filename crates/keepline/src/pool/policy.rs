//! How much a pool keeps, and for how long.

use std::time::Duration;

/// The limits of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Idle connections over all keys. Above it the one that has been idle longest is closed.
    pub(crate) idle_total: usize,
    /// Idle connections of one key. Above it the key's oldest is closed.
    pub(crate) idle_per_key: usize,
    /// Dials of one key that may be in progress at once.
    pub(crate) dials_per_key: usize,
    /// A connection that has been idle for so long is closed.
    pub(crate) idle_timeout: Option<Duration>,
    /// Keys without any connection of which something is remembered.
    pub(crate) remembered_keys: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle_total: 100,
            idle_per_key: 100,
            dials_per_key: 64,
            idle_timeout: Some(Duration::from_secs(90)),
            remembered_keys: 10_000,
        }
    }
}
