//! HTTP connections that stay: a client and a server for HTTP/1.1 on tokio, with a reason for every
//! connection that opens or closes.
//!
//! - [`Client`] follows redirects, keeps cookies and gives up in time: Go's `http.Client`.
//! - [`Transport`] sends requests over connections that it keeps (Go: `http.Transport`).
//! - [`server::Server`] serves any tower service.
//! - Below both lies a raw exchange, [`client::Exchange`] and [`server::Exchange`]: heads as spans,
//!   content as bytes, no map and no allocation for it. A gateway uses that.
//! - [`ConnectionInfo`], [`Stats`], [`client::Event`], [`OpenReason`] and [`CloseReason`] tell which
//!   connection a request used, whether it was reused, and if not, why.
//!
//! The protocol itself is in [`proto`], without I/O.
//!
//! # Cancel safety
//! Futures may be dropped at any moment. Dropping a request closes the connection that it was using
//! (`cancelled`), gives up its place in the queue, and leaves a dial to others. Dropping the body of
//! a response drains it within limits, so that the connection stays, or closes it with the reason.
//! Nothing panics outside a runtime, but for what is documented to need one.
//!
//! # Features
//! `client`, `server` and `tls` (rustls) are on by default; `metrics` (what a Transport does, for the
//! `metrics` facade), `http2`, `hickory` (names resolved by [`net::Hickory`](crate::net), which knows
//! the TTL of an answer), and for the [`Client`] `compression`, `cookies` and `json` are not. A feature adds
//! and never changes.
//!
//! # What it does not do
//! It opens no socket that nobody asked for, and repairs nothing that a peer sends.
#![cfg_attr(
    not(all(feature = "client", feature = "server")),
    allow(
        dead_code,
        reason = "client and server share rooms that neither fills alone"
    )
)]

#[cfg(feature = "client")]
pub mod agent;
mod body;
mod buffer;
#[cfg(feature = "client")]
pub mod client;
mod deadline;
mod driver;
mod error;
#[cfg(feature = "http2")]
mod http2;
mod info;
#[cfg(any(feature = "client", feature = "server"))]
mod list;
pub mod net;
#[cfg(feature = "client")]
mod pool;
mod reason;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(any(feature = "client", feature = "server"))]
pub mod upgrade;

/// HTTP/1.1 without I/O: what this crate speaks, and its limits and errors.
pub use keepline_proto as proto;

#[cfg(feature = "client")]
pub use agent::Client;
pub use body::Body;
#[cfg(feature = "client")]
pub use client::Transport;
pub use deadline::Deadline;
pub use error::{BoxError, Error, ErrorKind, Fault, Phase, ProxyRefusal};
pub use info::{ConnectionInfo, Timings};
#[cfg(feature = "client")]
pub use pool::Stats;
pub use reason::{CloseCounts, CloseReason, Counts, OpenCounts, OpenReason};

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
