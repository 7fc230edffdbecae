//! TLS by rustls. No type of rustls stands in a public signature outside this module.

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "server")]
mod server;

#[cfg(feature = "client")]
pub use client::{ClientTls, ClientTlsBuilder};
#[cfg(feature = "server")]
pub(crate) use server::Handshake;
#[cfg(feature = "server")]
pub use server::ServerTls;
