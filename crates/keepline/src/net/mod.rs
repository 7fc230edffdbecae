//! Sockets: the byte streams below HTTP, how they are opened and how they are accepted.

mod stream;

pub(crate) use stream::Arrived;
pub use stream::{PeerAddr, Stream};
