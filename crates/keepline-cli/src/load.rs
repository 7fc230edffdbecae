//! Requests, one or many, over one Transport.
//!
//! [`exchange`] is one request from its start to the end of its body, or to the line after which
//! the rest is not wanted. [`Run`] makes many of them, some at a time, and hands over what became
//! of each. A request that fails is an outcome like any other: the run goes on.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version, response};
use http_body::Body as _;
use keepline::agent::FollowRedirects;
use keepline::client::Progress;
use keepline::{Body, ConnectionInfo, Transport};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tower_service::Service;

use crate::failure::Failure;
use crate::trouble::Trouble;

/// What to ask, how often, and how much of the answer is wanted.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Asked in turn. One that is no URL fails whenever it is its turn.
    pub(crate) targets: Vec<Target>,
    pub(crate) method: Method,
    /// What is shown; which is spoken is up to the Transport.
    pub(crate) version: Version,
    pub(crate) fields: HeaderMap,
    pub(crate) content: Bytes,
    /// Requests in all.
    pub(crate) requests: u64,
    /// Requests in flight.
    pub(crate) in_flight: u64,
    /// Redirects that are followed for each request.
    pub(crate) redirects: usize,
    /// Pause of each worker between its requests.
    pub(crate) interval: Duration,
    pub(crate) wanted: Wanted,
}

/// A URL, or why what was typed is none.
pub(crate) type Target = Result<Uri, Failure>;

/// How much of an answer is wanted, and what makes it a failure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The body is dropped after so many lines.
    pub(crate) lines: Option<u64>,
    /// A request may take so long, its body included; `None`: as long as it likes.
    pub(crate) timeout: Option<Duration>,
    /// A status of 400 or more is a failure.
    pub(crate) success: bool,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From 1, in the order in which requests were started.
    pub(crate) number: u64,
    /// Place of the URL among those asked in turn.
    pub(crate) target: usize,
    pub(crate) elapsed: Duration,
    pub(crate) received: Received,
    pub(crate) trouble: Option<Trouble>,
}

/// As much of the answer as arrived.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) head: Option<response::Parts>,
    /// Bytes of the body.
    pub(crate) bytes: u64,
}

impl Received {
    pub(crate) fn status(&self) -> Option<StatusCode> {
        self.head.as_ref().map(|head| head.status)
    }

    fn connection(&self) -> Option<&ConnectionInfo> {
        self.head.as_ref()?.extensions.get()
    }
}

impl Outcome {
    pub(crate) fn is_ok(&self) -> bool {
        self.trouble.is_none()
    }

    /// The connection that it ran on, if it had one.
    pub(crate) fn connection(&self) -> Option<&ConnectionInfo> {
        match &self.trouble {
            // It knows more than the head did: how many bytes came after it.
            Some(Trouble::Request(error)) => error.connection(),
            _ => None,
        }
        .or_else(|| self.received.connection())
    }
}

/// Takes an answer as it arrives.
pub(crate) trait Consumer {
    /// The head has arrived.
    fn head(&mut self, _head: &response::Parts) -> std::io::Result<()> {
        Ok(())
    }

    /// A piece of the body has arrived.
    fn data(&mut self, data: &[u8]) -> std::io::Result<()>;
}

/// Takes an answer and keeps nothing.
#[derive(Debug)]
pub(crate) struct Discard;

impl Consumer for Discard {
    fn data(&mut self, _data: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
}

impl Plan {
    /// The request to a target.
    pub(crate) fn request(&self, uri: &Uri) -> Request<Body> {
        let mut request = Request::new(Body::from(self.content.clone()));
        *request.method_mut() = self.method.clone();
        *request.version_mut() = self.version;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.fields.clone();
        request
    }

    /// The request that led to an outcome, if there was one.
    pub(crate) fn request_of(&self, outcome: &Outcome) -> Option<Request<Body>> {
        Some(self.request(self.targets[outcome.target].as_ref().ok()?))
    }

    /// Makes request `number`.
    pub(crate) async fn make(
        &self,
        transport: &Transport,
        number: u64,
        consumer: &mut impl Consumer,
    ) -> Outcome {
        let turn = (number - 1) % self.targets.len() as u64;
        let target = usize::try_from(turn).expect("it is less than a length");
        let started = Instant::now();
        let mut received = Received::default();
        let outcome = match &self.targets[target] {
            Ok(uri) => {
                let request = self.request(uri);
                exchange(transport, request, self, consumer, &mut received).await
            }
            Err(failure) => Err(Trouble::Url(failure.clone())),
        };
        Outcome {
            number,
            target,
            elapsed: started.elapsed(),
            received,
            trouble: outcome.err(),
        }
    }
}

/// One request, until its answer has been received as far as it is wanted.
async fn exchange(
    transport: &Transport,
    mut request: Request<Body>,
    plan: &Plan,
    consumer: &mut impl Consumer,
    received: &mut Received,
) -> Result<(), Trouble> {
    let wanted = plan.wanted;
    let extensions = request.extensions_mut();
    let progress = extensions.get_or_insert_default::<Progress>().clone();
    let whole = receive(transport, request, plan, consumer, received);
    match wanted.timeout {
        None => whole.await?,
        Some(limit) => match tokio::time::timeout(limit, whole).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(Trouble::Timeout(limit, progress.phase())),
        },
    }
    match received.status() {
        Some(status) if wanted.success && status.as_u16() >= 400 => Err(Trouble::Status(status)),
        _ => Ok(()),
    }
}

async fn receive(
    transport: &Transport,
    request: Request<Body>,
    plan: &Plan,
    consumer: &mut impl Consumer,
    received: &mut Received,
) -> Result<(), Trouble> {
    let response = match plan.redirects {
        0 => transport.send(request).await,
        most => {
            FollowRedirects::new(transport.clone(), most)
                .call(request)
                .await
        }
    };
    let response = response.map_err(Trouble::Request)?;
    let (head, mut body) = response.into_parts();
    consumer
        .head(received.head.insert(head))
        .map_err(Trouble::Output)?;

    let mut lines = plan.wanted.lines.map(LineLimit);
    while lines.as_ref().is_none_or(|lines| lines.0 > 0) {
        let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await else {
            break;
        };
        let Ok(data) = frame.map_err(Trouble::Request)?.into_data() else {
            continue;
        };
        let wanted = lines.as_mut().map_or(data.len(), |lines| lines.take(&data));
        received.bytes += wanted as u64;
        consumer.data(&data[..wanted]).map_err(Trouble::Output)?;
    }
    Ok(())
}

/// So many lines are still wanted.
#[derive(Debug)]
struct LineLimit(u64);

impl LineLimit {
    /// How many bytes of `data` belong to the lines that are wanted.
    fn take(&mut self, data: &[u8]) -> usize {
        for (place, byte) in data.iter().enumerate() {
            if *byte == b'\n' {
                self.0 -= 1;
                if self.0 == 0 {
                    return place + 1;
                }
            }
        }
        data.len()
    }
}

/// Many requests, some at a time.
#[derive(Debug)]
pub(crate) struct Run {
    outcomes: mpsc::Receiver<Outcome>,
    /// Ended with the run.
    _workers: JoinSet<()>,
}

impl Run {
    /// Starts the workers, on the runtime that this is called in.
    pub(crate) fn start(plan: &Arc<Plan>, transport: &Transport) -> Self {
        let next = Arc::new(AtomicU64::new(1));
        // Bounded: whoever reads outcomes slowly slows the workers down, not the memory up.
        let (sender, outcomes) = mpsc::channel(64);
        let mut workers = JoinSet::new();
        for _ in 0..plan.requests.min(plan.in_flight) {
            let plan = Arc::clone(plan);
            let transport = transport.clone();
            workers.spawn(work(plan, transport, Arc::clone(&next), sender.clone()));
        }
        Self {
            outcomes,
            _workers: workers,
        }
    }

    /// What became of the next request to end; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Outcome> {
        self.outcomes.recv().await
    }
}

async fn work(
    plan: Arc<Plan>,
    transport: Transport,
    next: Arc<AtomicU64>,
    outcomes: mpsc::Sender<Outcome>,
) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number > plan.requests {
            return;
        }
        let outcome = plan.make(&transport, number, &mut Discard).await;
        if outcomes.send(outcome).await.is_err() {
            return;
        }
        if !plan.interval.is_zero() && next.load(Ordering::Relaxed) <= plan.requests {
            tokio::time::sleep(plan.interval).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_over_pieces() {
        let mut lines = LineLimit(3);
        assert_eq!(lines.take(b"one\ntw"), 6);
        assert_eq!(lines.take(b"o\n"), 2);
        assert_eq!(lines.take(b"three\nfour\n"), 6);
        assert_eq!(lines.0, 0);
    }

    #[test]
    fn fewer_lines_than_wanted_are_all() {
        let mut lines = LineLimit(9);
        assert_eq!(lines.take(b"one\ntwo"), 7);
        assert_eq!(lines.0, 8);
    }
}
