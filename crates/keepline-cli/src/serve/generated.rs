//! Bodies that are made while they are sent: whatever their size, only a piece is in memory.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use keepline::Body;

/// A piece is at most so large: enough that its cost is that of copying, little enough to keep a
/// thousand of them in memory.
const PIECE: u64 = 64 * 1024;

/// Length of a line of [`lines`], its end included.
pub(crate) const LINE: u64 = 32;

/// Whether the length of a body is told in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// By Content-Length.
    Told,
    /// Not: it is sent in chunks.
    Untold,
}

/// One piece for all bodies of all connections.
static FILL: [u8; PIECE as usize] = [b'.'; PIECE as usize];

/// `length` bytes, if that is one piece.
pub(crate) fn one_piece(length: usize) -> Option<Bytes> {
    FILL.get(..length).map(Bytes::from_static)
}

/// `length` bytes.
pub(crate) fn bytes(length: u64, told: Length) -> Body {
    Body::new(Generated {
        position: 0,
        length,
        told,
        piece: |_, length| one_piece(length).unwrap_or_else(|| Bytes::from_static(&FILL)),
    })
}

/// `count` numbered lines; `None` if that is more bytes than can be counted.
pub(crate) fn lines(count: u64) -> Option<Body> {
    Some(Body::new(Generated {
        position: 0,
        length: count.checked_mul(LINE)?,
        told: Length::Told,
        piece: numbered_lines,
    }))
}

/// The lines from this position on; both numbers are multiples of a line.
fn numbered_lines(position: u64, length: usize) -> Bytes {
    let mut piece = BytesMut::with_capacity(length);
    let mut number = position / LINE;
    while piece.len() < length {
        number += 1;
        piece.put_slice(format!("line {number:017} keepline\n").as_bytes());
    }
    piece.freeze()
}

struct Generated {
    position: u64,
    length: u64,
    told: Length,
    /// Makes the content from a position on, of a length.
    piece: fn(u64, usize) -> Bytes,
}

impl HttpBody for Generated {
    type Data = Bytes;
    type Error = keepline::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, keepline::Error>>> {
        let left = self.length - self.position;
        if left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(left.min(PIECE)).expect("a piece fits in memory");
        let piece = (self.piece)(self.position, length);
        self.position += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.position == self.length
    }

    fn size_hint(&self) -> SizeHint {
        match self.told {
            Length::Told => SizeHint::with_exact(self.length - self.position),
            Length::Untold => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn content(body: Body) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn bytes_are_as_many_as_wanted() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let body = bytes(length, Length::Told);
            assert_eq!(body.size_hint().exact(), Some(length));
            assert_eq!(content(body).await.len() as u64, length);
        }
    }

    #[tokio::test]
    async fn an_untold_length_is_not_told() {
        let body = bytes(10, Length::Untold);
        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(content(body).await.len(), 10);
    }

    #[tokio::test]
    async fn lines_are_numbered_and_32_bytes_long() {
        let count = PIECE / LINE + 3;
        let content = content(lines(count).unwrap()).await;
        assert_eq!(content.len() as u64, count * LINE);
        let text = std::str::from_utf8(&content).unwrap();
        for (place, line) in text.lines().enumerate() {
            assert_eq!(line, format!("line {:017} keepline", place + 1));
        }
    }

    #[test]
    fn more_lines_than_can_be_counted_are_refused() {
        assert!(lines(u64::MAX / 2).is_none());
        assert_eq!(
            lines(u64::MAX / LINE).unwrap().size_hint().exact(),
            Some(u64::MAX / LINE * LINE)
        );
    }
}
