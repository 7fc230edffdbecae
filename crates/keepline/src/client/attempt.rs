//! A typed request, from the attempt to send it to the head of its response.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use keepline_proto::ResponseHead;

use super::Shared;
use super::acquire::{NoLease, acquire, acquire_new};
use super::event::Event;
use super::exchange::{Exchange, Head};
use super::http2;
use super::interim::OnInterim;
use super::key::{Key, Via};
use super::lease::Lease;
use super::meter::{self, RequestMeter};
use super::pipeline;
use super::progress::Progress;
use super::response::ResponseBody;
use super::retry::{self, Attempts, Decision, Failure};
use super::target::Target;
use super::upload::Upload;
use crate::error::{Error, Phase};
use crate::upgrade::{self, OnUpgrade};
use crate::{Body, ConnectionInfo};

/// Sends a request, again if its connection had died.
pub(super) async fn send(
    shared: &Arc<Shared>,
    request: Request<Body>,
) -> Result<Response<Body>, Error> {
    let (parts, body) = request.into_parts();
    let target = parts.extensions.get::<Target>();
    let key = match target {
        Some(target) => target.key().clone(),
        None if parts.method == Method::CONNECT => {
            let far = parts.uri.authority();
            shared.settings.routing.key_to_proxy(far)?
        }
        None => shared.settings.routing.key(&parts.uri)?,
    };
    let method = parts.method.clone();
    let progress = parts.extensions.get::<Progress>().cloned();
    let meter = RequestMeter::begin(&key, &method);
    let outcome = send_to(shared, &key, parts, body).await;
    if let Some(progress) = progress {
        progress.is_in(Phase::Body);
    }
    meter.end(&outcome);
    outcome
}

/// Sends the request through the pipeline of `key`, where there is one and it may be, or on its own.
async fn send_to(
    shared: &Arc<Shared>,
    key: &Key,
    mut parts: Parts,
    mut body: Body,
) -> Result<Response<Body>, Error> {
    let mut attempts = Attempts::default();
    if let Some(depth) = shared.pipelines.depth(key)
        && let Some(content) = pipeline::pipelinable(&parts, &body)
    {
        match pipeline::send(shared, key, depth, (parts, content)).await {
            pipeline::Sent::Done(response) => return response,
            pipeline::Sent::Alone(again) => {
                (parts, body) = (again.parts, again.body);
                attempts = Attempts::pipelined(again.retries);
            }
        }
    }
    let Some(key) = http2::key(shared, key, &parts) else {
        let outcome = attempt_often(shared, key, &parts, body, (attempts, None)).await;
        return outcome.map_err(|(none, _)| none.into());
    };
    let mut lease;
    loop {
        match http2::send(shared, &key, &parts, body, attempts).await {
            http2::Sent::Done(response) => return response,
            http2::Sent::ByHttp1 {
                body: again,
                attempts: made,
                lease: given,
            } => (body, attempts, lease) = (again, made, given),
        }
        match attempt_often(shared, &key, &parts, body, (attempts, lease)).await {
            Ok(response) => return Ok(response),
            Err((NoLease::Failed(error), _)) => return Err(error),
            // It did not speak HTTP/2, and now it does. Each turn is a dial that found it so.
            Err((NoLease::Session, again)) => body = again,
        }
    }
}

/// Sends the request on connections for `key`, after so many attempts, until one is not to be
/// repeated; first on a connection that was dialled for it, if there is one.
async fn attempt_often(
    shared: &Arc<Shared>,
    key: &Key,
    parts: &Parts,
    mut body: Body,
    (mut attempts, mut dialled): (Attempts, Option<Box<Lease>>),
) -> Result<Response<Body>, (NoLease, Body)> {
    let is_idempotent = retry::is_idempotent(&parts.method, &parts.headers);
    let mut wants_new = false;
    loop {
        attempts.begin();
        waits(shared, key, parts);
        let acquired = if let Some(dialled) = dialled.take() {
            Ok(dialled.told(None))
        } else if wants_new || attempts.is_last() {
            acquire_new(shared, key).await
        } else {
            acquire(shared, key, is_idempotent && body.replay().is_some()).await
        };
        let mut lease = match acquired {
            Ok(lease) => lease,
            Err(none) => return Err((none, body)),
        };
        lease.retries = attempts.retries();
        let replay = body.replay();
        let was_fresh = lease.is_fresh();
        let failed = match attempt(Exchange::new(lease), key, parts, body).await {
            Ok(response) => return Ok(response),
            Err(failed) => failed,
        };
        let replay = replay.or(failed.untouched);
        let (written, read) = failed
            .info
            .as_ref()
            .map_or((0, 0), |x| (x.bytes_written, x.bytes_read));
        let decision = retry::decide(&Failure {
            is_on: shared.settings.is_retry_on,
            attempts: attempts.counted(),
            is_loss: failed.error.is_closed_early(),
            is_unprocessed: failed.is_unprocessed,
            was_fresh,
            written,
            read,
            is_idempotent,
            is_replayable: replay.is_some(),
        });
        tracing::debug!(?decision, error = %failed.error, "exchange failed");
        match (decision.is_retry(), replay) {
            (true, Some(replay)) => body = replay,
            _ => return Err((failed.error.into(), Body::empty())),
        }
        shared.pool.note_retry();
        meter::retrying(key);
        if let Some(info) = &failed.info {
            let connection = info.id;
            shared.events.tell(|| Event::Retrying { connection });
        }
        wants_new = decision == Decision::Idempotent;
    }
}

/// An attempt that failed, and what a retry has to know of it.
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) info: Option<ConnectionInfo>,
    /// The body, if nobody has polled it.
    pub(super) untouched: Option<Body>,
    /// The peer says that it has not processed the request.
    pub(super) is_unprocessed: bool,
}

/// Sends the request on one connection and waits for the head of the response.
async fn attempt(
    mut exchange: Exchange,
    key: &Key,
    parts: &Parts,
    body: Body,
) -> Result<Response<Body>, Failed> {
    let body = body.made();
    if let Err(error) = exchange.send_typed_head(key, parts, body.length()) {
        exchange.give_back();
        return Err(Failed {
            error,
            info: None,
            untouched: None,
            is_unprocessed: false,
        });
    }
    let expects = expects_continue(&parts.headers) && !body.is_end_stream();
    let mut upload = Upload::new(body);
    if expects {
        upload.hold(exchange.shared().settings.continue_timeout);
    }
    let told = Told::of(parts);
    told.is_in(Phase::Write);
    let head = poll_fn(|cx| poll_head(&mut exchange, &mut upload, told, cx)).await;
    let info = exchange.connection();
    match head {
        Ok(head) => respond(exchange, upload, head, info).await,
        Err(error) => {
            exchange.fail(&error);
            Err(Failed {
                error: match &key.route().via {
                    Via::Forward(proxy) => error.at_proxy(proxy),
                    Via::Host | Via::Address(_) | Via::Unix(_) | Via::Tunnel(_) => error,
                },
                info: Some(info),
                untouched: upload.into_untouched(),
                is_unprocessed: false,
            })
        }
    }
}

/// A request is about to ask for a connection, of which whoever watches it may want to know.
pub(super) fn waits(shared: &Shared, key: &Key, parts: &Parts) {
    if let Some(progress) = parts.extensions.get::<Progress>() {
        progress.waits(&shared.dials, key);
    }
}

/// Who is told of what happens before the final response.
#[derive(Debug, Clone, Copy)]
struct Told<'a> {
    on_interim: Option<&'a OnInterim>,
    progress: Option<&'a Progress>,
}

impl<'a> Told<'a> {
    fn of(parts: &'a Parts) -> Self {
        Self {
            on_interim: parts.extensions.get(),
            progress: parts.extensions.get(),
        }
    }

    fn is_in(self, phase: Phase) {
        if let Some(progress) = self.progress {
            progress.is_in(phase);
        }
    }
}

/// Moves the request out and waits for the response.
fn poll_head(
    exchange: &mut Exchange,
    upload: &mut Upload,
    told: Told<'_>,
    cx: &mut Context<'_>,
) -> Poll<Result<ResponseOrSwitch, Error>> {
    loop {
        if let Poll::Ready(Err(error)) = upload.poll(exchange, cx) {
            let info = exchange.connection();
            return Poll::Ready(Err(error.on(info)));
        }
        if exchange.is_request_over() {
            told.is_in(Phase::Head);
        }
        match exchange.poll_head(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(Head::Interim(head))) => {
                if head.status() == StatusCode::CONTINUE {
                    upload.release();
                }
                if let Some(on_interim) = told.on_interim {
                    on_interim.call(head.status(), &head.fields().to_header_map()?);
                }
            }
            Poll::Ready(Ok(Head::Final(head))) => {
                return Poll::Ready(Ok(ResponseOrSwitch {
                    head,
                    is_switch: false,
                }));
            }
            Poll::Ready(Ok(Head::Switched(head))) => {
                return Poll::Ready(Ok(ResponseOrSwitch {
                    head,
                    is_switch: true,
                }));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        }
    }
}

struct ResponseOrSwitch {
    head: ResponseHead,
    is_switch: bool,
}

/// Makes the typed response. If its content has all arrived, the connection is given back here.
async fn respond(
    mut exchange: Exchange,
    upload: Upload,
    response: ResponseOrSwitch,
    info: ConnectionInfo,
) -> Result<Response<Body>, Failed> {
    let ResponseOrSwitch { head, is_switch } = response;
    let headers = match head.fields().to_header_map() {
        Ok(headers) => headers,
        Err(error) => {
            let error = Error::from(error).on(info.clone());
            exchange.fail(&error);
            return Err(Failed {
                error,
                info: Some(info),
                untouched: None,
                is_unprocessed: false,
            });
        }
    };
    let (status, version) = (head.status(), head.version());
    exchange.reclaim(head);
    let is_over = exchange.is_request_over();
    let mut on_upgrade = None;
    let body = if is_switch {
        on_upgrade = Some(upgraded(exchange));
        Body::empty()
    } else if let Some(body) = is_over.then(|| whole_body(&mut exchange)).flatten() {
        exchange.end();
        body
    } else {
        // A body that is still held back is not sent after the answer: the connection is closed.
        let upload = (!is_over && !upload.is_held()).then_some(upload);
        Body::stream(ResponseBody::new(exchange, upload))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.version_mut() = version;
    *response.headers_mut() = headers;
    response.extensions_mut().insert(info);
    if let Some(on_upgrade) = on_upgrade {
        response.extensions_mut().insert(on_upgrade);
    }
    Ok(response)
}

/// The connection, as the extension of the response in which its asker finds it.
fn upgraded(exchange: Exchange) -> OnUpgrade {
    let (promise, on_upgrade) = upgrade::promise();
    // The receiver is here: it cannot have gone.
    let _ = promise.send(exchange.upgrade());
    on_upgrade
}

/// The content of the response, if it has all arrived and its connection need not be kept from
/// the pool until the reader has seen its end.
fn whole_body(exchange: &mut Exchange) -> Option<Body> {
    let is_empty = exchange.remaining() == Some(0);
    let may_take = exchange.is_rest_here() && exchange.shared().settings.drain.is_on();
    if !is_empty && !may_take {
        return None;
    }
    let mut nobody = Context::from_waker(std::task::Waker::noop());
    let mut body = Body::empty();
    loop {
        match exchange.poll_piece(&mut nobody) {
            // It is all in one buffer, so it is one piece.
            Poll::Ready(Ok(Some(piece))) => body = piece.into(),
            Poll::Ready(Ok(None)) => return Some(body),
            Poll::Ready(Err(_)) | Poll::Pending => return None,
        }
    }
}

pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| {
        value
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"100-continue")
    })
}
