//! The integration tests of this crate: one binary, a module for each side.

mod server;
