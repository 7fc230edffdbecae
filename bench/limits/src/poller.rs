//! A thin cover of epoll: level-triggered, a token for each descriptor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const EVENTS_AT_ONCE: usize = 256;

/// Level-triggered on purpose: no connection needs a read that finds nothing, so a request costs
/// one `recv`, one `send` and a share of an `epoll_wait`. No program that waits for readiness can
/// do with less.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub token: usize,
    pub writable: bool,
    /// Also at the end of the stream and after an error: the read tells which.
    pub readable: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interest {
    pub read: bool,
    pub write: bool,
}

impl Interest {
    pub const READ: Self = Self {
        read: true,
        write: false,
    };

    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.read);
        flags.set(EventFlags::OUT, self.write);
        flags
    }
}

impl Poller {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_AT_ONCE),
        })
    }

    /// A descriptor leaves the set when it is closed.
    pub fn add(&self, source: impl AsFd, token: usize) -> io::Result<()> {
        let data = EventData::new_u64(token as u64);
        Ok(epoll::add(&self.epoll, source, data, EventFlags::IN)?)
    }

    pub fn change(&self, source: impl AsFd, token: usize, interest: Interest) -> io::Result<()> {
        let data = EventData::new_u64(token as u64);
        Ok(epoll::modify(&self.epoll, source, data, interest.flags())?)
    }

    pub fn wait(&mut self) -> io::Result<()> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the last [`Self::wait`] found, by index, so that the poller stays free for `change`.
    pub fn ready(&self, index: usize) -> Option<Ready> {
        let event = self.events.get(index)?;
        // An event in the set is packed; copy its fields out before use.
        let (flags, data) = (event.flags, event.data);
        Some(Ready {
            token: usize::try_from(data.u64()).expect("tokens are made from usize"),
            writable: flags.contains(EventFlags::OUT),
            readable: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
        })
    }
}

/// `None` where the descriptor is not ready, which is not an error.
pub fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
