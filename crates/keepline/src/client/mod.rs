//! The client: a [`Transport`] with a pool of connections.
//!
//! A Transport carries out single exchanges. It follows no redirects and keeps no cookies; it is
//! Go's `http.Transport`, not its `http.Client`. There is no task for an exchange: the future of
//! the request drives the connection, then the body of the response does, and the end of the body
//! gives the connection back before the reader sees it.
//!
//! - `key`, [`Target`]: what makes two connections interchangeable;
//! - `routing`: which key a typed request has; [`Proxy`]: the proxies in between;
//! - `dial`: brings new connections into the pool, each by a task of its own; `connect` opens them;
//! - `progress`: how far a request is, for whoever gives up on it;
//! - `names`: connections follow the addresses of their names;
//! - `pooled`: a connection of the pool; `lease`: the same in the hands of one exchange;
//! - [`Exchange`]: the raw layer, heads with spans and content as bytes;
//! - `attempt`, `upload`, `response`: the typed layer on it;
//! - `pipeline`: requests that share a connection before they are answered, where asked for;
//! - `reuse`, `retry`: the decisions, as pure functions.

mod acquire;
mod attempt;
mod builder;
mod connect;
mod connector;
mod dial;
mod dial_settings;
mod event;
mod exchange;
mod head;
#[cfg_attr(not(feature = "http2"), path = "http2_off.rs")]
mod http2;
mod interim;
mod key;
mod key_settings;
mod lease;
mod life;
#[cfg_attr(not(feature = "metrics"), path = "meter_off.rs")]
mod meter;
mod names;
mod pipeline;
mod pooled;
mod progress;
mod proxy;
mod response;
mod retry;
mod reuse;
mod routing;
mod target;
mod upload;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, Uri};
use tokio::runtime::Handle;

pub use crate::pool::{IdleOrder, OnMiss};
pub use acquire::Freshness;
pub use builder::TransportBuilder;
pub use event::{Event, Events};
pub use exchange::{Exchange, Head};
#[cfg(feature = "http2")]
pub use http2::{Http2, Versions};
pub use interim::OnInterim;
pub use key::Origin;
pub use key_settings::KeySettings;
#[cfg(feature = "metrics")]
pub use meter::describe_metrics;
pub use progress::Progress;
pub use proxy::Proxy;
pub use target::{Target, TargetBuilder};

use self::acquire::acquire_as;
use self::builder::Settings;
use self::event::Hub;
use self::http2::Sessions;
use self::key::Key;
use self::names::Names;
use self::pipeline::{Depths, Pipelines};
use self::pooled::Pooled;
use self::progress::Dials;
use crate::error::{BoxError, Error};
use crate::pool::{self, Demand, KeyLimits, Limits, Note, Pool, Stats};
#[cfg(feature = "tls")]
use crate::tls::ClientTls;
use crate::{Body, CloseReason};

/// What all clones of a Transport share.
pub(crate) struct Shared {
    pub(crate) pool: Pool<Key, Box<Pooled>>,
    pub(crate) settings: Settings,
    pipelines: Pipelines,
    pub(crate) sessions: Sessions,
    pub(crate) events: Hub,
    /// `None`: the addresses of names are not followed.
    pub(crate) names: Option<Names>,
    pub(crate) dials: Arc<Dials>,
    /// Number of the next connection.
    pub(crate) next_id: AtomicU64,
    /// Made at the first https request if none was given: loading the system's roots takes time.
    #[cfg(feature = "tls")]
    tls: std::sync::OnceLock<ClientTls>,
}

impl Shared {
    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Result<ClientTls, Error> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let tls = ClientTls::builder().build()?;
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Carries out HTTP exchanges over connections that it keeps. Cheap to clone; all clones share
/// their connections.
///
/// ```no_run
/// # async fn example() -> Result<(), keepline::Error> {
/// use keepline::{Body, Transport};
///
/// let transport = Transport::builder().build()?;
/// for _ in 0..3 {
///     let request = http::Request::get("http://example.com/").body(Body::empty()).unwrap();
///     let response = transport.send(request).await?;
///     let info = response.extensions().get::<keepline::ConnectionInfo>().unwrap();
///     println!("connection {}, reused: {}", info.id, info.reused);
///     response.into_body().bytes(1 << 20).await?; // read to the end: the connection stays
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Transport {
    shared: Arc<Shared>,
}

impl Default for Transport {
    /// The defaults of [`TransportBuilder`].
    fn default() -> Self {
        let built = Self::builder().build();
        built.expect("the defaults make sense together")
    }
}

impl Transport {
    /// A Transport with other settings than the default ones.
    pub fn builder() -> TransportBuilder {
        TransportBuilder::default()
    }

    fn from_parts(
        limits: Limits,
        overrides: HashMap<Key, KeyLimits>,
        settings: Settings,
        depths: Depths,
        #[cfg(feature = "tls")] tls: Option<ClientTls>,
    ) -> Self {
        let remembered = limits.remembered_keys;
        Self {
            shared: Arc::new_cyclic(|shared| Shared {
                pool: Pool::new(limits, overrides, PoolOwner(Weak::clone(shared))),
                pipelines: Pipelines::new(depths, remembered),
                events: Hub::default(),
                names: settings.dial.follow_dns.map(Names::new),
                #[cfg(feature = "http2")]
                sessions: Sessions::new(&settings.http2),
                #[cfg(not(feature = "http2"))]
                sessions: Sessions,
                settings,
                dials: Arc::default(),
                next_id: AtomicU64::new(1),
                #[cfg(feature = "tls")]
                tls: tls.map_or_else(std::sync::OnceLock::new, std::sync::OnceLock::from),
            }),
        }
    }

    /// Sends a request and answers with the head of its response, whose body follows as it is
    /// read. The response carries its [`ConnectionInfo`](crate::ConnectionInfo) as an extension.
    ///
    /// A [`Target`] in the extensions of the request says where it goes instead of its URI, which
    /// then need not have more than a path; Host is still made of the URI where that has one.
    ///
    /// After `101 Switching Protocols` the connection is in the extensions of the response, as an
    /// [`OnUpgrade`](crate::upgrade::OnUpgrade) that is ready at once. So it is after 2xx to CONNECT,
    /// which asks the server of its [`Target`] to open a tunnel to the host and port that are its
    /// URI; any other answer to it is a response like all others.
    ///
    /// Cancel-safe: dropping the future closes the connection it had (`cancelled`), gives up a
    /// place in the queue, and leaves a dial to others.
    ///
    /// # Errors
    /// The request is not valid, no connection could be made, or the exchange failed before the
    /// head of the response; [`Error`] tells which, whose fault, and on which connection.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        attempt::send(&self.shared, request).await
    }

    /// A connection to the origin of `uri`, for one exchange on the raw layer. It may be a reused
    /// one; the exchange is not retried. It is direct, whatever the Transport's proxies: heads of
    /// one's own would have to be in the form that a proxy wants.
    ///
    /// # Errors
    /// The URI is not one of http or https, or no connection could be made.
    pub async fn exchange(&self, uri: &Uri) -> Result<Exchange, Error> {
        self.exchange_with(&Target::of(uri)?, Freshness::Checked)
            .await
    }

    /// A connection to `target`, for one exchange on the raw layer. On a reused connection this
    /// allocates nothing. The exchange is not retried: its [`connection`](Exchange::connection)
    /// and errors tell what a caller has to know for that.
    ///
    /// Cancel-safe, as [`send`](Self::send).
    ///
    /// # Errors
    /// No connection could be made.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn exchange_with(
        &self,
        target: &Target,
        freshness: Freshness,
    ) -> Result<Exchange, Error> {
        let lease = acquire_as(&self.shared, target.key(), freshness).await?;
        Ok(Exchange::new(lease))
    }

    /// Opens connections to the origin of `uri` ahead of need, as many as there is room for under
    /// the limits, at most `connections`. Answers how many dials were started; they go on by
    /// themselves. A service that warms up when it starts spares its first requests the dial.
    ///
    /// # Errors
    /// The URI is not one of http or https.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn warm(&self, uri: &Uri, connections: usize) -> Result<usize, Error> {
        let key = self.shared.settings.routing.key(uri)?;
        let key = http2::offered(&self.shared, &key).unwrap_or(key);
        Ok(self.shared.pool.warm(&key, connections))
    }

    /// What happens from now on, as it happens.
    #[must_use]
    pub fn events(&self) -> Events {
        self.shared.events.listen()
    }

    /// What has been counted since the Transport was built.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let stats = self.shared.pool.stats();
        Stats {
            waiting: stats.waiting + self.shared.sessions.waiting(),
            ..stats
        }
    }

    /// Closes all connections that are idle now (Go: `CloseIdleConnections`). Those in use are
    /// kept when they come back.
    pub fn close_idle(&self) {
        self.shared.pool.close_idle(CloseReason::Shutdown);
        self.shared.sessions.close_resting(CloseReason::Shutdown);
    }

    /// Closes the idle connections to peers that have left (`dns-changed`), for those who follow names
    /// themselves and dial addresses. Those in use are kept when they come back.
    pub fn close_idle_to(&self, has_left: impl Fn(&crate::net::PeerAddr) -> bool) {
        self.shared
            .pool
            .close_idle_if(CloseReason::DnsChanged, |connection| {
                has_left(&connection.peer)
            });
    }

    /// Closes all idle connections, fails what waits for one, and keeps none from now on. Ready
    /// when the last connection is closed: bodies that are still being read are waited for.
    pub async fn shutdown(&self) {
        self.shared.pipelines.stop();
        self.shared.sessions.stop(CloseReason::Shutdown);
        self.shared.pool.shut_down().await;
    }
}

impl<B> tower_service::Service<Request<B>> for Transport
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Limits are per key, which only the request tells.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { attempt::send(&shared, request.map(Body::new)).await })
    }
}

/// What the pool has the client do.
struct PoolOwner(Weak<Shared>);

impl pool::Owner<Key, Box<Pooled>> for PoolOwner {
    fn dial(&self, demand: Demand<Key>, runtime: Option<&Handle>) {
        // Without the Transport there is no pool that could wait for it.
        if let Some(shared) = self.0.upgrade() {
            dial::spawn(shared, demand, None, runtime);
        }
    }

    fn evict_shared(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.sessions.evict();
        }
    }

    fn note(&self, connection: &Box<Pooled>, note: Note) {
        let number = connection.id;
        match note {
            Note::Returned => connection.meter.idle(),
            Note::Closing(reason) => {
                connection.meter.closed(reason);
                tracing::debug!(connection = number, %reason, "connection closed");
            }
        }
        if let Some(shared) = self.0.upgrade() {
            shared.events.tell(|| match note {
                Note::Returned => Event::Returned { connection: number },
                Note::Closing(reason) => Event::Closed {
                    connection: number,
                    reason,
                },
            });
        }
    }
}
