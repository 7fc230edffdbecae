//! The content of an answer on its way from a line to its reader.
//!
//! The line reads from the connection, which others wait for too; the reader takes when it likes.
//! Invariant: at most [`FULL`] bytes and one piece wait for the reader; then the line stops
//! reading. A reader that goes away says so, and a line that goes away ends the body with an error.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use keepline_proto::Fields;

use crate::error::Error;

/// The line stops reading while so many bytes wait for the reader.
const FULL: usize = 64 * 1024;

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Bytes>,
    /// Bytes of the pieces.
    waiting: usize,
    end: Option<Result<Option<Fields>, Error>>,
    reader: Option<Waker>,
    line: Option<Waker>,
    is_reader_gone: bool,
}

/// The line's end.
#[derive(Debug)]
pub(super) struct Source {
    state: Arc<Mutex<State>>,
    is_ended: bool,
}

/// The reader's end: the body of the response.
#[derive(Debug)]
pub(super) struct FlowBody {
    state: Arc<Mutex<State>>,
    /// Content that the reader has not taken yet, if its length is known.
    remaining: Option<u64>,
    is_over: bool,
}

/// What the reader of an answer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// It takes what comes.
    Reads,
    /// It has not taken what there is.
    Full,
    /// It has dropped the body.
    Gone,
}

/// Both ends. `remaining`: the length of the content, if it is known.
pub(super) fn flow(remaining: Option<u64>) -> (Source, FlowBody) {
    let state = Arc::<Mutex<State>>::default();
    let source = Source {
        state: Arc::clone(&state),
        is_ended: false,
    };
    let body = FlowBody {
        state,
        remaining,
        is_over: false,
    };
    (source, body)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source {
    /// Asks what the reader is doing. `waker` is told when it has room again, or has gone.
    pub(super) fn reader(&self, waker: &Waker) -> Reader {
        let mut state = lock(&self.state);
        if !state.line.as_ref().is_some_and(|x| x.will_wake(waker)) {
            state.line = Some(waker.clone());
        }
        if state.is_reader_gone {
            Reader::Gone
        } else if state.waiting >= FULL {
            Reader::Full
        } else {
            Reader::Reads
        }
    }

    /// Hands a piece over.
    pub(super) fn push(&self, piece: Bytes) {
        let mut state = lock(&self.state);
        if state.is_reader_gone {
            return;
        }
        state.waiting += piece.len();
        state.pieces.push_back(piece);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Ends the body.
    pub(super) fn end(mut self, end: Result<Option<Fields>, Error>) {
        self.say_end(end);
    }

    fn say_end(&mut self, end: Result<Option<Fields>, Error>) {
        self.is_ended = true;
        let mut state = lock(&self.state);
        state.end = Some(end);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if !self.is_ended {
            // The line was dropped, with its runtime.
            self.say_end(Err(Error::new(crate::ErrorKind::Io)));
        }
    }
}

impl http_body::Body for FlowBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let mut state = lock(&self.state);
        if let Some(piece) = state.pieces.pop_front() {
            let was_full = state.waiting >= FULL;
            state.waiting -= piece.len();
            let has_room = was_full && state.waiting < FULL;
            let line = if has_room { state.line.take() } else { None };
            drop(state);
            if let Some(line) = line {
                line.wake();
            }
            self.remaining = self
                .remaining
                .map(|left| left.saturating_sub(piece.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Some(end) = state.end.take() else {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        drop(state);
        self.is_over = true;
        Poll::Ready(match end {
            Ok(None) => None,
            Ok(Some(trailers)) => Some(
                trailers
                    .to_header_map()
                    .map(Frame::trailers)
                    .map_err(Error::from),
            ),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.state);
        self.is_over || (state.pieces.is_empty() && matches!(state.end, Some(Ok(None))))
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for FlowBody {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.is_reader_gone = true;
        let pieces = std::mem::take(&mut state.pieces);
        let line = state.line.take();
        drop(state);
        drop(pieces);
        if let Some(line) = line {
            line.wake();
        }
    }
}
