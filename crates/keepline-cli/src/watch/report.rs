//! A look as a line, for people or as JSON.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::look::Seen;
use super::ports::HeadRoom;
use super::status::Reuse;
use super::tally::{BEYOND, BOUNDS, Histogram, Sample};
use crate::human::Time;
use crate::kernel::sockets::Source;

/// For people.
pub(super) fn line(seen: &Seen, since: Duration, reuse: Option<&Reuse>) -> String {
    let mut parts = Vec::new();
    for (name, sample) in [("server", &seen.server), ("client", &seen.client)] {
        parts.push(format!("{name} side: {}", side(sample, since)));
    }
    if let Some(room) = seen.ports {
        parts.push(ports(room));
    }
    if let Some(reuse) = reuse {
        parts.push(status(reuse));
    }
    parts.join("   ")
}

/// The states of one side, and what happened there.
fn side(sample: &Sample, since: Duration) -> String {
    let mut parts: Vec<_> = sample
        .states
        .iter()
        .map(|(state, count)| format!("{count} {}", state.name()))
        .collect();
    if parts.is_empty() {
        parts.push("none".to_owned());
    }
    let (opened, closed) = (rate(sample.opened, since), rate(sample.closed, since));
    parts.push(format!("+{opened} -{closed} a second"));
    parts.push(format!("{} TIME-WAIT made", sample.time_wait_made));
    if sample.retransmits > 0 {
        parts.push(format!("{} segments sent again", sample.retransmits));
    }
    parts.join(", ")
}

/// The ports that are left.
pub(super) fn ports(room: HeadRoom) -> String {
    let lasting = room
        .exhausted_in
        .map(|time| format!(", for {}", Time(time)));
    format!(
        "ports to {}: {} left{}",
        room.remote,
        room.left,
        lasting.unwrap_or_default()
    )
}

/// What the server itself says.
pub(super) fn status(reuse: &Reuse) -> String {
    let ratio = reuse
        .reuse_ratio
        .map(|ratio| format!(", reuse {:.2} %", ratio * 100.0));
    let closed: Vec<_> = reuse
        .closed
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let closed = match closed.is_empty() {
        true => String::new(),
        false => format!(", closed {}", closed.join(" ")),
    };
    format!(
        "{:.0} requests a second{}{closed}",
        reuse.requests_per_second,
        ratio.unwrap_or_default()
    )
}

/// How many a second, of so many in this time; a second is never exactly one.
pub(super) fn rate(count: u64, since: Duration) -> String {
    let rate = count as f64 / since.as_secs_f64();
    let is_whole = (rate - rate.round()).abs() < 0.02;
    if is_whole || rate >= 10.0 {
        format!("{rate:.0}")
    } else {
        format!("{rate:.1}")
    }
}

/// For scripts.
pub(super) fn json(seen: &Seen, elapsed: Duration, reuse: Option<&Reuse>) -> Value {
    json!({
        "seconds": (elapsed.as_secs_f64() * 1e3).round() / 1e3,
        "server": side_json(&seen.server),
        "client": side_json(&seen.client),
        "ports": seen.ports.map(|room| json!({
            "remote": room.remote.to_string(),
            "used": room.used,
            "left": room.left,
            "exhausted_in_seconds": room.exhausted_in.map(|time| time.as_secs_f64()),
        })),
        "status": reuse.map(|reuse| json!({
            "requests_per_second": reuse.requests_per_second,
            "reuse_ratio": reuse.reuse_ratio,
            "closed": Map::from_iter(
                reuse.closed.iter().map(|(reason, count)| (reason.clone(), (*count).into()))
            ),
        })),
        "source": match seen.source {
            Source::Netlink => "netlink",
            Source::Proc => "proc",
        },
        "exact": seen.is_exact,
    })
}

fn side_json(sample: &Sample) -> Value {
    let states = sample.states.iter();
    let states: Map<_, _> = states
        .map(|(state, count)| (state.name().to_owned(), (*count).into()))
        .collect();
    json!({
        "states": states,
        "new": sample.opened,
        "closed": sample.closed,
        "time_wait_made": sample.time_wait_made,
        "retransmits": sample.retransmits,
        "age": histogram_json(sample.ages),
        "idle": sample.idle.map(histogram_json),
    })
}

/// The names of the columns of a histogram.
pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    BOUNDS.iter().map(|(_, name)| *name).chain([BEYOND])
}

fn histogram_json(histogram: Histogram) -> Value {
    let columns = columns().zip(histogram);
    Value::Object(
        columns
            .map(|(name, count)| (name.to_owned(), count.into()))
            .collect(),
    )
}
