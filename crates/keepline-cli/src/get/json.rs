//! A line of JSON for each request.

use std::time::Duration;

use keepline::agent::Redirected;
use keepline::{ConnectionInfo, Timings};
use serde_json::{Value, json};

use super::heads::version;
use crate::load::Outcome;

/// What became of a request. Times are in microseconds.
pub(crate) fn line(outcome: &Outcome, url: &str) -> Value {
    json!({
        "request": outcome.number,
        "url": url,
        "ok": outcome.is_ok(),
        "status": outcome.received.status().map(|status| status.as_u16()),
        "version": outcome.received.head.as_ref().map(|head| version(head.version)),
        "redirects": redirects(outcome),
        "bytes": outcome.received.bytes,
        "time_us": micros(outcome.elapsed),
        "connection": outcome.connection().map(connection),
        "error": outcome.trouble.as_ref().map(|trouble| trouble.to_string()),
    })
}

/// What was asked before, if redirects were followed.
fn redirects(outcome: &Outcome) -> Value {
    let head = outcome.received.head.as_ref();
    let told = head.and_then(|head| head.extensions.get::<Redirected>());
    let hops = told.map_or(&[][..], |told| &told.hops);
    hops.iter()
        .map(|(uri, status)| json!({"url": uri.to_string(), "status": status.as_u16()}))
        .collect()
}

fn connection(info: &ConnectionInfo) -> Value {
    let Timings {
        wait,
        dns,
        connect,
        proxy,
        tls,
        first_byte,
        ..
    } = info.timings;
    json!({
        "id": info.id,
        "reused": info.reused,
        "opened": info.open_reason.name(),
        "exchange": info.exchange_number,
        "idle_us": info.idle_for.map(micros),
        "age_us": micros(info.age),
        "peer": info.peer.to_string(),
        "retries": info.retries,
        "bytes_written": info.bytes_written,
        "bytes_read": info.bytes_read,
        "wait_us": micros(wait),
        "dns_us": dns.map(micros),
        "connect_us": connect.map(micros),
        "proxy_us": proxy.map(micros),
        "tls_us": tls.map(micros),
        "first_byte_us": first_byte.map(micros),
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
