//! The settings of a Transport.
//!
//! A value that makes no sense is an error from [`TransportBuilder::build`], never a hang later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use keepline_proto::Config;

use super::Transport;
use super::dial_settings::DialSettings;
#[cfg(feature = "http2")]
use super::http2::{Http2, Versions};
use super::key_settings::{KeySettings, check_limits};
use super::life::LifeSettings;
use super::pipeline::Depths;
use super::reuse::DrainLimits;
use super::routing::{Proxies, Routing};
use super::target::Target;
use crate::error::{Error, ErrorKind};
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
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) continue_timeout: Option<Duration>,
    pub(crate) proto: Arc<Config>,
    pub(crate) dial: DialSettings,
    pub(crate) routing: Routing,
    #[cfg(feature = "http2")]
    pub(crate) versions: Versions,
    #[cfg(feature = "http2")]
    pub(crate) http2: Http2,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            drain: DrainLimits::default(),
            life: LifeSettings::default(),
            is_retry_on: true,
            acquire_timeout: None,
            response_timeout: None,
            continue_timeout: Some(Duration::from_secs(1)),
            proto: Arc::default(),
            dial: DialSettings::default(),
            routing: Routing::default(),
            #[cfg(feature = "http2")]
            versions: Versions::default(),
            #[cfg(feature = "http2")]
            http2: Http2::default(),
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
    overrides: Vec<(Whose, KeySettings)>,
    pub(super) settings: Settings,
    /// Typed requests to the origins of these go to them.
    pub(super) routes: Vec<Target>,
    /// `None`: by the environment, unless there is a connector.
    pub(super) proxies: Option<Proxies>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<ClientTls>,
}

/// Whose settings.
#[derive(Debug)]
enum Whose {
    /// Those of the key that requests to this URI have.
    Uri(Uri),
    Target(Target),
}

/// The pool.
impl TransportBuilder {
    /// Settings of every key that has none of its own.
    pub fn for_every_key(mut self, settings: KeySettings) -> Self {
        self.for_all = settings;
        self
    }

    /// Settings of the key of requests to this URI, instead of those of every key. Where they go to
    /// an HTTP proxy in absolute form, it is the key of all that do.
    pub fn for_key(mut self, uri: &Uri, settings: KeySettings) -> Self {
        self.overrides.push((Whose::Uri(uri.clone()), settings));
        self
    }

    /// Settings of the key of this target, instead of those of every key.
    pub fn for_target(mut self, target: Target, settings: KeySettings) -> Self {
        self.overrides.push((Whose::Target(target), settings));
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

    /// Time from the end of the request to the head of the response. Default: none, as Go's
    /// `ResponseHeaderTimeout`. For CONNECT it is [`tunnel_timeout`](Self::tunnel_timeout).
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

    /// Builds the Transport.
    ///
    /// # Errors
    /// A setting makes no sense: a limit of 0 where nothing could work, a minimum above its
    /// maximum, a timeout of 0, a jitter outside 0 to 1.
    pub fn build(mut self) -> Result<Transport, Error> {
        self.check_times()?;
        let routes = self.routes.into_iter();
        let routes = routes.map(|target| (target.origin().clone(), target.into_key()));
        let proxies = match self.proxies {
            Some(proxies) => proxies,
            // Whoever opens the streams knows where they lead.
            None if self.settings.dial.connector.is_some() => Proxies::Off,
            None => Proxies::of_environment(),
        };
        self.settings.routing = Routing::new(routes.collect(), proxies);
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
        for (whose, settings) in self.overrides {
            let of_key = settings.limits(&per_key);
            check_limits(&limits, &of_key)?;
            let key = match whose {
                Whose::Uri(uri) => self.settings.routing.key(&uri)?,
                Whose::Target(target) => target.into_key(),
            };
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
            self.settings.response_timeout,
            self.settings.continue_timeout,
        ];
        if timeouts.contains(&Some(Duration::ZERO)) {
            return Err(bad("a timeout is 0: use None for no timeout"));
        }
        self.settings.dial.check()?;
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
}

pub(super) fn bad(message: &'static str) -> Error {
    Error::caused(ErrorKind::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::TcpKeepAlive;

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
