//! The content of a stream that is sent.
//!
//! Invariant: a piece is handed to the session only when the peer's window has room for it, and a
//! stream never ends in order with less, or more, than was declared.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};

use super::session_error;
use crate::deadline::Deadline;
use crate::error::{BoxError, Error, ErrorKind, Phase};
use keepline_proto::LocalError;

/// How a stream that was sent on ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendEnd {
    /// All was handed to the session.
    Complete,
    /// The peer reset the stream.
    Reset(Reason),
}

/// Sends all of `body`, and the end of the stream. With `declared` it has to be exactly so long.
/// Without progress for `timeout`, and on any error, the stream is reset. What was handed to the
/// session is added to `sent`, whatever comes of it.
///
/// # Errors
/// The body failed, is not as long as declared, or the session failed.
pub(crate) async fn send_body<B>(
    stream: &mut SendStream<Bytes>,
    body: B,
    declared: Option<u64>,
    timeout: Option<Duration>,
    sent: &mut u64,
) -> Result<SendEnd, Error>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut sending = Sending {
        body: pin!(body),
        piece: Bytes::new(),
        trailers: None,
        is_over: false,
        left: declared,
        deadline: Deadline::default(),
        timeout,
        sent,
    };
    let outcome = poll_fn(|cx| sending.poll(stream, cx)).await;
    if let Err(error) = &outcome {
        stream.send_reset(match error.kind() {
            ErrorKind::Timeout(_) => Reason::CANCEL,
            _ => Reason::INTERNAL_ERROR,
        });
    }
    outcome
}

struct Sending<'b, B> {
    body: Pin<&'b mut B>,
    /// What waits for the window.
    piece: Bytes,
    trailers: Option<HeaderMap>,
    /// The body has nothing more.
    is_over: bool,
    /// What is missing of the declared length.
    left: Option<u64>,
    deadline: Deadline,
    timeout: Option<Duration>,
    sent: &'b mut u64,
}

impl<B> Sending<'_, B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll(
        &mut self,
        stream: &mut SendStream<Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<SendEnd, Error>> {
        loop {
            if let Poll::Ready(reset) = stream.poll_reset(cx) {
                return Poll::Ready(reset.map(SendEnd::Reset).map_err(session_error));
            }
            if !self.piece.is_empty() {
                if self.poll_piece(stream, cx)?.is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            if self.is_over {
                return Poll::Ready(self.finish(stream).map(|()| SendEnd::Complete));
            }
            match self.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.take(frame)?,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Error::caused(ErrorKind::Body, error)));
                }
                Poll::Ready(None) => self.is_over = true,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Error> {
        match frame.into_data() {
            Ok(piece) => {
                if let Some(left) = &mut self.left {
                    let rest = left.checked_sub(piece.len() as u64);
                    *left = rest.ok_or(LocalError::BodyTooLong)?;
                }
                self.piece = piece;
                self.is_over = self.body.is_end_stream();
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
        Ok(())
    }

    /// Sends what the window has room for.
    fn poll_piece(
        &mut self,
        stream: &mut SendStream<Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        stream.reserve_capacity(self.piece.len());
        let room = match stream.capacity() {
            0 => match stream.poll_capacity(cx) {
                Poll::Ready(Some(room)) => room.map_err(session_error)?,
                Poll::Ready(None) => return Poll::Ready(Err(Error::new(ErrorKind::Http2))),
                Poll::Pending => return self.poll_deadline(cx),
            },
            room => room,
        };
        self.deadline.clear();
        let part = self.piece.split_to(room.min(self.piece.len()));
        *self.sent += part.len() as u64;
        stream.send_data(part, false).map_err(session_error)?;
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.deadline.at().is_none() {
            self.deadline.set(self.timeout);
        }
        self.deadline
            .poll(cx)
            .map(|()| Err(Error::timeout(Phase::Write)))
    }

    fn finish(&mut self, stream: &mut SendStream<Bytes>) -> Result<(), Error> {
        if let Some(missing @ 1..) = self.left {
            return Err(LocalError::BodyTooShort { missing }.into());
        }
        match self.trailers.take() {
            Some(trailers) => stream.send_trailers(trailers),
            None => stream.send_data(Bytes::new(), true),
        }
        .map_err(session_error)
    }
}
