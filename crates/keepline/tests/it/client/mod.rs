//! The client against scripted peers.

mod bodies;
mod drop_and_drain;
mod events;
mod idle;
mod interim;
mod life;
mod limits;
mod race;
mod retry;
mod reuse;
mod support;
mod upload;
