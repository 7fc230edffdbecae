//! Looks at the kernel: which sockets are meant, and on which side each of them is.

use std::collections::HashSet;
use std::io;
use std::time::Instant;

use super::ports::{HeadRoom, Ports};
use super::tally::{Sample, Tally};
use crate::failure::Failure;
use crate::kernel::Ends;
use crate::kernel::sockets::{self, Socket, Source};

/// Whose connections are meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    Port(u16),
    Process(u32),
}

/// What was seen at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) server: Sample,
    pub(super) client: Sample,
    pub(super) ports: Option<HeadRoom>,
    pub(super) source: Source,
    /// Each socket that ended was told.
    pub(super) is_exact: bool,
}

/// Looks again and again.
pub(super) struct Look {
    whose: Whose,
    source: Source,
    ends: Option<Ends>,
    server: Tally,
    client: Tally,
    ports: Ports,
    /// Ports at which the process serves, as far as they are known.
    served: HashSet<u16>,
    /// Sockets that ended after the look before was made.
    late: Vec<Socket>,
}

/// On which side of a connection a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

impl Look {
    pub(super) fn new(whose: Whose, source: Source) -> Result<Self, Failure> {
        let range = sockets::local_port_range().unwrap_or((32768, 60999));
        let mut look = Self {
            whose,
            source,
            // Subscribed before the first look, so that nothing is missed in between.
            ends: Ends::subscribe().ok().filter(|_| source == Source::Netlink),
            server: Tally::default(),
            client: Tally::default(),
            ports: Ports::new(range),
            served: HashSet::new(),
            late: Vec::new(),
        };
        look.look(Instant::now())
            .map_err(|error| look.failure(&error))?;
        Ok(look)
    }

    fn failure(&self, error: &io::Error) -> Failure {
        match self.whose {
            Whose::Port(_) => {
                Failure::new(format!("the kernel does not show its sockets: {error}"))
                    .help("this needs Linux, and /proc or netlink sockets")
            }
            Whose::Process(pid) => Failure::new(format!(
                "process {pid} cannot be looked at: {error}"
            ))
            .help("does it run, and as the same user? root sees all; --port needs no rights"),
        }
    }

    /// Looks now.
    pub(super) fn look(&mut self, now: Instant) -> io::Result<Seen> {
        let mut ended = std::mem::take(&mut self.late);
        let mut is_exact = self.ends.is_some();
        let mut more = Vec::new();
        if let Some(ends) = &self.ends {
            is_exact &= ends.read(|socket| ended.push(socket));
        }
        let (server, client) = self.sides()?;
        if let Some(ends) = &self.ends {
            is_exact &= ends.read(|socket| more.push(socket));
        }
        // What ended while the kernel was asked counts now if its answer was made without it.
        for socket in more {
            let is_there = |known: &Socket| known.is_whole && same(known, &socket);
            match server.iter().chain(&client).any(is_there) {
                true => self.late.push(socket),
                false => ended.push(socket),
            }
        }
        let mut gone = (Vec::new(), Vec::new());
        for socket in ended {
            match self.side_of_ended(&socket) {
                Some(Side::Server) => gone.0.push(socket),
                Some(Side::Client) => gone.1.push(socket),
                None => {}
            }
        }
        let told = self.ends.is_some();
        Ok(Seen {
            server: self.server.look(now, &server, told.then_some(&gone.0)),
            client: self.client.look(now, &client, told.then_some(&gone.1)),
            ports: self.ports.look(now, &client),
            source: self.source,
            is_exact,
        })
    }

    /// The sockets that are meant, by side.
    fn sides(&mut self) -> io::Result<(Vec<Socket>, Vec<Socket>)> {
        let (port, inodes) = match self.whose {
            Whose::Port(port) => (Some(port), HashSet::new()),
            Whose::Process(pid) => {
                let inodes = sockets::inodes_of(pid)?;
                self.served.extend(sockets::listening_ports(&inodes)?);
                (None, inodes)
            }
        };
        let (mut server, mut client) = (Vec::new(), Vec::new());
        for socket in sockets::read(self.source, port)? {
            match self.side(&socket, &inodes) {
                Some(Side::Server) => server.push(socket),
                Some(Side::Client) => client.push(socket),
                None => {}
            }
        }
        Ok((server, client))
    }

    fn side(&self, socket: &Socket, inodes: &HashSet<u64>) -> Option<Side> {
        match self.whose {
            Whose::Port(port) if socket.local.port() == port => Some(Side::Server),
            Whose::Port(port) => (socket.remote.port() == port).then_some(Side::Client),
            Whose::Process(_) if self.served.contains(&socket.local.port()) => Some(Side::Server),
            // What is left of a socket, in TIME-WAIT, belongs to no process any more.
            Whose::Process(_) => {
                let is_its = inodes.contains(&socket.inode) || self.client.knows(socket);
                is_its.then_some(Side::Client)
            }
        }
    }

    fn side_of_ended(&self, socket: &Socket) -> Option<Side> {
        self.side(socket, &HashSet::new())
    }
}

fn same(one: &Socket, other: &Socket) -> bool {
    (one.local, one.remote) == (other.local, other.remote)
}
