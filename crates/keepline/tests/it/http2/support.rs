//! Servers that speak HTTP/2, and what a client needs to ask them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, Connection, SendResponse};
use http::{Request, Response};
use keepline::client::{Http2, TransportBuilder, Versions};
use keepline::{Body, Transport};
use tokio::net::{TcpListener, TcpStream};

/// The server's end of a session.
pub(super) type Session = Connection<TcpStream, Bytes>;

/// A server without TLS, on a free port. Dropped, it accepts no more.
pub(super) struct Server {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serves each session by `serve`, which is told its number, from 1.
    pub(super) async fn start<F, S>(builder: Builder, serve: F) -> Self
    where
        F: Fn(usize, Session) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), builder, serve).await
    }

    /// The same, at this address.
    pub(super) async fn start_at<F, S>(addr: SocketAddr, builder: Builder, serve: F) -> Self
    where
        F: Fn(usize, Session) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let serve = Arc::new(serve);
        let accepting = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                let (builder, serve) = (builder.clone(), Arc::clone(&serve));
                tokio::spawn(async move {
                    if let Ok(session) = builder.handshake(tcp).await {
                        serve(number, session).await;
                    }
                });
            }
        });
        Self {
            addr,
            accepted,
            accepting,
        }
    }

    /// Answers every request by `answer`, each in a task of its own.
    pub(super) async fn answering<F, A>(builder: Builder, answer: F) -> Self
    where
        F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        Self::start(builder, move |_, mut session| {
            let answer = answer.clone();
            async move {
                while let Some(Ok((request, respond))) = session.accept().await {
                    tokio::spawn(answer(request, respond));
                }
            }
        })
        .await
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers with the path of the request.
pub(super) async fn echo_path(request: Request<RecvStream>, respond: SendResponse<Bytes>) {
    say(respond, request.uri().path().to_owned());
}

/// Answers with this text.
pub(super) fn say(mut respond: SendResponse<Bytes>, text: impl Into<Bytes>) {
    if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
        let _ = stream.send_data(text.into(), true);
    }
}

/// A Transport that speaks HTTP/2 without asking.
pub(super) fn prior() -> TransportBuilder {
    Transport::builder().versions(Versions::Http2)
}

/// The same, with one session for each server whatever happens.
pub(super) fn strict() -> Transport {
    let mut http2 = Http2::default();
    http2.strict_streams = true;
    prior().http2(http2).build().unwrap()
}

pub(super) fn get(url: &str) -> Request<Body> {
    crate::client::support::get(url)
}
