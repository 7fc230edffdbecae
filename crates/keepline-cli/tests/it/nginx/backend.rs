//! A backend whose every byte a case decides, on a port that is known before the gateway starts.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Poll;

use keepline_testkit::sockets::ReservedPort;
use tokio::net::{TcpListener, TcpSocket};

use super::message;
use super::wire::Wire;

#[derive(Debug)]
pub(crate) struct Backend {
    addr: SocketAddr,
    /// Nobody else gets it.
    _port: Option<ReservedPort>,
    /// Gone while it refuses.
    listener: Option<TcpListener>,
    /// In the order in which they were accepted.
    connections: Vec<Wire>,
    /// Where each comes from.
    from: Vec<IpAddr>,
    /// The place of the one whose request came last.
    current: usize,
    /// How many of them a step has named so far.
    named: usize,
}

impl Backend {
    pub(crate) fn new() -> Self {
        let port = ReservedPort::new().expect("a port is free");
        Self::at(port.addr(), Some(port))
    }

    /// One with the same port, on another loopback address.
    pub(crate) fn beside(&self, ip: Ipv4Addr) -> Self {
        Self::at((ip, self.addr.port()).into(), None)
    }

    fn at(addr: SocketAddr, port: Option<ReservedPort>) -> Self {
        let listener = Some(listen(addr));
        Self {
            addr,
            _port: port,
            listener,
            connections: Vec::new(),
            from: Vec::new(),
            current: 0,
            named: 0,
        }
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn refuse(&mut self) {
        self.listener = None;
    }

    pub(crate) fn listen(&mut self) {
        self.listener = Some(listen(self.addr));
    }

    /// The connection of this number, from 1, or that of the last request.
    pub(crate) fn connection(&mut self, number: Option<usize>) -> Option<(usize, &mut Wire)> {
        let place = number.map_or(self.current, |number| number - 1);
        let wire = self.connections.get_mut(place)?;
        Some((place + 1, wire))
    }

    /// Waits for a head on any connection, and makes that one current.
    pub(crate) async fn request(&mut self, with_body: bool) -> String {
        self.current = loop {
            let has_head = |wire: &Wire| message::head_length(&wire.unread).is_some();
            if let Some(place) = self.connections.iter().position(has_head) {
                break place;
            }
            self.event().await;
        };
        self.named = self.named.max(self.current + 1);
        let request = message::request(&mut self.connections[self.current], with_body).await;
        let from = match self.from[self.current] {
            ip if ip == Ipv4Addr::LOCALHOST => String::new(),
            ip => format!(" from {ip}"),
        };
        format!("connection {}{from} | {request}", self.current + 1)
    }

    /// Waits for a connection that no step has named yet, and makes it current.
    pub(crate) async fn connected(&mut self) -> String {
        while self.connections.len() <= self.named {
            self.event().await;
        }
        self.current = self.named;
        self.named += 1;
        format!("connection {}", self.named)
    }

    /// How many connections have been accepted, or could be.
    pub(crate) async fn count(&mut self) -> usize {
        poll_fn(|cx| {
            while self.poll_accept(cx) {}
            Poll::Ready(self.connections.len())
        })
        .await
    }

    /// Waits until something happens anywhere.
    async fn event(&mut self) {
        poll_fn(|cx| {
            if self.poll_accept(cx) {
                return Poll::Ready(());
            }
            for wire in &mut self.connections {
                if wire.poll_more(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
    }

    fn poll_accept(&mut self, cx: &mut std::task::Context<'_>) -> bool {
        let Some(listener) = &self.listener else {
            return false;
        };
        match listener.poll_accept(cx) {
            Poll::Ready(Ok((stream, from))) => {
                self.from.push(from.ip());
                self.connections.push(Wire::new(stream));
                true
            }
            Poll::Ready(Err(error)) => panic!("a backend can't accept: {error}"),
            Poll::Pending => false,
        }
    }
}

fn listen(addr: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket
        .set_reuseaddr(true)
        .expect("a new socket takes options");
    socket.bind(addr).expect("the port is reserved for us");
    socket.listen(64).expect("a bound socket can listen")
}
