//! Everything that can be set on a server, with its default.
//!
//! Invariant: a [`Settings`] that the rest of the module sees has passed [`Settings::validated`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use keepline_proto::{Config, RequestHead};

use super::access::{AccessFormat, ExchangeHook};
#[cfg(feature = "http2")]
use super::http2::Http2;
use super::ready::ReadyAnswer;
use super::state::StateHook;
use super::terms::Terms;
#[cfg(feature = "tls")]
use crate::tls::ServerTls;

/// A setting that cannot work, from [`ServerBuilder::build`](super::ServerBuilder::build).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidSetting {
    /// The name of the setting: the builder's method.
    pub setting: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

impl std::error::Error for InvalidSetting {}

/// Whether the connection of a request may persist after it.
pub(crate) type AnswersFirst = Arc<dyn Fn(&RequestHead) -> Option<ReadyAnswer> + Send + Sync>;
pub(crate) type PersistIf = Arc<dyn Fn(&RequestHead) -> bool + Send + Sync>;

/// What becomes of plain HTTP where TLS is spoken.
#[cfg(feature = "tls")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainHttp {
    /// It is told in a line of text, and closed.
    Told,
    /// The handler has its requests.
    Admitted,
}

/// The settings of one server; what they mean is told at the builder's methods.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The terms of every exchange whose handler chooses no others.
    pub(crate) terms: Terms,
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) head_timeout: Option<Duration>,
    pub(crate) max_requests: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) age_jitter: Duration,
    pub(crate) keep_alive_margin: Option<Duration>,
    pub(crate) shutdown_timeout: Option<Duration>,
    /// Idle connections are closed over this time when the server drains.
    pub(crate) shutdown_spread: Duration,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_connections_per_peer: Option<usize>,
    pub(crate) max_requests_in_progress: Option<u64>,
    pub(crate) handler_timeout: Option<Duration>,
    pub(crate) persist_if: Option<PersistIf>,
    pub(crate) answer_options_asterisk: bool,
    pub(crate) refuse_expectations: bool,
    pub(crate) request_info: bool,
    pub(crate) answers_first: Option<AnswersFirst>,
    pub(crate) protocol: Arc<Config>,
    pub(crate) state_hook: Option<StateHook>,
    pub(crate) exchange_hook: Option<ExchangeHook>,
    pub(crate) access_log: Option<AccessFormat>,
    #[cfg(feature = "http2")]
    pub(crate) http2: Option<Http2>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<ServerTls>,
    #[cfg(feature = "tls")]
    pub(crate) plain_http: PlainHttp,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            terms: Terms::default(),
            handshake_timeout: Some(seconds(10)),
            head_timeout: Some(seconds(10)),
            max_requests: None,
            max_age: None,
            age_jitter: Duration::ZERO,
            keep_alive_margin: None,
            shutdown_timeout: None,
            shutdown_spread: Duration::ZERO,
            max_connections: None,
            max_connections_per_peer: None,
            max_requests_in_progress: None,
            handler_timeout: None,
            persist_if: None,
            answer_options_asterisk: true,
            refuse_expectations: true,
            request_info: true,
            answers_first: None,
            protocol: Arc::default(),
            state_hook: None,
            exchange_hook: None,
            access_log: None,
            #[cfg(feature = "http2")]
            http2: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            plain_http: PlainHttp::Told,
        }
    }
}

impl Settings {
    /// The settings, if they can work.
    pub(super) fn validated(mut self) -> Result<Self, InvalidSetting> {
        let invalid = |setting, problem| Err(InvalidSetting { setting, problem });
        for (setting, time) in [
            ("handshake_timeout", self.handshake_timeout),
            ("head_timeout", self.head_timeout),
            ("body_timeout", self.terms.body_timeout),
            ("write_timeout", self.terms.write_timeout),
            ("idle_timeout", self.terms.idle_timeout),
            ("body_deadline", self.terms.body_deadline),
            ("handler_timeout", self.handler_timeout),
        ] {
            if time.is_some_and(|time| time.is_zero()) {
                return invalid(setting, "zero would end every connection; None is no limit");
            }
        }
        for (setting, limit) in [
            ("max_connections", self.max_connections),
            ("max_connections_per_peer", self.max_connections_per_peer),
        ] {
            if limit == Some(0) {
                return invalid(setting, "zero would admit nobody; None is no limit");
            }
        }
        if self.max_requests_in_progress == Some(0) {
            return invalid(
                "max_requests_in_progress",
                "zero would answer nothing; None is no limit",
            );
        }
        if self.terms.min_idle > self.terms.idle_timeout.unwrap_or(Duration::MAX) {
            return invalid("min_idle", "cannot be longer than the idle timeout");
        }
        if self.max_requests == Some(0) {
            return invalid("max_requests", "a connection carries at least one request");
        }
        if self.max_age.is_some_and(|age| age <= self.age_jitter) {
            return invalid("max_age", "has to be longer than its jitter");
        }
        if self.terms.linger.time < self.terms.linger.timeout {
            return invalid(
                "linger",
                "in all has to be at least as long as without a byte",
            );
        }
        self.terms.told_idle_seconds = self.told_idle_seconds();
        if self.keep_alive_margin.is_some() && self.terms.told_idle_seconds.is_none() {
            return invalid(
                "keep_alive_header",
                "the idle timeout less the margin has to be at least a second",
            );
        }
        if self.protocol.limits.head == 0 || self.protocol.limits.fields == 0 {
            return invalid("protocol", "a head has at least one byte and one field");
        }
        Ok(self)
    }

    /// The connections of a service are offered HTTP/2.
    #[cfg_attr(
        not(feature = "http2"),
        expect(clippy::unused_self, reason = "without the feature none are")
    )]
    #[cfg_attr(
        not(any(feature = "tls", feature = "http2")),
        expect(dead_code, reason = "there is no way to agree on HTTP/2")
    )]
    pub(super) const fn offers_http2(&self) -> bool {
        #[cfg(feature = "http2")]
        return self.http2.is_some();
        #[cfg(not(feature = "http2"))]
        return false;
    }

    /// What `Keep-Alive: timeout=` tells: less than the real timer, so that a client that
    /// believes it never sends into a connection that is being closed.
    fn told_idle_seconds(&self) -> Option<u64> {
        let told = self
            .terms
            .idle_timeout?
            .checked_sub(self.keep_alive_margin?)?;
        Some(told.as_secs()).filter(|&seconds| seconds > 0)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("head_timeout", &self.head_timeout)
            .field("terms", &self.terms)
            .field("max_requests", &self.max_requests)
            .finish_non_exhaustive()
    }
}
