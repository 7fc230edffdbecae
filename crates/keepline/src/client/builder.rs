//! The settings of a Transport.

use std::sync::Arc;
use std::time::Duration;

use keepline_proto::Config;

use super::Transport;
use super::reuse::DrainLimits;
use crate::error::{Error, ErrorKind};
use crate::pool::Limits;
#[cfg(feature = "tls")]
use crate::tls::ClientTls;

/// What an exchange and a dial look up.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) drain: DrainLimits,
    pub(crate) is_retry_on: bool,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) tls_timeout: Option<Duration>,
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) proto: Arc<Config>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            drain: DrainLimits::default(),
            is_retry_on: true,
            connect_timeout: Some(Duration::from_secs(30)),
            tls_timeout: Some(Duration::from_secs(10)),
            response_timeout: None,
            proto: Arc::default(),
        }
    }
}

/// Builds a [`Transport`]. The defaults are those of Go's DefaultTransport, but for the idle
/// connections per key, which are not limited to 2.
#[derive(Debug, Default)]
#[must_use]
pub struct TransportBuilder {
    limits: Limits,
    idle_per_key: Option<usize>,
    settings: Settings,
    #[cfg(feature = "tls")]
    tls: Option<ClientTls>,
}

impl TransportBuilder {
    /// How long a connection may be idle before it is closed. Default 90 s, as Go. `None`: for
    /// ever, which loses the race against every server that does not wait for ever too.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limits.idle_timeout = timeout.into();
        self
    }

    /// Idle connections over all keys; above it the one that has been idle longest is closed.
    /// Default 100, as Go. 0: nothing is kept.
    pub fn max_idle(mut self, connections: usize) -> Self {
        self.limits.idle_total = connections;
        self
    }

    /// Idle connections of one key (scheme, host and port); above it the *oldest* of the key is
    /// closed (Go closes the one that comes back). Default: as many as in all (Go: 2, which is
    /// churn for any program that does more than two things at once).
    pub fn max_idle_per_key(mut self, connections: usize) -> Self {
        self.idle_per_key = Some(connections);
        self
    }

    /// Dials of one key that may be in progress at once; further requests wait for one of them.
    /// Default 64 (Go: no limit).
    pub fn max_dials_per_key(mut self, dials: usize) -> Self {
        self.limits.dials_per_key = dials;
        self
    }

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

    /// Time to resolve and connect, over all addresses. Default 30 s, as Go.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.connect_timeout = timeout.into();
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
    /// A setting makes no sense: no dial at all, or a timeout of zero.
    pub fn build(self) -> Result<Transport, Error> {
        if self.limits.dials_per_key == 0 {
            return Err(bad(
                "max_dials_per_key is 0: no connection could ever be opened",
            ));
        }
        let Settings {
            connect_timeout,
            tls_timeout,
            response_timeout,
            ..
        } = &self.settings;
        let timeouts = [connect_timeout, tls_timeout, response_timeout];
        if timeouts.contains(&&Some(Duration::ZERO)) {
            return Err(bad("a timeout is 0: use None for no timeout"));
        }
        if self.limits.idle_timeout == Some(Duration::ZERO) {
            return Err(bad(
                "idle_timeout is 0: use max_idle(0) to keep no connection",
            ));
        }
        let idle_per_key = self.idle_per_key.unwrap_or(self.limits.idle_total);
        let limits = Limits {
            idle_per_key,
            ..self.limits
        };
        Ok(Transport::from_parts(
            limits,
            self.settings,
            #[cfg(feature = "tls")]
            self.tls,
        ))
    }
}

fn bad(message: &'static str) -> Error {
    Error::caused(ErrorKind::InvalidRequest, message)
}
