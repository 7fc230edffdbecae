//! What each fault is on the wire.

mod faults;
mod server;
