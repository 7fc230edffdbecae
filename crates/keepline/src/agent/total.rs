//! One deadline for a request as a whole, the body of its response included.
//!
//! Invariant: without a timeout nothing is boxed and no timer made for the body.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};
use tower_layer::Layer;
use tower_service::Service;

use super::ResponseFuture;
use crate::Body;
use crate::client::Progress;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Phase};

/// Makes [`TotalTimeout`]s.
#[derive(Debug, Clone, Copy)]
pub struct TotalTimeoutLayer(Option<Duration>);

impl TotalTimeoutLayer {
    /// `None`: no deadline.
    #[must_use]
    pub const fn new(timeout: Option<Duration>) -> Self {
        Self(timeout)
    }
}

impl<S> Layer<S> for TotalTimeoutLayer {
    type Service = TotalTimeout<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TotalTimeout::new(inner, self.0)
    }
}

/// Fails a request that has not ended in time, whatever it waits for: with
/// [`Phase::Request`] from the call, or from the body of the response; the error's text tells what it
/// was doing then. A deadline that passes after
/// the end of the body is harmless.
#[derive(Debug, Clone)]
pub struct TotalTimeout<S> {
    inner: S,
    timeout: Option<Duration>,
}

impl<S> TotalTimeout<S> {
    /// `None`: no deadline.
    pub const fn new(inner: S, timeout: Option<Duration>) -> Self {
        Self { inner, timeout }
    }
}

impl<S> Service<Request<Body>> for TotalTimeout<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Error>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // Too long to tell is no deadline.
        let end = self
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        let Some(end) = end else {
            return Box::pin(self.inner.call(request));
        };
        let extensions = request.extensions_mut();
        let progress = extensions.get_or_insert_default::<Progress>().clone();
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = timeout_at(end, response)
                .await
                .unwrap_or_else(|_| Err(timed_out(progress.phase())))?;
            Ok(response.map(|body| Timed::wrap(body, end)))
        })
    }
}

/// The request as a whole had its time; `phase` is what it was doing.
fn timed_out(phase: Phase) -> Error {
    Error::caused(ErrorKind::Timeout(Phase::Request), phase.to_string())
}

/// A body that has to end in time.
struct Timed {
    /// `None` once it has ended or failed: what it held is let go at once.
    body: Option<Body>,
    deadline: Deadline,
}

impl Timed {
    fn wrap(body: Body, end: Instant) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let mut deadline = Deadline::default();
        deadline.set_at(Some(end));
        Body::stream(Self {
            body: Some(body),
            deadline,
        })
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        // What has arrived is handed over even if time is up: the timer is for waiting.
        let frame = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending if this.deadline.poll(cx).is_ready() => Some(Err(timed_out(Phase::Body))),
            Poll::Pending => return Poll::Pending,
        };
        if !matches!(frame, Some(Ok(_))) {
            this.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
