//! An address that is listened on: its sockets, and which worker serves which of them.
//!
//! There are as many sockets as there have ever been workers, so that the kernel spreads the connections.
//! Socket `n` is served by worker `n` modulo their number. A handle on each socket stays here: when another
//! worker takes it over, the connections that nobody has accepted yet wait for that one.
//!
//! Invariant: a socket is served by one worker at a time, or by none for a moment.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use keepline::net::{self, BindOptions, Listener};
use keepline::server::{Handle, Server};
use tokio::sync::oneshot;

use super::start::StartError;
use super::worker::{Duty, Socket, Worker};
use crate::config::{Listen, ListenAddress};
use crate::exchange::Gate;

/// An address that is listened on.
#[derive(Debug)]
pub(crate) struct Listening {
    listen: Listen,
    server: Server,
    gate: Gate,
    sockets: Vec<Served>,
}

/// A socket, with who serves it.
#[derive(Debug)]
struct Served {
    socket: Listener,
    by: Option<By>,
}

/// The worker of a socket; dropped, it accepts from it no more.
#[derive(Debug)]
struct By {
    worker: usize,
    _until: oneshot::Sender<()>,
}

impl Listening {
    pub(crate) fn new(listen: Listen, server: Server, gate: Gate, sockets: Vec<Listener>) -> Self {
        let unserved = |socket| Served { socket, by: None };
        Self {
            listen,
            server,
            gate,
            sockets: sockets.into_iter().map(unserved).collect(),
        }
    }

    pub(crate) fn handle(&self) -> Handle {
        self.server.handle()
    }

    /// The address that the kernel has given, where the port was 0; none of a Unix socket.
    pub(crate) fn bound(&self) -> Option<SocketAddr> {
        self.sockets.first()?.socket.local_addr()
    }

    /// What it takes that so many workers serve it. Nothing is changed yet.
    pub(crate) fn prepare(&self, workers: usize) -> Result<Moves, StartError> {
        let failed = |error| StartError::bind(&self.listen.address, error);
        let further = self.further(workers).map_err(failed)?;
        let known = self.sockets.iter().map(|served| {
            let by = served.by.as_ref().map(|by| by.worker);
            (&served.socket, by)
        });
        let all = known.chain(further.iter().map(|socket| (socket, None)));
        let moving = all.enumerate().filter_map(|(number, (socket, by))| {
            let worker = number % workers;
            let moves = by != Some(worker);
            moves.then(|| socket.try_clone().map(|handle| (number, worker, handle)))
        });
        let handles = moving.collect::<io::Result<_>>().map_err(failed)?;
        Ok(Moves { further, handles })
    }

    /// The sockets that are missing so that each worker has one.
    fn further(&self, workers: usize) -> io::Result<Vec<Listener>> {
        let missing = workers.saturating_sub(self.sockets.len());
        match (missing, self.bound()) {
            (0, _) => Ok(Vec::new()),
            (_, Some(bound)) => net::bind_beside(bound, options(&self.listen), missing),
            (_, None) => {
                let clones = self.sockets.iter().cycle().take(missing);
                clones.map(|served| served.socket.try_clone()).collect()
            }
        }
    }

    /// Has the workers serve the sockets as prepared.
    pub(crate) fn assign(&mut self, moves: Moves, workers: &[Worker]) {
        let further = moves.further.into_iter();
        self.sockets
            .extend(further.map(|socket| Served { socket, by: None }));
        for (number, worker, listener) in moves.handles {
            let (until, ended) = oneshot::channel();
            workers[worker].give(Duty::Serve(Box::new(Socket {
                server: self.server.clone(),
                listener,
                gate: self.gate.clone(),
                until: ended,
            })));
            // The one before leaves the socket.
            self.sockets[number].by = Some(By {
                worker,
                _until: until,
            });
        }
    }

    /// Closes the sockets. A Unix socket leaves a file, which would be in the way of the next start.
    pub(crate) fn close(&mut self) {
        if std::mem::take(&mut self.sockets).is_empty() {
            return;
        }
        if let ListenAddress::Unix(path) = &self.listen.address {
            // Who removed it before us has done what is to be done.
            let _ = fs::remove_file(path);
        }
    }
}

/// Sockets that other workers are to serve.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    further: Vec<Listener>,
    /// The number of a socket, that of its worker, and the handle for it.
    handles: Vec<(usize, usize, Listener)>,
}

/// Fails if somebody else listens at an address.
pub(crate) fn probe(listen: &Listen) -> Result<(), StartError> {
    match &listen.address {
        ListenAddress::Inet(address) => net::probe(*address, options(listen))
            .map_err(|error| StartError::bind(&listen.address, error)),
        // Binding tells.
        ListenAddress::Unix(_) => Ok(()),
    }
}

/// A socket for each worker.
pub(crate) fn bind(listen: &Listen, workers: usize) -> Result<Vec<Listener>, StartError> {
    let failed = |error| StartError::bind(&listen.address, error);
    match &listen.address {
        ListenAddress::Inet(address) => {
            net::bind_beside(*address, options(listen), workers).map_err(failed)
        }
        ListenAddress::Unix(path) => {
            let first: Listener = bind_unix(path).map_err(failed)?.into();
            let clones = (1..workers).map(|_| first.try_clone());
            let mut all = clones.collect::<io::Result<Vec<_>>>().map_err(failed)?;
            all.push(first);
            Ok(all)
        }
    }
}

/// For everybody, as nginx has it: who may connect is decided by the directory.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    Ok(listener)
}

fn options(listen: &Listen) -> BindOptions {
    let mut options = BindOptions::default();
    options.only_v6 = listen.ipv6_only;
    options.receive_buffer = listen.receive_buffer;
    options.send_buffer = listen.send_buffer;
    options.keep_alive = listen.tcp_keep_alive;
    options.backlog = listen
        .backlog
        .map_or(511, |backlog| i32::try_from(backlog).unwrap_or(i32::MAX));
    options
}
