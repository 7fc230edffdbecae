//! Sockets: the byte streams below HTTP, how they are opened and how they are accepted.

mod arrived;
#[cfg(all(feature = "client", feature = "hickory"))]
mod hickory;
#[cfg(feature = "socket-activation")]
mod inherited;
#[cfg(feature = "client")]
mod keep_alive;
#[cfg(feature = "server")]
mod listen;
pub(crate) mod plain;
#[cfg(feature = "client")]
mod resolve;
mod stream;
#[cfg(feature = "tls")]
mod tls_now;

#[cfg(feature = "client")]
pub(crate) use arrived::Arrived;
pub(crate) use arrived::is_given_up;
#[cfg(all(feature = "client", feature = "hickory"))]
pub use hickory::{Asks, Families, Hickory};
#[cfg(feature = "socket-activation")]
pub use inherited::{Inherited, inherited_listeners};
#[cfg(feature = "client")]
pub use keep_alive::TcpKeepAlive;
#[cfg(feature = "server")]
pub use listen::{
    BindOptions, Listener, bind, bind_beside, bind_workers, probe, raise_open_files_limit,
};
#[cfg(feature = "client")]
pub(crate) use resolve::{AnyResolver, literal};
#[cfg(feature = "client")]
pub use resolve::{GetAddrInfo, Resolve, Resolved, Resolving};
pub use stream::{PeerAddr, Stream};
