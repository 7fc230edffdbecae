//! The server that plays a plan on every connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use crate::event::{Event, EventKind};
use crate::{Plan, player, script};

/// So many connections are served at once; others wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 1024;
/// So many events wait for their reader; later ones are dropped.
const MOST_EVENTS: usize = 4096;
/// The pause after a failed accept, which is what running out of files is.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A server that misbehaves as planned. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct FaultServer {
    addr: SocketAddr,
    events: mpsc::Receiver<Event>,
    accepting: JoinHandle<()>,
}

impl FaultServer {
    /// Starts on a free port of 127.0.0.1, in the current tokio runtime.
    ///
    /// # Errors
    /// No port can be bound.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn start(plan: Plan) -> io::Result<Self> {
        Self::bind((Ipv4Addr::LOCALHOST, 0).into(), plan).await
    }

    /// As [`start`](Self::start), on an address of the caller's choice.
    ///
    /// # Errors
    /// The address cannot be bound.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn bind(addr: SocketAddr, plan: Plan) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (sender, events) = mpsc::channel(MOST_EVENTS);
        let accepting = tokio::spawn(accept(listener, plan, sender));
        Ok(Self {
            addr,
            events,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The `http` URL of `path`, which starts with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The next thing that happens. Nobody needs to listen: of more than 4096 events that wait the
    /// later ones are dropped. Cancel-safe.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts until it is aborted, and with it the connections.
async fn accept(listener: TcpListener, plan: Plan, events: mpsc::Sender<Event>) {
    let (faulty, well) = (
        Arc::new(script::of(plan)),
        Arc::new(script::without_fault()),
    );
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut players = JoinSet::new();
    let mut connection = 0;
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (stream, peer) = next(&listener, &mut players).await;
        connection += 1;
        let is_faulty = plan.times.is_none_or(|times| connection <= times);
        let script = Arc::clone(if is_faulty { &faulty } else { &well });
        let events = events.clone();
        players.spawn(async move {
            let tell = |kind| {
                // A reader that does not keep up misses some, and stops nothing.
                let _ = events.try_send(Event { connection, kind });
            };
            tell(EventKind::Opened { peer });
            player::play(stream, &script, tell).await;
            drop(permit);
        });
    }
}

/// The next connection. Those that are over are forgotten meanwhile.
async fn next(listener: &TcpListener, players: &mut JoinSet<()>) -> (TcpStream, SocketAddr) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => return accepted,
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = players.join_next() => {}
        }
    }
}
