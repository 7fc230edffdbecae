//! The content of an answer on its way from the upstream to the client.
//!
//! With `proxy_buffering on` the upstream is read as fast as it sends, whatever the client takes: what
//! that does not take yet waits in the [`Backlog`]. The connection and the seat on the server are given
//! back when the answer has come whole, not when the client has read it. Without, a piece is read when
//! the client takes it. Where the client keeps up, the two are the same: nothing is copied.
//!
//! Invariant: the client sees the end of an answer only if the upstream has sent it, and all before it.

use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll, ready};

use keepline::client;
use keepline::proto::ResponseHead;
use keepline::{CloseReason, Error};

use super::Serving;
use super::backlog::{Backlog, Kept};
use super::upload::{Stopped, Upload};
use crate::config::Level;
use crate::upstream::Seat;

/// What is taken of the backlog at a time.
const PIECE: usize = 64 * 1024;

/// An answer that is being passed on.
struct Relay<'g, 'l> {
    source: Source<'g>,
    /// `None`: content is not held.
    backlog: Option<Backlog<'l>>,
    /// Content that has come of the upstream.
    received: u64,
    /// Why nobody is left to take it, though it is read to its end (`proxy_ignore_client_abort`).
    lost: Option<Error>,
}

/// Where content comes from.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for a request, and a box would be an allocation for each"
)]
enum Source<'g> {
    /// The upstream sends it.
    Upstream(client::Exchange, Seat<'g>),
    /// All of it has come.
    Whole,
    /// What has come is not all of it.
    Cut(Error),
}

impl Serving<'_, '_, '_> {
    /// Passes an answer on, head and content.
    pub(super) async fn deliver(
        &mut self,
        from: client::Exchange,
        head: ResponseHead,
        upload: &mut Upload<'_>,
        seat: Seat<'_>,
    ) -> Result<(), Error> {
        self.patience.clear();
        let has_trailers = self.send_response_head(&from, &head)?;
        let proxy = &self.request.scope.proxy;
        let mut relay = Relay {
            backlog: self.is_buffered(&head).then(|| Backlog::new(proxy)),
            source: Source::Upstream(from, seat),
            received: 0,
            lost: None,
        };
        self.request.answer = Some(head);
        let outcome = poll_fn(|cx| self.poll_relay(&mut relay, upload, cx)).await;
        if let Err(error) = outcome {
            self.cut(&mut relay, &error);
            return Err(error);
        }
        let trailers = if has_trailers {
            self.trailers(self.request.trailers.as_ref())
        } else {
            None
        };
        self.exchange.send_end(trailers.as_ref())?;
        self.request.sent.is_complete = true;
        Ok(())
    }

    /// The answer is read whatever the client takes: `proxy_buffering`, unless the upstream says
    /// otherwise in X-Accel-Buffering.
    fn is_buffered(&self, head: &ResponseHead) -> bool {
        const FIELD: &str = "x-accel-buffering";
        let proxy = &self.request.scope.proxy;
        let asked = head.fields().value(FIELD);
        match asked.filter(|_| !proxy.ignore_headers.iter().any(|name| **name == *FIELD)) {
            Some(value) if value.eq_ignore_ascii_case(b"no") => false,
            Some(value) if value.eq_ignore_ascii_case(b"yes") => true,
            Some(_) | None => proxy.buffering,
        }
    }

    /// The answer ends here, whatever is missing.
    fn cut(&mut self, relay: &mut Relay<'_, '_>, error: &Error) {
        match mem::replace(&mut relay.source, Source::Whole) {
            Source::Upstream(from, seat) => self.leave((from, seat), relay.received, error),
            // Told when it happened.
            Source::Cut(_) => {}
            Source::Whole => self.complain_of_content(error),
        }
    }

    /// Passes on content, and what is left of the request the other way.
    fn poll_relay(
        &mut self,
        relay: &mut Relay<'_, '_>,
        upload: &mut Upload<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            let takes = match self.poll_client(relay, cx) {
                Poll::Ready(taken) => {
                    if self.pass_held(relay, taken)? {
                        continue;
                    }
                    true
                }
                Poll::Pending => false,
            };
            let from = match &mut relay.source {
                Source::Upstream(from, _) => from,
                Source::Whole | Source::Cut(_) if !takes => return Poll::Pending,
                Source::Whole => return Poll::Ready(relay.lost.take().map_or(Ok(()), Err)),
                Source::Cut(error) => {
                    let error = mem::replace(error, super::pass::gone());
                    return Poll::Ready(Err(error));
                }
            };
            if !takes && !relay.backlog.as_ref().is_some_and(Backlog::has_room) {
                // The client is what is waited for, and the upstream has all the time.
                self.patience.clear();
                break;
            }
            match from.poll_piece(cx) {
                Poll::Ready(Ok(Some(piece))) => {
                    relay.received += piece.len() as u64;
                    self.patience.clear();
                    match &mut relay.backlog {
                        _ if relay.lost.is_some() => {}
                        Some(backlog) if !takes => {
                            let kept = backlog.push(&piece);
                            self.report(&kept);
                        }
                        Some(_) | None => self.pass_piece(piece)?,
                    }
                }
                Poll::Ready(Ok(None)) => self.end_source(relay),
                Poll::Ready(Err(error)) => self.cut_source(relay, error),
                Poll::Pending => {
                    if self.patience.at().is_none() {
                        let limit = self.request.scope.proxy.read_timeout;
                        self.patience.set(Some(limit));
                    }
                    break;
                }
            }
        }
        self.poll_rest(relay, upload, cx)
    }

    /// What is looked after while nothing moves: the rest of the request, the client, the time.
    fn poll_rest(
        &mut self,
        relay: &mut Relay<'_, '_>,
        upload: &mut Upload<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let Source::Upstream(from, _) = &mut relay.source else {
            return Poll::Pending;
        };
        match upload.poll(self.exchange, from, cx) {
            Poll::Ready(Err(Stopped::Client(error))) => return Poll::Ready(Err(error)),
            Poll::Ready(Err(Stopped::Held(error))) => {
                self.complain_of_held(&error);
                return Poll::Ready(Err(error.into()));
            }
            Poll::Ready(Ok(()) | Err(Stopped::Upstream(_))) | Poll::Pending => {}
        }
        if relay.lost.is_none()
            && let Poll::Ready(error) = self.poll_client_gone(cx)
        {
            self.lose_client(relay, error)?;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.patience.at().is_none() {
            return Poll::Pending;
        }
        ready!(self.patience.poll(cx));
        let error = Error::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        self.cut_source(relay, error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What is queued goes out meanwhile. Ready if nobody is left to read it; a client that has only closed
    /// its own direction still may, where `proxy_ignore_client_abort` says so.
    pub(super) fn poll_client_gone(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if !self.request.scope.proxy.ignore_client_abort {
            return self.exchange.poll_watch(cx);
        }
        match self.exchange.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when the client takes a further piece: of so many bytes at most.
    fn poll_client(
        &mut self,
        relay: &mut Relay<'_, '_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Error>> {
        if relay.lost.is_some() {
            return Poll::Ready(Ok(0));
        }
        if let Err(error) = ready!(self.exchange.poll_ready(cx)) {
            return Poll::Ready(self.lose_client(relay, error).map(|()| 0));
        }
        match ready!(self.poll_pace(cx)) {
            Ok(0) => Poll::Ready(Ok(PIECE)),
            Ok(rate) => {
                let rate = usize::try_from(rate).unwrap_or(PIECE);
                Poll::Ready(Ok(rate.min(PIECE)))
            }
            Err(error) => Poll::Ready(self.lose_client(relay, error).map(|()| 0)),
        }
    }

    /// The client has gone. `Err`: and with it the reason to go on.
    fn lose_client(&self, relay: &mut Relay<'_, '_>, error: Error) -> Result<(), Error> {
        let is_minded = !self.request.scope.proxy.ignore_client_abort;
        if is_minded || !matches!(relay.source, Source::Upstream(..)) {
            return Err(error);
        }
        relay.backlog = None;
        relay.lost = Some(error);
        Ok(())
    }

    /// Passes on the oldest of what waits. False: nothing does.
    fn pass_held(
        &mut self,
        relay: &mut Relay<'_, '_>,
        taken: Result<usize, Error>,
    ) -> Result<bool, Error> {
        let taken = taken?;
        let Some(backlog) = relay.backlog.as_mut().filter(|backlog| !backlog.is_empty()) else {
            return Ok(false);
        };
        let piece = backlog.take(taken.max(1)).inspect_err(|error| {
            let message = format_args!("a temporary file cannot be read: {error}");
            self.complain(Level::Crit, Some("sending to client"), message);
        })?;
        match piece {
            Some(piece) => {
                self.pass_piece(piece)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn pass_piece(&mut self, piece: bytes::Bytes) -> Result<(), Error> {
        self.request.sent.content += piece.len() as u64;
        self.exchange.send_piece(piece)
    }

    /// The answer has come whole: its connection is given back, whatever the client has read of it.
    fn end_source(&mut self, relay: &mut Relay<'_, '_>) {
        let Source::Upstream(mut from, seat) = mem::replace(&mut relay.source, Source::Whole)
        else {
            return;
        };
        self.patience.clear();
        self.note_exchange(&from, relay.received);
        let is_kept = self.request.plan.is_some_and(|plan| plan.records_fields);
        if let Some(head) = self.request.answer.take_if(|_| !is_kept) {
            from.reclaim(head);
        }
        self.request.trailers = from.take_trailers();
        if seat.has_left() {
            from.close(CloseReason::DnsChanged);
        } else {
            from.end();
        }
        drop(seat);
    }

    /// The upstream sends no more, and that was not all: what has come is still passed on.
    fn cut_source(&mut self, relay: &mut Relay<'_, '_>, error: Error) {
        if let Source::Upstream(from, seat) = mem::replace(&mut relay.source, Source::Whole) {
            self.patience.clear();
            self.leave((from, seat), relay.received, &error);
        }
        relay.source = Source::Cut(error);
    }

    /// The rest of an answer is not waited for: its connection ends, and its seat is free.
    fn leave(&mut self, (from, seat): (client::Exchange, Seat<'_>), received: u64, error: &Error) {
        self.note_exchange(&from, received);
        self.complain_of_content(error);
        from.close(CloseReason::Cancelled);
        drop(seat);
    }

    fn report(&self, kept: &Kept) {
        let doing = Some("reading upstream");
        match kept {
            Kept::Room => {}
            Kept::NewFile => {
                let message = format_args!("an upstream response is buffered to a temporary file");
                self.complain(Level::Warn, doing, message);
            }
            Kept::Unwritten(error) => {
                let path = self.request.scope.proxy.temp_path.display();
                let message =
                    format_args!("a temporary file in \"{path}\" cannot be written: {error}");
                self.complain(Level::Crit, doing, message);
            }
        }
    }

    /// Notes what an exchange has cost, for the logs. `content`: what has come of its answer's.
    pub(super) fn note_exchange(&mut self, exchange: &client::Exchange, content: u64) {
        let info = exchange.connection();
        let took = self.request.began.elapsed();
        if let Some(attempt) = self.request.attempts.last() {
            attempt.received = info.bytes_read;
            attempt.sent = info.bytes_written;
            attempt.content = content;
            attempt.took = Some(took);
        }
    }
}
