//! The client against scripted peers.

mod bodies;
mod cancel;
mod dialing;
mod drop_and_drain;
mod early_answer;
mod errors;
mod events;
mod follow_dns;
mod idle;
mod interim;
mod life;
mod limits;
mod logs;
mod metrics;
mod race;
mod raw_exchange;
mod retry;
mod reuse;
mod runtimes;
mod shutdown;
pub(crate) mod support;
mod target;
mod tls;
mod tls_identity;
mod tls_server;
mod upgrades;
mod upload;
