//! A place for values that are evaluated for one head, lent by the thread: no allocation for a
//! request.

use std::cell::RefCell;
use std::ops::Range;

/// Values one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

/// What is kept of a scratch at most.
const LARGEST_KEPT: usize = 64 * 1024;

thread_local! {
    static KEPT: RefCell<Vec<Scratch>> = const { RefCell::new(Vec::new()) };
}

impl Scratch {
    /// An empty one.
    pub(crate) fn lend() -> Self {
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop());
        kept.ok().flatten().unwrap_or_default()
    }

    /// Adds a value that `append` appends.
    pub(crate) fn add(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        append(&mut self.bytes);
        self.ranges.push(start..self.bytes.len());
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let slice = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.ranges.iter().map(slice)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.bytes.capacity() == 0 || self.bytes.capacity() > LARGEST_KEPT {
            return;
        }
        let (mut bytes, mut ranges) = (
            std::mem::take(&mut self.bytes),
            std::mem::take(&mut self.ranges),
        );
        bytes.clear();
        ranges.clear();
        // A thread that ends keeps nothing.
        let _ = KEPT.try_with(|kept| kept.borrow_mut().push(Self { bytes, ranges }));
    }
}
