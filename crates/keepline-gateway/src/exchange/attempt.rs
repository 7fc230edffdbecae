//! One attempt on one server: a connection, the request on it, and the head of the answer.
//!
//! All that is awaited is awaited together with the client, and with one timer that each step of
//! progress moves.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use keepline::client::{self, Freshness, Head};
use keepline::proto::{RemoteError, ResponseHead};
use keepline::{CloseReason, Error, ErrorKind};
use tokio::time::Instant;

use super::aim::Aim;
use super::upload::{Stopped, Upload};
use super::{Serving, says_length_twice};
use crate::config::Cause;
use crate::upstream::{Seat, is_idempotent};

/// An answer, and the connection that its content comes on.
pub(super) struct Answered {
    pub(super) exchange: client::Exchange,
    pub(super) head: ResponseHead,
    /// The upstream speaks another protocol from here on.
    pub(super) is_switched: bool,
}

/// What is read of content that nobody wants, so that its connection can be used again. More is not
/// worth it: a new connection costs less.
pub(super) const MOST_DRAINED: usize = 64 * 1024;

impl Answered {
    /// Nobody wants the content. The connection is kept if all of it is here, and no more than `most`: the
    /// next attempt does not wait for it.
    pub(super) fn end_unread(mut self, most: usize) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut drained = 0;
        while drained <= most {
            match self.exchange.poll_piece(&mut cx) {
                Poll::Ready(Ok(Some(piece))) => drained += piece.len(),
                Poll::Ready(Ok(None)) => return self.exchange.end(),
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        self.exchange.close(CloseReason::NotDrained);
    }
}

/// How an attempt ended that no answer came of.
pub(super) enum Failure {
    /// The server's, or the connection's.
    Upstream {
        cause: Cause,
        /// The connection had carried an exchange before.
        was_pooled: bool,
        /// Something of the request was written, or tried to be.
        was_sent: bool,
        error: Option<Error>,
    },
    /// The client went away.
    ClientGone,
    /// The request, as it would have to be asked, is no valid one: nothing was sent, and the server
    /// has no part in it.
    Unsendable(Error),
    /// The local address that `proxy_bind` says is none of this machine: no server has a part in it.
    Unbindable(Error),
    /// The client has not sent what it announced.
    ContentLost(Error),
    /// The content that was held in a file cannot be read from it.
    Unreadable(io::Error),
}

impl Failure {
    /// An answer with a status that counts as one.
    pub(super) const fn status(cause: Cause) -> Self {
        Self::Upstream {
            cause,
            was_pooled: false,
            was_sent: true,
            error: None,
        }
    }

    fn not_connected(error: Error) -> Self {
        Self::Upstream {
            cause: cause_of(&error),
            was_pooled: false,
            was_sent: false,
            error: Some(error),
        }
    }

    fn on(exchange: &client::Exchange, error: Error) -> Self {
        Self::Upstream {
            cause: cause_of(&error),
            was_pooled: exchange.connection().reused,
            was_sent: true,
            error: Some(error),
        }
    }

    /// Why the connection is closed that it happened on.
    const fn close_reason(&self) -> CloseReason {
        match self {
            Self::ClientGone | Self::ContentLost(_) => CloseReason::Cancelled,
            Self::Unsendable(_) | Self::Unbindable(_) | Self::Unreadable(_) => {
                CloseReason::RequestUnsent
            }
            Self::Upstream { cause, .. } => match cause {
                Cause::Timeout => CloseReason::Timeout,
                Cause::InvalidHeader => CloseReason::ProtocolError,
                _ => CloseReason::PeerClosed,
            },
        }
    }
}

/// What an error is to `proxy_next_upstream`.
fn cause_of(error: &Error) -> Cause {
    match error.kind() {
        ErrorKind::Timeout(_) => Cause::Timeout,
        ErrorKind::Protocol(error) if !error.is_incomplete() => Cause::InvalidHeader,
        // What was to be sent cannot be.
        ErrorKind::Misuse(_) => Cause::InvalidHeader,
        _ => Cause::Error,
    }
}

impl<'l> Serving<'_, '_, 'l> {
    /// One attempt on one server, where a seat has just been taken, up to the head of its answer.
    pub(super) async fn attempt(
        &mut self,
        aim: &Aim<'l>,
        seat: &Seat<'_>,
        upload: &mut Upload<'_>,
    ) -> Result<Answered, Failure> {
        let began = seat.since;
        let mut exchange = self.connect(aim, seat.index, began).await?;
        let info = exchange.connection();
        if let Some(attempt) = self.request.attempts.last() {
            let opened = (!info.reused).then_some(info.open_reason);
            attempt.connection = Some((info.id, opened));
            attempt.connected = Some(match opened {
                None => Duration::ZERO,
                Some(_) => began.elapsed(),
            });
        }
        self.patience.clear();
        let sent = self.send_request_head(&mut exchange, aim, upload.length());
        let outcome = match sent {
            Ok(()) => poll_fn(|cx| self.poll_answer(&mut exchange, upload, cx)).await,
            Err(error) => Err(Failure::Unsendable(error)),
        };
        let outcome = outcome.and_then(|answer| match says_length_twice(answer.0.fields()) {
            true => Err(Failure::status(Cause::InvalidHeader)),
            false => Ok(answer),
        });
        match outcome {
            Ok((head, is_switched)) => {
                if let Some(attempt) = self.request.attempts.last() {
                    attempt.status = head.status().as_u16();
                    attempt.answered = Some(began.elapsed());
                }
                Ok(Answered {
                    exchange,
                    head,
                    is_switched,
                })
            }
            Err(failure) => {
                self.note_exchange(&exchange, 0);
                exchange.close(failure.close_reason());
                Err(failure)
            }
        }
    }

    /// The client has asked for another protocol in this exchange.
    fn may_switch(&self) -> bool {
        let facts = self.exchange.head().fields().facts();
        facts.upgrade && facts.connection.upgrade()
    }

    /// A connection to a server, within `proxy_connect_timeout`.
    async fn connect(
        &mut self,
        aim: &Aim<'l>,
        index: usize,
        began: Instant,
    ) -> Result<client::Exchange, Failure> {
        let target = self.target(aim, index).map_err(Failure::not_connected)?;
        let freshness = if is_idempotent(self.method()) {
            Freshness::Any
        } else {
            Freshness::Checked
        };
        let limit = self.request.scope.proxy.connect_timeout;
        let minds_abort = !self.request.scope.proxy.ignore_client_abort;
        let is_bound = self.request.scope.proxy.bind.is_some();
        let mut connecting = std::pin::pin!(aim.group.transport.exchange_with(&target, freshness));
        self.patience.clear();
        poll_fn(|cx| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(connected.map_err(|error| {
                    if is_bound && is_not_available(&error) {
                        return Failure::Unbindable(error);
                    }
                    Failure::not_connected(error)
                }));
            }
            if minds_abort && self.exchange.poll_watch(cx).is_ready() {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            if self.patience.at().is_none() {
                self.patience.set_at(began.checked_add(limit));
            }
            let expired = self.patience.poll(cx);
            expired.map(|()| Err(timed_out(false, false)))
        })
        .await
    }

    /// Sends the request and waits for the head of the answer, together with the client.
    fn poll_answer(
        &mut self,
        exchange: &mut client::Exchange,
        upload: &mut Upload<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(ResponseHead, bool), Failure>> {
        let sent_before = (upload.steps(), exchange.bytes_written());
        let uploaded = upload.poll(self.exchange, exchange, cx);
        if let Poll::Ready(Err(stopped)) = uploaded {
            return Poll::Ready(Err(match stopped {
                Stopped::Client(error) => Failure::ContentLost(error),
                Stopped::Upstream(error) => Failure::on(exchange, error),
                Stopped::Held(error) => Failure::Unreadable(error),
            }));
        }
        loop {
            match exchange.poll_head(cx) {
                Poll::Ready(Ok(Head::Interim(head))) => {
                    if self.hint(&head).is_err() {
                        return Poll::Ready(Err(Failure::ClientGone));
                    }
                }
                Poll::Ready(Ok(Head::Final(head) | Head::Switched(head)))
                    if head.wire_len() > self.request.scope.proxy.buffer_size =>
                {
                    let error = Error::from(RemoteError::HeadTooLarge);
                    return Poll::Ready(Err(Failure::on(exchange, error)));
                }
                Poll::Ready(Ok(Head::Final(head))) => return Poll::Ready(Ok((head, false))),
                Poll::Ready(Ok(Head::Switched(head))) if self.may_switch() => {
                    return Poll::Ready(Ok((head, true)));
                }
                Poll::Ready(Ok(_)) => {
                    return Poll::Ready(Err(Failure::status(Cause::InvalidHeader)));
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Failure::on(exchange, error)));
                }
                Poll::Pending => break,
            }
        }
        let proxy = &self.request.scope.proxy;
        if !proxy.ignore_client_abort && self.exchange.poll_watch(cx).is_ready() {
            return Poll::Ready(Err(Failure::ClientGone));
        }
        if upload.awaits_client() {
            self.patience.clear();
            return Poll::Pending;
        }
        // Each write that takes something of the request is progress, and so is its end.
        let sent_now = (upload.steps(), exchange.bytes_written());
        if self.patience.at().is_none() || sent_now != sent_before {
            self.patience.set(Some(if uploaded.is_ready() {
                proxy.read_timeout
            } else {
                proxy.send_timeout
            }));
        }
        let expired = self.patience.poll(cx);
        expired.map(|()| Err(timed_out(exchange.connection().reused, true)))
    }
}

/// The local address is not there.
fn is_not_available(error: &Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::AddrNotAvailable)
}

const fn timed_out(was_pooled: bool, was_sent: bool) -> Failure {
    Failure::Upstream {
        cause: Cause::Timeout,
        was_pooled,
        was_sent,
        error: None,
    }
}
