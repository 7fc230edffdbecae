//! One TCP socket, with its options.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use crate::client::key::SocketBuffers;
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

/// This end of a socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalEnd {
    /// What it is bound to. Port 0: any.
    pub(super) address: Option<SocketAddr>,
    pub(super) buffers: SocketBuffers,
}

/// Connects to `address` from this end.
pub(super) async fn open(
    address: SocketAddr,
    end: LocalEnd,
    settings: &SocketSettings,
) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(local) = end.address {
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
    // Before the handshake, which tells the window that they allow.
    if let Some(size) = end.buffers.receive {
        options.set_recv_buffer_size(size)?;
    }
    if let Some(size) = end.buffers.send {
        options.set_send_buffer_size(size)?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_bound_and_has_the_buffers_that_are_said() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let end = LocalEnd {
            address: Some("127.0.0.7:0".parse().unwrap()),
            buffers: SocketBuffers {
                receive: Some(64 * 1024),
                send: Some(32 * 1024),
            },
        };
        let opened = open(address, end, &SocketSettings::default())
            .await
            .unwrap();
        assert_eq!(opened.local_addr().unwrap().ip(), end.address.unwrap().ip());
        let options = SockRef::from(&opened);
        // Linux doubles what is asked for, for what it needs itself.
        let sizes = [64 * 1024, 2 * 64 * 1024];
        assert!(sizes.contains(&options.recv_buffer_size().unwrap()));
        let sizes = [32 * 1024, 2 * 32 * 1024];
        assert!(sizes.contains(&options.send_buffer_size().unwrap()));
    }
}
