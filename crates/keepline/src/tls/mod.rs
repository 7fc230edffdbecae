//! TLS on both sides. No type of rustls stands in a public signature outside this module.

#[cfg(feature = "server")]
mod server;

#[cfg(feature = "server")]
pub use server::ServerTls;
#[cfg(feature = "server")]
pub(crate) use server::Handshake;
