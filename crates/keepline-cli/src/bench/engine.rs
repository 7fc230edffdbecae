//! The loop: the requests of one thread.
//!
//! One runtime on one thread, Transports with as many connections as the thread has, and a worker
//! for each request that may be in flight. A worker makes nothing per request but the request: no
//! timer, no message to anybody. One task looks now and then for requests that take too long.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body::Body as _;
use keepline::{Body, ConnectionInfo, Phase, Stats, Transport};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::schedule::Schedule;
use super::tally::{Answer, Tally, Times};
use crate::trouble::Trouble;

/// How often it is looked for requests that take too long: a tenth of what they may take, within
/// these bounds.
const LOOKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// What each request is.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) uri: Uri,
    pub(super) method: Method,
    /// What is spoken is up to the Transport; this is for the head.
    pub(super) version: Version,
    pub(super) fields: HeaderMap,
    pub(super) content: Bytes,
    /// A status of 400 or more is a failure.
    pub(super) success: bool,
    pub(super) timeout: Option<Duration>,
}

impl Asked {
    fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.content.clone()));
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.uri);
        *request.version_mut() = self.version;
        if !self.fields.is_empty() {
            request.headers_mut().clone_from(&self.fields);
        }
        request
    }
}

/// What the workers of a thread share.
struct Work {
    asked: Asked,
    transports: Vec<Transport>,
    schedule: Arc<Schedule>,
    state: Mutex<State>,
    ended: Notify,
}

struct State {
    tally: Tally,
    /// Since when the request of each worker is on its way.
    since: Vec<Option<Instant>>,
    working: usize,
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the requests of a thread, with so many in flight, divided among the Transports. Answers
/// what they came to, and what each pool counted once it was shut down.
pub(super) async fn run(
    asked: Asked,
    transports: Vec<Transport>,
    schedule: Arc<Schedule>,
    in_flight: usize,
) -> (Tally, Vec<Stats>) {
    let timeout = asked.timeout;
    let work = Arc::new(Work {
        asked,
        transports,
        schedule,
        state: Mutex::new(State {
            tally: Tally::default(),
            since: vec![None; in_flight],
            working: in_flight,
        }),
        ended: Notify::new(),
    });
    let start = |worker| tokio::spawn(make_requests(Arc::clone(&work), worker));
    let mut workers: Vec<JoinHandle<()>> = (0..in_flight).map(start).collect();
    let (shortest, longest) = LOOKS;
    let pause = timeout.map_or(longest, |timeout| (timeout / 10).clamp(shortest, longest));
    while work.lock().working > 0 {
        // Another look, or the last worker has ended.
        let _ = tokio::time::timeout(pause, work.ended.notified()).await;
        if work.schedule.drops_all() {
            workers.iter().for_each(JoinHandle::abort);
            break;
        }
        for worker in timeout.map(|x| overdue(&work, x)).unwrap_or_default() {
            // Dropped, it closes its connection; its place is taken by another.
            workers[worker].abort();
            workers[worker] = start(worker);
        }
    }
    let mut stats = Vec::with_capacity(work.transports.len());
    for transport in &work.transports {
        transport.shutdown().await;
        stats.push(transport.stats());
    }
    (std::mem::take(&mut work.lock().tally), stats)
}

/// The workers whose request takes longer than it may, which has failed now.
fn overdue(work: &Work, timeout: Duration) -> Vec<usize> {
    let now = Instant::now();
    let mut state = work.lock();
    let State { tally, since, .. } = &mut *state;
    let mut overdue = Vec::new();
    for (worker, since) in since.iter_mut().enumerate() {
        if since.is_some_and(|since| now.saturating_duration_since(since) >= timeout) {
            *since = None;
            tally.failed(Trouble::Timeout(timeout, Phase::Request), false, now);
            overdue.push(worker);
        }
    }
    overdue
}

/// One worker: a request after the other.
async fn make_requests(work: Arc<Work>, worker: usize) {
    let transport = &work.transports[worker % work.transports.len()];
    let mut now = Instant::now();
    while let Some(due) = work.schedule.next().await {
        if due.is_some() {
            now = Instant::now();
        }
        work.lock().since[worker] = Some(now);
        let started = now;
        let outcome = exchange(transport, &work.asked).await;
        now = Instant::now();
        let mut state = work.lock();
        if state.since[worker].take().is_none() {
            // It was too late, and has been counted.
            continue;
        }
        match outcome {
            Ok(answer) if work.asked.success && answer.status.as_u16() >= 400 => {
                state.tally.refused(&answer, now);
            }
            Ok(answer) => {
                let times = Times {
                    due: due.unwrap_or(started),
                    started,
                    ended: now,
                };
                state.tally.answered(&answer, &times);
            }
            Err((trouble, is_reused)) => state.tally.failed(trouble, is_reused, now),
        }
    }
    let mut state = work.lock();
    state.working -= 1;
    if state.working == 0 {
        work.ended.notify_one();
    }
}

/// One request, to the end of its answer; or what went wrong, and whether its connection was reused.
async fn exchange(transport: &Transport, asked: &Asked) -> Result<Answer, (Trouble, bool)> {
    let failed = |error: keepline::Error| {
        let is_reused = error.connection().is_some_and(|info| info.reused);
        (Trouble::Request(error), is_reused)
    };
    let response = transport.send(asked.request()).await.map_err(failed)?;
    let (mut head, mut body) = response.into_parts();
    let connection = head.extensions.remove::<ConnectionInfo>();
    let mut bytes = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        bytes += frame.map_err(failed)?.data_ref().map_or(0, Bytes::len) as u64;
    }
    Ok(Answer {
        version: head.version,
        status: head.status,
        bytes,
        connection,
    })
}
