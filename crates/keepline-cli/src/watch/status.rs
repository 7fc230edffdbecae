//! What a server of keepline says about its requests and connections: an object of JSON with
//! `requests`, `opened`, `open` and `closed` (an object: reason to count), as `/stats` of
//! `keepline serve` answers it; or what `stub_status` says, of nginx and of `keepline proxy`, which
//! tells no reasons.

use std::time::{Duration, Instant};

use bytes::Bytes;
use keepline::{Body, Transport};
use serde_json::Value;

use crate::failure::Failure;

/// It has so long to answer: less than a look.
const PATIENCE: Duration = Duration::from_millis(800);
/// A longer answer is not read.
const LONGEST: usize = 64 * 1024;

/// Asks a server for its status, over one connection that stays.
pub(super) struct Status {
    transport: Transport,
    uri: http::Uri,
    before: Option<(Instant, Counters)>,
}

/// What it says, since it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) requests: u64,
    pub(super) opened: u64,
    pub(super) closed: Vec<(String, u64)>,
}

/// What that means.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reuse {
    pub(super) requests_per_second: f64,
    /// Since the look before, or since it started at the first: the part of requests that came on
    /// a connection that had carried one before.
    pub(super) reuse_ratio: Option<f64>,
    /// Why connections were closed since the look before.
    pub(super) closed: Vec<(String, u64)>,
}

impl Status {
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let transport = Transport::builder().build();
        Ok(Self {
            transport: transport.map_err(|error| Failure::new(format!("cannot start: {error}")))?,
            uri: crate::get::url(url)?,
            before: None,
        })
    }

    /// What happened since the look before.
    pub(super) async fn look(&mut self) -> Option<Reuse> {
        let asked = tokio::time::timeout(PATIENCE, ask(&self.transport, &self.uri)).await;
        let now = Instant::now();
        let counters = parse(&asked.ok()??)?;
        let since = self.before.replace((now, counters.clone()));
        Some(reuse(&counters, since, now))
    }
}

async fn ask(transport: &Transport, uri: &http::Uri) -> Option<Bytes> {
    let mut request = http::Request::new(Body::empty());
    request.uri_mut().clone_from(uri);
    let response = transport.send(request).await.ok()?;
    response.into_body().bytes(LONGEST).await.ok()
}

fn parse(content: &[u8]) -> Option<Counters> {
    match serde_json::from_slice(content) {
        Ok(value) => parse_json(&value),
        Err(_) => parse_stub_status(std::str::from_utf8(content).ok()?),
    }
}

/// The line behind `server accepts handled requests` has these three numbers.
fn parse_stub_status(text: &str) -> Option<Counters> {
    let mut lines = text.lines();
    lines.find(|line| line.trim() == "server accepts handled requests")?;
    let numbers: Vec<u64> = lines
        .next()?
        .split_ascii_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    let &[accepted, _, requests] = numbers.as_slice() else {
        return None;
    };
    Some(Counters {
        requests,
        opened: accepted,
        closed: Vec::new(),
    })
}

fn parse_json(value: &Value) -> Option<Counters> {
    let closed = value["closed"].as_object()?.iter();
    Some(Counters {
        requests: value["requests"].as_u64()?,
        opened: value["opened"].as_u64()?,
        closed: closed
            .filter_map(|(reason, count)| Some((reason.clone(), count.as_u64()?)))
            .collect(),
    })
}

/// The difference between two answers. A server that was started anew counts from nothing.
fn reuse(now: &Counters, before: Option<(Instant, Counters)>, at: Instant) -> Reuse {
    let before = before.filter(|(_, before)| before.requests <= now.requests);
    let (elapsed, before) = match before {
        Some((then, before)) => (Some(at.duration_since(then)), before),
        None => (
            None,
            Counters {
                requests: 0,
                opened: 0,
                closed: Vec::new(),
            },
        ),
    };
    let requests = now.requests - before.requests;
    let opened = now.opened.saturating_sub(before.opened).min(requests);
    let count_before = |reason: &str| {
        let found = before.closed.iter().find(|(known, _)| known == reason);
        found.map_or(0, |(_, count)| *count)
    };
    Reuse {
        requests_per_second: elapsed.map_or(0.0, |elapsed| requests as f64 / elapsed.as_secs_f64()),
        reuse_ratio: (requests > 0).then(|| (requests - opened) as f64 / requests as f64),
        closed: now
            .closed
            .iter()
            .map(|(reason, count)| (reason.clone(), count.saturating_sub(count_before(reason))))
            .filter(|(_, count)| *count > 0)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_ratio_is_that_of_the_requests_since_the_look_before() {
        let counters = |requests, opened, idle| {
            parse_json(&json!({"requests": requests, "opened": opened, "open": 1, "closed": {"idle-timeout": idle}}))
                .expect("it is one")
        };
        let now = Instant::now();
        let first = reuse(&counters(100, 10, 9), None, now);
        assert_eq!(
            (first.reuse_ratio, first.requests_per_second),
            (Some(0.9), 0.0)
        );
        let before = Some((now, counters(100, 10, 9)));
        let later = reuse(
            &counters(300, 12, 11),
            before.clone(),
            now + Duration::from_secs(2),
        );
        assert_eq!(
            (later.reuse_ratio, later.requests_per_second),
            (Some(0.99), 100.0)
        );
        assert_eq!(later.closed, [("idle-timeout".to_owned(), 2)]);
        let quiet = reuse(
            &counters(100, 10, 9),
            before.clone(),
            now + Duration::from_secs(1),
        );
        assert_eq!((quiet.reuse_ratio, quiet.closed.len()), (None, 0));
        let anew = reuse(&counters(4, 1, 0), before, now + Duration::from_secs(1));
        assert_eq!(anew.reuse_ratio, Some(0.75));
    }

    #[test]
    fn both_forms_are_read_and_nothing_else() {
        let stub = "Active connections: 2 \nserver accepts handled requests\n 16 16 240 \nReading: 0 Writing: 1 Waiting: 1 \n";
        let counters = parse(stub.as_bytes()).expect("it is one");
        assert_eq!((counters.opened, counters.requests), (16, 240));
        let json = br#"{"requests": 5, "opened": 2, "closed": {"timeout": 1}}"#;
        let counters = parse(json).expect("it is one");
        assert_eq!((counters.opened, counters.requests), (2, 5));
        assert_eq!(counters.closed, [("timeout".to_owned(), 1)]);
        for other in [
            &b"{\"requests\": 1}"[..],
            b"Hello, World!",
            b"\xff",
            b"",
            b"server accepts handled requests\n 1 2",
        ] {
            assert_eq!(parse(other), None);
        }
    }
}
