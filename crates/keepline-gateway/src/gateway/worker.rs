//! A thread with a runtime of its own, which serves the connections that it accepts.

use std::io;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use keepline::net::Listener;
use keepline::server::Server;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Shared;
use crate::exchange::Gate;
use crate::upstream::{Follower, Presence};
use crate::user::Identity;

/// What a worker is to do.
#[derive(Debug)]
pub(crate) enum Duty {
    /// A listening socket is to be served.
    Serve(Box<Socket>),
    /// A name is to be followed, which ends with the upstream that it is of, or with the worker.
    Follow(Box<Follower>, Presence),
}

/// A listening socket, and what serves it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) server: Server,
    pub(crate) listener: Listener,
    pub(crate) gate: Gate,
    /// The socket is left when the other end is gone.
    pub(crate) until: oneshot::Receiver<()>,
}

/// A worker. Dropped, it ends when the last of its connections is gone.
#[derive(Debug)]
pub(crate) struct Worker {
    duties: mpsc::UnboundedSender<Duty>,
    thread: JoinHandle<io::Result<()>>,
}

impl Worker {
    /// The first also writes what waits in the buffers of logs. It is who it should be when this returns.
    pub(crate) fn start(number: usize, shared: &Arc<Shared>) -> io::Result<Self> {
        let logs = (number == 0).then(|| Arc::downgrade(shared));
        let (duties, incoming) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let process = Arc::clone(shared.live().process());
        let (became, becomes) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let outcome = process.identity.as_ref().map_or(Ok(()), Identity::assume);
                drop(process);
                let is_ready = outcome.is_ok();
                let _ = became.send(outcome);
                if !is_ready {
                    return Ok(());
                }
                runtime.block_on(serve(incoming, logs))
            })?;
        let gone = |_| Err(io::Error::other("a worker panicked"));
        becomes.recv().unwrap_or_else(gone)?;
        Ok(Self { duties, thread })
    }

    /// Gives it something more to do. One that has ended does nothing.
    pub(crate) fn give(&self, duty: Duty) {
        let _ = self.duties.send(duty);
    }

    /// It gets no further duties: when it has left its sockets and the last of its connections is gone, it
    /// ends.
    pub(crate) fn leave(self) -> Leaving {
        Leaving(self.thread)
    }
}

/// A worker that serves what it has accepted.
#[derive(Debug)]
pub(crate) struct Leaving(JoinHandle<io::Result<()>>);

impl Leaving {
    pub(crate) fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits until it has ended.
    pub(crate) fn join(self) -> io::Result<()> {
        let ended = self.0.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))
    }
}

/// Writes the lines of access logs whose time in the buffer is over.
async fn flush_logs(shared: Weak<Shared>) {
    while let Some(live) = shared.upgrade().map(|shared| shared.live()) {
        let wait = live.logs.write_due(Instant::now());
        drop(live);
        tokio::time::sleep(wait).await;
    }
}

/// Serves what comes, until nothing more can come and all is done.
async fn serve(
    mut incoming: mpsc::UnboundedReceiver<Duty>,
    logs: Option<Weak<Shared>>,
) -> io::Result<()> {
    let mut serving = JoinSet::new();
    if let Some(shared) = logs {
        tokio::spawn(flush_logs(shared));
    }
    loop {
        tokio::select! {
            duty = incoming.recv() => match duty {
                Some(Duty::Serve(socket)) => {
                    let Socket { server, listener, gate, until } = *socket;
                    let until = async { let _ = until.await; };
                    serving.spawn(server.serve_raw_until(listener, gate, until));
                }
                Some(Duty::Follow(follower, presence)) => {
                    tokio::spawn(follower.follow(presence));
                }
                None => break,
            },
            Some(ended) = serving.join_next() => ended.map_err(io::Error::other)??,
        }
    }
    while let Some(ended) = serving.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    Ok(())
}
