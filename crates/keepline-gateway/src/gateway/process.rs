//! What belongs to the process, whatever its configuration.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use keepline::server::Handle;

use crate::error_log::ErrorLogs;
use crate::user::Identity;

/// What outlives every configuration.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) hostname: Box<str>,
    /// A random number, the same for the life of the process.
    pub(crate) seed: u64,
    servers: Mutex<Vec<Handle>>,
    /// Requests in progress.
    serving: AtomicU64,
    pub(crate) error_logs: Arc<ErrorLogs>,
    /// Who the workers become.
    pub(crate) identity: Option<Identity>,
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

/// A request in progress.
#[derive(Debug)]
pub(crate) struct InProgress<'p>(&'p Process);

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Process {
    pub(crate) fn new(error_logs: Arc<ErrorLogs>, identity: Option<Identity>) -> Self {
        let name = rustix::system::uname();
        Self {
            hostname: name.nodename().to_string_lossy().to_lowercase().into(),
            seed: RandomState::new().hash_one(std::process::id()),
            servers: Mutex::default(),
            serving: AtomicU64::new(0),
            error_logs,
            identity,
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

    /// Counts a request that is in progress until the answer is dropped.
    pub(crate) fn serve(&self) -> InProgress<'_> {
        self.serving.fetch_add(1, Ordering::Relaxed);
        InProgress(self)
    }

    pub(crate) fn clients(&self) -> Clients {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut clients = Clients::default();
        for stats in servers.iter().map(Handle::stats) {
            clients.accepted += stats.opened;
            clients.requests += stats.requests;
            clients.active += stats.open;
        }
        clients.writing = self.serving.load(Ordering::Relaxed).min(clients.active);
        clients.waiting = clients.active - clients.writing;
        clients
    }
}
