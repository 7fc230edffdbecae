//! The gateway as a whole: its threads, its sockets, and the configuration in force.
//!
//! Everything here may block: it is called by the process's own thread, never by a worker.

mod endpoint;
mod live;
mod logs;
mod process;
mod reload;
mod start;
mod tls;
mod worker;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use keepline::net::{BindOptions, Listener, bind_workers};
use keepline::proto::{Config as Protocol, Limits};
use keepline::server::{Handle, Server};
use keepline::tls::ServerTls;

pub(crate) use endpoint::Endpoint;
pub(crate) use live::Live;
pub(crate) use logs::Logs;
use process::Process;
pub use start::StartError;
use worker::{Duty, Worker};

use crate::config::{Config, ListenAddress};
use crate::error_log::ErrorLogs;
use crate::exchange::Gate;

/// What all workers look at.
#[derive(Debug)]
pub(crate) struct Shared {
    live: ArcSwap<Live>,
    /// Addresses that are not listened on any more, with the last configuration that had them: their
    /// connections may still bring requests.
    retired: ArcSwap<HashMap<ListenAddress, Arc<Live>>>,
}

impl Shared {
    /// The configuration in force.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// The configuration that holds for connections of an address.
    pub(crate) fn live_of(&self, address: &ListenAddress) -> Arc<Live> {
        let live = self.live.load_full();
        if live.endpoints.contains_key(address) {
            return live;
        }
        self.retired.load().get(address).cloned().unwrap_or(live)
    }
}

/// A gateway that runs. Dropped, it stops accepting and finishes what it has begun.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    process: Arc<Process>,
    workers: Vec<Worker>,
    listening: Mutex<HashMap<ListenAddress, Listening>>,
}

/// An address that is listened on.
#[derive(Debug)]
struct Listening {
    server: Server,
    /// The address that the kernel has given, where the port was 0.
    bound: Option<SocketAddr>,
}

impl Gateway {
    /// Puts a configuration in force: binds its addresses and starts its workers. When it returns, all
    /// sockets listen.
    ///
    /// # Errors
    /// An address cannot be bound, or something that the configuration names cannot be used.
    /// Nothing runs then.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_with(config, Arc::default())
    }

    /// [`start`](Self::start) with error logs that are open already.
    pub(crate) fn start_with(
        config: &Config,
        error_logs: Arc<ErrorLogs>,
    ) -> Result<Self, StartError> {
        let process = Arc::new(Process::new(error_logs));
        let live = Arc::new(Live::new(config, None, Arc::clone(&process))?);
        let count = live::worker_count(config);
        let mut sockets = Vec::new();
        for endpoint in live.endpoints.values() {
            sockets.push((Arc::clone(endpoint), bind(endpoint, count)?));
        }
        let shared = Arc::new(Shared {
            live: ArcSwap::new(Arc::clone(&live)),
            retired: ArcSwap::default(),
        });
        let workers = (0..count)
            .map(|number| Worker::start(number, &shared))
            .collect::<io::Result<Vec<_>>>()
            .map_err(StartError::worker)?;
        let gateway = Self {
            shared,
            process,
            workers,
            listening: Mutex::default(),
        };
        gateway.follow(&live);
        for (endpoint, listeners) in sockets {
            gateway.listen(&live, &endpoint, listeners)?;
        }
        Ok(gateway)
    }

    /// The addresses that are listened on, with the ports that the kernel has given where the
    /// configuration says 0. Unix sockets are not among them.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listening.values().filter_map(|one| one.bound).collect()
    }

    /// Stops gracefully: nothing is accepted any more, idle connections close, requests in progress
    /// are answered. [`join`](Self::join) waits for that.
    pub fn quit(&self) {
        self.process.for_each_server(Handle::shutdown);
    }

    /// Stops at once: connections are closed whatever they are doing.
    pub fn stop(&self) {
        self.process.for_each_server(Handle::abort);
    }

    /// What stops it at once while somebody waits in [`join`](Self::join).
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.process))
    }

    /// Opens the files of all access logs anew, because somebody has moved them away.
    ///
    /// # Errors
    /// A file cannot be opened; its lines go on into the old one.
    pub fn reopen_logs(&self) -> io::Result<()> {
        self.shared.live.load().logs.reopen()
    }

    /// Waits until all workers have ended, after [`quit`](Self::quit) or [`stop`](Self::stop).
    ///
    /// # Errors
    /// A worker has failed: it could not serve a socket, or it panicked.
    pub fn join(self) -> io::Result<()> {
        let mut outcome = Ok(());
        let listening = self.listening.into_inner();
        let addresses = listening.unwrap_or_else(PoisonError::into_inner);
        for worker in self.workers {
            let ended = worker.join();
            outcome = outcome.and(ended);
        }
        self.shared.live.load().logs.flush();
        addresses.keys().for_each(remove_socket);
        outcome
    }

    /// Has a worker follow the names of upstreams that are new.
    fn follow(&self, live: &Live) {
        let Some(worker) = self.workers.first() else {
            return;
        };
        for (follower, presence) in live.followers() {
            worker.give(Duty::Follow(Box::new(follower), presence));
        }
    }

    /// Has the workers serve an address, each with a socket of its own.
    fn listen(
        &self,
        live: &Live,
        endpoint: &Endpoint,
        listeners: Vec<Listener>,
    ) -> Result<(), StartError> {
        let server = server(live, endpoint, &self.shared)?;
        self.process.add_server(server.handle());
        let bound = listeners.first().and_then(Listener::local_addr);
        let address = &endpoint.listen.address;
        for (worker, listener) in self.workers.iter().zip(listeners) {
            let gate = Gate::new(Arc::clone(&self.shared), address.clone());
            worker.give(Duty::Serve(Box::new((server.clone(), listener, gate))));
        }
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listening.insert(address.clone(), Listening { server, bound });
        Ok(())
    }
}

/// Stops a [`Gateway`] at once, from elsewhere.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<Process>);

impl Stopper {
    /// Closes all connections, whatever they are doing.
    pub fn stop(&self) {
        self.0.for_each_server(Handle::abort);
    }
}

/// A Unix socket leaves a file, which would be in the way of the next start.
fn remove_socket(address: &ListenAddress) {
    if let ListenAddress::Unix(path) = address {
        // Who removed it before us has done what is to be done.
        let _ = std::fs::remove_file(path);
    }
}

/// A socket for each worker.
fn bind(endpoint: &Endpoint, workers: usize) -> Result<Vec<Listener>, StartError> {
    let listen = &endpoint.listen;
    let failed = |error| StartError::bind(&listen.address, error);
    match &listen.address {
        ListenAddress::Inet(address) => {
            let mut options = BindOptions::default();
            options.only_v6 = listen.ipv6_only;
            options.receive_buffer = listen.receive_buffer;
            options.send_buffer = listen.send_buffer;
            options.keep_alive = listen.tcp_keep_alive;
            options.backlog = listen
                .backlog
                .map_or(511, |backlog| i32::try_from(backlog).unwrap_or(i32::MAX));
            bind_workers(*address, options, workers).map_err(failed)
        }
        ListenAddress::Unix(path) => {
            let listener = UnixListener::bind(path).map_err(failed)?;
            let clones = (1..workers).map(|_| listener.try_clone());
            let clones: io::Result<Vec<_>> = clones.collect();
            let mut all: Vec<Listener> = clones
                .map_err(failed)?
                .into_iter()
                .map(Into::into)
                .collect();
            all.push(listener.into());
            Ok(all)
        }
    }
}

/// TLS as the configuration in force has it for an address: a reload renews certificates, and may begin or end
/// TLS.
fn tls_in_force(shared: &Arc<Shared>, address: &ListenAddress) -> ServerTls {
    let (shared, address) = (Arc::clone(shared), address.clone());
    ServerTls::from_fn(move || shared.live_of(&address).tls(&address))
}

/// The server of an address. What nginx decides before it knows the host is that of the default
/// server.
fn server(live: &Live, endpoint: &Endpoint, shared: &Arc<Shared>) -> Result<Server, StartError> {
    let default = &live.http.servers[endpoint.default_server()];
    let client = &default.scope.client;
    let (count, size) = default.large_header_buffers;
    let protocol = Protocol {
        limits: Limits {
            // The first buffer, then large ones; a line lies in one of them.
            head: count
                .saturating_mul(size)
                .saturating_add(default.header_buffer),
            line: size.max(default.header_buffer),
            fields: default.max_fields,
            ..Limits::default()
        },
        bare_lf: true,
        tells_keep_alive: true,
        ..Protocol::default()
    };
    let limit = |time: std::time::Duration| Some(time).filter(|time| !time.is_zero());
    Server::builder()
        .protocol(protocol)
        .head_timeout(limit(default.header_timeout))
        .handshake_timeout(limit(default.header_timeout))
        .body_timeout(limit(client.body_timeout))
        .write_timeout(limit(client.send_timeout))
        .cancel_on_half_close(true)
        .answer_options_asterisk(false)
        .max_connections(Some(live.most_connections))
        .admit_plain_http(true)
        .tls(tls_in_force(shared, &endpoint.listen.address))
        .build()
        .map_err(StartError::server)
}
