//! The only code that moves bytes between a stream and a protocol connection.
//!
//! Both the client and the server drive their side with it. It reads when an event is asked for,
//! writes when a flush is asked for, counts both, and holds buffers only while they hold bytes.
//! It decides nothing: what a message means is the protocol core's to say, what to do about it
//! the caller's.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use keepline_proto::{Connection, Event, Received, RemoteError};

use crate::buffer;
use crate::error::Error;
use crate::net::Stream;

/// A piece of content up to this size is copied behind what is already to be sent: one write
/// instead of two slices, and cheaper than keeping it alive. Larger ones are written from where
/// they lie.
const COPIED_PIECE: usize = 16 * 1024;
/// No more content is accepted while this much waits to be written.
const OUTPUT_FULL: usize = 32 * 1024;
/// A read asks for at least this much room.
const SMALLEST_READ: usize = 2 * 1024;
/// A read asks for at most this much room, once a body has shown that it fills buffers.
const LARGEST_READ: usize = 64 * 1024;

/// A stream and the protocol connection that is spoken on it.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) stream: Stream,
    pub(crate) proto: Connection,
    input: BytesMut,
    /// Heads, chunk framing and small pieces; `sent` of it is written.
    pub(crate) output: Vec<u8>,
    sent: usize,
    /// A large piece that follows `output`.
    piece: Bytes,
    /// Chunk framing that follows the piece.
    piece_end: &'static [u8],
    /// The peer has closed its direction.
    eof: bool,
    /// What the last write left in the TLS layer.
    unflushed: bool,
    /// How much the next read asks for.
    read_size: usize,
    read: u64,
    written: u64,
}

/// The outcome of [`Driver::poll_event`].
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The peer said this.
    Event(Event),
    /// The peer's message is complete, and so is what may be received now.
    Paused,
    /// The peer closed between messages.
    Closed,
    /// Another protocol is spoken.
    Switched,
}

impl Driver {
    pub(crate) fn new(stream: Stream, proto: Connection) -> Self {
        Self::with_input(stream, proto, BytesMut::new())
    }

    /// With bytes that have been read from the stream already.
    pub(crate) fn with_input(stream: Stream, proto: Connection, input: BytesMut) -> Self {
        Self {
            stream,
            proto,
            read: input.len() as u64,
            input,
            output: Vec::new(),
            sent: 0,
            piece: Bytes::new(),
            piece_end: b"",
            eof: false,
            unflushed: false,
            read_size: buffer::BUFFER_SIZE,
            written: 0,
        }
    }

    /// The next event of what has arrived; never reads.
    pub(crate) fn receive(&mut self) -> Result<Received, RemoteError> {
        self.proto.receive(&mut self.input)
    }

    /// The next event. Reads only when what has arrived before does not give one.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        loop {
            match self.proto.receive(&mut self.input)? {
                Received::Event(event) => return Poll::Ready(Ok(Incoming::Event(event))),
                Received::Paused => return Poll::Ready(Ok(Incoming::Paused)),
                Received::Closed => return Poll::Ready(Ok(Incoming::Closed)),
                Received::Switched => return Poll::Ready(Ok(Incoming::Switched)),
                Received::NeedMore if self.eof => {
                    return Poll::Ready(match self.proto.receive_eof(&self.input)? {
                        Received::Event(event) => Ok(Incoming::Event(event)),
                        Received::Switched => Ok(Incoming::Switched),
                        Received::Closed | Received::Paused | Received::NeedMore => {
                            Ok(Incoming::Closed)
                        }
                    });
                }
                Received::NeedMore => {
                    ready!(self.poll_fill(cx))?;
                }
            }
        }
    }

    /// Reads once. 0 is the end, which is remembered.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        if self.input.capacity() == 0 {
            self.input = buffer::lend_input();
        }
        if self.input.capacity() - self.input.len() < SMALLEST_READ {
            self.input.reserve(self.read_size);
        }
        let room = self.input.capacity() - self.input.len();
        let read = ready!(self.stream.poll_read(cx, &mut self.input))?;
        self.eof = read == 0;
        self.read += read as u64;
        if read == room {
            self.read_size = (self.read_size * 2).min(LARGEST_READ);
        }
        Poll::Ready(Ok(read))
    }

    /// Queues a piece of content, framed.
    ///
    /// # Errors
    /// The content is longer than declared, or none may be sent now.
    pub(crate) fn queue_piece(&mut self, piece: Bytes) -> Result<(), Error> {
        let Some(frame) = self.proto.send_data(piece.len())? else {
            return Ok(());
        };
        self.lend_output();
        self.output.extend_from_slice(frame.prefix());
        if piece.len() <= COPIED_PIECE {
            self.output.extend_from_slice(&piece);
            self.output.extend_from_slice(frame.suffix());
        } else {
            self.piece = piece;
            self.piece_end = frame.suffix();
        }
        Ok(())
    }

    /// Makes sure that there is a buffer to append to, and that what is appended follows all that
    /// is queued. (Who waits for [`wants_content`](Self::wants_content) copies nothing here.)
    pub(crate) fn lend_output(&mut self) {
        if self.output.capacity() == 0 {
            self.output = buffer::lend_output();
        }
        if self.can_append() {
            return;
        }
        self.output
            .extend_from_slice(&std::mem::take(&mut self.piece));
        self.output
            .extend_from_slice(std::mem::take(&mut self.piece_end));
    }

    /// There is room for a further piece of content. While a large piece waits there is none: to
    /// append to `output` would copy it.
    pub(crate) fn wants_content(&self) -> bool {
        self.piece.is_empty() && self.piece_end.is_empty() && self.unsent() < OUTPUT_FULL
    }

    /// A head or the end of a body can be appended to `output` without overtaking a piece.
    pub(crate) fn can_append(&self) -> bool {
        self.piece.is_empty() && self.piece_end.is_empty()
    }

    fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Something waits to be written.
    pub(crate) fn has_output(&self) -> bool {
        self.unsent() > 0 || !self.can_append() || self.unflushed
    }

    /// Writes all that is queued.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent() > 0 || !self.can_append() {
            let head = &self.output[self.sent..];
            let slices = [
                IoSlice::new(head),
                IoSlice::new(&self.piece),
                IoSlice::new(self.piece_end),
            ];
            let used = if self.can_append() {
                &slices[..1]
            } else {
                &slices[..]
            };
            let written = ready!(self.stream.poll_write(cx, used))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written as u64;
            self.unflushed = true;
            self.advance_output(written);
        }
        if self.unflushed {
            ready!(self.stream.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn advance_output(&mut self, mut written: usize) {
        let from_output = written.min(self.unsent());
        self.sent += from_output;
        written -= from_output;
        if self.unsent() == 0 {
            self.output.clear();
            self.sent = 0;
        }
        let from_piece = written.min(self.piece.len());
        bytes::Buf::advance(&mut self.piece, from_piece);
        if self.piece.is_empty() {
            self.piece = Bytes::new();
        }
        written -= from_piece;
        self.piece_end = &self.piece_end[written.min(self.piece_end.len())..];
    }

    /// Gives buffers back that hold nothing.
    pub(crate) fn release_buffers(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            buffer::return_input(std::mem::take(&mut self.input));
        }
        if self.output.is_empty() && self.output.capacity() > 0 {
            buffer::return_output(std::mem::take(&mut self.output));
        }
        self.read_size = buffer::BUFFER_SIZE;
    }

    /// Bytes that have arrived and are not received yet.
    pub(crate) fn buffered(&self) -> usize {
        self.input.len()
    }

    /// The peer has closed its direction, as an error of the stream told.
    pub(crate) const fn note_eof(&mut self) {
        self.eof = true;
    }

    /// Goes on with bytes that have been read from the stream while no buffer was held.
    pub(crate) fn restart(&mut self, input: BytesMut) {
        debug_assert!(self.input.is_empty());
        self.reset_counters();
        self.read = input.len() as u64;
        self.input = input;
    }

    /// Takes out what has arrived and is not received yet.
    pub(crate) fn take_input(&mut self) -> BytesMut {
        std::mem::take(&mut self.input)
    }

    /// Takes the stream out; what is buffered stays behind.
    pub(crate) fn take_stream(&mut self) -> Stream {
        std::mem::replace(&mut self.stream, Stream::gone())
    }

    /// The peer has closed its direction.
    pub(crate) const fn is_eof(&self) -> bool {
        self.eof
    }

    /// Throws away what has arrived; for a connection that will be closed.
    pub(crate) fn discard_input(&mut self) {
        self.input.clear();
    }

    /// Starts counting bytes anew, for the next exchange.
    pub(crate) const fn reset_counters(&mut self) {
        self.read = 0;
        self.written = 0;
    }

    /// Bytes received since the last reset: read, and taken by the protocol connection.
    pub(crate) fn bytes_received(&self) -> u64 {
        self.read - self.input.len() as u64
    }

    /// Bytes queued since the last reset, whether written or not.
    pub(crate) fn bytes_queued(&self) -> u64 {
        self.written + (self.unsent() + self.piece.len() + self.piece_end.len()) as u64
    }

    /// Bytes read since the last reset.
    pub(crate) const fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Bytes written since the last reset.
    pub(crate) const fn bytes_written(&self) -> u64 {
        self.written
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.input.capacity() > 0 {
            self.input.clear();
            buffer::return_input(std::mem::take(&mut self.input));
        }
        buffer::return_output(std::mem::take(&mut self.output));
    }
}
