//! Pipelining: requests that are sent before earlier ones are answered (RFC 9112 §9.3.2).
//!
//! Off unless it is asked for, and only for idempotent requests whose content lies in memory: each
//! of them may have to be sent twice. Everything else goes the usual way.
//!
//! - [`queue`]: which requests wait, which lines take them; pure;
//! - [`verdict`]: whether a server bears it, and how it shows; pure;
//! - [`run`]: the task of a line, from its connection to what is sent again;
//! - [`mod@line`]: a connection while requests share it; [`patience`]: how long it waits;
//! - [`place`]: places in a queue, which are given up when they are dropped;
//! - [`answer`]: what a line sees of an answer; [`flow`]: content on its way to a slow reader.
//!
//! A line takes its connection from the pool as any request does, so that all limits hold, and
//! gives it back as soon as nothing is left to do: between requests a pipelined connection is an
//! idle one like others. Invariant: each request gets exactly one reply, in the order in which the
//! server answered; one whose line is lost goes its own way.

mod answer;
mod flight;
mod flow;
mod line;
mod patience;
mod place;
mod queue;
mod run;
mod verdict;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, header};
use keepline_proto::ResponseHead;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use self::place::Place;
use self::queue::Queue;
use self::verdict::{Memory, Shown, Verdict};
use super::Shared;
use super::event::Event;
use super::key::Key;
use crate::error::{Error, Phase};
use crate::{Body, ConnectionInfo};

/// Requests with more content are not pipelined: they would hold up those behind them, and what is
/// sent twice has to be kept.
const LARGEST_CONTENT: usize = 16 * 1024;

/// A request on its way through a pipeline.
#[derive(Debug)]
pub(super) struct Job {
    parts: Parts,
    content: Bytes,
    reply: oneshot::Sender<Reply>,
    asked_at: Instant,
    /// How often it was sent before, and lost.
    retries: u32,
    /// How often it was the first that a lost connection had not answered.
    failures: u32,
}

/// What becomes of a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
enum Reply {
    Answered(Answered),
    Failed(Error),
    /// It is to be sent without a pipeline.
    Alone(Box<Job>),
}

/// A response as a line hands it over.
#[derive(Debug)]
struct Answered {
    head: ResponseHead,
    body: Body,
    info: ConnectionInfo,
}

/// What [`send`] makes of a request.
pub(super) enum Sent {
    Done(Result<Response<Body>, Error>),
    Alone(Box<SentBack>),
}

/// A request that is to be sent without a pipeline, after it was lost so often.
pub(super) struct SentBack {
    pub(super) parts: Parts,
    pub(super) body: Body,
    pub(super) retries: u32,
}

/// The pipelines of a Transport.
#[derive(Debug)]
pub(super) struct Pipelines {
    depths: Depths,
    keys: Mutex<Keys>,
}

/// Which keys pipeline, and how deep.
#[derive(Debug, Default)]
pub(super) struct Depths {
    pub(super) for_all: Option<usize>,
    pub(super) overrides: HashMap<Key, Option<usize>>,
}

impl Depths {
    /// Something is pipelined.
    #[cfg(feature = "http2")]
    pub(super) fn are_any(&self) -> bool {
        self.for_all.is_some() || self.overrides.values().any(Option::is_some)
    }
}

#[derive(Debug)]
struct Keys {
    active: HashMap<Key, Arc<Pipeline>>,
    memory: Memory<Key>,
}

/// The pipeline of one key, while it has a line.
#[derive(Debug)]
pub(super) struct Pipeline {
    key: Key,
    depth: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue<Box<Job>, Waker>,
    verdict: Verdict,
}

impl Job {
    /// Nobody waits for it any more.
    fn is_cancelled(&self) -> bool {
        self.reply.is_closed()
    }

    fn fail(self: Box<Self>, error: Error) {
        // Whoever has gone meanwhile does not need it.
        let _ = self.reply.send(Reply::Failed(error));
    }

    /// Sends it back to be sent without a pipeline.
    fn release(mut self: Box<Self>) {
        let (nobody, _) = oneshot::channel();
        let reply = std::mem::replace(&mut self.reply, nobody);
        let _ = reply.send(Reply::Alone(self));
    }
}

/// The content of a request that may be pipelined.
///
/// RFC 9112 §9.3.2: "a user agent SHOULD NOT pipeline requests after a non-idempotent method, until
/// the final response status code for that method has been received". Those are never pipelined
/// here, nor is what may turn the connection into something else.
pub(super) fn pipelinable(parts: &Parts, body: &Body) -> Option<Bytes> {
    let special = [header::CONNECTION, header::UPGRADE, header::EXPECT];
    let content = body.in_memory()?;
    let may = parts.method.is_idempotent()
        && content.len() <= LARGEST_CONTENT
        && !special.iter().any(|name| parts.headers.contains_key(name));
    may.then_some(content)
}

/// Sends a request through the pipeline of its key.
pub(super) async fn send(
    shared: &Arc<Shared>,
    key: &Key,
    depth: usize,
    (parts, content): (Parts, Bytes),
) -> Sent {
    let (reply, answer) = oneshot::channel();
    let job = Box::new(Job {
        parts,
        content,
        reply,
        asked_at: Instant::now(),
        retries: 0,
        failures: 0,
    });
    let mut place = match shared.pipelines.enter(shared, key, depth, job) {
        Ok(place) => place,
        Err(job) => return alone(job),
    };
    shared.events.tell(|| Event::Wanted {
        origin: key.to_string().into(),
    });
    let reply = match shared.settings.acquire_timeout {
        None => answer.await,
        Some(time) => {
            let mut answer = answer;
            match timeout(time, &mut answer).await {
                Ok(reply) => reply,
                Err(_) if place.withdraw() => {
                    return Sent::Done(Err(Error::timeout(Phase::Acquire)));
                }
                Err(_) => answer.await,
            }
        }
    };
    place.is_over = true;
    match reply {
        Ok(Reply::Answered(answered)) => Sent::Done(answered.into_response()),
        Ok(Reply::Failed(error)) => Sent::Done(Err(error)),
        Ok(Reply::Alone(job)) => alone(job),
        // A job never goes without a reply; but nothing is lost if it did.
        Err(_) => Sent::Done(Err(Error::new(crate::ErrorKind::Shutdown))),
    }
}

fn alone(job: Box<Job>) -> Sent {
    let Job {
        parts,
        content,
        retries,
        ..
    } = *job;
    Sent::Alone(Box::new(SentBack {
        parts,
        body: content.into(),
        retries,
    }))
}

impl Answered {
    fn into_response(self) -> Result<Response<Body>, Error> {
        let Self { head, body, info } = self;
        let headers = match head.fields().to_header_map() {
            Ok(headers) => headers,
            Err(error) => return Err(Error::from(error).on(info)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status();
        *response.version_mut() = head.version();
        *response.headers_mut() = headers;
        response.extensions_mut().insert(info);
        Ok(response)
    }
}

impl Pipelines {
    /// `remembered`: keys whose verdict is kept while they have no line.
    pub(super) fn new(depths: Depths, remembered: usize) -> Self {
        Self {
            depths,
            keys: Mutex::new(Keys {
                active: HashMap::new(),
                memory: Memory::new(remembered),
            }),
        }
    }

    /// How many requests of a key may share a connection, if any.
    pub(super) fn depth(&self, key: &Key) -> Option<usize> {
        let Depths { for_all, overrides } = &self.depths;
        if overrides.is_empty() {
            return *for_all;
        }
        overrides.get(key).copied().unwrap_or(*for_all)
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request, and opens a line for it if need be. `Err`: the server does not bear
    /// pipelining.
    fn enter(
        &self,
        shared: &Arc<Shared>,
        key: &Key,
        depth: usize,
        job: Box<Job>,
    ) -> Result<Place, Box<Job>> {
        let mut keys = self.lock();
        let Keys { active, memory } = &mut *keys;
        let pipeline = match active.get(key) {
            Some(pipeline) => Arc::clone(pipeline),
            None => {
                let verdict = memory.recall(key);
                if verdict.refuses(job.asked_at) {
                    return Err(job);
                }
                let pipeline = Arc::new(Pipeline::new(key.clone(), depth, verdict));
                active.insert(key.clone(), Arc::clone(&pipeline));
                pipeline
            }
        };
        let mut state = pipeline.lock();
        if state.verdict.refuses(job.asked_at) {
            return Err(job);
        }
        let pushed = state.queue.push(job);
        drop(state);
        drop(keys);
        if let Some(line) = pushed.wake {
            line.wake();
        }
        if let Some(line) = pushed.opens {
            run::spawn(shared, &pipeline, line, VecDeque::new());
        }
        Ok(Place {
            serial: pushed.serial,
            pipeline,
            is_over: false,
        })
    }

    /// A line has gone: its pipeline is forgotten with the last of them, and what is known of the
    /// server remembered.
    fn left(&self, pipeline: &Arc<Pipeline>) {
        let mut keys = self.lock();
        let state = pipeline.lock();
        let is_this = |x: &Arc<Pipeline>| Arc::ptr_eq(x, pipeline);
        if state.queue.is_over() && keys.active.get(&pipeline.key).is_some_and(is_this) {
            keys.active.remove(&pipeline.key);
            keys.memory.keep(&pipeline.key, state.verdict);
        }
    }
}

impl Pipeline {
    const fn new(key: Key, depth: usize, verdict: Verdict) -> Self {
        Self {
            key,
            depth,
            state: Mutex::new(State {
                queue: Queue::new(depth),
                verdict,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verdict(&self) -> Verdict {
        self.lock().verdict
    }

    /// The server has answered a request that was sent behind another.
    fn bore(&self) {
        self.lock().verdict.bore();
    }

    /// A connection has ended. Answers whether the server does not bear pipelining, and then hands
    /// out what waits.
    fn learn(&self, shown: &Shown) -> Option<VecDeque<Box<Job>>> {
        let mut state = self.lock();
        let now = Instant::now();
        state.verdict.learn(shown, now);
        state.verdict.refuses(now).then(|| state.queue.clear())
    }
}
