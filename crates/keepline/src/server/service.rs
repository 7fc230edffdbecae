//! The typed layer: a tower service answers requests, on top of the raw exchange.
//!
//! Service, request body and response body advance together on the connection's task: whatever the
//! service waits for, its client is watched and what is queued moves.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use keepline_proto::framing::{Asked, has_no_body};
use keepline_proto::{BodyLength, Field, RequestHead};
use tower_service::Service;

use super::exchange::{Exchange, Handler};
use super::incoming::{Link, Pumped, request_body};
use super::request::typed_request;
use super::speaks::Speaks;
use super::wire::Wire;
#[cfg(feature = "http2")]
use super::{
    busy::Rest,
    http2::{Http2, serve_session},
    wire::Core,
};
use crate::Body;
use crate::error::{BoxError, Error, ErrorKind};
#[cfg(feature = "http2")]
use crate::net::Stream;
use crate::upgrade::{self, Promise};
#[cfg(feature = "http2")]
use bytes::BytesMut;

/// A service made of a function from requests to futures of responses.
///
/// ```no_run
/// # use std::convert::Infallible;
/// use http::{Request, Response};
/// use keepline::server::{Server, service_fn};
/// use keepline::{Body, net};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let hello = service_fn(|_: Request<Body>| async {
///     Ok::<_, Infallible>(Response::new(Body::from("Hello, World!")))
/// });
/// let listener = net::bind(([127, 0, 0, 1], 8080).into(), net::BindOptions::default())?;
/// Server::builder().build()?.serve(listener, hello).await?;
/// # Ok(())
/// # }
/// ```
pub const fn service_fn<F>(function: F) -> ServiceFn<F> {
    ServiceFn(function)
}

/// What [`service_fn`] makes.
#[derive(Clone, Copy)]
pub struct ServiceFn<F>(F);

impl<F> fmt::Debug for ServiceFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceFn")
    }
}

impl<F, R, B, E, Answer> Service<Request<R>> for ServiceFn<F>
where
    F: FnMut(Request<R>) -> Answer,
    Answer: Future<Output = Result<Response<B>, E>>,
{
    type Response = Response<B>;
    type Error = E;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<R>) -> Answer {
        (self.0)(request)
    }
}

/// Answers exchanges with a service.
#[derive(Debug, Clone)]
pub(super) struct ServiceHandler<S>(pub(super) S);

impl<S, B> Handler for ServiceHandler<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    async fn handle(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        let answers = exchange.wire.core.hub().settings.answers_first.as_ref();
        if let Some(answer) = answers.and_then(|answers| answers(exchange.head())) {
            return answer.send(exchange);
        }
        let Some(mut request) = typed_request(exchange.head()) else {
            let problem = "the request target is not a URI";
            return exchange
                .wire
                .append_answer(StatusCode::BAD_REQUEST, problem);
        };
        if exchange.wire.core.hub().settings.request_info {
            request.extensions_mut().insert(*exchange.info());
        }
        let asked = Asked::from(exchange.head().method());
        let promise = asks_to_switch(exchange.head()).then(|| {
            let (promise, on_upgrade) = upgrade::promise();
            request.extensions_mut().insert(on_upgrade);
            promise
        });
        let wire = &mut *exchange.wire;
        let (body, link) = request_body(wire);
        *request.body_mut() = body;

        wire.handler_deadline
            .set(wire.core.hub().settings.handler_timeout);
        let service = &mut self.0;
        let ready = poll_fn(|cx| beside(wire, link.as_ref(), cx, |cx| service.poll_ready(cx)));
        match ready.await? {
            Worked::Done(ready) => ready.map_err(service_error)?,
            Worked::TooSlow => return too_slow(wire),
        }
        let response = {
            let mut answer = pin!(service.call(request));
            let answered =
                poll_fn(|cx| beside(wire, link.as_ref(), cx, |cx| answer.as_mut().poll(cx)));
            match answered.await? {
                Worked::Done(response) => response.map_err(service_error)?,
                Worked::TooSlow => return too_slow(wire),
            }
        };
        if let Some(promise) = promise
            && is_switch(asked, response.status())
        {
            return switch(wire, response.into_parts().0, promise).await;
        }
        respond(wire, link.as_ref(), asked, response).await?;
        if let Some(link) = link {
            poll_fn(|cx| finish_request(wire, &link, cx)).await?;
        }
        Ok(())
    }
}

impl<S, B> Speaks for ServiceHandler<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    const HTTP2: bool = true;
    const RESETS_THE_STUCK: bool = true;

    #[cfg(feature = "http2")]
    async fn serve_http2(
        &mut self,
        core: &mut Core,
        stream: Stream,
        input: BytesMut,
        settings: Http2,
    ) -> (Rest, Stream) {
        serve_session(core, stream, input, &mut self.0, settings).await
    }
}

fn service_error(error: impl Into<BoxError>) -> Error {
    Error::caused(ErrorKind::Service, error)
}

/// What came of a service's work.
enum Worked<T> {
    Done(T),
    /// It took longer than the handler timeout.
    TooSlow,
}

/// The service gave no response in time; nobody reads the request any more.
fn too_slow(wire: &mut Wire) -> Result<(), Error> {
    wire.abandoned = true;
    let problem = "the answer took too long";
    wire.append_answer(StatusCode::SERVICE_UNAVAILABLE, problem)
}

/// Polls `work`; while it waits, the request body and the connection advance.
fn beside<T>(
    wire: &mut Wire,
    link: Option<&Link>,
    cx: &mut Context<'_>,
    mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<Result<Worked<T>, Error>> {
    loop {
        if let Poll::Ready(output) = work(cx) {
            return Poll::Ready(Ok(Worked::Done(output)));
        }
        if wire.handler_deadline.poll(cx).is_ready() {
            return Poll::Ready(Ok(Worked::TooSlow));
        }
        match pump(wire, link, cx) {
            Pumped::Delivered => {}
            // Whoever reads the body is told what happens to it.
            Pumped::Waiting => return Poll::Pending,
            Pumped::Unwanted | Pumped::Over => return wire.poll_watch(cx).map(Err),
        }
    }
}

fn pump(wire: &mut Wire, link: Option<&Link>, cx: &mut Context<'_>) -> Pumped {
    link.map_or(Pumped::Over, |link| link.pump(wire, cx))
}

/// The request asks for another protocol, so that its response may agree to one.
fn asks_to_switch(head: &RequestHead) -> bool {
    let facts = head.fields().facts();
    *head.method() == Method::CONNECT || (facts.upgrade && facts.connection.upgrade())
}

fn is_switch(asked: Asked, status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || (asked == Asked::Connect && status.is_success())
}

/// Sends the head that agrees to switch, and hands the connection over.
async fn switch(
    wire: &mut Wire,
    head: http::response::Parts,
    promise: Promise,
) -> Result<(), Error> {
    if promise.is_closed() {
        // The service did not take what it would have to await: the new protocol would have a
        // client and no server.
        let problem = "nobody takes the connection over";
        return wire.append_answer(StatusCode::NOT_IMPLEMENTED, problem);
    }
    let fields = head.headers.iter().map(Field::from);
    wire.append_head(head.status, fields, BodyLength::Known(0))?;
    let upgraded = wire.upgrade().await?;
    // Given up meanwhile: then the connection is closed.
    let _ = promise.send(upgraded);
    Ok(())
}

/// Sends the response.
async fn respond<B>(
    wire: &mut Wire,
    link: Option<&Link>,
    asked: Asked,
    response: Response<B>,
) -> Result<(), Error>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    if let Some(link) = link {
        link.note_abandoned(wire);
    }
    let length = match body.size_hint().exact() {
        _ if body.is_end_stream() => BodyLength::Known(0),
        Some(length) => BodyLength::Known(length),
        None => BodyLength::Unknown,
    };
    wire.append_head(head.status, head.headers.iter().map(Field::from), length)?;
    if asked == Asked::Head || has_no_body(head.status) || body.is_end_stream() {
        return wire.append_end(None);
    }
    let mut sending = Sending {
        body: pin!(body),
        trailers: None,
        is_over: false,
    };
    poll_fn(|cx| sending.poll(wire, link, cx)).await
}

/// A response body that is being sent.
struct Sending<'b, B> {
    body: Pin<&'b mut B>,
    trailers: Option<HeaderMap>,
    /// All of it is queued.
    is_over: bool,
}

impl<B> Sending<'_, B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll(
        &mut self,
        wire: &mut Wire,
        link: Option<&Link>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            if !wire.driver.wants_content() && wire.poll_flush_discarding(cx)?.is_pending() {
                // Somebody else may be reading the request meanwhile.
                while pump(wire, link, cx) == Pumped::Delivered {}
                return Poll::Pending;
            }
            if self.is_over {
                return Poll::Ready(wire.append_end(self.trailers.as_ref()));
            }
            match self.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => {
                        wire.append_piece(piece)?;
                        self.is_over = self.body.is_end_stream();
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Error::caused(ErrorKind::Body, error)));
                }
                Poll::Ready(None) => self.is_over = true,
                Poll::Pending => match pump(wire, link, cx) {
                    Pumped::Delivered => {}
                    Pumped::Waiting => return Poll::Pending,
                    Pumped::Unwanted | Pumped::Over => return wire.poll_watch(cx).map(Err),
                },
            }
        }
    }
}

/// The response is out; whoever still reads the request may go on. Ready when nobody does.
fn finish_request(wire: &mut Wire, link: &Link, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
    loop {
        match link.pump(wire, cx) {
            Pumped::Delivered => {}
            Pumped::Waiting => return Poll::Pending,
            Pumped::Unwanted => return wire.poll_watch(cx).map(Err),
            Pumped::Over => return Poll::Ready(Ok(())),
        }
    }
}
