//! Moves the content of a request from where it is to the upstream.

use std::io;
use std::task::{Context, Poll, ready};

use keepline::Error;
use keepline::client;
use keepline::proto::BodyLength;
use keepline::server;

use super::content::Content;

/// What is read of a file at a time.
const FILE_PIECE: usize = 64 * 1024;

/// Content that is being sent.
#[derive(Debug)]
pub(super) struct Upload<'u> {
    content: &'u Content,
    stage: Stage,
    /// Steps of progress so far.
    steps: u64,
    /// What of a file has been sent.
    offset: u64,
    /// All that has come is written; the client is to send more.
    awaits_client: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Pieces follow.
    Pieces,
    /// All is queued.
    Queued,
    /// All is written, or never will be.
    Written,
}

/// Why sending stopped.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The client's content failed: it has gone, stalled, or broke its framing.
    Client(Error),
    /// It cannot be sent as it was announced.
    Upstream(Error),
    /// It cannot be read from the file that it was held in: the server has no part in it.
    Held(io::Error),
}

impl<'u> Upload<'u> {
    pub(super) const fn new(content: &'u Content) -> Self {
        Self {
            content,
            stage: Stage::Pieces,
            steps: 0,
            offset: 0,
            awaits_client: false,
        }
    }

    /// What the upstream is told of its length.
    pub(super) fn length(&self) -> BodyLength {
        self.content.length()
    }

    /// A number that grows with each step of progress.
    pub(super) const fn steps(&self) -> u64 {
        self.steps
    }

    /// Nothing can be sent before the client sends more, which has a limit of time of its own.
    pub(super) const fn awaits_client(&self) -> bool {
        self.awaits_client
    }

    /// Sends what can be sent. Ready when all of the request is written, or never will be.
    pub(super) fn poll(
        &mut self,
        from: &mut server::Exchange<'_>,
        to: &mut client::Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Stopped>> {
        self.awaits_client = false;
        while self.stage == Stage::Pieces {
            ready!(to.poll_ready(cx));
            let piece = match self.content {
                Content::None => None,
                Content::Held(bytes) => {
                    (self.steps == 0 && !bytes.is_empty()).then(|| bytes.clone())
                }
                Content::Filed(file) => {
                    let piece = file.piece(self.offset, FILE_PIECE);
                    let piece = piece.map_err(Stopped::Held)?;
                    self.offset += piece.len() as u64;
                    (!piece.is_empty()).then_some(piece)
                }
                Content::Streamed(_) => match from.poll_piece(cx) {
                    Poll::Ready(piece) => piece.map_err(Stopped::Client)?,
                    Poll::Pending => {
                        // What has come so far goes out; the rest may take its time.
                        self.awaits_client = to.poll_flush(cx).is_ready();
                        return Poll::Pending;
                    }
                },
            };
            self.steps += 1;
            match piece {
                Some(piece) => to.send_piece(piece).map_err(Stopped::Upstream)?,
                None => {
                    to.send_end(None).map_err(Stopped::Upstream)?;
                    self.stage = Stage::Queued;
                }
            }
        }
        if self.stage == Stage::Queued {
            ready!(to.poll_flush(cx));
            self.stage = Stage::Written;
            self.steps += 1;
        }
        Poll::Ready(Ok(()))
    }
}
