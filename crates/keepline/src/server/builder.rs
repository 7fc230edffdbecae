//! The settings of a server, one method each: unit, default and where the default comes from.
//!
//! Where a time limit is an `Option`, `None` is no limit.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use keepline_proto::{Config, RequestHead};

use super::Server;
use super::access::{AccessFormat, AccessRecord};
#[cfg(feature = "http2")]
use super::http2::Http2;
use super::ready::ReadyAnswer;
#[cfg(feature = "tls")]
use super::settings::PlainHttp;
use super::settings::{InvalidSetting, Settings};
use super::state::StateChange;
use super::terms::Drain;
#[cfg(feature = "tls")]
use crate::tls::ServerTls;

/// Builds a [`Server`]; made by [`Server::builder`].
#[derive(Default)]
#[must_use]
pub struct ServerBuilder(Settings);

/// Time limits.
impl ServerBuilder {
    /// How long a TLS handshake may take. Default 10 s, as Go's Transport allows the other side
    /// of it (Go's server: the smallest of its other limits, else none).
    pub const fn handshake_timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.handshake_timeout = limit;
        self
    }

    /// How long a request head may take from its first byte to its end, however it dribbles in;
    /// then 408 and close. Also how long a new connection may say nothing; then it is closed
    /// without a word. Default 10 s (Go none, nginx 60 s, hyper 30 s).
    pub const fn head_timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.head_timeout = limit;
        self
    }

    /// How long a request body that is being read may make no progress. Default 30 s (nginx 60 s,
    /// Go an absolute limit, none by default).
    pub const fn body_timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.terms.body_timeout = limit;
        self
    }

    /// How long a response that is being sent may make no progress; then the connection is reset,
    /// so that the kernel does not keep for it what its client does not take. Default 30 s (nginx
    /// 60 s, and a reset with `reset_timedout_connection`; Go an absolute limit, none by default).
    pub const fn write_timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.terms.write_timeout = limit;
        self
    }

    /// What counts as progress of a response: at least so many bytes have to be taken in each
    /// [`write_timeout`](Self::write_timeout) that is spent waiting for the client. Default 1. More
    /// stops clients that read a byte now and then to hold a connection (*slow read*; nginx and
    /// Go know no such bound). Of HTTP/1.1; HTTP/2 counts each byte.
    pub const fn write_progress(mut self, bytes: u64) -> Self {
        self.0.terms.write_progress = bytes;
        self
    }

    /// How long a connection may be idle between requests; then it is closed without a word.
    /// Default 75 s, as nginx: longer than the 60 s after which most balancers and clients give
    /// an idle connection up themselves, which is what avoids failed requests.
    pub const fn idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.terms.idle_timeout = limit;
        self
    }

    /// What counts as progress of a request body: at least so many bytes have to come in each
    /// [`body_timeout`](Self::body_timeout) that is spent waiting for them. Default 1: whoever
    /// sends a byte now and then is slow, not silent. More stops uploads that only hold a
    /// connection (Apache: `RequestReadTimeout` with `MinRate`).
    pub const fn body_progress(mut self, bytes: u64) -> Self {
        self.0.terms.body_progress = bytes;
        self
    }

    /// How long a whole request body may take, whatever its progress, from the first time that it
    /// is waited for. Default `None`: how long an upload takes, only its program knows (Go:
    /// `ReadTimeout`, none by default).
    pub const fn body_deadline(mut self, limit: Option<Duration>) -> Self {
        self.0.terms.body_deadline = limit;
        self
    }

    /// How long a service may take until it has a response; then its future is dropped and the
    /// client gets 503. The response's body may take longer. Default `None` (Go: none, but for
    /// its `TimeoutHandler`). Handlers of the raw exchange have to see to it themselves.
    pub const fn handler_timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.handler_timeout = limit;
        self
    }

    /// How long a graceful shutdown ([`Handle::shutdown`](super::Handle::shutdown)) waits for
    /// requests in progress before it drops them. Default `None`, as Go and nginx.
    pub const fn shutdown_timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.shutdown_timeout = limit;
        self
    }
}

/// How many there may be.
impl ServerBuilder {
    /// Connections that are open at a time, of those that the server accepts. Above it the one that
    /// has been idle longest is closed for the next; while none is idle, no further one is
    /// accepted, and waits in the kernel. Default unlimited, as Go: the limit of open files is one
    /// (nginx: `worker_connections`, 512).
    pub const fn max_connections(mut self, limit: Option<usize>) -> Self {
        self.0.max_connections = limit;
        self
    }

    /// Connections that are open at a time from one IP address. Above it the one of them that has
    /// been idle longest is closed for the next; while none is idle, the next is closed as soon as
    /// it is accepted. Default unlimited (Go: none; nginx: `limit_conn`). Behind a balancer all
    /// connections have its address.
    pub const fn max_connections_per_peer(mut self, limit: Option<usize>) -> Self {
        self.0.max_connections_per_peer = limit;
        self
    }

    /// Requests that are in progress at a time; a further one is answered with 503 and
    /// `Retry-After: 1`, and its connection is kept. Default unlimited, as Go.
    pub const fn max_requests_in_progress(mut self, limit: Option<u64>) -> Self {
        self.0.max_requests_in_progress = limit;
        self
    }

    /// The largest content of a request, in bytes: one whose Content-Length is larger is answered
    /// with 413 before the service sees it, a chunked one fails when it has become larger.
    /// Default unlimited, as Go: content is never gathered here, so only who gathers it needs a
    /// limit (nginx: 1 MiB).
    pub const fn max_body(mut self, bytes: Option<u64>) -> Self {
        self.0.terms.max_body = bytes;
        self
    }
}

/// How long a connection lives, and what its clients are told.
impl ServerBuilder {
    /// How long a connection stays idle at least before a shutdown, or the limit of connections,
    /// may close it: a request that was on its way meanwhile is answered (with `Connection:
    /// close`). Default 0, as nginx's `keepalive_min_timeout`.
    pub const fn min_idle(mut self, time: Duration) -> Self {
        self.0.terms.min_idle = time;
        self
    }

    /// Over how long a shutdown spreads the closing of idle connections, each at its own moment:
    /// their clients do not all come back at once. Default 0: at once, as Go and nginx.
    pub const fn shutdown_spread(mut self, time: Duration) -> Self {
        self.0.shutdown_spread = time;
        self
    }

    /// Only the connection of a request for which `persists` holds may carry a further one: for
    /// clients that are known not to bear it (nginx: `keepalive_disable`). Default: all.
    pub fn persist_if(
        mut self,
        persists: impl Fn(&RequestHead) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.0.persist_if = Some(Arc::new(persists));
        self
    }

    /// Requests that a connection carries; the last answer says close. Default unlimited, as Go
    /// (nginx 1000): where connections are not balanced by closing them, a limit only costs.
    pub const fn max_requests(mut self, limit: Option<u64>) -> Self {
        self.0.max_requests = limit;
        self
    }

    /// The age after which the next answer says close, and by how much it may come earlier: each
    /// connection draws its own, so that connections opened together do not end together.
    /// Default unlimited, as Go (nginx one hour).
    pub const fn max_age(mut self, limit: Option<Duration>, jitter: Duration) -> Self {
        self.0.max_age = limit;
        self.0.age_jitter = jitter;
        self
    }

    /// Tells clients `Keep-Alive: timeout=N` with every answer that keeps the connection: the
    /// idle timeout less `margin`, in whole seconds rounded down, so that a client that keeps to
    /// it never meets the timer. Default `None`: not told, as Go.
    pub const fn keep_alive_header(mut self, margin: Option<Duration>) -> Self {
        self.0.keep_alive_margin = margin;
        self
    }

    /// Adds `Date` to answers that have none; it is formatted once a second. Default true
    /// (RFC 9110 §6.6.1: an origin server with a clock must).
    pub const fn date(mut self, adds: bool) -> Self {
        self.0.terms.date = adds;
        self
    }
}

/// Request bodies that nobody reads, and closing.
impl ServerBuilder {
    /// How much of a request body that was not read is drained after the answer, to keep the
    /// connection, and how long that may take. Default 256 KiB, as Go, and 5 s (Go no limit, nginx
    /// `lingering_timeout`, 5 s for each piece): the answer is out, so only a connection waits.
    pub const fn drain(mut self, bytes: u64, time: Duration) -> Self {
        self.0.terms.drain = Drain {
            bytes,
            timeout: time,
            time,
        };
        self
    }

    /// Lingering close: after an answer that closes while the client may still be sending, our
    /// direction is closed and what comes is thrown away until the client closes too, says
    /// nothing for `timeout`, or `time` has passed in all. Closing at once would reset the
    /// connection and destroy the answer (RFC 9112 §9.6). Default 5 s and 30 s, as nginx (Go
    /// 500 ms, without reading).
    pub const fn linger(mut self, timeout: Duration, time: Duration) -> Self {
        self.0.terms.linger.timeout = timeout;
        self.0.terms.linger.time = time;
        self
    }

    /// Drops the handler's future also when the client only closes its own direction. Default
    /// false: such a client still gets its answer. A reset always cancels.
    pub const fn cancel_on_half_close(mut self, cancels: bool) -> Self {
        self.0.terms.cancel_on_half_close = cancels;
        self
    }
}

/// Requests.
impl ServerBuilder {
    /// Limits on heads and chunk framing, and what is read tolerantly. Default
    /// [`Config::default`].
    pub fn protocol(mut self, config: Config) -> Self {
        self.0.protocol = Arc::new(config);
        self
    }

    /// The library answers `OPTIONS *` with 200. Default true, as Go.
    pub const fn answer_options_asterisk(mut self, answers: bool) -> Self {
        self.0.answer_options_asterisk = answers;
        self
    }

    /// A request that expects anything else than 100-continue is answered with 417. Default true,
    /// as Go and as RFC 9110 §10.1.1 allows; without it such expectations are ignored, as nginx
    /// does.
    pub const fn refuse_expectations(mut self, refuses: bool) -> Self {
        self.0.refuse_expectations = refuses;
        self
    }

    /// Requests of [`Server::serve`] carry a [`RequestInfo`](super::RequestInfo) among their
    /// extensions. Default true; without it a request costs three allocations less.
    pub const fn request_info(mut self, carries: bool) -> Self {
        self.0.request_info = carries;
        self
    }

    /// What [`Server::serve`] answers from the head alone, at the cost of the raw layer: `answers` is
    /// asked of each request of HTTP/1.1 before a typed request is made of it. `None`: the service is
    /// asked; so it is of all requests of HTTP/2, and has to know these answers too. What there is
    /// of the request's content is drained. Default none.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use http::{HeaderValue, StatusCode};
    /// use keepline::server::{ReadyAnswer, Server};
    ///
    /// let server = Server::builder().answer_first(|head| {
    ///     let plain = HeaderValue::from_static("text/plain");
    ///     let is_probe = head.target() == b"/healthz";
    ///     is_probe.then(|| ReadyAnswer::new(StatusCode::OK, plain, Bytes::from_static(b"ok")))
    /// });
    /// # server.build().unwrap();
    /// ```
    pub fn answer_first(
        mut self,
        answers: impl Fn(&RequestHead) -> Option<ReadyAnswer> + Send + Sync + 'static,
    ) -> Self {
        self.0.answers_first = Some(Arc::new(answers));
        self
    }

    /// Is told of each change of a connection's state, on the connection's own task: it must not
    /// block.
    pub fn on_state(mut self, hook: impl Fn(StateChange) + Send + Sync + 'static) -> Self {
        self.0.state_hook = Some(Arc::new(hook));
        self
    }

    /// Is told of each exchange when it is over, on the connection's own task (HTTP/2: the
    /// request's): it must not block. What was refused before the service is told too; an exchange
    /// that [`Handle::abort`](super::Handle::abort) drops is not. Default none, and then an
    /// exchange pays nothing for it.
    pub fn on_exchange(mut self, hook: impl Fn(&AccessRecord<'_>) + Send + Sync + 'static) -> Self {
        self.0.exchange_hook = Some(Arc::new(hook));
        self
    }

    /// Tells each exchange to `tracing`, as an event of the level INFO and the target
    /// `keepline::access` whose message is a line of an access log. Default none.
    pub const fn access_log(mut self, format: Option<AccessFormat>) -> Self {
        self.0.access_log = format;
        self
    }

    /// Services are served with HTTP/2 too: over TLS where the client agrees to it by ALPN, without
    /// TLS where it begins with HTTP/2 of its own accord (prior knowledge, RFC 9113 §3.3). Default
    /// not. Handlers of the raw exchange are not concerned.
    #[cfg(feature = "http2")]
    pub const fn http2(mut self, settings: Http2) -> Self {
        self.0.http2 = Some(settings);
        self
    }

    /// Speaks TLS on every connection.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.0.tls = Some(tls);
        self
    }

    /// Hands requests without TLS to the handler where [`tls`](Self::tls) is spoken, for one that
    /// answers them in its own way: [`RequestInfo::is_tls`](super::RequestInfo::is_tls) tells them
    /// apart. Default `false`: they are told in a line of text, and closed.
    #[cfg(feature = "tls")]
    pub const fn admit_plain_http(mut self, admits: bool) -> Self {
        self.0.plain_http = if admits {
            PlainHttp::Admitted
        } else {
            PlainHttp::Told
        };
        self
    }

    /// The server.
    ///
    /// # Errors
    /// A setting cannot work.
    pub fn build(self) -> Result<Server, InvalidSetting> {
        Ok(Server::new(self.0.validated()?))
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let second = Duration::from_secs(1);
        let builder = Server::builder;
        for (builder, setting) in [
            (builder().head_timeout(Some(Duration::ZERO)), "head_timeout"),
            (builder().idle_timeout(Some(Duration::ZERO)), "idle_timeout"),
            (builder().max_requests(Some(0)), "max_requests"),
            (builder().max_age(Some(second), second), "max_age"),
            (builder().linger(second * 2, second), "linger"),
            (
                builder().idle_timeout(None).keep_alive_header(Some(second)),
                "keep_alive_header",
            ),
            (
                builder()
                    .idle_timeout(Some(second))
                    .keep_alive_header(Some(second)),
                "keep_alive_header",
            ),
        ] {
            assert_eq!(builder.build().unwrap_err().setting, setting);
        }
        assert!(builder().build().is_ok());
    }
}
