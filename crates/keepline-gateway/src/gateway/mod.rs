//! The gateway as a whole: its threads, its sockets, and the configuration in force.
//!
//! Everything here may block: it is called by the process's own thread, never by a worker.

mod endpoint;
mod listening;
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
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use keepline::proto::{Config as Protocol, Limits};
use keepline::server::{Handle, Reception, Server};
use keepline::tls::ServerTls;

pub(crate) use endpoint::Endpoint;
use listening::{Listening, Moves};
pub(crate) use live::Live;
pub(crate) use logs::Logs;
use process::Process;
pub use start::StartError;
use worker::{Duty, Leaving, Worker};

use crate::config::{Config, ListenAddress};
use crate::error_log::ErrorLogs;
use crate::exchange::Gate;
use crate::user::Identity;

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
    /// Workers that a reload has left without sockets.
    leaving: Vec<Leaving>,
    listening: Mutex<HashMap<ListenAddress, Listening>>,
}

impl Gateway {
    /// Puts a configuration in force: binds its addresses and starts its workers. When it returns, all
    /// sockets listen.
    ///
    /// # Errors
    /// An address cannot be bound, or something that the configuration names cannot be used.
    /// Nothing runs then.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_with(config, Arc::default(), None)
    }

    /// [`start`](Self::start) with error logs that are open already, and workers that become somebody else.
    pub(crate) fn start_with(
        config: &Config,
        error_logs: Arc<ErrorLogs>,
        identity: Option<Identity>,
    ) -> Result<Self, StartError> {
        let process = Arc::new(Process::new(error_logs, identity));
        let live = Arc::new(Live::new(config, None, Arc::clone(&process))?);
        let count = live::worker_count(config);
        let shared = Arc::new(Shared {
            live: ArcSwap::new(Arc::clone(&live)),
            retired: ArcSwap::default(),
        });
        let endpoints: Vec<_> = live.endpoints.values().collect();
        let mut listening = bind(&live, &endpoints, &shared, count, |_| false)?;
        let workers = start_workers(0..count, &shared)?;
        for (_, (listening, moves)) in &mut listening {
            process.add_server(listening.handle());
            listening.assign(std::mem::take(moves), &workers);
        }
        let listening = listening.into_iter();
        let listening = listening.map(|(address, (listening, _))| (address, listening));
        let gateway = Self {
            shared,
            process,
            workers,
            leaving: Vec::new(),
            listening: Mutex::new(listening.collect()),
        };
        gateway.follow(&live);
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
        listening.values().filter_map(Listening::bound).collect()
    }

    /// Stops gracefully: nothing is accepted any more, idle connections close, requests in progress
    /// are answered. [`join`](Self::join) waits for that.
    pub fn quit(&self) {
        self.close();
        self.process.for_each_server(Handle::shutdown);
    }

    /// Stops at once: connections are closed whatever they are doing.
    pub fn stop(&self) {
        self.close();
        self.process.for_each_server(Handle::abort);
    }

    fn close(&self) {
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listening.values_mut().for_each(Listening::close);
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
        let workers = self.workers.into_iter().map(Worker::leave);
        for worker in self.leaving.into_iter().chain(workers) {
            let ended = worker.join();
            outcome = outcome.and(ended);
        }
        self.shared.live.load().logs.flush();
        outcome
    }

    /// Has a worker follow the names of upstreams that are new. The first is there as long as the gateway.
    fn follow(&self, live: &Live) {
        let Some(worker) = self.workers.first() else {
            return;
        };
        for (follower, presence) in live.followers() {
            worker.give(Duty::Follow(Box::new(follower), presence));
        }
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

/// Addresses that are ready to be served by so many workers, with what is to be done then.
type Bound = Vec<(ListenAddress, (Listening, Moves))>;

/// Binds the addresses of `endpoints`. `is_ours`: this process listens there, or at an address that overlaps.
fn bind(
    live: &Live,
    endpoints: &[&Arc<Endpoint>],
    shared: &Arc<Shared>,
    workers: usize,
    is_ours: impl Fn(&ListenAddress) -> bool,
) -> Result<Bound, StartError> {
    let listens = || endpoints.iter().map(|endpoint| &endpoint.listen);
    // All before the first is bound: the addresses of a configuration may overlap.
    for listen in listens().filter(|listen| !is_ours(&listen.address)) {
        listening::probe(listen)?;
    }
    let bound = endpoints.iter().map(|endpoint| {
        let listen = &endpoint.listen;
        let server = server(live, endpoint, shared)?;
        let gate = Gate::new(Arc::clone(shared), listen.address.clone());
        let sockets = listening::bind(listen, workers)?;
        let listening = Listening::new(listen.clone(), server, gate, sockets);
        let moves = listening.prepare(workers)?;
        Ok((listen.address.clone(), (listening, moves)))
    });
    bound.collect()
}

fn start_workers(
    numbers: std::ops::Range<usize>,
    shared: &Arc<Shared>,
) -> Result<Vec<Worker>, StartError> {
    let workers = numbers.map(|number| Worker::start(number, shared));
    workers
        .collect::<io::Result<_>>()
        .map_err(StartError::worker)
}

/// TLS as the configuration in force has it for an address: a reload renews certificates, and may begin or end
/// TLS.
fn tls_in_force(shared: &Arc<Shared>, address: &ListenAddress) -> ServerTls {
    let (shared, address) = (Arc::clone(shared), address.clone());
    ServerTls::from_fn(move || shared.live_of(&address).tls(&address))
}

/// The server of an address.
fn server(live: &Live, endpoint: &Endpoint, shared: &Arc<Shared>) -> Result<Server, StartError> {
    let server = Server::builder()
        .answer_options_asterisk(false)
        .max_connections(Some(live.most_connections))
        .admit_plain_http(true)
        .tls(tls_in_force(shared, &endpoint.listen.address))
        .build()
        .map_err(StartError::server)?;
    let handle = server.handle();
    let reception = reception(live, endpoint, handle.reception());
    handle.receive_with(reception).map_err(StartError::server)?;
    Ok(server)
}

/// How clients are received at an address. What nginx decides before it knows the host is that of the default
/// server.
fn reception(live: &Live, endpoint: &Endpoint, mut reception: Reception) -> Reception {
    let default = &live.http.servers[endpoint.default_server()];
    let (count, size) = default.large_header_buffers;
    reception.protocol = Arc::new(Protocol {
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
    });
    let limit = |time: std::time::Duration| Some(time).filter(|time| !time.is_zero());
    reception.head_timeout = limit(default.header_timeout);
    reception.handshake_timeout = limit(default.header_timeout);
    let client = &default.scope.client;
    reception.terms.body_timeout = limit(client.body_timeout);
    reception.terms.write_timeout = limit(client.send_timeout);
    reception.terms.cancel_on_half_close = true;
    reception
}
