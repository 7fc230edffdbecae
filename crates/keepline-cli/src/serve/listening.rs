//! The sockets that `keepline serve` listens on: those that it was started with, or its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::thread;

use keepline::net::{BindOptions, Inherited, Listener, inherited_listeners};

use super::args::Args;
use super::listen;
use crate::failure::Failure;

/// Where it listens if nothing else is said.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What is listened on.
pub(super) struct Sockets {
    /// One or more for each worker.
    pub(super) listeners: Vec<Listener>,
    pub(super) places: Vec<Place>,
}

/// Where a client finds a socket.
pub(super) enum Place {
    At(SocketAddr),
    /// A socket without a port, by its name.
    Named(String),
}

impl Place {
    pub(super) fn url(&self, scheme: &str) -> String {
        match self {
            Self::At(address) => format!("{scheme}://{address}"),
            Self::Named(name) => name.clone(),
        }
    }
}

/// The sockets for all workers.
pub(super) fn sockets(args: &Args) -> Result<Sockets, Failure> {
    let workers = args.workers.map_or_else(cores, NonZeroUsize::get);
    let inherited = inherited_listeners(BindOptions::default()).map_err(|error| {
        Failure::new(format!(
            "cannot use the sockets of the service manager: {error}"
        ))
        .help("the unit has 'ListenStream=' alone, and 'Accept=no'")
    })?;
    let mut sockets = match args.listen {
        Some(_) if !inherited.is_empty() => {
            return Err(Failure::new(
                "--listen is given, and so are sockets by the service manager",
            )
            .help("leave one of them out"));
        }
        None if !inherited.is_empty() => shared(inherited, workers)?,
        address => {
            let address = address.unwrap_or(USUAL);
            let listeners = listen(address, workers)?;
            let bound = listeners.first().and_then(Listener::local_addr);
            let places = vec![Place::At(bound.unwrap_or(address))];
            Sockets { listeners, places }
        }
    };
    let announced = |listener: Listener| listener.proxy_protocol(args.proxy_protocol);
    sockets.listeners = sockets.listeners.into_iter().map(announced).collect();
    Ok(sockets)
}

/// Each socket, in the hands of each worker.
fn shared(inherited: Vec<Inherited>, workers: usize) -> Result<Sockets, Failure> {
    let failed = |error| Failure::new(format!("cannot share a socket: {error}"));
    let (mut listeners, mut places) = (Vec::new(), Vec::new());
    for Inherited { name, listener, .. } in inherited {
        places.push(match listener.local_addr() {
            Some(address) => Place::At(address),
            None => Place::Named(name.unwrap_or_else(|| "a Unix socket".to_owned())),
        });
        for _ in 1..workers {
            listeners.push(listener.try_clone().map_err(failed)?);
        }
        listeners.push(listener);
    }
    Ok(Sockets { listeners, places })
}

/// The cores that this process may use.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
