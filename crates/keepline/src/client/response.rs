//! The body of a response: it holds the connection until its end.
//!
//! The connection is given back before the reader sees the end, so that a reader who asks again
//! at once gets it. What is left of the request moves along and advances while the body is
//! polled. A body that is dropped early is drained within limits, without a task if its rest has
//! already arrived; nothing here panics outside a runtime.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::runtime::Handle;

use super::exchange::Exchange;
use super::reuse::{Abandoned, DrainLimits, abandoned};
use super::upload::Upload;
use crate::CloseReason;
use crate::deadline::Deadline;
use crate::error::Error;

/// How long the end of a response waits for the end of its request (Go: the same).
const UPLOAD_GRACE: Duration = Duration::from_millis(50);

/// The content of a response as it arrives.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    /// `None` once the connection is given back or closed.
    exchange: Option<Exchange>,
    upload: Option<Upload>,
    /// The request's body failed: the server will never see the end of the request.
    upload_failure: Option<Error>,
    /// The response has ended; the request has not.
    finishing: Option<Deadline>,
    remaining: Option<u64>,
}

impl ResponseBody {
    pub(crate) fn new(exchange: Exchange, upload: Option<Upload>) -> Self {
        let remaining = exchange.remaining();
        Self {
            exchange: Some(exchange),
            upload,
            upload_failure: None,
            finishing: None,
            remaining,
        }
    }

    /// Moves the rest of the request. Its failure is kept for when the response stalls: a server
    /// that waits for the end of a request that never comes would be waited for.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(exchange), Some(upload)) = (&mut self.exchange, &mut self.upload) else {
            return Poll::Ready(());
        };
        if let Err(error) = ready!(upload.poll(exchange, cx)) {
            self.upload_failure = Some(error.on(exchange.connection()));
        }
        self.upload = None;
        Poll::Ready(())
    }

    /// The next piece of the response, as long as there can be one.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Some(exchange) = &mut self.exchange else {
            return Poll::Ready(None);
        };
        match (exchange.poll_piece(cx), self.upload_failure.take()) {
            (Poll::Pending, Some(error)) => Poll::Ready(Some(Err(error))),
            (Poll::Pending, None) => Poll::Pending,
            (Poll::Ready(piece), failure) => {
                self.upload_failure = failure;
                self.remaining = exchange.remaining();
                Poll::Ready(piece.transpose())
            }
        }
    }

    /// The response has ended: waits a moment for the request, then ends the exchange.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Outside a runtime there is no timer, and no grace.
        if self.poll_upload(cx).is_pending() && Handle::try_current().is_ok() {
            let deadline = self.finishing.get_or_insert_with(|| {
                let mut deadline = Deadline::default();
                deadline.set(Some(UPLOAD_GRACE));
                deadline
            });
            ready!(deadline.poll(cx));
        }
        if let Some(exchange) = self.exchange.take() {
            exchange.end();
        }
        Poll::Ready(())
    }

    /// After a piece: if it was the last of a known length, the connection is free before the
    /// reader has it, and a reader who stops here loses nothing. With draining switched off, only
    /// a reader who looks for the end gives the connection back.
    fn end_early(&mut self, cx: &mut Context<'_>) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let is_last = self.remaining == Some(0) && self.upload.is_none();
        if is_last
            && exchange.shared().settings.drain.is_on()
            && matches!(exchange.poll_piece(cx), Poll::Ready(Ok(None)))
        {
            let _ = self.poll_finish(cx);
        }
    }

    fn fail(&mut self, error: &Error) {
        if let Some(exchange) = self.exchange.take() {
            exchange.fail(error);
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.finishing.is_none() {
            let _ = this.poll_upload(cx);
            match ready!(this.poll_piece(cx)) {
                Some(Err(error)) => {
                    this.fail(&error);
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(piece)) => {
                    this.end_early(cx);
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                None if this.exchange.is_none() => return Poll::Ready(None),
                None => this.remaining = Some(0),
            }
        }
        let trailers = this.exchange.as_mut().and_then(Exchange::take_trailers);
        if let Some(trailers) = trailers {
            if this.upload.is_none() {
                let _ = this.poll_finish(cx);
            }
            return Poll::Ready(Some(
                trailers
                    .to_header_map()
                    .map(Frame::trailers)
                    .map_err(Error::from),
            ));
        }
        ready!(this.poll_finish(cx));
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.exchange.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        let limits = exchange.shared().settings.drain;
        let persistence = exchange.lease().connection().driver.proto.persistence();
        let is_upload_over = self.upload.is_none() && exchange.is_request_over();
        match abandoned(limits, persistence, exchange.remaining(), is_upload_over) {
            Abandoned::Close(reason) => exchange.close(reason),
            Abandoned::Drain => drain(exchange, limits),
        }
    }
}

/// Reads what is left: at once if it is here, else in a task on the connection's own runtime.
fn drain(exchange: Exchange, limits: DrainLimits) {
    let mut rest = Rest {
        exchange: Some(exchange),
        left: limits.bytes,
        is_announced: false,
    };
    if rest
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
    {
        return;
    }
    let Some(exchange) = &rest.exchange else {
        return;
    };
    let reaper = std::sync::Arc::clone(exchange.lease().connection().watch.reaper());
    if reaper.is_gone() {
        rest.close(CloseReason::NotDrained);
        return;
    }
    exchange.lease().drain_started();
    rest.is_announced = true;
    // On a runtime that is shutting down the task is dropped, and closes the connection so.
    reaper.runtime().spawn(async move {
        let drained = std::future::poll_fn(|cx| rest.poll(cx));
        if tokio::time::timeout(limits.time, drained).await.is_err() {
            rest.close(CloseReason::NotDrained);
        }
    });
}

/// The rest of a body that nobody reads.
struct Rest {
    exchange: Option<Exchange>,
    left: u64,
    /// The pool has been told that this connection may come back soon.
    is_announced: bool,
}

impl Rest {
    /// Reads on. Ready when the connection has been given back or closed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(exchange) = &mut self.exchange {
            match ready!(exchange.poll_piece(cx)) {
                Ok(Some(piece)) => match self.left.checked_sub(piece.len() as u64) {
                    Some(left) => self.left = left,
                    None => self.close(CloseReason::NotDrained),
                },
                Ok(None) => {
                    if let Some(exchange) = self.take() {
                        exchange.end();
                    }
                }
                Err(error) => {
                    if let Some(exchange) = self.take() {
                        exchange.fail(&error);
                    }
                }
            }
        }
        Poll::Ready(())
    }

    fn close(&mut self, reason: CloseReason) {
        if let Some(exchange) = self.take() {
            exchange.close(reason);
        }
    }

    fn take(&mut self) -> Option<Exchange> {
        let exchange = self.exchange.take()?;
        if std::mem::take(&mut self.is_announced) {
            exchange.lease().drain_ended();
        }
        Some(exchange)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.close(CloseReason::NotDrained);
    }
}
