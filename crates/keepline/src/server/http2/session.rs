//! A session: requests come, are answered beside it, and at some time no more are taken.
//!
//! Invariant: a session ends with GOAWAY (RFC 9113 §6.8), after which the requests in progress are
//! answered and no others, and with a reason. Nobody is waited for without a limit. Where it is the
//! server that ends it the connection lingers, as one of HTTP/1.1 does after its last answer.

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
use super::lent::{Lent, Loan, lend};
use super::settings::Http2;
use crate::error::BoxError;
use crate::net::Stream;
use crate::server::RequestInfo;
use crate::server::busy::Rest;
use crate::server::registry::Phase;
use crate::server::state::ConnectionState;
use crate::server::terms::{Linger, LingerWhen, Terms};
use crate::server::wire::Core;
use crate::{Body, CloseReason};

/// Serves HTTP/2 on a stream to its end, and says how the connection is to be closed. `input` has
/// been read of it already.
pub(in crate::server) async fn serve_session<S, B>(
    core: &mut Core,
    stream: Stream,
    input: BytesMut,
    service: &mut S,
    settings: Http2,
) -> (Rest, Stream)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let is_tls = stream.is_tls();
    let (lent, loan) = lend(stream, input);
    let end = serve_lent(core, lent, &loan, is_tls, service, settings).await;
    // The session has been dropped.
    let stream = loan.take_back().unwrap_or(Stream::gone());
    if loan.is_full() {
        // So that the kernel does not keep what the client does not take.
        stream.reset_on_close();
    }
    (end.ending(core.hub().settings.terms.linger), stream)
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionEnd {
    /// All has been said and written, or the client has ended it.
    Over(CloseReason),
    /// The client has been waited for long enough.
    GivenUp(CloseReason),
}

impl SessionEnd {
    /// How its connection is closed.
    const fn ending(self, linger: Linger) -> Rest {
        match self {
            Self::GivenUp(reason) => Rest::Abort(reason),
            Self::Over(reason @ (CloseReason::PeerClosed | CloseReason::IoError)) => {
                Rest::Abort(reason)
            }
            Self::Over(reason) if matches!(linger.when, LingerWhen::Never) => Rest::Close(reason),
            Self::Over(reason) => Rest::Linger(reason, linger),
        }
    }
}

async fn serve_lent<S, B>(
    core: &mut Core,
    lent: Lent,
    loan: &Loan,
    is_tls: bool,
    service: &mut S,
    settings: Http2,
) -> SessionEnd
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let builder = settings.session();
    let handshake = builder.handshake(lent);
    let limit = core.hub().settings.head_timeout;
    let shaken = match limit {
        Some(limit) => tokio::time::timeout(limit, handshake).await,
        None => Ok(handshake.await),
    };
    let connection = match shaken {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return SessionEnd::Over(reason_of(&error)),
        Err(_) => return SessionEnd::GivenUp(CloseReason::Timeout),
    };
    let mut session = Session {
        connection,
        loan,
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
    /// The wait for the client, once no request is in progress.
    wait: Option<LastWait>,
}

/// A client is waited for that has to take what is queued, or to confirm the GOAWAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastWait {
    /// What had been written when it last made progress.
    written: u64,
    /// More is to be written than the client takes.
    is_full: bool,
    /// When it is given up unless it makes further progress.
    until: Option<Instant>,
    /// When it is given up whatever it does.
    ends: Option<Instant>,
}

impl LastWait {
    /// The wait at `now`. A client that takes nothing of its answer has as long as it always has;
    /// one that has got all of it and does not close is lingered for.
    fn next(last: Option<Self>, now: Instant, written: u64, is_full: bool, terms: &Terms) -> Self {
        let same = last.filter(|last| last.is_full == is_full);
        if let Some(same) = same.filter(|last| last.written == written) {
            return same;
        }
        let (patience, ends) = if is_full {
            (terms.write_timeout, None)
        } else {
            let ends = same.map_or_else(|| now.checked_add(terms.linger.time), |last| last.ends);
            (Some(terms.linger.timeout), ends)
        };
        let until = patience.and_then(|patience| now.checked_add(patience));
        Self {
            written,
            is_full,
            until: [until, ends].into_iter().flatten().min(),
            ends,
        }
    }
}

struct Session<'l> {
    connection: Connection<Lent, Bytes>,
    loan: &'l Loan,
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

impl Session<'_> {
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "a shared reference to a service cannot go to another thread"
    )]
    fn poll<S, B>(
        &mut self,
        core: &mut Core,
        service: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<SessionEnd>
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
            self.leave_if_due(&facts);
            let left_for = self.leaving.map(|leaving| leaving.reason);
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.start(core, service, request, respond);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    let reason = left_for.unwrap_or_else(|| reason_of(&error));
                    return Poll::Ready(match error.is_io() {
                        true => SessionEnd::GivenUp(reason),
                        false => SessionEnd::Over(reason),
                    });
                }
                Poll::Ready(None) => {
                    let reason = left_for.unwrap_or(CloseReason::PeerClosed);
                    return Poll::Ready(SessionEnd::Over(reason));
                }
                Poll::Pending => {}
            }
            self.note_wait(core);
            core.deadline.set_at(self.next_look(&facts));
            ready!(core.deadline.poll(cx));
            if let Some(leaving) = self.leaving
                && let Some(wait) = leaving.wait
                && wait.until.is_some_and(|until| Instant::now() >= until)
            {
                return Poll::Ready(SessionEnd::GivenUp(if wait.is_full {
                    CloseReason::Timeout
                } else {
                    leaving.reason
                }));
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
            Some(leaving) => leaving.wait.and_then(|wait| wait.until),
            None => {
                let held = facts.held_until.filter(|&until| until > facts.now);
                let times = [facts.expires, facts.idle_until, held];
                times.into_iter().flatten().min()
            }
        }
    }

    /// Says GOAWAY where no more requests are to be taken.
    fn leave_if_due(&mut self, facts: &Facts) {
        if self.leaving.is_none()
            && let Some(reason) = farewell(facts)
        {
            self.connection.graceful_shutdown();
            self.leaving = Some(Leaving { reason, wait: None });
        }
    }

    /// Looks how the client does whom nothing but its own pace keeps here.
    fn note_wait(&mut self, core: &Core) {
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        leaving.wait = self.requests.is_empty().then(|| {
            let (written, is_full) = (self.loan.written(), self.loan.is_full());
            let terms = &core.hub().settings.terms;
            LastWait::next(leaving.wait, Instant::now(), written, is_full, terms)
        });
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
                        wait: None,
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
