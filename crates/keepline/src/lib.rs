//! HTTP connections that stay.
#![cfg_attr(
    not(all(feature = "client", feature = "server")),
    allow(
        dead_code,
        reason = "client and server share rooms that neither fills alone"
    )
)]

mod body;
mod buffer;
#[cfg(feature = "client")]
pub mod client;
mod deadline;
mod driver;
mod error;
mod info;
pub mod net;
#[cfg(feature = "client")]
mod pool;
mod reason;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "server")]
pub mod upgrade;

pub use body::Body;
#[cfg(feature = "client")]
pub use client::Transport;
pub use error::{BoxError, Error, ErrorKind, Fault, Phase};
pub use info::{ConnectionInfo, Timings};
#[cfg(feature = "client")]
pub use pool::Stats;
pub use reason::{CloseCounts, CloseReason, Counts, OpenCounts, OpenReason};

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
