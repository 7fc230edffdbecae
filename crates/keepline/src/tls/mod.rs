//! TLS by rustls. No type of rustls stands in a public signature outside this module.

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod client_builder;
#[cfg(feature = "client")]
mod identity;
#[cfg(feature = "server")]
mod info;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "client")]
mod unverified;

#[cfg(feature = "client")]
pub use client::ClientTls;
#[cfg(feature = "client")]
pub(crate) use client::{Offer, PeerName};
#[cfg(feature = "client")]
pub use client_builder::ClientTlsBuilder;
#[cfg(feature = "client")]
pub use identity::TlsVersion;
#[cfg(feature = "server")]
pub use info::TlsInfo;
#[cfg(feature = "server")]
pub(crate) use server::Handshake;
#[cfg(feature = "server")]
pub use server::ServerTls;
