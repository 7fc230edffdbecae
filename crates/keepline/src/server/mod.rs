//! The server: connections that stay, and a reason for each that does not.
//!
//! [`Server::serve`] answers with any tower service, so an `axum::Router` runs unchanged;
//! [`Server::serve_raw`] is the layer below, heads as spans and content as bytes, which a gateway
//! uses. Each connection is one task. There is no task and no lock for a request, and an idle
//! connection holds neither a buffer nor an exchange.
//!
//! # With axum
//! ```
//! use axum::extract::{Extension, Path};
//! use axum::routing::get;
//! use keepline::net::{self, BindOptions};
//! use keepline::server::{RequestInfo, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let router = axum::Router::new()
//!     .route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("Hello, {name}!") }))
//!     .route("/nth", get(|Extension(info): Extension<RequestInfo>| async move { info.number().to_string() }));
//! let listener = net::bind(([127, 0, 0, 1], 0).into(), BindOptions::default())?;
//! let server = Server::builder().build()?;
//! # server.handle().shutdown();
//! server.serve(listener, router).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//! What becomes of a connection is decided by the two pure functions in `after`. `connection` is
//! the life of one, `busy` the time between its first byte and its next rest, `wire` what waits
//! there and how long (with `receive` and `send`), `service` the typed layer on top. `registry` knows who is connected,
//! `access` what is told of an exchange.

mod accept;
mod access;
mod after;
mod announced;
mod builder;
mod busy;
mod census;
mod connection;
mod date;
mod exchange;
#[cfg(feature = "tls")]
mod handshake;
#[cfg(feature = "http2")]
mod http2;
mod incoming;
mod info;
mod linger;
mod pause;
mod progress;
mod ready;
mod receive;
mod reception;
mod refused;
mod registry;
mod request;
mod rest;
mod send;
mod service;
mod settings;
mod speaks;
mod state;
mod terms;
mod wire;
mod workers;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tokio::task::JoinHandle;
use tower_service::Service;

pub use access::{AccessFormat, AccessRecord};
pub use builder::ServerBuilder;
pub use exchange::{Exchange, Handler};
#[cfg(feature = "http2")]
pub use http2::Http2;
pub use info::RequestInfo;
pub use ready::ReadyAnswer;
pub use reception::Reception;
pub use refused::{Refusal, Refused};
pub use registry::ServerStats;
pub use service::{ServiceFn, service_fn};
pub use settings::InvalidSetting;
pub use state::{ConnectionState, StateChange};
pub use terms::{Drain, HangUp, Linger, LingerWhen, Terms};
pub use workers::Workers;

use registry::{Hub, Phase, Shard};
use service::ServiceHandler;
use settings::Settings;
use speaks::{Raw, Speaks};

use crate::error::BoxError;
use crate::net::{Listener, Stream};
use crate::{Body, CloseReason};

/// An HTTP/1.1 server. Clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    hub: Arc<Hub>,
    /// One for each call of `serve`, also of those that have ended: their counts stay.
    shards: Mutex<Vec<Arc<Shard>>>,
    /// For connections that are given one by one.
    given: Arc<Shard>,
}

/// Stops a server and tells its counts; from [`Server::handle`].
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

impl Server {
    /// A server with the default settings, to be changed.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    fn new(settings: Settings) -> Self {
        let hub = Arc::new(Hub::new(settings));
        let given = Arc::new(Shard::new(Arc::clone(&hub)));
        Self(Arc::new(Inner {
            hub,
            shards: Mutex::new(vec![Arc::clone(&given)]),
            given,
        }))
    }

    /// Accepts connections and answers their requests with `service`, of which each connection
    /// has a clone. Ends when the server is shut down and the last of its connections is gone.
    ///
    /// A request body that the service does not read is drained or closes the connection, as set
    /// at [`ServerBuilder::drain`]. An error of the service is answered with 500, or with what fits
    /// if the request body could not be read, and closes; so does a panic.
    ///
    /// Dropping the future stops accepting; connections that are open go on.
    ///
    /// # Errors
    /// Only if the listener cannot be registered with the runtime: no error of accepting ends it.
    pub fn serve<L, S, B>(
        &self,
        listener: L,
        service: S,
    ) -> impl Future<Output = io::Result<()>> + Send + use<L, S, B>
    where
        L: Into<Listener>,
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.serve_speaking(listener.into(), ServiceHandler(service))
    }

    /// [`serve`](Self::serve) until `signal` is ready; then shuts down gracefully, and ends when
    /// the last connection is gone.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_with_shutdown<L, S, B, F>(
        &self,
        listener: L,
        service: S,
        signal: F,
    ) -> impl Future<Output = io::Result<()>> + Send + use<L, S, B, F>
    where
        L: Into<Listener>,
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        F: Future<Output = ()> + Send,
    {
        let (serving, handle) = (self.serve(listener, service), self.handle());
        async move {
            tokio::pin!(serving);
            tokio::select! {
                ended = &mut serving => return ended,
                () = signal => handle.shutdown(),
            }
            serving.await
        }
    }

    /// [`serve`](Self::serve) with a handler of the raw exchange.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_raw<L: Into<Listener>, H: Handler>(
        &self,
        listener: L,
        handler: H,
    ) -> impl Future<Output = io::Result<()>> + Send + use<L, H> {
        self.serve_speaking(listener.into(), Raw(handler))
    }

    /// [`serve_raw`](Self::serve_raw) until `enough` is ready: from then on the listener is closed, connections
    /// that are open go on as before, and when the last of them is gone this ends. So a worker leaves
    /// while the server stays.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_raw_until<L, H, F>(
        &self,
        listener: L,
        handler: H,
        enough: F,
    ) -> impl Future<Output = io::Result<()>> + Send + use<L, H, F>
    where
        L: Into<Listener>,
        H: Handler,
        F: Future<Output = ()> + Send,
    {
        let (inner, listener) = (Arc::clone(&self.0), listener.into());
        async move {
            let shard = inner.add_shard();
            {
                let listener = listener.register()?;
                tokio::select! {
                    () = accept::accept_loop(&shard, &listener, Raw(handler)) => {}
                    () = enough => {}
                }
            }
            inner.drained(&shard).await;
            Ok(())
        }
    }

    fn serve_speaking<H: Speaks>(
        &self,
        listener: Listener,
        handler: H,
    ) -> impl Future<Output = io::Result<()>> + Send + use<H> {
        let inner = Arc::clone(&self.0);
        async move {
            let shard = inner.add_shard();
            {
                let listener = listener.register()?;
                accept::accept_loop(&shard, &listener, handler).await;
            }
            inner.drained(&shard).await;
            Ok(())
        }
    }

    /// Serves one connection that was accepted elsewhere, in a task of its own, which ends with
    /// why the connection did. It belongs to this server as any other: shutdown and counts.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve_connection<S, B>(
        &self,
        stream: impl Into<Stream>,
        service: S,
    ) -> JoinHandle<CloseReason>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.start(stream.into(), ServiceHandler(service))
    }

    /// [`serve_connection`](Self::serve_connection) with a handler of the raw exchange.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve_connection_raw<H: Handler>(
        &self,
        stream: impl Into<Stream>,
        handler: H,
    ) -> JoinHandle<CloseReason> {
        self.start(stream.into(), Raw(handler))
    }

    fn start(&self, stream: Stream, handler: impl Speaks) -> JoinHandle<CloseReason> {
        let peer = stream.peer_addr();
        accept::start(&self.0.given, stream, peer, handler)
    }

    /// What stops it from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.0))
    }

    /// Its counts, up to now.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.0.stats()
    }
}

impl Handle {
    /// Shuts the server down gracefully: no connection is accepted any more, idle ones are closed,
    /// every further answer says close, requests in progress (also those of which only a part has
    /// arrived) are answered. After [`ServerBuilder::shutdown_timeout`], what is left is dropped.
    ///
    /// Returns at once; [`Server::serve`] ends when the last connection is gone.
    pub fn shutdown(&self) {
        self.0.advance(Phase::Draining);
    }

    /// Drops all connections, whatever they are doing.
    pub fn abort(&self) {
        self.0.advance(Phase::Aborting);
    }

    /// How clients are received now.
    #[must_use]
    pub fn reception(&self) -> Reception {
        Reception::clone(&self.0.hub.receptions.look().reception)
    }

    /// Receives clients otherwise: every connection from its next request on, also those that are open.
    /// A rest that has begun is as long as it was to be, and HTTP/2 keeps what the builder was told.
    ///
    /// # Errors
    /// As [`ServerBuilder::build`]; then nothing changes.
    pub fn receive_with(&self, reception: Reception) -> Result<(), InvalidSetting> {
        let hub = &self.0.hub;
        hub.receptions.change(reception.validated(&hub.settings)?);
        Ok(())
    }

    /// The server's counts, up to now.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.0.stats()
    }
}

impl Inner {
    fn shards(&self) -> Vec<Arc<Shard>> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.clone()
    }

    fn add_shard(&self) -> Arc<Shard> {
        let shard = Arc::new(Shard::new(Arc::clone(&self.hub)));
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.push(Arc::clone(&shard));
        shard
    }

    fn advance(&self, phase: Phase) {
        self.hub.advance(phase);
        for shard in self.shards() {
            shard.wake_all();
        }
    }

    /// Waits until the shard has no connection; if the server drains, dropping them at the limit.
    async fn drained(&self, shard: &Shard) {
        poll_fn(|cx| match self.hub.phase() {
            Phase::Running => shard.poll_empty(cx),
            Phase::Draining | Phase::Aborting => Poll::Ready(()),
        })
        .await;
        let empty = poll_fn(|cx| shard.poll_empty(cx));
        if let Some(limit) = self.hub.settings.shutdown_timeout
            && tokio::time::timeout(limit, empty).await.is_err()
        {
            self.advance(Phase::Aborting);
        }
        poll_fn(|cx| shard.poll_empty(cx)).await;
    }

    fn stats(&self) -> ServerStats {
        let mut stats = ServerStats::default();
        for shard in self.shards() {
            shard.add_to(&mut stats);
        }
        stats
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.0.hub.settings).finish()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}
