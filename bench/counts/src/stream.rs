//! The other side of a connection, in memory: what is asked of it is there at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Answers each request head with the same bytes.
pub(crate) struct Answering {
    answer: &'static [u8],
    waiting: &'static [u8],
}

impl Answering {
    pub(crate) fn new(answer: &'static [u8]) -> Self {
        Self {
            answer,
            waiting: &[],
        }
    }
}

impl AsyncRead for Answering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.waiting.is_empty() {
            // Nothing will come before the next request, so nobody need be woken.
            return Poll::Pending;
        }
        self.waiting = put(self.waiting, buffer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Answering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.ends_with(END_OF_HEAD) {
            self.waiting = self.answer;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Asks the same again and again, a batch at a time, and closes after the last answer.
pub(crate) struct Asking {
    /// One batch.
    question: Vec<u8>,
    batch: usize,
    /// Of the batch that is being sent, what is not sent yet.
    unsent: usize,
    batches_left: usize,
    unanswered: usize,
    answered: Arc<AtomicUsize>,
}

impl Asking {
    pub(crate) fn new(request: &[u8], batch: usize, batches: usize) -> Self {
        Self {
            question: request.repeat(batch),
            batch,
            unsent: 0,
            batches_left: batches,
            unanswered: 0,
            answered: Arc::default(),
        }
    }

    pub(crate) fn wanted(&self) -> usize {
        self.batch * self.batches_left
    }

    /// Counts the answers, also when the stream itself has gone.
    pub(crate) fn answered(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.answered)
    }
}

impl AsyncRead for Asking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unsent == 0 {
            if self.unanswered > 0 {
                // The answers are on their way: look again in the next turn.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.batches_left == 0 {
                return Poll::Ready(Ok(()));
            }
            self.batches_left -= 1;
            self.unsent = self.question.len();
            self.unanswered = self.batch;
        }
        let rest = self.question.len() - self.unsent;
        self.unsent = put(&self.question[rest..], buffer).len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Asking {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Each answer has one head, and its content has no empty line.
        let answers = bytes
            .windows(END_OF_HEAD.len())
            .filter(|window| *window == END_OF_HEAD)
            .count();
        self.unanswered = self.unanswered.saturating_sub(answers);
        self.answered.fetch_add(answers, Ordering::Relaxed);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Copies what there is room for; what is left.
fn put<'a>(bytes: &'a [u8], buffer: &mut ReadBuf<'_>) -> &'a [u8] {
    let (now, later) = bytes.split_at(bytes.len().min(buffer.remaining()));
    buffer.put_slice(now);
    later
}
