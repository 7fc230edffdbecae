//! Where the servers of an upstream are, by the numbers that its balancer has for them.
//!
//! A number keeps its address as long as an attempt is on its way there: the balancer gives it to
//! another one only when nobody is. What is looked up is never changed, but replaced.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Address;

/// A server.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) address: Address,
    /// As logs print it.
    pub(crate) name: Box<str>,
}

/// All of them.
#[derive(Debug)]
pub(crate) enum Roster {
    /// Known from the configuration.
    Fixed(Vec<Listed>),
    /// Some are resolved while they are used.
    Moving(ArcSwap<Vec<Arc<Listed>>>),
}

/// One of them, while it is looked at.
#[derive(Debug)]
pub(crate) enum Entry<'r> {
    Fixed(&'r Listed),
    Moving(Arc<Listed>),
}

impl Deref for Entry<'_> {
    type Target = Listed;

    fn deref(&self) -> &Listed {
        match self {
            Self::Fixed(listed) => listed,
            Self::Moving(listed) => listed,
        }
    }
}

impl Listed {
    pub(crate) fn new(address: Address) -> Self {
        Self {
            name: address.to_string().into(),
            address,
        }
    }
}

impl Roster {
    pub(crate) fn get(&self, index: usize) -> Option<Entry<'_>> {
        match self {
            Self::Fixed(all) => all.get(index).map(Entry::Fixed),
            Self::Moving(all) => all.load().get(index).map(Arc::clone).map(Entry::Moving),
        }
    }

    /// Those that never change, in their order.
    pub(crate) fn fixed(&self) -> &[Listed] {
        match self {
            Self::Fixed(all) => all,
            Self::Moving(_) => &[],
        }
    }
}
