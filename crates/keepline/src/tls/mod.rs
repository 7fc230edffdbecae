//! TLS by rustls. No type of rustls stands in a public signature outside this module.

#[cfg(feature = "client")]
mod client;

#[cfg(feature = "client")]
pub use client::{ClientTls, ClientTlsBuilder};
