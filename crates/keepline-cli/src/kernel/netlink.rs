//! A netlink socket: what the kernel tells about sockets that end, and what it answers about those
//! that are. Linux only; elsewhere it says so.

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send,
        socket_with, sockopt,
    };

    use crate::kernel::diag::{self, Part};

    /// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY`, as bits.
    const TCP_DESTROYED: u32 = 1 | 1 << 2;
    /// Room for what the kernel tells until it is read: some thousand sockets, if it grants it.
    const ROOM: usize = 4 << 20;
    /// The kernel's answers come in pieces of at most this.
    const PIECE: usize = 64 << 10;

    /// What the kernel tells about destroyed sockets.
    #[derive(Debug)]
    pub(in crate::kernel) struct Messages(OwnedFd);

    impl Messages {
        pub(in crate::kernel) fn subscribe() -> io::Result<Self> {
            let socket = open(SocketFlags::NONBLOCK)?;
            // As much as this process may: the second is less, and never refused.
            if sockopt::set_socket_recv_buffer_size_force(&socket, ROOM).is_err() {
                sockopt::set_socket_recv_buffer_size(&socket, ROOM)?;
            }
            bind(&socket, &SocketAddrNetlink::new(0, TCP_DESTROYED))?;
            Ok(Self(socket))
        }

        /// Hands over what has come. `false`: some of it was lost.
        pub(in crate::kernel) fn read(&self, mut take: impl FnMut(&[u8])) -> bool {
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

    /// Sends a request and hands over each message of the answer.
    pub(in crate::kernel) fn ask(request: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let socket = open(SocketFlags::empty())?;
        send(&socket, request, SendFlags::empty())?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = match recv(&socket, piece.as_mut_slice(), RecvFlags::empty()) {
                Ok((read, _)) => read,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            for part in diag::parts(&piece[..read]) {
                match part {
                    Part::Message(message) => take(message),
                    Part::Done => return Ok(()),
                    Part::Error(number) => {
                        return Err(io::Error::from_raw_os_error(number.wrapping_neg()));
                    }
                }
            }
        }
    }

    fn open(flags: SocketFlags) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | flags;
        let family = AddressFamily::NETLINK;
        Ok(socket_with(
            family,
            SocketType::DGRAM,
            flags,
            Some(SOCK_DIAG),
        )?)
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::{Messages, ask};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io;

    #[derive(Debug)]
    pub(in crate::kernel) enum Messages {}

    impl Messages {
        pub(in crate::kernel) fn subscribe() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(in crate::kernel) fn read(&self, _take: impl FnMut(&[u8])) -> bool {
            match *self {}
        }
    }

    pub(in crate::kernel) fn ask(_request: &[u8], _take: impl FnMut(&[u8])) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::{Messages, ask};
