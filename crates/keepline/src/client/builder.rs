//! The settings of a Transport.
//!
//! A value that makes no sense is an error from [`TransportBuilder::build`], never a hang later.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use keepline_proto::Config;

use super::Transport;
use super::connect::{SocketSettings, connect_unix};
use super::connector::Connector;
#[cfg(feature = "http2")]
use super::http2::{Http2, Versions};
use super::key::Origin;
use super::key_settings::{KeySettings, check_limits};
use super::life::LifeSettings;
use super::pipeline::Depths;
use super::reuse::DrainLimits;
use super::target::Target;
use crate::error::{Error, ErrorKind};
use crate::net::{AnyResolver, Resolve, Stream, TcpKeepAlive};
use crate::pool::{KeyLimits, Limits};
#[cfg(feature = "tls")]
use crate::tls::ClientTls;

/// What an exchange and a dial look up.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) drain: DrainLimits,
    pub(crate) life: LifeSettings,
    pub(crate) is_retry_on: bool,
    pub(crate) acquire_timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) tls_timeout: Option<Duration>,
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) continue_timeout: Option<Duration>,
    pub(crate) proto: Arc<Config>,
    pub(crate) connector: Option<Connector>,
    #[cfg(feature = "http2")]
    pub(crate) versions: Versions,
    #[cfg(feature = "http2")]
    pub(crate) http2: Http2,
    pub(crate) resolver: AnyResolver,
    pub(crate) follow_dns: Option<Duration>,
    pub(crate) socket: SocketSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            drain: DrainLimits::default(),
            life: LifeSettings::default(),
            is_retry_on: true,
            acquire_timeout: None,
            connect_timeout: Some(Duration::from_secs(30)),
            tls_timeout: Some(Duration::from_secs(10)),
            response_timeout: None,
            continue_timeout: Some(Duration::from_secs(1)),
            proto: Arc::default(),
            connector: None,
            #[cfg(feature = "http2")]
            versions: Versions::default(),
            #[cfg(feature = "http2")]
            http2: Http2::default(),
            resolver: AnyResolver::default(),
            follow_dns: None,
            socket: SocketSettings::default(),
        }
    }
}

/// Builds a [`Transport`]. The defaults are those of Go's DefaultTransport, but for the idle
/// connections per key, which are not limited to 2.
#[derive(Debug, Default)]
#[must_use]
pub struct TransportBuilder {
    limits: Limits,
    for_all: KeySettings,
    overrides: Vec<(Target, KeySettings)>,
    /// The first URI that is not one of http or https.
    bad_uri: Option<Error>,
    settings: Settings,
    #[cfg(feature = "tls")]
    tls: Option<ClientTls>,
}

/// The pool.
impl TransportBuilder {
    /// Settings of every key that has none of its own.
    pub fn for_every_key(mut self, settings: KeySettings) -> Self {
        self.for_all = settings;
        self
    }

    /// Settings of the key of this URI, instead of those of every key.
    pub fn for_key(mut self, uri: &Uri, settings: KeySettings) -> Self {
        match Target::of(uri) {
            Ok(target) => self.overrides.push((target, settings)),
            Err(error) => {
                self.bad_uri.get_or_insert(error);
            }
        }
        self
    }

    /// Settings of the key of this target, instead of those of every key.
    pub fn for_target(mut self, target: Target, settings: KeySettings) -> Self {
        self.overrides.push((target, settings));
        self
    }

    /// Idle connections over all keys; above it the one that has been idle longest is closed.
    /// Default 100, as Go. 0: nothing is kept.
    pub const fn max_idle(mut self, connections: usize) -> Self {
        self.limits.idle = connections;
        self
    }

    /// Connections over all keys that are dialling, busy or idle. At the limit the oldest idle one
    /// makes room; if all are busy, requests wait. Default: no limit.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.limits.connections = Some(connections);
        self
    }

    /// See [`KeySettings::idle_timeout`].
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.for_all = self.for_all.idle_timeout(timeout);
        self
    }

    /// See [`KeySettings::max_idle`].
    pub fn max_idle_per_key(mut self, connections: usize) -> Self {
        self.for_all = self.for_all.max_idle(connections);
        self
    }

    /// See [`KeySettings::max_connections`].
    pub fn max_connections_per_key(mut self, connections: usize) -> Self {
        self.for_all = self.for_all.max_connections(connections);
        self
    }

    /// See [`KeySettings::max_dials`].
    pub fn max_dials_per_key(mut self, dials: usize) -> Self {
        self.for_all = self.for_all.max_dials(dials);
        self
    }

    /// See [`KeySettings::pipeline`].
    pub fn pipeline(mut self, depth: usize) -> Self {
        self.for_all = self.for_all.pipeline(depth);
        self
    }

    /// Time that a request waits for a connection, dialling included, before it fails with
    /// [`Phase::Acquire`](crate::Phase::Acquire). Default: none, as Go.
    pub fn acquire_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.acquire_timeout = timeout.into();
        self
    }

    /// Age at which a connection is retired: it finishes what it does and is not used again.
    /// Default: none (Go has no such setting). Each connection's lifetime is shortened at random by
    /// at most `jitter` of itself (0.0 to 1.0; 0.1 is a good value), so that connections that were
    /// opened together are not replaced together.
    pub fn lifetime(mut self, lifetime: impl Into<Option<Duration>>, jitter: f64) -> Self {
        self.settings.life.lifetime = lifetime.into();
        self.settings.life.jitter = jitter;
        self
    }

    /// Exchanges that a connection carries at most. Default: no limit.
    pub fn max_requests(mut self, requests: impl Into<Option<u64>>) -> Self {
        self.settings.life.max_requests = requests.into();
        self
    }

    /// How much earlier than a server's `Keep-Alive: timeout=` a connection is given up. Default
    /// 1 s: with `timeout=1` it is not kept at all. `None`: the server's hints, `max=` among them,
    /// are ignored.
    pub fn keep_alive_margin(mut self, margin: impl Into<Option<Duration>>) -> Self {
        self.settings.life.hint_margin = margin.into();
        self
    }
}

/// The exchange.
impl TransportBuilder {
    /// How much of a dropped body is read, and for how long, so that its connection stays. What
    /// *remains* counts. Default 256 KiB and 50 ms, as Go 1.27. With 0 bytes nothing is drained:
    /// a connection is then given back only when the reader has seen the end of the body, even if
    /// all of it has arrived.
    pub fn drain(mut self, bytes: u64, time: Duration) -> Self {
        self.settings.drain = DrainLimits { bytes, time };
        self
    }

    /// Whether requests are sent again whose connection had died before it answered. Default on.
    /// Without a byte written that is any request whose body can be made again; otherwise only
    /// idempotent ones and those with an `Idempotency-Key`.
    pub fn retry(mut self, retry: bool) -> Self {
        self.settings.is_retry_on = retry;
        self
    }

    /// Time to resolve and connect, over all addresses. Default 30 s, as Go. Addresses of both
    /// families are tried in turn, each 300 ms after the one before or at once if that has failed
    /// (RFC 8305); each has an equal share of the time that is left, at least 2 s.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.connect_timeout = timeout.into();
        self
    }

    /// Resolves names. Default: [`GetAddrInfo`](crate::net::GetAddrInfo), the operating system. A
    /// `connector` resolves, if it does, itself.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.settings.resolver = AnyResolver::new(resolver);
        self
    }

    /// Whether connections follow the addresses of their names. Then a name with connections is
    /// resolved again when the TTL of its answer has passed, or after `interval` where the resolver
    /// tells none (at most once a second); connections to addresses that are gone retire
    /// (`dns-changed`): idle ones are closed, the others after what they do. An error or an empty
    /// answer changes nothing. New connections go to the addresses that have the fewest.
    ///
    /// Default: off, as everywhere else. For names whose answers hold all of their addresses (a
    /// service of a cluster). Not for those that answer with a changing part of them, as some large
    /// services do: their connections would retire all the time.
    pub fn follow_dns(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.settings.follow_dns = interval.into();
        self
    }

    /// The local address that sockets are bound to, unless a target says another; port 0 is any.
    /// Only addresses of its family are connected to. Default: what the system chooses.
    pub fn local_address(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.settings.socket.local = address.into();
        self
    }

    /// TCP keep-alive. Default: after 30 s of silence, then every 15 s, 9 times, as Go. `None`: off.
    pub fn tcp_keep_alive(mut self, keep_alive: impl Into<Option<TcpKeepAlive>>) -> Self {
        self.settings.socket.keep_alive = keep_alive.into();
        self
    }

    /// How long what was sent may stay unacknowledged before the connection is dead
    /// (`TCP_USER_TIMEOUT`, Linux only). Finds a peer that has vanished under a request; cuts one
    /// off, too, that does not read for so long. Default: none, as Go: the system gives up after
    /// some 15 minutes.
    pub fn tcp_user_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.socket.user_timeout = timeout.into();
        self
    }

    /// Time for the TLS handshake. Default 10 s, as Go.
    pub fn tls_handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.tls_timeout = timeout.into();
        self
    }

    /// Time from the end of the request to the head of the response. Default: none, as Go's
    /// `ResponseHeaderTimeout`.
    pub fn response_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.response_timeout = timeout.into();
        self
    }

    /// How long a request with `Expect: 100-continue` waits for the interim response before it
    /// sends its body anyway. Default 1 s, as Go. `None`: for ever.
    pub fn continue_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.continue_timeout = timeout.into();
        self
    }

    /// Opens connections by `connect` instead of resolving the host and connecting a TCP socket
    /// (Go: `DialContext`): a tunnel, a resolver of one's own, an end of a pipe in a
    /// test. The connect timeout holds for it, and for https TLS is started on what it gives. It
    /// runs in a task of its own, and all requests of an origin share what it opens.
    ///
    /// ```
    /// use keepline::{Transport, net::Stream};
    /// use tokio::net::TcpStream;
    ///
    /// let tunnelled = Transport::builder()
    ///     .connector(|_| async { TcpStream::connect("127.0.0.1:2222").await.map(Stream::from) })
    ///     .build();
    /// ```
    pub fn connector<F, C>(mut self, connect: F) -> Self
    where
        F: Fn(Origin) -> C + Send + Sync + 'static,
        C: Future<Output = io::Result<Stream>> + Send + 'static,
    {
        self.settings.connector = Some(Connector::new(connect));
        self
    }

    /// Opens connections to this Unix socket, whatever the host: a [`connector`](Self::connector).
    /// For some hosts only, give their requests a [`Target`].
    pub fn unix_socket(self, path: impl Into<PathBuf>) -> Self {
        let path: Arc<Path> = path.into().into();
        self.connector(move |_| {
            let path = Arc::clone(&path);
            async move { connect_unix(&path).await }
        })
    }

    /// Which versions of HTTP are spoken. Default: over TLS HTTP/2 and HTTP/1.1 by ALPN, else
    /// HTTP/1.1, as Go. The raw layer, upgrades and CONNECT always use HTTP/1.1.
    #[cfg(feature = "http2")]
    pub const fn versions(mut self, versions: Versions) -> Self {
        self.settings.versions = versions;
        self
    }

    /// How HTTP/2 is spoken.
    #[cfg(feature = "http2")]
    pub const fn http2(mut self, http2: Http2) -> Self {
        self.settings.http2 = http2;
        self
    }

    /// How responses are read: their limits.
    pub fn protocol(mut self, config: Config) -> Self {
        self.settings.proto = Arc::new(config);
        self
    }

    /// Whom to trust. Default: what the operating system trusts.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Builds the Transport.
    ///
    /// # Errors
    /// A setting makes no sense: a limit of 0 where nothing could work, a minimum above its
    /// maximum, a timeout of 0, a jitter outside 0 to 1.
    pub fn build(self) -> Result<Transport, Error> {
        self.check_times()?;
        if let Some(error) = self.bad_uri {
            return Err(error);
        }
        let base = KeyLimits {
            idle: self.limits.idle,
            ..KeyLimits::default()
        };
        let per_key = self.for_all.limits(&base);
        let limits = Limits {
            per_key,
            ..self.limits
        };
        check_limits(&limits, &per_key)?;
        let mut overrides = HashMap::new();
        let is_pipeline = |depth: &usize| *depth > 1;
        let mut depths = Depths {
            for_all: self.for_all.depth()?.filter(is_pipeline),
            overrides: HashMap::new(),
        };
        for (target, settings) in self.overrides {
            let of_key = settings.limits(&per_key);
            check_limits(&limits, &of_key)?;
            let key = target.into_key();
            if let Some(depth) = settings.depth()? {
                let depth = Some(depth).filter(is_pipeline);
                depths.overrides.insert(key.clone(), depth);
            }
            #[cfg(feature = "http2")]
            overrides.insert(key.with_http2(), of_key);
            overrides.insert(key, of_key);
        }
        #[cfg(feature = "http2")]
        if self.settings.versions == Versions::Http2 && depths.are_any() {
            return Err(bad(
                "only HTTP/1.1 knows pipelining, and it is not to be spoken: use Versions::Auto",
            ));
        }
        Ok(Transport::from_parts(
            limits,
            overrides,
            self.settings,
            depths,
            #[cfg(feature = "tls")]
            self.tls,
        ))
    }

    fn check_times(&self) -> Result<(), Error> {
        #[cfg(feature = "http2")]
        self.settings.http2.check()?;
        let Settings { life, .. } = &self.settings;
        let timeouts = [
            self.settings.acquire_timeout,
            self.settings.connect_timeout,
            self.settings.tls_timeout,
            self.settings.response_timeout,
            self.settings.continue_timeout,
            self.settings.socket.user_timeout,
            self.settings.follow_dns,
        ];
        if timeouts.contains(&Some(Duration::ZERO)) {
            return Err(bad("a timeout is 0: use None for no timeout"));
        }
        self.check_socket()?;
        if life.lifetime == Some(Duration::ZERO) || life.max_requests == Some(0) {
            return Err(bad(
                "the lifetime or max_requests is 0: use max_idle(0) to keep nothing",
            ));
        }
        if !(0.0..=1.0).contains(&life.jitter) {
            return Err(bad("the jitter of the lifetime is not between 0 and 1"));
        }
        Ok(())
    }

    fn check_socket(&self) -> Result<(), Error> {
        let SocketSettings {
            keep_alive,
            user_timeout,
            ..
        } = &self.settings.socket;
        let second = Duration::from_secs(1);
        if keep_alive.is_some_and(|x| x.time < second || x.interval < second || x.retries == 0) {
            return Err(bad(
                "TCP keep-alive of less than a second or no retries: use None to switch it off",
            ));
        }
        if user_timeout.is_some() && !cfg!(any(target_os = "linux", target_os = "android")) {
            return Err(bad("tcp_user_timeout is known to Linux only"));
        }
        Ok(())
    }
}

pub(super) fn bad(message: &'static str) -> Error {
    Error::caused(ErrorKind::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_errors() {
        let builder = Transport::builder;
        let every = |settings| Transport::builder().for_every_key(settings);
        let key = KeySettings::new;
        for (what, bad) in [
            ("no connections", builder().max_connections(0)),
            (
                "no connections per key",
                builder().max_connections_per_key(0),
            ),
            ("no dials", builder().max_dials_per_key(0)),
            (
                "a minimum above the idle limit",
                every(key().min_idle(3).max_idle(2)),
            ),
            (
                "a minimum above all idle",
                every(key().min_idle(3)).max_idle(2),
            ),
            (
                "a minimum above the connections",
                every(key().min_idle(3).max_connections(2)),
            ),
            ("no idle time", builder().idle_timeout(Duration::ZERO)),
            (
                "no time to connect",
                builder().connect_timeout(Duration::ZERO),
            ),
            (
                "no time to acquire",
                builder().acquire_timeout(Duration::ZERO),
            ),
            ("no lifetime", builder().lifetime(Duration::ZERO, 0.1)),
            (
                "a negative jitter",
                builder().lifetime(Duration::from_secs(1), -0.1),
            ),
            ("no requests", builder().max_requests(0)),
            ("a pipeline for none", builder().pipeline(0)),
            ("no time to follow", builder().follow_dns(Duration::ZERO)),
            (
                "no time to acknowledge",
                builder().tcp_user_timeout(Duration::ZERO),
            ),
            (
                "no TCP probes",
                builder().tcp_keep_alive(TcpKeepAlive {
                    retries: 0,
                    ..TcpKeepAlive::default()
                }),
            ),
            (
                "a key that is none",
                builder().for_key(&"/x".parse().unwrap(), key()),
            ),
        ] {
            let error = bad.build().expect_err(what);
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{what}");
        }
        assert!(builder().max_idle(0).build().is_ok());
    }

    #[cfg(feature = "http2")]
    #[test]
    fn http2_alone_is_not_pipelined() {
        let only_http2 = Transport::builder().versions(Versions::Http2);
        let error = only_http2.pipeline(2).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    }
}
