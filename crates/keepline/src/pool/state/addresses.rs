//! The addresses of a key whose connections are spread over them: how many are busy at each, and
//! which are idle.
//!
//! Kept only for keys that ask for it ([`IdleOrder::LeastUsed`]): for others nothing is counted here.
//! Each step looks through the addresses of one key, of which a name has a few. Invariant: an
//! address is here exactly while it has a connection that was counted.

use std::hash::Hash;

use super::book::BY_ADDRESS;
use super::{Entry, Idle, List, State};
use crate::net::PeerAddr;
use crate::pool::policy::IdleOrder;

/// One address of a key.
#[derive(Debug)]
pub(super) struct AtAddress {
    address: PeerAddr,
    idle: List<BY_ADDRESS>,
    busy: usize,
}

impl<K: Eq + Hash + Clone, C: Entry, W> State<K, C, W> {
    fn spreads(&self, slot: usize) -> bool {
        self.keys[slot].limits.order == IdleOrder::LeastUsed
    }

    fn at(&mut self, slot: usize, address: PeerAddr) -> usize {
        let addresses = &mut self.keys[slot].addresses;
        if let Some(at) = addresses.iter().position(|known| known.address == address) {
            return at;
        }
        addresses.push(AtAddress {
            address,
            idle: List::default(),
            busy: 0,
        });
        addresses.len() - 1
    }

    fn forget_if_unused(&mut self, slot: usize, at: usize) {
        let of_key = &mut self.keys[slot].addresses;
        if of_key[at].busy == 0 && of_key[at].idle.is_empty() {
            of_key.swap_remove(at);
        }
    }

    /// A connection is busy now.
    pub(super) fn busy_at(&mut self, slot: usize, connection: &C) {
        if self.spreads(slot) {
            let at = self.at(slot, connection.address());
            self.keys[slot].addresses[at].busy += 1;
        }
    }

    /// It is busy no more.
    pub(super) fn free_at(&mut self, slot: usize, connection: &C) {
        if self.spreads(slot) {
            let at = self.at(slot, connection.address());
            self.keys[slot].addresses[at].busy -= 1;
            self.forget_if_unused(slot, at);
        }
    }

    /// An idle connection lies here, before those that have become idle later.
    pub(super) fn lies_at(
        &mut self,
        slot: usize,
        place: usize,
        is_newer: impl Fn(&Idle<C>) -> bool,
    ) {
        if self.spreads(slot) {
            let at = self.at(slot, self.idle[place].connection.address());
            let list = &mut self.keys[slot].addresses[at].idle;
            list.push_before(&mut self.idle, place, is_newer);
        }
    }

    /// It lies here no more.
    pub(super) fn leaves(&mut self, slot: usize, place: usize) {
        if self.spreads(slot) {
            let at = self.at(slot, self.idle[place].connection.address());
            let list = &mut self.keys[slot].addresses[at].idle;
            list.remove(&mut self.idle, place);
            self.forget_if_unused(slot, at);
        }
    }

    /// The newest idle connection to the address with the fewest busy ones.
    pub(super) fn least_used(&self, slot: usize) -> Option<usize> {
        let addresses = self.keys[slot].addresses.iter();
        let idle = addresses.filter_map(|at| at.idle.back().map(|place| (at.busy, place)));
        idle.min_by_key(|(busy, _)| *busy).map(|(_, place)| place)
    }
}
