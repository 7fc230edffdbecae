//! The story of the connections, a line for each event.

use std::time::Duration;

use http::{StatusCode, Uri};
use keepline::agent::Redirected;
use keepline::{CloseCounts, CloseReason, ConnectionInfo};

use crate::human::Time;
use crate::load::Outcome;

/// Remembers what has been told, so that each event is told once.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    closed: CloseCounts,
}

impl Trace {
    /// What happened up to the end of this request.
    pub(crate) fn lines(&mut self, outcome: &Outcome, closed: &CloseCounts) -> Vec<String> {
        let number = outcome.number;
        let mut lines = Vec::new();
        if let Some(connection) = outcome.connection() {
            for _ in 0..connection.retries {
                lines.push("sent again: the connection died before an answer".to_owned());
            }
            lines.extend(redirects(outcome));
            lines.push(taken(connection));
        }
        lines.push(answered(outcome));
        let mut lines: Vec<_> = lines
            .into_iter()
            .map(|line| format!("#{number} {line}"))
            .collect();
        lines.extend(self.closed(closed));
        lines
    }

    /// Connections closed since this was asked last.
    pub(crate) fn closed(&mut self, now: &CloseCounts) -> Vec<String> {
        let before = std::mem::replace(&mut self.closed, *now);
        let since = |reason: &CloseReason| now.of(*reason) - before.of(*reason);
        CloseReason::ALL
            .iter()
            .flat_map(|reason| {
                (0..since(reason)).map(move |_| format!("closed a connection: {reason}"))
            })
            .collect()
    }
}

/// What was asked before.
fn redirects(outcome: &Outcome) -> Vec<String> {
    let head = outcome.received.head.as_ref();
    let Some(told) = head.and_then(|head| head.extensions.get::<Redirected>()) else {
        return Vec::new();
    };
    let line =
        |(uri, status): &(Uri, StatusCode)| format!("redirected by {uri}: {}", status.as_u16());
    told.hops.iter().map(line).collect()
}

/// How the request came by its connection.
fn taken(connection: &ConnectionInfo) -> String {
    let ConnectionInfo {
        id, peer, timings, ..
    } = connection;
    if connection.reused {
        return match connection.idle_for {
            Some(idle) => format!("reused connection {id}, idle for {}", Time(idle)),
            None => format!("reused connection {id}, handed over at once"),
        };
    }
    let phases = [
        ("dns", timings.dns),
        ("connect", timings.connect),
        ("proxy", timings.proxy),
        ("tls", timings.tls),
    ];
    let phases: String = phases
        .into_iter()
        .filter_map(|(name, time)| Some(format!(", {name} {}", Time(time?))))
        .collect();
    format!(
        "opened connection {id} to {peer}: {}{phases}",
        connection.open_reason
    )
}

fn answered(outcome: &Outcome) -> String {
    if let Some(trouble) = &outcome.trouble {
        return format!("failed after {}: {trouble}", Time(outcome.elapsed));
    }
    let first = outcome
        .connection()
        .and_then(|info| info.timings.first_byte);
    let head = first.map(|time: Duration| format!(", head after {}", Time(time)));
    format!(
        "answered {}{}, {} bytes of body, {} in all",
        outcome
            .received
            .status()
            .map_or(0, |status| status.as_u16()),
        head.unwrap_or_default(),
        outcome.received.bytes,
        Time(outcome.elapsed)
    )
}
