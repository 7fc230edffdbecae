//! What the `metrics` facade is told: OpenTelemetry's names where it has them, and ours.
//!
//! A connection registers its instruments when it is opened, so that an exchange costs a few atomic
//! additions and no look-up; only the duration of a request, whose labels are the method and the
//! status, is looked up in the recorder for each request. Invariant: what is added to a gauge for a
//! connection is taken from it again, whatever ends the connection. Without the feature `metrics`
//! all of this is nothing (`meter_off`).

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram, Label, Unit};
use tokio::time::Instant;

use super::key::{Key, Origin};
use crate::error::{Error, ErrorKind};
use crate::{CloseReason, OpenReason};

const OPEN: &str = "http.client.open_connections";
const CONNECTION_DURATION: &str = "http.client.connection.duration";
const REQUEST_DURATION: &str = "http.client.request.duration";
const OPENED: &str = "keepline.client.connections.opened";
const CLOSED: &str = "keepline.client.connections.closed";
const DIAL_FAILURES: &str = "keepline.client.dial.failures";
const ACQUISITIONS: &str = "keepline.client.acquisitions";
const WAIT: &str = "keepline.client.acquire.duration";
const RETRIES: &str = "keepline.client.retries";

/// Tells the recorder of the `metrics` facade the units and descriptions of what a
/// [`Transport`](super::Transport) measures. Call it once, after the recorder is installed.
///
/// | name | kind | labels beside `server.address`, `server.port`, `url.scheme` |
/// |---|---|---|
/// | `http.client.open_connections` | gauge | `http.connection.state` (`active`, `idle`), `network.protocol.version` |
/// | `http.client.connection.duration` | histogram, seconds | `network.protocol.version` |
/// | `http.client.request.duration` | histogram, seconds, to the head of the final response | `http.request.method`, `http.response.status_code` or `error.type` |
/// | `keepline.client.connections.opened` | counter | `keepline.open.reason` |
/// | `keepline.client.connections.closed` | counter | `keepline.close.reason` |
/// | `keepline.client.dial.failures` | counter | `error.type` |
/// | `keepline.client.acquisitions` | counter | `keepline.connection.reused` |
/// | `keepline.client.acquire.duration` | histogram, seconds | |
/// | `keepline.client.retries` | counter | |
///
/// A Transport's connections use the recorder that is installed when they are opened.
pub fn describe_metrics() {
    metrics::describe_gauge!(OPEN, Unit::Count, "Connections that are open, by state");
    for (name, what) in [
        (CONNECTION_DURATION, "How long connections were open"),
        (
            REQUEST_DURATION,
            "From a request to the head of its final response",
        ),
        (
            WAIT,
            "How long requests waited for a connection, dialling included",
        ),
    ] {
        metrics::describe_histogram!(name, Unit::Seconds, what);
    }
    for (name, what) in [
        (OPENED, "Connections opened, by reason"),
        (CLOSED, "Connections closed, by reason"),
        (DIAL_FAILURES, "Dials that failed, by error"),
        (ACQUISITIONS, "Connections that requests got, reused or new"),
        (
            RETRIES,
            "Requests sent again because their connection had died",
        ),
    ] {
        metrics::describe_counter!(name, Unit::Count, what);
    }
}

fn server(origin: &Origin) -> Vec<Label> {
    vec![
        Label::new("server.address", origin.host().to_owned()),
        Label::new("server.port", origin.port().to_string()),
        Label::from_static_parts(
            "url.scheme",
            if origin.is_secure() { "https" } else { "http" },
        ),
    ]
}

fn with(mut labels: Vec<Label>, name: &'static str, value: &'static str) -> Vec<Label> {
    labels.push(Label::from_static_parts(name, value));
    labels
}

/// The instruments of one connection, from when it is opened to when it is dropped.
pub(crate) struct ConnectionMeter(Box<Instruments>);

struct Instruments {
    server: Vec<Label>,
    opened_at: Instant,
    idle: Gauge,
    active: Gauge,
    duration: Histogram,
    reused: Counter,
    first_use: Counter,
    wait: Histogram,
    is_idle: AtomicBool,
    is_told_closed: AtomicBool,
}

impl ConnectionMeter {
    /// Of a connection that has just been opened, and is in use.
    pub(crate) fn opened(key: &Key, reason: OpenReason, version: &'static str) -> Self {
        let server = server(key.origin());
        let opened = with(server.clone(), "keepline.open.reason", reason.name());
        metrics::counter!(OPENED, opened).increment(1);
        let versioned = with(server.clone(), "network.protocol.version", version);
        let state = |state| with(versioned.clone(), "http.connection.state", state);
        let reused = |is| with(server.clone(), "keepline.connection.reused", is);
        let active = metrics::gauge!(OPEN, state("active"));
        active.increment(1.0);
        Self(Box::new(Instruments {
            opened_at: Instant::now(),
            idle: metrics::gauge!(OPEN, state("idle")),
            active,
            duration: metrics::histogram!(CONNECTION_DURATION, versioned.clone()),
            reused: metrics::counter!(ACQUISITIONS, reused("true")),
            first_use: metrics::counter!(ACQUISITIONS, reused("false")),
            wait: metrics::histogram!(WAIT, server.clone()),
            is_idle: AtomicBool::new(false),
            is_told_closed: AtomicBool::new(false),
            server,
        }))
    }

    /// A request has it, after so long.
    pub(crate) fn acquired(&self, is_reused: bool, wait: Duration) {
        let of = &self.0;
        let count = if is_reused { &of.reused } else { &of.first_use };
        count.increment(1);
        of.wait.record(wait);
    }

    /// It is in a request's hands. Told again, it makes no difference.
    pub(crate) fn active(&self) {
        let of = &self.0;
        if of.is_idle.swap(false, Ordering::Relaxed) {
            of.idle.decrement(1.0);
            of.active.increment(1.0);
        }
    }

    /// It is back in the pool; on its way to a waiter it counts as idle.
    pub(crate) fn idle(&self) {
        let of = &self.0;
        if !of.is_idle.swap(true, Ordering::Relaxed) {
            of.active.decrement(1.0);
            of.idle.increment(1.0);
        }
    }

    /// It is about to be closed.
    pub(crate) fn closed(&self, reason: CloseReason) {
        let of = &self.0;
        if !of.is_told_closed.swap(true, Ordering::Relaxed) {
            let labels = with(of.server.clone(), "keepline.close.reason", reason.name());
            metrics::counter!(CLOSED, labels).increment(1);
        }
    }
}

impl Drop for ConnectionMeter {
    fn drop(&mut self) {
        // The pool tells why it closes a connection, but not when it is dropped itself.
        self.closed(CloseReason::Shutdown);
        let of = &self.0;
        let state = if of.is_idle.load(Ordering::Relaxed) {
            &of.idle
        } else {
            &of.active
        };
        state.decrement(1.0);
        of.duration.record(of.opened_at.elapsed());
    }
}

impl std::fmt::Debug for ConnectionMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ConnectionMeter").finish_non_exhaustive()
    }
}

/// A dial has failed.
pub(crate) fn dial_failed(key: &Key, error: &Error) {
    let labels = with(server(key.origin()), "error.type", error_type(error));
    metrics::counter!(DIAL_FAILURES, labels).increment(1);
}

/// A request is sent again.
pub(crate) fn retrying(key: &Key) {
    metrics::counter!(RETRIES, server(key.origin())).increment(1);
}

/// A request, from when it is asked for; dropped before its end, it was cancelled.
pub(crate) struct RequestMeter<'a> {
    began_at: Instant,
    key: &'a Key,
    method: &'a Method,
    is_over: bool,
}

impl<'a> RequestMeter<'a> {
    pub(crate) fn begin(key: &'a Key, method: &'a Method) -> Self {
        Self {
            began_at: Instant::now(),
            key,
            method,
            is_over: false,
        }
    }

    /// The head of the final response has come, or never will.
    pub(crate) fn end<T>(mut self, outcome: &Result<http::Response<T>, Error>) {
        self.is_over = true;
        self.record(match outcome {
            Ok(response) => status_label(response.status()),
            Err(error) => Label::from_static_parts("error.type", error_type(error)),
        });
    }

    fn record(&self, outcome: Label) {
        let mut labels = server(self.key.origin());
        labels.push(method_label(self.method));
        labels.push(outcome);
        metrics::histogram!(REQUEST_DURATION, labels).record(self.began_at.elapsed());
    }
}

impl Drop for RequestMeter<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.record(Label::from_static_parts("error.type", "cancelled"));
        }
    }
}

fn status_label(status: StatusCode) -> Label {
    Label::new("http.response.status_code", status.as_str().to_owned())
}

/// Methods that OpenTelemetry does not know are one, so that nobody can make up labels without end.
fn method_label(method: &Method) -> Label {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT",
    ];
    let known = KNOWN.iter().find(|known| **known == method.as_str());
    let name = known.map_or(Cow::Borrowed("_OTHER"), |known| Cow::Borrowed(*known));
    Label::new("http.request.method", name)
}

fn error_type(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidRequest | ErrorKind::Misuse(_) => "invalid_request",
        ErrorKind::Resolve => "resolve",
        ErrorKind::Connect => "connect",
        ErrorKind::Proxy(_) => "proxy",
        ErrorKind::Tls => "tls",
        ErrorKind::Timeout(_) => "timeout",
        ErrorKind::Protocol(_) => "protocol",
        ErrorKind::Io => "io",
        ErrorKind::Http2 => "http2",
        ErrorKind::Body => "body",
        ErrorKind::Service => "service",
        ErrorKind::Content => "content",
        ErrorKind::Redirect => "redirect",
        ErrorKind::TooLarge => "too_large",
        ErrorKind::Shutdown => "shutdown",
    }
}
