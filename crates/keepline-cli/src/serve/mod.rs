//! `keepline serve`: a server to try clients on.

mod access;
mod args;
mod files;
mod generated;
mod listening;
mod ranges;
mod routes;
mod stop;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Request;
use keepline::Body;
use keepline::net::{self, BindOptions, Listener};
use keepline::server::{Http2, Server, Workers, service_fn};

pub(crate) use args::Args;
pub(crate) use tls::SelfSigned;

use self::args::ConnectionArgs;
use self::files::Files;
use crate::failure::{Failure, Stop, Verdict};
use crate::output::Screen;
use crate::runtime;
use crate::values::Switch;

/// What the Keep-Alive field tells is so much less than the truth: a client that keeps to it
/// never sends a request into the close.
const HINT_MARGIN: Duration = Duration::from_secs(1);

/// Runs the sub-command.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Verdict, Stop> {
    let server = server(args)?;
    let sockets = listening::sockets(args)?;
    let workers = start(&server, sockets.listeners, args.root.clone())?;
    let scheme = if args.tls.is_on() { "https" } else { "http" };
    for place in sockets.places {
        screen.line(format_args!("listening on {}", place.url(scheme)))?;
    }
    // Scripts wait for this line.
    screen.flush()?;
    runtime::block_on(stop::until_stopped(workers, &server.handle(), screen))?
}

/// Answers the built-in paths, and the files below `root`, on each of `listeners`.
pub(crate) fn start(
    server: &Server,
    listeners: Vec<Listener>,
    root: Option<PathBuf>,
) -> Result<Workers, Failure> {
    let files = root.map(Files::below).transpose()?;
    let handle = server.handle();
    server
        .spawn_workers(listeners, |_| {
            let (files, handle) = (files.clone(), handle.clone());
            service_fn(move |request: Request<Body>| {
                let files = files.clone();
                // Counted when it is asked for, so that other requests share nothing.
                let is_stats = request.uri().path() == routes::STATS;
                let stats = is_stats.then(|| Box::new(handle.stats()));
                async move {
                    match files {
                        Some(files) => files.answer(request, stats).await,
                        None => Ok(routes::answer(request, stats).await),
                    }
                }
            })
        })
        .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))
}

fn server(args: &Args) -> Result<Server, Failure> {
    let ConnectionArgs {
        idle_timeout,
        head_timeout,
        body_timeout,
        body_progress,
        write_timeout,
        max_requests,
        max_age,
        keep_alive_header,
        max_connections,
        max_connections_per_peer,
    } = args.connections.clone();
    let mut builder = Server::builder()
        .idle_timeout(Some(idle_timeout))
        .head_timeout(Some(head_timeout))
        .body_timeout(Some(body_timeout))
        .body_progress(body_progress)
        .write_timeout(Some(write_timeout))
        .max_requests(max_requests)
        .max_connections(max_connections)
        .max_connections_per_peer(max_connections_per_peer)
        .http2(Http2::default())
        // A tenth earlier at most: connections that came together do not go together.
        .max_age(max_age, max_age.unwrap_or_default() / 10)
        .keep_alive_header((keep_alive_header == Switch::On).then_some(HINT_MARGIN));
    if args.root.is_none() {
        builder = builder.answer_first(routes::ready_answer);
    }
    if let Some(log) = args.access_log {
        builder = builder.on_exchange(log.hook());
    }
    if let Some(tls) = args.tls.server_tls()? {
        builder = builder.tls(tls);
    }
    builder
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))
}

/// Binds a socket for each worker.
pub(crate) fn listen(address: SocketAddr, workers: usize) -> Result<Vec<Listener>, Failure> {
    net::bind_workers(address, BindOptions::default(), workers)
        .map_err(|error| cannot_listen(address, &error))
}

/// Why nothing can listen at `address`, and what to do.
pub(crate) fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failure {
    let failure = Failure::new(format!("cannot listen on {address}: {error}"));
    match error.kind() {
        std::io::ErrorKind::AddrInUse => failure.fault("another process serves this port").help(
            format!(
                "'ss -ltnp sport = :{}' names it; --listen takes another, port 0 any that is free",
                address.port()
            ),
        ),
        std::io::ErrorKind::PermissionDenied => {
            failure.help("ports below 1024 are for the administrator: take a higher one")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            failure.help("this machine has no such address; 127.0.0.1 it always has")
        }
        _ => failure,
    }
}
