//! A backend that echoes each request's token, counts, and can be killed and started again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keepline_testkit::sockets::ReservedPort;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::nginx::inbox::{Inbox, content};

#[derive(Debug)]
pub(super) struct Origin {
    port: ReservedPort,
    delay: Duration,
    counts: Arc<Counts>,
    running: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
}

impl Origin {
    /// Answers each request after `delay`.
    pub(super) fn start(delay: Duration) -> Self {
        let mut origin = Self {
            port: ReservedPort::new().expect("a port is free"),
            delay,
            counts: Arc::default(),
            running: None,
        };
        origin.start_again();
        origin
    }

    pub(super) fn start_again(&mut self) {
        let listener = listen(self.addr());
        let (delay, counts) = (self.delay, Arc::clone(&self.counts));
        self.running = Some(tokio::spawn(accept(listener, delay, counts)));
    }

    /// As if the process were killed: the port refuses, and all connections end wherever they are.
    pub(super) async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            let _ = running.await;
        }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// How many there have been.
    pub(super) fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Requests of which the head was read.
    pub(super) fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }
}

fn listen(addr: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket
        .set_reuseaddr(true)
        .expect("a new socket takes options");
    socket.bind(addr).expect("the port is reserved for us");
    socket.listen(1024).expect("a bound socket can listen")
}

/// The connections end with this task.
async fn accept(listener: TcpListener, delay: Duration, counts: Arc<Counts>) {
    let mut serving = JoinSet::new();
    loop {
        while serving.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            counts.connections.fetch_add(1, Ordering::Relaxed);
            let counts = Arc::clone(&counts);
            serving.spawn(async move { serve(stream, delay, &counts).await });
        }
    }
}

async fn serve(stream: TcpStream, delay: Duration, counts: &Counts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Inbox::new(stream);
    while let Some(head) = inbox.head().await? {
        counts.requests.fetch_add(1, Ordering::Relaxed);
        if content(&mut inbox, &head, false).await?.is_none() {
            break;
        }
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let token = head.field("x-token").unwrap_or_default();
        let fields = format!("X-Token: {token}\r\nContent-Length: 13");
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nHello, World!");
        inbox.stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
