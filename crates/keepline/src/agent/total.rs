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
use crate::deadline::Deadline;
use crate::error::{Error, Phase};

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
/// [`Phase::Request`] from the call, or from the body of the response. A deadline that passes after
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.inner.call(request);
        // Too long to tell is no deadline.
        let end = self
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        Box::pin(async move {
            let Some(end) = end else {
                return response.await;
            };
            let response = timeout_at(end, response)
                .await
                .unwrap_or_else(|_| Err(Error::timeout(Phase::Request)))?;
            Ok(response.map(|body| Timed::wrap(body, end)))
        })
    }
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
            Poll::Pending if this.deadline.poll(cx).is_ready() => {
                Some(Err(Error::timeout(Phase::Request)))
            }
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
