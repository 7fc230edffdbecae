//! Moves the content of a request from where it is to the upstream.

use std::task::{Context, Poll, ready};

use keepline::client;
use keepline::proto::BodyLength;
use keepline::server;
use keepline::{CloseReason, Error};

use super::content::Content;

/// Content that is being sent.
#[derive(Debug)]
pub(super) struct Upload<'u> {
    content: &'u Content,
    stage: Stage,
    /// Content of the client that has been passed on and is not held.
    pub(super) passed_on: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Pieces,
    Ended,
}

/// Why sending stopped.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The client's content failed: it has gone, stalled, or broke its framing.
    Client(Error),
    /// It cannot be sent as it was announced.
    Upstream(Error),
}

impl<'u> Upload<'u> {
    pub(super) const fn new(content: &'u Content) -> Self {
        Self {
            content,
            stage: Stage::Pieces,
            passed_on: 0,
        }
    }

    /// What the upstream is told of its length.
    pub(super) const fn length(&self) -> BodyLength {
        self.content.length()
    }

    /// It is not held: what was sent cannot be sent again.
    pub(super) const fn is_streamed(&self) -> bool {
        matches!(self.content, Content::Streamed(_))
    }

    /// Sends what can be sent. Ready when all of the request is written, or never will be.
    pub(super) fn poll(
        &mut self,
        from: &mut server::Exchange<'_>,
        to: &mut client::Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Stopped>> {
        while self.stage == Stage::Pieces {
            ready!(to.poll_ready(cx));
            let piece = match self.content {
                Content::None => None,
                Content::Held(bytes) => {
                    let is_first = std::mem::take(&mut self.passed_on) == 0;
                    self.passed_on = 1;
                    (is_first && !bytes.is_empty()).then(|| bytes.clone())
                }
                Content::Streamed(_) => match from.poll_piece(cx) {
                    Poll::Ready(piece) => piece.map_err(Stopped::Client)?,
                    Poll::Pending => {
                        // What has come so far goes out; the rest may take its time.
                        let _ = to.poll_flush(cx);
                        return Poll::Pending;
                    }
                },
            };
            match piece {
                Some(piece) => to.send_piece(piece).map_err(Stopped::Upstream)?,
                None => {
                    to.send_end(None).map_err(Stopped::Upstream)?;
                    self.stage = Stage::Ended;
                }
            }
        }
        ready!(to.poll_flush(cx));
        Poll::Ready(Ok(()))
    }
}

/// Why an upstream connection is closed whose exchange was given up for this.
pub(super) const fn close_reason(stopped: &Stopped) -> CloseReason {
    match stopped {
        Stopped::Client(_) => CloseReason::Cancelled,
        Stopped::Upstream(_) => CloseReason::RequestUnsent,
    }
}
