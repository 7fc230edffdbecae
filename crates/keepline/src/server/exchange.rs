//! One request and its response on one connection, as heads with spans and content as bytes.
//!
//! This is the raw layer: no map of fields, no body type. The typed service is made of it, and a
//! gateway uses it as it is. There is no task of its own: whoever polls the exchange drives the
//! connection, and nothing is shared or locked.
//!
//! Invariant: whatever order the methods are called in, what goes out is a valid message or cut
//! short visibly; a wrong call is an error.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use keepline_proto::{BodyLength, Field, Fields, RequestHead};

use super::info::RequestInfo;
use super::wire::Wire;
use crate::error::Error;
use crate::upgrade::Upgraded;

/// Answers requests, one after the other on each connection: the layer below
/// [`Server::serve`](super::Server::serve), for [`Server::serve_raw`](super::Server::serve_raw).
///
/// Each connection has a clone. The future is polled by the connection's own task. If it returns
/// an error, or panics, before a response head was sent, the client gets a status that fits
/// ([500] if it is our fault); after that, the response is cut short. Either way the connection
/// closes.
///
/// The future is dropped when the client resets the connection while [`Exchange::watch`] is
/// polled, and when the server's shutdown has reached its limit.
///
/// [500]: http::StatusCode::INTERNAL_SERVER_ERROR
pub trait Handler: Clone + Send + 'static {
    /// Answers one request. What it leaves unread of the request body is drained or closes the
    /// connection; what it leaves unsent of the response is its error.
    fn handle(
        &mut self,
        exchange: &mut Exchange<'_>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// One request, and the place for its response.
#[derive(Debug)]
pub struct Exchange<'c> {
    pub(super) wire: &'c mut Wire,
    head: RequestHead,
    info: RequestInfo,
}

/// The request.
impl<'c> Exchange<'c> {
    pub(super) fn new(wire: &'c mut Wire, head: RequestHead) -> Self {
        let info = wire.begin(&head);
        Self { wire, head, info }
    }

    pub(super) fn into_fields(self) -> Fields {
        self.head.into_fields()
    }

    /// The head of the request.
    #[must_use]
    pub const fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The connection that it came on.
    #[must_use]
    pub const fn info(&self) -> &RequestInfo {
        &self.info
    }

    /// Nothing of the request is missing.
    #[must_use]
    pub fn is_request_received(&self) -> bool {
        self.wire.is_request_received()
    }

    /// Content that has not been received yet, if its length is known.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.wire.driver.proto.remaining()
    }

    /// The next piece of the request's content; `None` is its end, after which
    /// [`trailers`](Self::take_trailers) are known. A client that waits for 100 (Continue) gets it
    /// now. Nothing is lost when the caller stops polling.
    ///
    /// # Errors
    /// The client broke the protocol, closed, or made no progress for the body timeout. Also if it
    /// waits for 100 (Continue) and the final head was sent instead.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.wire.poll_piece(cx)
    }

    /// [`poll_piece`](Self::poll_piece) as a future; dropping it loses nothing.
    ///
    /// # Errors
    /// As there.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// The trailer section of the request, if there was one.
    pub const fn take_trailers(&mut self) -> Option<Fields> {
        self.wire.trailers.take()
    }

    /// Says that nobody will read the rest of the request's content: it is thrown away while the
    /// response is being written, and the response head says close if it is too much for that.
    pub const fn abandon_content(&mut self) {
        self.wire.abandoned = true;
    }
}

/// The response.
impl Exchange<'_> {
    /// Queues an interim (1xx) response head other than 101. A client of HTTP/1.0 gets none.
    ///
    /// # Errors
    /// The status is not interim, or the final head was sent.
    pub fn send_interim<'a>(
        &mut self,
        status: StatusCode,
        fields: impl IntoIterator<Item = Field<'a>>,
    ) -> Result<(), Error> {
        self.wire.append_interim(status, fields)
    }

    /// Queues the final response head. `Date`, `Connection`, `Keep-Alive` and the framing fields
    /// are added as they are needed; `length` is that of the content.
    ///
    /// # Errors
    /// The head is not valid, or one was sent. Nothing has been queued then.
    pub fn send_head<'a>(
        &mut self,
        status: StatusCode,
        fields: impl IntoIterator<Item = Field<'a>>,
        length: BodyLength,
    ) -> Result<(), Error> {
        self.wire.append_head(status, fields, length)
    }

    /// The final head was sent, or queued.
    #[must_use]
    pub fn is_head_sent(&self) -> bool {
        self.wire.is_head_sent()
    }

    /// Ready when a further piece can be queued without holding more than a bounded amount.
    ///
    /// # Errors
    /// The connection failed, or took nothing for the write timeout.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.wire.driver.wants_content() {
            ready!(self.wire.poll_flush_discarding(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// [`poll_ready`](Self::poll_ready) as a future; dropping it loses nothing.
    ///
    /// # Errors
    /// As there.
    pub async fn ready(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// Queues a piece of content. Call [`ready`](Self::ready) first: it is what bounds memory.
    ///
    /// # Errors
    /// The content is longer than declared, or there is no head yet.
    pub fn send_piece(&mut self, piece: Bytes) -> Result<(), Error> {
        self.wire.append_piece(piece)
    }

    /// Queues the end of the response, with trailers if it is chunked.
    ///
    /// # Errors
    /// The content is shorter than declared, or the trailers are not allowed.
    pub fn send_end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Error> {
        self.wire.append_end(trailers)
    }

    /// Writes what is queued. The end of the response needs no flush: it leaves with whatever
    /// follows, at the latest when there is nothing more to do.
    ///
    /// # Errors
    /// The connection failed, or took nothing for the write timeout.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.wire.poll_flush_discarding(cx)
    }

    /// [`poll_flush`](Self::poll_flush) as a future; dropping it loses nothing.
    ///
    /// # Errors
    /// As there.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }
}

/// Another protocol.
impl Exchange<'_> {
    /// Takes the connection over, after a head that agreed to switch: 101 to a request with
    /// Upgrade, or 2xx to CONNECT. Writes what is queued first. The exchange is over then, and
    /// whatever the handler goes on to do is its own business.
    ///
    /// # Errors
    /// No such head was sent, or it could not be written.
    pub async fn upgrade(&mut self) -> Result<Upgraded, Error> {
        self.wire.upgrade().await
    }
}

/// Waiting for something else.
impl Exchange<'_> {
    /// For a handler that waits for something else than this exchange: keeps what is queued
    /// moving, and looks after the client. Ready only with the reason to give up: the client has
    /// reset the connection (or closed it, if the server is told to mind that), or takes nothing.
    pub fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.wire.poll_watch(cx)
    }

    /// Waits for `future` as [`poll_watch`](Self::poll_watch) says. Everything that a handler
    /// awaits besides this exchange belongs in here: answers to earlier requests of a pipeline
    /// may still be waiting to be written.
    ///
    /// # Errors
    /// The client is gone; `future` has been dropped.
    pub async fn watch<F: Future>(&mut self, future: F) -> Result<F::Output, Error> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            self.poll_watch(cx).map(Err)
        })
        .await
    }
}
