//! The client against scripted peers.

mod bodies;
mod drop_and_drain;
mod idle;
mod race;
mod retry;
mod reuse;
mod support;
mod upload;
