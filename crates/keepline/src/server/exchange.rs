//! One request and its response on one connection, as heads with spans and content as bytes.
//!
//! This is the raw layer: no map of fields, no body type. The typed service is made of it, and a
//! gateway uses it as it is. There is no task of its own: whoever polls the exchange drives the
//! connection, and nothing is shared or locked.
//!
//! Invariant: whatever order the methods are called in, what goes out is a valid message or cut
//! short visibly; a wrong call is an error.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use keepline_proto::{BodyLength, Field, Fields, RequestHead, StatusLine};
use tokio::time::Instant;

use super::info::RequestInfo;
use super::receive::Lost;
use super::refused::Refused;
use super::terms::{HangUp, Terms};
use super::wire::Wire;
use crate::CloseReason;
use crate::error::Error;
#[cfg(feature = "tls")]
use crate::tls::TlsInfo;
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

    /// Answers what is no request: a malformed head, one that is too large or took too long. The
    /// connection closes afterwards, without a word if nothing was queued. Unless overridden, the
    /// client gets the status that fits and a line of text.
    fn refuse(
        &mut self,
        refused: &mut Refused<'_>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async { refused.answer_plainly() }
    }
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

    /// In the place of one that was refused.
    pub(super) const fn of_refused(
        wire: &'c mut Wire,
        head: RequestHead,
        info: RequestInfo,
    ) -> Self {
        Self { wire, head, info }
    }

    pub(super) fn into_parts(self) -> (RequestHead, RequestInfo) {
        (self.head, self.info)
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

    /// Our address on the connection: where a listener on all addresses was reached. Asks the
    /// kernel each time; it does not change.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.wire.driver.stream.local_addr()
    }

    /// What the TLS handshake settled; `None` without TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<TlsInfo<'_>> {
        self.wire.driver.stream.tls_info()
    }

    /// The request had arrived, at least in part, when the exchange before it ended: the client
    /// pipelines (RFC 9112 §9.3.2).
    #[must_use]
    pub const fn is_pipelined(&self) -> bool {
        self.wire.is_pipelined
    }

    /// When the head began to arrive, if it did not come in one piece; it has been complete only
    /// since the handler is called.
    #[must_use]
    pub const fn head_since(&self) -> Option<Instant> {
        self.wire.head_since
    }

    /// Bytes of the request that have been received so far: its head, and its content as framed.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.wire.bytes_received()
    }

    /// Bytes of the response, heads included, that have been handed to the connection; once that
    /// has failed, only those that the socket took.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.wire.bytes_sent()
    }

    /// The client has closed its direction, as far as has been read: it may still take the answer.
    /// Noticed by [`poll_watch`](Self::poll_watch) and by reading content.
    #[must_use]
    pub const fn is_half_closed(&self) -> bool {
        self.wire.driver.is_eof()
    }

    /// The connection has failed, or takes nothing: nobody is left to be answered.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.wire.lost() == Some(Lost::Gone)
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

/// What becomes of the connection.
impl Exchange<'_> {
    /// The terms of this exchange: the server's, unless others have been set.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.wire.terms
    }

    /// Changes what holds for the rest of this exchange and the pause after it. What concerns the
    /// response head (`told_idle_seconds`, `date`, an `idle_timeout` of zero) is looked at when
    /// that is sent.
    pub const fn set_terms(&mut self, terms: &Terms) {
        self.wire.terms = *terms;
    }

    /// Closes the connection after this exchange, for this reason; a head that is still to be sent
    /// says so. The first reason stays.
    pub fn close_after(&mut self, reason: CloseReason) {
        self.wire.close_after(reason);
    }

    /// Why the connection closes after this exchange, if that is known.
    #[must_use]
    pub fn closing(&self) -> Option<CloseReason> {
        self.wire.closing()
    }

    /// Closes the connection as soon as the handler returns, whatever it returns: without an
    /// answer, or without the rest of it. Answers to earlier requests are written first.
    pub const fn hang_up(&mut self, how: HangUp) {
        self.wire.hang_up = Some(how);
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
        line: impl Into<StatusLine<'a>>,
        fields: impl IntoIterator<Item = Field<'a>>,
    ) -> Result<(), Error> {
        self.wire.append_interim(line, fields)
    }

    /// Queues the final response head. `Date`, `Connection`, `Keep-Alive` and the framing fields
    /// are added as they are needed; `length` is that of the content. A status alone gets its
    /// listed reason phrase, a [`StatusLine`] brings its own.
    ///
    /// # Errors
    /// The head is not valid, or one was sent. Nothing has been queued then.
    pub fn send_head<'a>(
        &mut self,
        line: impl Into<StatusLine<'a>>,
        fields: impl IntoIterator<Item = Field<'a>>,
        length: BodyLength,
    ) -> Result<(), Error> {
        self.wire.append_head(line, fields, length)
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
    /// No such head was sent, or it could not be written, or the connection was taken over before.
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
