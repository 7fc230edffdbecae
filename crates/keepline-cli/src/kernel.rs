//! Connections as the kernel counts them, and what they cost it.
//!
//! The kernel tells each TCP socket that it destroys, with the socket's own counters, to whoever
//! listens on a netlink socket (`sock_diag`, what `ss -E` shows; no privilege needed). That
//! counts every connection exactly once whoever closed it and however: a table of open sockets
//! would miss those that came and went between two readings, and those that were reset, which
//! leave no TIME-WAIT behind.

use std::io;

/// What became of the connections to one port, counted at the clients' ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Connections that are over: each was a handshake.
    pub(crate) connections: u64,
    /// TCP segments that the clients sent.
    pub(crate) segments_sent: u64,
    /// TCP segments that the clients received.
    pub(crate) segments_received: u64,
    /// The kernel told more than could be read in time: there are more than these.
    pub(crate) is_incomplete: bool,
}

/// A socket that the kernel has destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Destroyed {
    /// The other end's port: a server's socket has its client's here, and is not counted.
    remote_port: u16,
    segments_sent: u32,
    segments_received: u32,
}

/// The kernel's messages about connections to one port.
#[derive(Debug)]
pub(crate) struct Watch {
    messages: netlink::Messages,
    port: u16,
    tally: Tally,
}

impl Watch {
    /// Counts what happens to connections to `port` from now on.
    ///
    /// # Errors
    /// This kernel does not tell.
    pub(crate) fn start(port: u16) -> io::Result<Self> {
        Ok(Self {
            messages: netlink::Messages::subscribe()?,
            port,
            tally: Tally::default(),
        })
    }

    /// What has been counted so far. To be asked often enough that the kernel need not hold much.
    pub(crate) fn tally(&mut self) -> Tally {
        let Self {
            messages,
            port,
            tally,
        } = self;
        let complete = messages.read(|message| {
            let Some(socket) = Destroyed::parse(message) else {
                return;
            };
            if socket.remote_port == *port {
                tally.connections += 1;
                tally.segments_sent += u64::from(socket.segments_sent);
                tally.segments_received += u64::from(socket.segments_received);
            }
        });
        tally.is_incomplete |= !complete;
        *tally
    }
}

impl Destroyed {
    /// From a netlink message: `nlmsghdr`, `inet_diag_msg`, attributes, `tcp_info` among them
    /// (linux/netlink.h, linux/inet_diag.h, linux/tcp.h).
    fn parse(message: &[u8]) -> Option<Self> {
        const HEADER: usize = 16;
        const REMOTE_PORT: usize = HEADER + 6;
        const ATTRIBUTES: usize = HEADER + 72;
        const SEGMENTS_OUT: usize = 136;
        const SEGMENTS_IN: usize = 140;
        let info = tcp_info(message.get(ATTRIBUTES..)?)?;
        Some(Self {
            remote_port: u16::from_be_bytes(array(message, REMOTE_PORT)?),
            segments_sent: u32::from_ne_bytes(array(info, SEGMENTS_OUT)?),
            segments_received: u32::from_ne_bytes(array(info, SEGMENTS_IN)?),
        })
    }
}

/// The attribute `INET_DIAG_INFO`. Attributes are a length, a type and a content, padded to four
/// bytes.
fn tcp_info(mut attributes: &[u8]) -> Option<&[u8]> {
    const INFO: u16 = 2;
    loop {
        let length = usize::from(u16::from_ne_bytes(array(attributes, 0)?));
        let kind = u16::from_ne_bytes(array(attributes, 2)?);
        let content = attributes.get(4..length)?;
        if kind == INFO {
            return Some(content);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(target_os = "linux")]
mod netlink {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
    use rustix::net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with, sockopt,
    };

    /// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY`, as bits.
    const TCP_DESTROYED: u32 = 1 | 1 << 2;
    /// Room for what the kernel tells until it is read: some thousand sockets, if it grants it.
    const ROOM: usize = 4 << 20;

    /// What the kernel tells about destroyed sockets.
    #[derive(Debug)]
    pub(super) struct Messages(OwnedFd);

    impl Messages {
        pub(super) fn subscribe() -> io::Result<Self> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let family = AddressFamily::NETLINK;
            let socket = socket_with(family, SocketType::DGRAM, flags, Some(SOCK_DIAG))?;
            // As much as this process may: the second is less, and never refused.
            if sockopt::set_socket_recv_buffer_size_force(&socket, ROOM).is_err() {
                sockopt::set_socket_recv_buffer_size(&socket, ROOM)?;
            }
            bind(&socket, &SocketAddrNetlink::new(0, TCP_DESTROYED))?;
            Ok(Self(socket))
        }

        /// Hands over what has come. `false`: some of it was lost.
        pub(super) fn read(&self, mut take: impl FnMut(&[u8])) -> bool {
            let mut complete = true;
            let mut message = [0; 4096];
            loop {
                match recv(&self.0, &mut message, RecvFlags::empty()) {
                    Ok((read, _)) => take(&message[..read]),
                    Err(Errno::INTR) => {}
                    Err(Errno::NOBUFS) => complete = false,
                    Err(_) => return complete,
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod netlink {
    use std::io;

    #[derive(Debug)]
    pub(super) enum Messages {}

    impl Messages {
        pub(super) fn subscribe() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn read(&self, _take: impl FnMut(&[u8])) -> bool {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ports: (u16, u16), segments: (u32, u32)) -> Vec<u8> {
        let mut message = vec![0; 16 + 72];
        message[20..22].copy_from_slice(&ports.0.to_be_bytes());
        message[22..24].copy_from_slice(&ports.1.to_be_bytes());
        // Another attribute first, of a length that needs padding.
        message.extend([5, 0, 8, 0, 7, 0, 0, 0]);
        let mut info = vec![0; 232];
        info[136..140].copy_from_slice(&segments.0.to_ne_bytes());
        info[140..144].copy_from_slice(&segments.1.to_ne_bytes());
        message.extend(u16::try_from(info.len() + 4).unwrap().to_ne_bytes());
        message.extend(2_u16.to_ne_bytes());
        message.extend(info);
        message
    }

    #[test]
    fn a_message_is_read() {
        assert_eq!(
            Destroyed::parse(&message((40_000, 80), (6, 4))),
            Some(Destroyed {
                remote_port: 80,
                segments_sent: 6,
                segments_received: 4,
            })
        );
    }

    #[test]
    fn a_message_that_is_cut_short_is_none() {
        let whole = message((1, 2), (3, 4));
        for length in 0..whole.len() {
            assert_eq!(Destroyed::parse(&whole[..length]), None, "{length}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_tells_of_connections_that_are_over() {
        use std::net::{TcpListener, TcpStream};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut watch = match Watch::start(address.port()) {
            Ok(watch) => watch,
            Err(error) => {
                use std::io::Write;
                let _ = writeln!(io::stderr(), "skipped: this kernel does not tell: {error}");
                return;
            }
        };
        for _ in 0..3 {
            drop((
                TcpStream::connect(address).unwrap(),
                listener.accept().unwrap(),
            ));
        }
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while watch.tally().connections < 3 && !watch.tally.is_incomplete {
            assert!(std::time::Instant::now() < patience, "{:?}", watch.tally);
            std::thread::yield_now();
        }
        let Tally {
            connections,
            segments_sent,
            is_incomplete,
            ..
        } = watch.tally();
        assert!(is_incomplete || connections == 3);
        assert!(is_incomplete || segments_sent >= 3 * 2);
    }
}
