//! The servers that requests are passed to: which one, over which connection, and what when it fails.
//!
//! `balance` and `next` decide, as pure functions; `group` holds what lives as long as the process.

mod balance;
mod follow;
mod group;
mod hash;
mod moves;
pub(crate) mod names;
mod next;
mod roster;

pub(crate) use balance::{Asker, Fared, Tried};
pub(crate) use follow::{Follower, Presence};
pub(crate) use group::{Group, Seat};
pub(crate) use next::{Failed, Next, Rules, cause_of, is_idempotent, next, status_of};
pub(crate) use roster::Entry;
