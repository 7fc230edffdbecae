//! One TCP socket, with its options.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use crate::net::TcpKeepAlive;

/// The options of a client's TCP sockets.
#[derive(Debug, Clone)]
pub(crate) struct SocketSettings {
    /// What sockets are bound to, where a target says nothing else.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) keep_alive: Option<TcpKeepAlive>,
    pub(crate) user_timeout: Option<Duration>,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            local: None,
            keep_alive: Some(TcpKeepAlive::default()),
            user_timeout: None,
        }
    }
}

/// Connects to `address` from `local`.
pub(super) async fn open(
    address: SocketAddr,
    local: Option<SocketAddr>,
    settings: &SocketSettings,
) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(local) = local {
        if local.port() != 0 {
            // A port of one's own would else be taken for a minute by the connection before.
            socket.set_reuseaddr(true)?;
        }
        socket.bind(local)?;
    }
    socket.set_nodelay(true)?;
    let options = SockRef::from(&socket);
    if let Some(keep_alive) = &settings.keep_alive {
        options.set_tcp_keepalive(&keep_alive.as_option())?;
    }
    set_user_timeout(&options, settings.user_timeout)?;
    socket.connect(address).await
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(socket: &SockRef<'_>, timeout: Option<Duration>) -> io::Result<()> {
    match timeout {
        None => Ok(()),
        Some(_) => socket.set_tcp_user_timeout(timeout),
    }
}

/// The builder has refused to set one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_user_timeout(_: &SockRef<'_>, _: Option<Duration>) -> io::Result<()> {
    Ok(())
}
