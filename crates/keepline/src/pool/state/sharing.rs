//! Connections that several exchanges share (HTTP/2 sessions): counted here, and kept by whoever
//! shares them.
//!
//! Invariant: such a connection is busy from its dial to its close, is in none of the idle lists, and
//! its exchanges count as acquisitions.

use std::hash::Hash;

#[cfg(feature = "http2")]
use super::KeyLimits;
use super::{Entry, KeySlot, State};

impl<K: Eq + Hash + Clone, C: Entry, W> State<K, C, W> {
    /// All who wait for a connection of this key, taken out of the queue.
    pub(crate) fn recall(&mut self, slot: KeySlot) -> Vec<W> {
        std::iter::from_fn(|| {
            let first = self.keys[slot.0].waiters.front()?;
            Some(self.unqueue(first))
        })
        .collect()
    }

    /// One more exchange.
    #[cfg(feature = "http2")]
    pub(crate) fn count_exchange(&mut self, reused: bool) {
        self.counts.acquired += 1;
        let part = if reused {
            &mut self.counts.reused
        } else {
            &mut self.counts.first_use
        };
        *part += 1;
    }

    /// A shared connection carries nothing now, or does again.
    #[cfg(feature = "http2")]
    pub(crate) const fn rests(&mut self, rests: bool) {
        self.resting += if rests { 1 } else { -1 };
    }

    /// How many rest.
    pub(super) fn resting(&self) -> usize {
        usize::try_from(self.resting).unwrap_or(0).min(self.busy)
    }

    /// Whether a dial of this key is in progress.
    #[cfg(feature = "http2")]
    pub(crate) fn is_dialling(&self, key: &K) -> bool {
        let slot = self.index.get(key);
        let of_key = slot.and_then(|slot| self.keys.get(*slot));
        of_key.is_some_and(|of_key| of_key.dialling + of_key.own_dials > 0)
    }

    /// The limits of a key; idle connections also by that of all keys.
    #[cfg(feature = "http2")]
    pub(crate) fn key_limits(&self, key: &K) -> KeyLimits {
        let of_key = self.overrides.get(key).unwrap_or(&self.limits.per_key);
        KeyLimits {
            idle: of_key.idle.min(self.limits.idle),
            ..*of_key
        }
    }
}
