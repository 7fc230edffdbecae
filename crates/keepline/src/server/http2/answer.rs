//! One request of a session and its response.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{self, CONTENT_LENGTH, DATE, EXPECT, HOST, HeaderName, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as HttpBody;
use keepline_proto::framing::has_no_body;
use tokio::time::Instant;
use tower_service::Service;

use super::unread::Unread;
use crate::Body;
use crate::error::{BoxError, Error, ErrorKind};
use crate::http2::{RecvBody, RecvLimits, SendEnd, send_body, session_error};
use crate::server::RequestInfo;
use crate::server::access::{Answer, Asked};
use crate::server::date::with_date;
use crate::server::registry::Hub;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// It was answered.
    Answered,
    /// The client took it back.
    TakenBack,
    /// It failed, and was reset or told so.
    Failed,
}

/// Answers one request, and tells whoever wants to know.
pub(super) async fn answer<S, B>(
    hub: Arc<Hub>,
    service: S,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    info: RequestInfo,
) -> StreamEnd
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let noted = hub
        .settings
        .records_exchanges()
        .then(|| Noted::of(&request));
    let mut told = Answer::default();
    let unread = Unread::default();
    let end = answer_telling(&hub, service, request, respond, info, &unread, &mut told).await;
    if let Some(noted) = noted {
        let record = noted.asked().answered(info, noted.began, told, None);
        hub.settings.tell(&record);
    }
    if end == StreamEnd::Answered {
        unread.drain(hub.settings.terms.drain).await;
    }
    end
}

/// What is told of a request, which is gone when it has been answered.
struct Noted {
    began: Instant,
    method: Method,
    target: String,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl Noted {
    fn of<T>(request: &Request<T>) -> Self {
        let uri = request.uri();
        let value = |name| request.headers().get(name).cloned();
        Self {
            began: Instant::now(),
            method: request.method().clone(),
            target: uri.path_and_query().map_or_else(
                || {
                    uri.authority()
                        .map_or_else(String::new, |it| it.to_string())
                },
                |path| path.as_str().to_owned(),
            ),
            referer: value(REFERER),
            user_agent: value(USER_AGENT),
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            method: Some(&self.method),
            target: Some(self.target.as_bytes()),
            version: Some(Version::HTTP_2),
            referer: self.referer.as_ref().map(HeaderValue::as_bytes),
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
        }
    }
}

async fn answer_telling<S, B>(
    hub: &Arc<Hub>,
    mut service: S,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    info: RequestInfo,
    unread: &Unread,
    told: &mut Answer,
) -> StreamEnd
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let is_head = request.method() == Method::HEAD;
    let in_progress = hub.start_request();
    if in_progress.is_err() {
        let mut busy = plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests are in progress",
        );
        let again = HeaderValue::from_static("1");
        busy.headers_mut().insert(header::RETRY_AFTER, again);
        return send(hub, &mut respond, *busy, is_head, told).await;
    }
    let request = match typed(hub, request, info, unread) {
        Ok(request) => request,
        Err(refusal) => return send(hub, &mut respond, *refusal, is_head, told).await,
    };
    if request.headers().contains_key(EXPECT) {
        // The client cannot be told when the service reads: its windows hold the content back.
        let mut go_on = Response::new(());
        *go_on.status_mut() = StatusCode::CONTINUE;
        let _ = respond.send_informational(go_on);
    }
    let called = called(&mut service, request, hub.settings.handler_timeout);
    match unless_reset(&mut respond, called).await {
        None => StreamEnd::TakenBack,
        Some(Ok(response)) => send(hub, &mut respond, response, is_head, told).await,
        Some(Err(refusal)) => {
            let end = send(hub, &mut respond, *refusal, is_head, told).await;
            if end == StreamEnd::Answered {
                StreamEnd::Failed
            } else {
                end
            }
        }
    }
}

/// The response of the service, or what is answered in its place.
async fn called<S, B>(
    service: &mut S,
    request: Request<Body>,
    limit: Option<Duration>,
) -> Result<Response<B>, Box<Response<Body>>>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    let answering = async {
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    };
    let mut answering = pin!(answering);
    let answering = unless_panics(answering.as_mut());
    let outcome = match limit {
        Some(limit) => tokio::time::timeout(limit, answering).await,
        None => Ok(answering.await),
    };
    match outcome {
        Ok(Some(Ok(response))) => Ok(response),
        Ok(Some(Err(error))) => {
            let error = Error::caused(ErrorKind::Service, error);
            tracing::debug!(%error, "an exchange failed");
            Err(plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request failed",
            ))
        }
        Ok(None) => {
            tracing::error!("the handler panicked");
            Err(plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request failed",
            ))
        }
        Err(_) => Err(plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the answer took too long",
        )),
    }
}

/// `None`: it panicked, and is dropped next.
async fn unless_panics<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        },
    )
    .await
}

/// Waits for `work`; `None` if the client takes the request back before.
async fn unless_reset<F: Future>(respond: &mut SendResponse<Bytes>, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if respond.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

/// The request as the service sees it; `Err` is the answer to what it does not get to see.
fn typed(
    hub: &Hub,
    request: Request<RecvStream>,
    info: RequestInfo,
    unread: &Unread,
) -> Result<Request<Body>, Box<Response<Body>>> {
    let settings = &hub.settings;
    let (mut head, stream) = request.into_parts();
    if head.method == Method::CONNECT {
        return Err(plain(
            StatusCode::NOT_IMPLEMENTED,
            "no tunnels through HTTP/2",
        ));
    }
    let expects = head.headers.get(EXPECT);
    if expects.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        && settings.refuse_expectations
    {
        let problem = "only 100-continue can be expected";
        return Err(plain(StatusCode::EXPECTATION_FAILED, problem));
    }
    one_host(&mut head)?;
    let length = head.headers.get(CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let max = settings.terms.max_body;
    if max.is_some_and(|max| length > Some(max)) {
        let problem = "the content is larger than allowed";
        return Err(plain(StatusCode::PAYLOAD_TOO_LARGE, problem));
    }
    if settings.request_info {
        head.extensions.insert(info);
    }
    let body = if stream.is_end_stream() {
        Body::empty()
    } else {
        let timeout = settings.terms.body_timeout;
        let body = RecvBody::new(stream, RecvLimits { timeout, max }, length);
        Body::stream(unread.of(body))
    };
    Ok(Request::from_parts(head, body))
}

/// "A server SHOULD treat a request as malformed if it contains a Host header field that identifies
/// an entity that differs from the entity in the ':authority' pseudo-header field." (RFC 9113
/// §8.3.1) A service that looks for Host finds it.
fn one_host(head: &mut http::request::Parts) -> Result<(), Box<Response<Body>>> {
    let Some(authority) = head.uri.authority() else {
        return match head.headers.get_all(HOST).iter().count() {
            1 => Ok(()),
            _ => Err(plain(StatusCode::BAD_REQUEST, "exactly one Host is needed")),
        };
    };
    let authority = authority.as_str();
    let differs = |host: &HeaderValue| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    if head.headers.get_all(HOST).iter().any(differs) {
        return Err(plain(StatusCode::BAD_REQUEST, "Host and :authority differ"));
    }
    if let Ok(host) = HeaderValue::from_str(authority) {
        head.headers.insert(HOST, host);
    }
    Ok(())
}

/// Sends a response, whoever made it.
async fn send<B>(
    hub: &Hub,
    respond: &mut SendResponse<Bytes>,
    response: Response<B>,
    is_head: bool,
    told: &mut Answer,
) -> StreamEnd
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let sent = try_send(hub, respond, response, is_head, told).await;
    told.is_complete = matches!(sent, Ok(SendEnd::Complete));
    match sent {
        Ok(SendEnd::Complete | SendEnd::Reset(Reason::NO_ERROR)) => StreamEnd::Answered,
        Ok(SendEnd::Reset(_)) => StreamEnd::TakenBack,
        Err(error) => {
            tracing::debug!(%error, "an exchange failed");
            StreamEnd::Failed
        }
    }
}

async fn try_send<B>(
    hub: &Hub,
    respond: &mut SendResponse<Bytes>,
    response: Response<B>,
    is_head: bool,
    told: &mut Answer,
) -> Result<SendEnd, Error>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    strip(&mut head.headers);
    if hub.settings.terms.date && !head.headers.contains_key(DATE) {
        let date = with_date(Instant::now(), |date| HeaderValue::from_bytes(date.value()));
        if let Ok(date) = date {
            head.headers.insert(DATE, date);
        }
    }
    let is_bodiless = is_head || has_no_body(head.status);
    let declared = head.headers.get(CONTENT_LENGTH);
    let mut declared: Option<u64> = declared.and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_none() && !has_no_body(head.status) {
        declared = body.size_hint().exact();
        // To HEAD, a body that was left out says nothing about what GET would get.
        if let Some(length) = declared.filter(|&length| !is_head || length > 0) {
            head.headers.insert(CONTENT_LENGTH, length.into());
        }
    }
    let status = head.status;
    let ends = is_bodiless || body.is_end_stream();
    let mut stream = respond
        .send_response(Response::from_parts(head, ()), ends)
        .map_err(session_error)?;
    told.status = Some(status);
    if ends {
        return Ok(SendEnd::Complete);
    }
    send_body(
        &mut stream,
        body,
        declared,
        hub.settings.terms.write_timeout,
        &mut told.content_sent,
    )
    .await
}

/// "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header fields"
/// (RFC 9113 §8.2.2). A service need not know which protocol it answers in.
fn strip(headers: &mut HeaderMap) {
    const SPECIFIC: [HeaderName; 4] = [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
    ];
    for name in SPECIFIC {
        headers.remove(name);
    }
    headers.remove("proxy-connection");
}

/// An answer of the library itself.
fn plain(status: StatusCode, text: &str) -> Box<Response<Body>> {
    let reason = status.canonical_reason().unwrap_or("Error");
    let content = format!("{} {reason}: {text}\n", status.as_str());
    let mut response = Response::new(Body::from(content));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    Box::new(response)
}
