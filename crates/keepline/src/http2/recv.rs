//! The content of a stream that arrives.
//!
//! Invariant: the window is opened again only for what the reader has taken, so that nobody can
//! make more wait here than the window of the stream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::session_error;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Phase};

/// What is allowed of the content of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecvLimits {
    /// How long it may make no progress while it is read.
    pub(crate) timeout: Option<Duration>,
    /// The largest content, in bytes.
    pub(crate) max: Option<u64>,
}

/// The content of a stream, as a body.
#[derive(Debug)]
pub(crate) struct RecvBody {
    stream: RecvStream,
    limits: RecvLimits,
    received: u64,
    /// What has been announced and not come, if the length is known.
    remaining: Option<u64>,
    deadline: Deadline,
    part: Part,
}

/// What is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Data,
    Trailers,
    Nothing,
}

impl RecvBody {
    pub(crate) fn new(stream: RecvStream, limits: RecvLimits, length: Option<u64>) -> Self {
        Self {
            stream,
            limits,
            received: 0,
            remaining: length,
            deadline: Deadline::default(),
            part: Part::Data,
        }
    }

    fn took(&mut self, piece: Bytes) -> Result<Frame<Bytes>, Error> {
        self.deadline.clear();
        let length = piece.len() as u64;
        self.received += length;
        self.remaining = self.remaining.map(|rest| rest.saturating_sub(length));
        if self.limits.max.is_some_and(|max| self.received > max) {
            self.part = Part::Nothing;
            return Err(Error::new(ErrorKind::TooLarge));
        }
        // It fails only where the stream is over, and then no window matters.
        let _ = self.stream.flow_control().release_capacity(piece.len());
        Ok(Frame::data(piece))
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.part == Part::Data {
            match self.stream.poll_data(cx) {
                Poll::Ready(Some(Ok(piece))) => return Poll::Ready(Some(self.took(piece))),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(session_error(error))));
                }
                Poll::Ready(None) => self.part = Part::Trailers,
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.part == Part::Trailers {
            return match self.stream.poll_trailers(cx) {
                Poll::Ready(Ok(Some(trailers))) => {
                    self.part = Part::Nothing;
                    Poll::Ready(Some(Ok(Frame::trailers(trailers))))
                }
                Poll::Ready(Ok(None)) => Poll::Ready(None),
                Poll::Ready(Err(error)) => Poll::Ready(Some(Err(session_error(error)))),
                Poll::Pending => Poll::Pending,
            };
        }
        Poll::Ready(None)
    }
}

impl HttpBody for RecvBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = self.poll_part(cx) {
            if !matches!(frame, Some(Ok(_))) {
                self.part = Part::Nothing;
            }
            return Poll::Ready(frame);
        }
        if self.deadline.at().is_none() {
            let timeout = self.limits.timeout;
            self.deadline.set(timeout);
        }
        if self.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.part = Part::Nothing;
        Poll::Ready(Some(Err(Error::timeout(Phase::Body))))
    }

    fn is_end_stream(&self) -> bool {
        self.part == Part::Nothing || (self.part == Part::Data && self.stream.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
