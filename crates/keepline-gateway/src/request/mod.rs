//! What is known of a request while it is served, and what its variables say.
//!
//! Invariant: nothing here waits or sends. A [`Request`] is owned by the one task that serves it;
//! what the configuration says is borrowed from the configuration that the request began under.

mod append;
mod base64;
mod captures;
mod connection;
mod evaluate;
mod fields;
mod lookup;
mod state;
mod time;

pub(crate) use captures::Captures;
pub(crate) use evaluate::View;
pub(crate) use fields::{host_of, is_field, without_port};
pub(crate) use state::{Host, Request, authority};
pub(crate) use time::Civil;
