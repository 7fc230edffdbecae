//! A typed request, from the attempt to send it to the head of its response.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use keepline_proto::{BodyLength, Field, RequestLine, ResponseHead};

use super::Shared;
use super::acquire::{acquire, acquire_new};
use super::event::Event;
use super::exchange::{Exchange, Head};
use super::interim::OnInterim;
use super::key::{Key, Via};
use super::meter::{self, RequestMeter};
use super::proxy::Proxy;
use super::response::ResponseBody;
use super::retry::{self, Decision, Failure, MOST_ATTEMPTS};
use super::target::Target;
use super::upload::Upload;
use crate::error::Error;
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
    let meter = RequestMeter::begin(&key, &parts.method);
    let outcome = send_to(shared, &key, &parts, body).await;
    meter.end(&outcome);
    outcome
}

/// Sends the request on connections for `key`, until one attempt is not to be repeated.
async fn send_to(
    shared: &Arc<Shared>,
    key: &Key,
    parts: &Parts,
    mut body: Body,
) -> Result<Response<Body>, Error> {
    let is_idempotent = retry::is_idempotent(&parts.method, &parts.headers);
    let mut attempts = 0;
    let mut wants_new = false;
    loop {
        attempts += 1;
        let mut lease = if wants_new || attempts == MOST_ATTEMPTS {
            acquire_new(shared, key).await?
        } else {
            acquire(shared, key, is_idempotent && body.replay().is_some()).await?
        };
        lease.retries = attempts - 1;
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
            attempts,
            is_loss: failed.error.is_closed_early(),
            was_fresh,
            written,
            read,
            is_idempotent,
            is_replayable: replay.is_some(),
        });
        tracing::debug!(?decision, error = %failed.error, "exchange failed");
        match (decision.is_retry(), replay) {
            (true, Some(replay)) => body = replay,
            _ => return Err(failed.error),
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
struct Failed {
    error: Error,
    info: Option<ConnectionInfo>,
    /// The body, if nobody has polled it.
    untouched: Option<Body>,
}

/// Sends the request on one connection and waits for the head of the response.
async fn attempt(
    mut exchange: Exchange,
    key: &Key,
    parts: &Parts,
    body: Body,
) -> Result<Response<Body>, Failed> {
    let body = body.made();
    if let Err(error) = send_head(&mut exchange, key, parts, body.length()) {
        exchange.give_back();
        return Err(Failed {
            error,
            info: None,
            untouched: None,
        });
    }
    let expects = expects_continue(&parts.headers) && !body.is_end_stream();
    let mut upload = Upload::new(body);
    if expects {
        upload.hold(exchange.shared().settings.continue_timeout);
    }
    let on_interim = parts.extensions.get::<OnInterim>();
    let head = poll_fn(|cx| poll_head(&mut exchange, &mut upload, on_interim, cx)).await;
    let info = exchange.connection();
    match head {
        Ok(head) => respond(exchange, upload, head, info).await,
        Err(error) => {
            exchange.fail(&error);
            Err(Failed {
                error,
                info: Some(info),
                untouched: upload.into_untouched(),
            })
        }
    }
}

/// Moves the request out and waits for the response.
fn poll_head(
    exchange: &mut Exchange,
    upload: &mut Upload,
    on_interim: Option<&OnInterim>,
    cx: &mut Context<'_>,
) -> Poll<Result<ResponseOrSwitch, Error>> {
    loop {
        if let Poll::Ready(Err(error)) = upload.poll(exchange, cx) {
            let info = exchange.connection();
            return Poll::Ready(Err(error.on(info)));
        }
        match exchange.poll_head(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(Head::Interim(head))) => {
                if head.status() == StatusCode::CONTINUE {
                    upload.release();
                }
                if let Some(on_interim) = on_interim {
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

fn send_head(
    exchange: &mut Exchange,
    key: &Key,
    parts: &Parts,
    length: BodyLength,
) -> Result<(), Error> {
    // Without one there is a Target; where its socket leads is another matter.
    let authority = match (parts.uri.authority(), parts.extensions.get::<Target>()) {
        (Some(authority), _) => Cow::Borrowed(authority.as_str()),
        (None, Some(target)) => Cow::Owned(target.origin().authority()),
        (None, None) => Cow::Borrowed(""),
    };
    let path = match parts.uri.path_and_query() {
        Some(path) if !path.as_str().is_empty() => path.as_str(),
        _ => "/",
    };
    let proxy = match &key.route().via {
        Via::Forward(proxy) => Some(proxy),
        Via::Host | Via::Address(_) | Via::Unix(_) | Via::Tunnel(_) => None,
    };
    let target = match proxy {
        // RFC 9112 §3.2.3: the far end of the tunnel, and nothing else.
        _ if parts.method == Method::CONNECT => Cow::Borrowed(&*authority),
        // RFC 9112 §3.2.2: a proxy has to be told the whole.
        Some(_) => Cow::Owned(format!("http://{authority}{path}")),
        None => Cow::Borrowed(path),
    };
    let line = RequestLine {
        method: &parts.method,
        target: target.as_bytes(),
    };
    let host = Field::new(b"host", authority.as_bytes())?;
    let own_host = (!parts.headers.contains_key(header::HOST)).then_some(host);
    let credentials = proxy
        .and_then(Proxy::authorization)
        .filter(|_| !parts.headers.contains_key(header::PROXY_AUTHORIZATION))
        .map(|value| Field::from((&header::PROXY_AUTHORIZATION, value)));
    let fields = own_host
        .into_iter()
        .chain(credentials)
        .chain(fields(&parts.headers));
    exchange.send_head(line, fields, length)
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| {
        value
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"100-continue")
    })
}

fn fields(headers: &HeaderMap) -> impl Iterator<Item = Field<'_>> {
    headers.iter().map(Field::from)
}
