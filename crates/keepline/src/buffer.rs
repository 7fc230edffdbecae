//! Buffers, lent to a connection only while it has bytes that are not parsed or not sent.
//!
//! Each thread keeps a few; a connection takes one when bytes come and gives it back when it is
//! empty, so that an idle connection holds none. A buffer whose memory is still shared with a
//! head or a body that somebody keeps is not taken back: it is freed with the last of them.

use std::cell::RefCell;

use bytes::BytesMut;

/// What a buffer holds at least when it is lent.
pub(crate) const BUFFER_SIZE: usize = 8 * 1024;
/// Larger buffers are not kept: they belonged to a large body.
const LARGEST_KEPT: usize = 64 * 1024;
/// Buffers that a thread keeps at most, of each kind: as many as are lent at once by a gateway with a
/// hundred requests in progress, which has up to two of each for a request. With fewer each of them
/// would be allocated anew. As many are kept as have been lent at once; 2.5 MiB at most.
const KEPT: usize = 256;

thread_local! {
    static INPUT: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static OUTPUT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer to read into.
pub(crate) fn lend_input() -> BytesMut {
    // A thread that is being torn down has no stash left: then it is a new buffer.
    let kept = INPUT
        .try_with(|stash| stash.borrow_mut().pop())
        .ok()
        .flatten();
    kept.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_SIZE))
}

/// Takes an empty buffer back.
pub(crate) fn return_input(mut buffer: BytesMut) {
    debug_assert!(buffer.is_empty());
    buffer.clear();
    let is_worth_keeping = (buffer.capacity() >= BUFFER_SIZE || buffer.try_reclaim(BUFFER_SIZE))
        && buffer.capacity() <= LARGEST_KEPT;
    if is_worth_keeping {
        let _ = INPUT.try_with(|stash| {
            let mut stash = stash.borrow_mut();
            if stash.len() < KEPT {
                stash.push(buffer);
            }
        });
    }
}

/// An empty buffer to write into.
pub(crate) fn lend_output() -> Vec<u8> {
    let kept = OUTPUT
        .try_with(|stash| stash.borrow_mut().pop())
        .ok()
        .flatten();
    kept.unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE / 4))
}

/// Takes a buffer back whose bytes have been sent, or will never be.
pub(crate) fn return_output(mut buffer: Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > 0 && buffer.capacity() <= LARGEST_KEPT {
        let _ = OUTPUT.try_with(|stash| {
            let mut stash = stash.borrow_mut();
            if stash.len() < KEPT {
                stash.push(buffer);
            }
        });
    }
}
