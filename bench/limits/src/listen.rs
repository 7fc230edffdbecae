//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that wait to be accepted. With the 128 of the standard library a thousand clients at once
/// would send some of their SYNs again, a second later.
const BACKLOG: i32 = 4096;

/// A listener that doesn't block.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
