//! Doubly linked lists whose links lie in the entries of a slab.
//!
//! An idle connection is in two orders at once (of its key, of the pool) and leaves both from the
//! middle when it dies; a waiter leaves its queue from the middle when it is cancelled. With the
//! links inside the entries all of that is O(1) and allocates nothing.
//!
//! Invariant: an entry is in a list exactly while the list's owner says so; the lists do not check
//! it. No entry is ever freed here.

use slab::Slab;

/// Stands for "none" in links.
const NIL: usize = usize::MAX;

/// The neighbours of an entry in one list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    prev: usize,
    next: usize,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            prev: NIL,
            next: NIL,
        }
    }
}

/// An entry of a slab that can be in list number `L`.
pub(crate) trait Linked<const L: usize> {
    fn links(&mut self) -> &mut Links;
}

/// A list of entries, oldest at the front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<const L: usize> {
    front: usize,
    back: usize,
    len: usize,
}

impl<const L: usize> Default for List<L> {
    fn default() -> Self {
        Self {
            front: NIL,
            back: NIL,
            len: 0,
        }
    }
}

impl<const L: usize> List<L> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The oldest.
    pub(crate) fn front(&self) -> Option<usize> {
        (self.front != NIL).then_some(self.front)
    }

    /// The newest.
    pub(crate) fn back(&self) -> Option<usize> {
        (self.back != NIL).then_some(self.back)
    }

    /// The next newer one.
    pub(crate) fn after<T: Linked<L>>(slab: &mut Slab<T>, entry: usize) -> Option<usize> {
        let next = slab[entry].links().next;
        (next != NIL).then_some(next)
    }

    /// Adds an entry as the newest.
    pub(crate) fn push_back<T: Linked<L>>(&mut self, slab: &mut Slab<T>, entry: usize) {
        self.push_before(slab, entry, |_| false);
    }

    /// Adds an entry before the newest ones for which `is_newer` holds: O(1) where it holds for
    /// none.
    pub(crate) fn push_before<T: Linked<L>>(
        &mut self,
        slab: &mut Slab<T>,
        entry: usize,
        is_newer: impl Fn(&T) -> bool,
    ) {
        let (mut prev, mut next) = (self.back, NIL);
        while prev != NIL && is_newer(&slab[prev]) {
            next = prev;
            prev = slab[prev].links().prev;
        }
        *slab[entry].links() = Links { prev, next };
        match prev {
            NIL => self.front = entry,
            prev => slab[prev].links().next = entry,
        }
        match next {
            NIL => self.back = entry,
            next => slab[next].links().prev = entry,
        }
        self.len += 1;
    }

    /// Takes an entry out, wherever it stands.
    pub(crate) fn remove<T: Linked<L>>(&mut self, slab: &mut Slab<T>, entry: usize) {
        let Links { prev, next } = std::mem::take(slab[entry].links());
        match prev {
            NIL => self.front = next,
            prev => slab[prev].links().next = next,
        }
        match next {
            NIL => self.back = prev,
            next => slab[next].links().prev = prev,
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node {
        value: u32,
        links: Links,
    }

    impl Linked<0> for Node {
        fn links(&mut self) -> &mut Links {
            &mut self.links
        }
    }

    #[derive(Default)]
    struct Numbers {
        slab: Slab<Node>,
        list: List<0>,
    }

    impl Numbers {
        fn of(values: &[u32]) -> (Self, Vec<usize>) {
            let mut numbers = Self::default();
            let places = values.iter().map(|&value| numbers.push(value)).collect();
            (numbers, places)
        }

        fn insert(&mut self, value: u32) -> usize {
            let links = Links::default();
            self.slab.insert(Node { value, links })
        }

        fn push(&mut self, value: u32) -> usize {
            let place = self.insert(value);
            self.list.push_back(&mut self.slab, place);
            place
        }

        /// From the front to the back, after a look whether the way back is the same.
        fn values(&self) -> Vec<u32> {
            let (mut forward, mut backward) = (Vec::new(), Vec::new());
            let mut at = self.list.front().unwrap_or(NIL);
            while at != NIL {
                forward.push(self.slab[at].value);
                at = self.slab[at].links.next;
            }
            let mut at = self.list.back().unwrap_or(NIL);
            while at != NIL {
                backward.push(self.slab[at].value);
                at = self.slab[at].links.prev;
            }
            backward.reverse();
            assert_eq!(forward, backward);
            assert_eq!(forward.len(), self.list.len());
            assert_eq!(forward.is_empty(), self.list.is_empty());
            forward
        }
    }

    #[test]
    fn entries_leave_from_anywhere() {
        for gone in 0..3 {
            let (mut numbers, places) = Numbers::of(&[0, 1, 2]);
            numbers
                .list
                .remove(&mut numbers.slab, places[gone as usize]);
            let expected: Vec<u32> = (0..3).filter(|&x| x != gone).collect();
            assert_eq!(numbers.values(), expected);
            // And come back as the newest.
            let place = places[gone as usize];
            numbers.list.push_back(&mut numbers.slab, place);
            assert_eq!(numbers.values().last(), Some(&gone));
        }
    }

    #[test]
    fn the_last_to_leave_leaves_it_empty() {
        let (mut numbers, places) = Numbers::of(&[7]);
        assert_eq!(numbers.list.front(), numbers.list.back());
        numbers.list.remove(&mut numbers.slab, places[0]);
        assert_eq!((numbers.list.front(), numbers.list.back()), (None, None));
        assert!(numbers.values().is_empty());
    }

    #[test]
    fn an_entry_may_be_put_before_the_newer_ones() {
        for (value, expected) in [
            (5, [5, 10, 20, 30]),
            (15, [10, 15, 20, 30]),
            (25, [10, 20, 25, 30]),
            (35, [10, 20, 30, 35]),
        ] {
            let (mut numbers, _) = Numbers::of(&[10, 20, 30]);
            let place = numbers.insert(value);
            let Numbers { slab, list } = &mut numbers;
            list.push_before(slab, place, |node| node.value > value);
            assert_eq!(numbers.values(), expected);
        }
        let (mut numbers, _) = Numbers::of(&[]);
        let place = numbers.insert(1);
        let Numbers { slab, list } = &mut numbers;
        list.push_before(slab, place, |_| true);
        assert_eq!(numbers.values(), [1]);
    }
}
