//! Sockets: the byte streams below HTTP, how they are opened and how they are accepted.

#[cfg(feature = "server")]
mod listen;
mod stream;

#[cfg(feature = "server")]
pub use listen::{BindOptions, Listener, bind, bind_workers, raise_open_files_limit};
#[cfg(feature = "client")]
pub(crate) use stream::Arrived;
pub use stream::{PeerAddr, Stream};
