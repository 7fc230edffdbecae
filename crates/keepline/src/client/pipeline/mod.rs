//! Pipelining: requests that are sent before earlier ones are answered (RFC 9112 §9.3.2).
//!
//! Off unless it is asked for, and only for requests with a safe method whose content lies in
//! memory: each of them may have to be sent again while the server still works on it, because the
//! answer before it does not come. Everything else goes the usual way.
//!
//! - [`keys`]: the pipelines of a Transport, one for each key and runtime;
//! - [`queue`]: which requests wait, which lines take them; pure;
//! - [`verdict`]: whether a server bears it, and how it shows; pure;
//! - [`run`]: the task of a line, from its connection to what is sent again;
//! - [`mod@line`]: a connection while requests share it; [`room`]: how many it takes; [`patience`]: how
//!   long it waits;
//! - [`place`]: places in a queue, which are given up when they are dropped;
//! - [`answer`]: what a line sees of an answer; [`flow`]: content on its way to a slow reader.
//!
//! A line takes its connection from the pool as any request does, so that all limits hold, and
//! gives it back as soon as nothing is left to do: between requests a pipelined connection is an
//! idle one like others. Each runtime has lines of its own: a line on a runtime that nobody drives
//! would keep those waiting who ask elsewhere. Invariant: each request gets exactly one reply, in
//! the order in which the server answered; one whose line is lost goes its own way.

mod answer;
mod flight;
mod flow;
mod keys;
mod line;
mod patience;
mod place;
mod queue;
mod room;
mod run;
mod verdict;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, header};
use keepline_proto::ResponseHead;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

pub(super) use self::keys::{Depths, Pipelines};
use super::Shared;
use super::attempt::waits;
use super::event::Event;
use super::key::Key;
use crate::error::{Error, ErrorKind, Phase};
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
/// the final response status code for that method has been received". PUT and DELETE are not
/// pipelined either, though they are idempotent: a request that waits behind a slow answer is sent
/// again on another connection while the server may still be carrying out its first copy, which may
/// then undo what somebody else has written meanwhile. Nor is what may turn the connection into
/// something else.
pub(super) fn pipelinable(parts: &Parts, body: &Body) -> Option<Bytes> {
    let special = [header::CONNECTION, header::UPGRADE, header::EXPECT];
    let content = body.in_memory()?;
    let may = parts.method.is_safe()
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
    waits(shared, key, &parts);
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
        Err(_) => Sent::Done(Err(Error::new(ErrorKind::Shutdown))),
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
