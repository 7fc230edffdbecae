//! Connections as the kernel counts them, and what they cost it.
//!
//! The kernel tells each TCP socket that it destroys, with the socket's own counters, to whoever
//! listens on a netlink socket (`sock_diag`, what `ss -E` shows; no privilege needed). That
//! counts every connection exactly once whoever closed it and however: a table of open sockets
//! would miss those that came and went between two readings, and those that were reset, which
//! leave no TIME-WAIT behind.

pub(crate) mod diag;
mod netlink;
pub(crate) mod sockets;

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;

use self::diag::Message;
use self::sockets::Source;

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

/// The kernel's messages about connections to one port.
#[derive(Debug)]
pub(crate) struct Watch {
    messages: netlink::Messages,
    port: u16,
    /// Both ends of those that are not new: what is left of connections to somebody who had the
    /// port before, or from it.
    old: HashSet<(SocketAddr, SocketAddr)>,
    tally: Tally,
}

impl Watch {
    /// Counts what becomes of connections to `port` that are made from now on.
    ///
    /// # Errors
    /// This kernel does not tell.
    pub(crate) fn start(port: u16) -> io::Result<Self> {
        let old = sockets::read(Source::Netlink, Some(port))?;
        Ok(Self {
            messages: netlink::Messages::subscribe()?,
            port,
            old: old.iter().map(|old| (old.local, old.remote)).collect(),
            tally: Tally::default(),
        })
    }

    /// What has been counted so far. To be asked often enough that the kernel need not hold much.
    pub(crate) fn tally(&mut self) -> Tally {
        let Self {
            messages,
            port,
            old,
            tally,
        } = self;
        let complete = messages.read(|message| {
            let Some(Message {
                socket,
                info: Some(info),
            }) = Message::parse(message)
            else {
                return;
            };
            // A server's socket has its client's port here, and is not counted.
            if socket.remote.port() == *port && !old.contains(&(socket.local, socket.remote)) {
                tally.connections += 1;
                tally.segments_sent += u64::from(info.segments_sent);
                tally.segments_received += u64::from(info.segments_received);
            }
        });
        tally.is_incomplete |= !complete;
        *tally
    }
}

/// The sockets that end, whatever their ports.
#[derive(Debug)]
pub(crate) struct Ends(netlink::Messages);

impl Ends {
    /// From now on.
    ///
    /// # Errors
    /// This kernel does not tell.
    pub(crate) fn subscribe() -> io::Result<Self> {
        netlink::Messages::subscribe().map(Self)
    }

    /// Hands over those that have ended since. `false`: there were more than could be told.
    pub(crate) fn read(&self, mut take: impl FnMut(sockets::Socket)) -> bool {
        self.0.read(|message| {
            if let Some(message) = Message::parse(message) {
                take(message.socket);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_tells_of_connections_that_are_over() {
        use std::net::{TcpListener, TcpStream};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let before = (
            TcpStream::connect(address).unwrap(),
            listener.accept().unwrap(),
        );
        let mut watch = match Watch::start(address.port()) {
            Ok(watch) => watch,
            Err(error) => {
                use std::io::Write;
                let _ = writeln!(io::stderr(), "skipped: this kernel does not tell: {error}");
                return;
            }
        };
        drop(before);
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
