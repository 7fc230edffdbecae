//! Sockets: the byte streams below HTTP, how they are opened and how they are accepted.

mod arrived;
#[cfg(feature = "server")]
mod listen;
mod plain;
mod stream;
#[cfg(feature = "tls")]
mod tls_now;

#[cfg(feature = "client")]
pub(crate) use arrived::Arrived;
#[cfg(feature = "server")]
pub use listen::{BindOptions, Listener, bind, bind_workers, raise_open_files_limit};
pub use stream::{PeerAddr, Stream};
