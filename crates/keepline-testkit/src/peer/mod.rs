//! A server that does exactly what a script says, and remembers what its clients did.
//!
//! A [`Peer`] listens on loopback and plays a [`Script`] on every connection. It knows nothing of
//! HTTP but where a head ends, so it can answer what no real server would: half a head, two answers
//! to one request, bytes on an idle connection, a reset at any byte.
//!
//! Connections are numbered from 0 in the order in which they were accepted. A script that meets
//! something else than it expects fails the test: the next wait of the [`Peer`] panics with what
//! happened, and so does its drop. Clients may leave between two messages, or while the peer sends:
//! that is no failure, only an [`Ending`] to look at.

mod player;
mod record;
mod script;

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use self::record::Ending;
use self::record::{ConnectionLog, Log, Recorder};
pub use self::script::Script;
use crate::{Gate, background, sockets, within};

/// A scripted server on a loopback port. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Peer {
    addr: SocketAddr,
    log: watch::Sender<Log>,
    stop: Gate,
    stopped: Gate,
    accepting: JoinHandle<()>,
}

impl Peer {
    /// Plays `script` on every connection, on a free port of 127.0.0.1.
    #[must_use]
    pub fn start(script: Script) -> Self {
        Self::start_each([script])
    }

    /// Plays the first script on the first connection, the second on the second and so on; the last
    /// one is played on all that follow.
    #[must_use]
    pub fn start_each(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), scripts)
    }

    /// As [`start_each`](Self::start_each), on an address of the caller's choice.
    ///
    /// # Panics
    ///
    /// If there is no script, or nothing can listen on `addr`.
    #[must_use]
    pub fn listen(addr: SocketAddr, scripts: impl IntoIterator<Item = Script>) -> Self {
        Self::accept_from(bind(addr), scripts)
    }

    /// As [`start_each`](Self::start_each), on a socket that listens already.
    ///
    /// # Panics
    ///
    /// If there is no script.
    #[must_use]
    pub fn accept_from(
        listener: std::net::TcpListener,
        scripts: impl IntoIterator<Item = Script>,
    ) -> Self {
        let scripts: Vec<Script> = scripts.into_iter().collect();
        assert!(!scripts.is_empty(), "a peer needs a script");
        let listener = registered(listener);
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        let log = watch::Sender::new(Log::default());
        let (stop, stopped) = (Gate::new("stop listening"), Gate::new("stopped listening"));
        let accepting = background::handle().spawn(accept(
            listener,
            scripts,
            log.clone(),
            stop.clone(),
            stopped.clone(),
        ));
        Self {
            addr,
            log,
            stop,
            stopped,
            accepting,
        }
    }

    /// Closes the port, so that further dials are refused; connections go on.
    #[track_caller]
    pub fn stop_listening(&self) -> impl Future<Output = ()> {
        self.stop.open();
        self.stopped.opened()
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The `http` URL of `path`, which starts with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.log.borrow().connections.len()
    }

    /// Everything that the connection has sent so far, as far as the script has read it.
    ///
    /// # Panics
    ///
    /// If there is no such connection yet.
    #[must_use]
    #[track_caller]
    pub fn received(&self, connection: usize) -> Vec<u8> {
        self.log.borrow().connection(connection).received.clone()
    }

    /// The heads that [`Script::expect_head`] read from the connection so far.
    ///
    /// # Panics
    ///
    /// If there is no such connection yet.
    #[must_use]
    #[track_caller]
    pub fn heads(&self, connection: usize) -> Vec<String> {
        self.log.borrow().connection(connection).heads.clone()
    }

    /// Waits until at least `count` connections were accepted.
    #[track_caller]
    pub fn connections_accepted(&self, count: usize) -> impl Future<Output = ()> {
        self.recorded(
            format!("{count} connections to {}", self.addr),
            move |log| (log.connections.len() >= count).then_some(()),
        )
    }

    /// Waits until the script of the connection has read at least `count` heads.
    #[track_caller]
    pub fn heads_received(&self, connection: usize, count: usize) -> impl Future<Output = ()> {
        self.seen_on(connection, format!("{count} heads"), move |seen| {
            (seen.heads.len() >= count).then_some(())
        })
    }

    /// Waits until the script of the connection has read at least `count` bytes.
    #[track_caller]
    pub fn bytes_received(&self, connection: usize, count: usize) -> impl Future<Output = ()> {
        self.seen_on(connection, format!("{count} bytes"), move |seen| {
            (seen.received.len() >= count).then_some(())
        })
    }

    /// Waits until the connection has ended, and tells how.
    #[track_caller]
    pub fn connection_closed(&self, connection: usize) -> impl Future<Output = Ending> {
        self.seen_on(connection, "the end", |seen| seen.ending)
    }

    #[track_caller]
    fn seen_on<T>(
        &self,
        connection: usize,
        what: impl Display,
        look: impl Fn(&ConnectionLog) -> Option<T>,
    ) -> impl Future<Output = T> {
        self.recorded(format!("{what} of connection {connection}"), move |log| {
            log.connections.get(connection).and_then(&look)
        })
    }

    /// Waits until `look` finds what it looks for in the log, or a script has failed.
    #[track_caller]
    fn recorded<T>(
        &self,
        what: impl Display,
        look: impl Fn(&Log) -> Option<T>,
    ) -> impl Future<Output = T> {
        let mut changes = self.log.subscribe();
        within(what, async move {
            loop {
                {
                    let log = changes.borrow_and_update();
                    if let Some(found) = look(&log) {
                        return found;
                    }
                    if let Some(failure) = &log.failure {
                        panic!("{failure}");
                    }
                }
                changes.changed().await.expect("the peer holds the sender");
            }
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
        let Some(failure) = self.log.borrow().failure.clone() else {
            return;
        };
        if thread::panicking() {
            // The test has failed already, and this may be the reason.
            eprintln!("{failure}");
        } else {
            panic!("{failure}");
        }
    }
}

/// Binds at once, so that the address is known and dials are queued before anything is polled.
fn bind(addr: SocketAddr) -> std::net::TcpListener {
    let bind = || {
        let listener = std::net::TcpListener::bind(addr)?;
        Ok((listener.local_addr()?.port(), listener))
    };
    // A port of the caller's choice is taken as it is.
    if addr.port() == 0 {
        sockets::unused(bind)
    } else {
        bind().map(|(_, bound)| bound)
    }
    .unwrap_or_else(|error| panic!("a peer can't listen on {addr}: {error}"))
}

fn registered(listener: std::net::TcpListener) -> TcpListener {
    listener
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let _runtime = background::handle().enter();
    TcpListener::from_std(listener).expect("the runtime takes the socket")
}

/// Accepts until told to stop, then waits for the connections that there are. The tasks of the
/// connections end with this one.
async fn accept(
    listener: TcpListener,
    scripts: Vec<Script>,
    log: watch::Sender<Log>,
    stop: Gate,
    stopped: Gate,
) {
    let mut players = JoinSet::new();
    let mut scripts = scripts.into_iter();
    let mut script = scripts.next().expect("a peer has a script");
    loop {
        let stream = tokio::select! {
            biased;
            () = stop.passed() => break,
            Some(_) = players.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    log.send_modify(|log| log.fail(format!("a peer can't accept: {error}")));
                    break;
                }
            },
        };
        players.spawn(player::play(
            stream,
            script.clone(),
            Recorder::new(log.clone()),
        ));
        script = scripts.next().unwrap_or(script);
    }
    drop(listener);
    stopped.open();
    while players.join_next().await.is_some() {}
}
