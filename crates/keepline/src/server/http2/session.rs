//! A session: requests come, are answered beside it, and at some time no more are taken.
//!
//! Invariant: a session ends with GOAWAY (RFC 9113 §6.8), after which the requests in progress are
//! answered and no others, and with a reason. Nobody is waited for without a limit.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use http_body::Body as HttpBody;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower_service::Service;

use super::answer::{StreamEnd, answer};
use super::settings::Http2;
use crate::error::BoxError;
use crate::net::Stream;
use crate::server::RequestInfo;
use crate::server::registry::Phase;
use crate::server::state::ConnectionState;
use crate::server::wire::Core;
use crate::upgrade::Upgraded;
use crate::{Body, CloseReason};

/// Serves HTTP/2 on a stream to its end. `input` has been read of it already.
pub(in crate::server) async fn serve_session<S, B>(
    core: &mut Core,
    stream: Stream,
    input: BytesMut,
    service: &mut S,
    settings: Http2,
) -> CloseReason
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let is_tls = stream.is_tls();
    let builder = settings.session();
    let handshake = builder.handshake(Upgraded::new(stream, input));
    let limit = core.hub().settings.head_timeout;
    let shaken = match limit {
        Some(limit) => tokio::time::timeout(limit, handshake).await,
        None => Ok(handshake.await),
    };
    let connection = match shaken {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return reason_of(&error),
        Err(_) => return CloseReason::Timeout,
    };
    let mut session = Session {
        connection,
        requests: JoinSet::new(),
        idle_since: Some(Instant::now()),
        leaving: None,
        patience: settings.max_resets,
        settings,
        is_tls,
    };
    poll_fn(|cx| session.poll(core, service, cx)).await
}

/// The session takes no more requests.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    reason: CloseReason,
    /// When it is given up, once no request is in progress.
    until: Option<Instant>,
}

struct Session {
    connection: Connection<Upgraded, Bytes>,
    requests: JoinSet<StreamEnd>,
    /// Since when no request has been in progress.
    idle_since: Option<Instant>,
    leaving: Option<Leaving>,
    /// Requests that the client may still take back.
    patience: u32,
    settings: Http2,
    is_tls: bool,
}

/// What decides whether a session takes further requests.
#[derive(Debug, Clone, Copy)]
struct Facts {
    now: Instant,
    phase: Phase,
    is_evicted: bool,
    is_used_up: bool,
    expires: Option<Instant>,
    /// When it will have been idle for too long; `None` while it is busy.
    idle_until: Option<Instant>,
    held_until: Option<Instant>,
}

/// Why the session takes no more requests, if it does not.
fn farewell(facts: &Facts) -> Option<CloseReason> {
    let has_come = |at: Option<Instant>| at.is_some_and(|at| facts.now >= at);
    let is_held = facts.held_until.is_some_and(|until| facts.now < until);
    if facts.phase > Phase::Running && !is_held {
        return Some(CloseReason::Shutdown);
    }
    if facts.is_evicted {
        return Some(CloseReason::IdleLimit);
    }
    if facts.is_used_up {
        return Some(CloseReason::MaxRequests);
    }
    if has_come(facts.expires) {
        return Some(CloseReason::Lifetime);
    }
    has_come(facts.idle_until).then_some(CloseReason::IdleTimeout)
}

impl Session {
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "a shared reference to a service cannot go to another thread"
    )]
    fn poll<S, B>(
        &mut self,
        core: &mut Core,
        service: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<CloseReason>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        loop {
            while let Poll::Ready(Some(end)) = self.requests.poll_join_next(cx) {
                self.note_end(end.unwrap_or(StreamEnd::Failed));
            }
            self.note_idle(core, cx);
            let facts = self.facts(core);
            self.leave_if_due(&facts, core);
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.start(core, service, request, respond);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    let leaving = self.leaving.map(|leaving| leaving.reason);
                    return Poll::Ready(leaving.unwrap_or_else(|| reason_of(&error)));
                }
                Poll::Ready(None) => {
                    let leaving = self.leaving.map(|leaving| leaving.reason);
                    return Poll::Ready(leaving.unwrap_or(CloseReason::PeerClosed));
                }
                Poll::Pending => {}
            }
            core.deadline.set_at(self.next_look(&facts));
            ready!(core.deadline.poll(cx));
            if let Some(leaving) = self.leaving
                && leaving.until.is_some_and(|until| Instant::now() >= until)
            {
                return Poll::Ready(leaving.reason);
            }
        }
    }

    fn facts(&self, core: &Core) -> Facts {
        let settings = &core.hub().settings;
        let terms = &settings.terms;
        let after = |time| self.idle_since.and_then(|since| since.checked_add(time));
        Facts {
            now: Instant::now(),
            phase: core.hub().phase(),
            is_evicted: core.is_listed && core.registration.is_evicted(),
            is_used_up: settings
                .max_requests
                .is_some_and(|max| core.requests >= max),
            expires: core.expires,
            idle_until: terms.idle_timeout.and_then(after),
            held_until: Some(terms.min_idle)
                .filter(|time| !time.is_zero())
                .and_then(after),
        }
    }

    /// When something may have to be decided again, unless something happens before.
    fn next_look(&self, facts: &Facts) -> Option<Instant> {
        match self.leaving {
            Some(leaving) => leaving.until,
            None => {
                let held = facts.held_until.filter(|&until| until > facts.now);
                let times = [facts.expires, facts.idle_until, held];
                times.into_iter().flatten().min()
            }
        }
    }

    /// Says GOAWAY where no more requests are to be taken.
    fn leave_if_due(&mut self, facts: &Facts, core: &Core) {
        if self.leaving.is_none()
            && let Some(reason) = farewell(facts)
        {
            self.connection.graceful_shutdown();
            self.leaving = Some(Leaving {
                reason,
                until: None,
            });
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.until = match (self.requests.is_empty(), leaving.until) {
                (false, _) => None,
                (true, Some(until)) => Some(until),
                // A client that does not read is not waited for longer than one that does not close.
                (true, None) => Some(facts.now + core.hub().settings.terms.linger.timeout),
            };
        }
    }

    fn note_end(&mut self, end: StreamEnd) {
        match end {
            StreamEnd::Answered => {
                self.patience = self
                    .patience
                    .saturating_add(1)
                    .min(self.settings.max_resets);
            }
            StreamEnd::TakenBack => match self.patience.checked_sub(1) {
                Some(patience) => self.patience = patience,
                None if self.leaving.is_none() => {
                    self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    self.leaving = Some(Leaving {
                        reason: CloseReason::ProtocolError,
                        until: None,
                    });
                }
                None => {}
            },
            StreamEnd::Failed => {}
        }
    }

    fn note_idle(&mut self, core: &mut Core, cx: &Context<'_>) {
        if !self.requests.is_empty() {
            return;
        }
        if self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
            core.registration.change(ConnectionState::Idle);
        }
        if !core.is_listed {
            core.registration.rest(cx);
            core.is_listed = true;
        }
    }

    fn start<S, B>(
        &mut self,
        core: &mut Core,
        service: &S,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        core.note_busy();
        if self.idle_since.take().is_some() && core.requests > 0 {
            core.registration.change(ConnectionState::Active);
        }
        core.requests += 1;
        core.registration.shard.count_request();
        let info = RequestInfo {
            connection: core.registration.id,
            number: core.requests,
            opened: core.opened,
            peer: core.registration.peer,
            tls: self.is_tls,
        };
        let hub = std::sync::Arc::clone(&core.registration.shard.hub);
        self.requests
            .spawn(answer(hub, service.clone(), request, respond, info));
    }
}

/// Why a session ended that failed.
fn reason_of(error: &h2::Error) -> CloseReason {
    if let Some(io) = error.get_io() {
        return match io.kind() {
            std::io::ErrorKind::UnexpectedEof => CloseReason::PeerClosed,
            _ => CloseReason::IoError,
        };
    }
    match error.reason() {
        Some(Reason::NO_ERROR) => CloseReason::PeerClosed,
        _ => CloseReason::ProtocolError,
    }
}
