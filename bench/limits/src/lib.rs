//! What the bare epoll programs share.

pub mod listen;
pub mod poller;
pub mod requests;

/// One read takes at most this much; a program lends the same buffer to all its connections.
pub const BUFFER: usize = 64 * 1024;
