//! What a peer remembers of its connections, and how each of them ended.

use tokio::sync::watch;

/// How a connection of a [`Peer`](super::Peer) ended, as the peer saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The client closed: its FIN came.
    ClientClosed,
    /// The client reset the connection, as a kernel does for a socket that is closed with unread
    /// bytes.
    ClientReset,
    /// The script closed first.
    PeerClosed,
    /// The script reset first.
    PeerReset,
}

/// All that happened at one peer.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) connections: Vec<ConnectionLog>,
    /// The first script that met what it didn't expect.
    pub(super) failure: Option<String>,
}

impl Log {
    pub(super) fn fail(&mut self, failure: String) {
        self.failure.get_or_insert(failure);
    }

    #[track_caller]
    pub(super) fn connection(&self, number: usize) -> &ConnectionLog {
        self.connections.get(number).unwrap_or_else(|| {
            panic!(
                "only {} connections were accepted, none numbered {number}",
                self.connections.len()
            )
        })
    }
}

/// What happened on one connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionLog {
    pub(super) received: Vec<u8>,
    pub(super) heads: Vec<String>,
    pub(super) ending: Option<Ending>,
}

/// Writes the log of one connection, and wakes those who wait for an entry.
pub(super) struct Recorder {
    log: watch::Sender<Log>,
    number: usize,
}

impl Recorder {
    /// Enters a new connection into the log.
    pub(super) fn new(log: watch::Sender<Log>) -> Self {
        let mut number = 0;
        log.send_modify(|log| {
            number = log.connections.len();
            log.connections.push(ConnectionLog::default());
        });
        Self { log, number }
    }

    pub(super) fn received(&self, bytes: &[u8]) {
        self.log.send_modify(|log| {
            log.connections[self.number]
                .received
                .extend_from_slice(bytes);
        });
    }

    pub(super) fn head(&self, head: &[u8]) {
        let head = String::from_utf8_lossy(head).into_owned();
        self.log
            .send_modify(|log| log.connections[self.number].heads.push(head));
    }

    pub(super) fn ended(&self, ending: Ending) {
        self.log
            .send_modify(|log| log.connections[self.number].ending = Some(ending));
    }

    pub(super) fn failed(&self, what: &str) {
        self.log.send_modify(|log| {
            let received = log.connections[self.number].received.escape_ascii();
            let failure = format!(
                "the script of connection {} failed: {what}; received in all: \"{received}\"",
                self.number
            );
            log.fail(failure);
        });
    }
}
