//! HTTP connections that stay.
mod body;
mod buffer;
mod deadline;
mod driver;
mod error;
mod info;
pub mod net;
mod reason;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "tls")]
pub mod tls;

pub use body::Body;
pub use error::{BoxError, Error, ErrorKind, Fault, Phase};
pub use info::{ConnectionInfo, Timings};
pub use reason::{CloseCounts, CloseReason, Counts, OpenCounts, OpenReason};
