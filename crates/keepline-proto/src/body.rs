//! Bodies on the wire, both directions.
//!
//! Invariant: exactly as many bytes as the framing says. What arrives too early or is missing is
//! the peer's fault; what is written too much or too little is ours, also in release builds.

use bytes::BytesMut;

use crate::chunked::{ChunkedReader, Decoded, take};
use crate::{Framing, Limits, LocalError, RemoteError};

/// What a sender knows of its body before it sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// Exactly this many bytes; 0 is no body.
    Known(u64),
    /// Nothing: chunked, or until the end of the connection where the peer speaks HTTP/1.0.
    Unknown,
    /// It ends where the connection ends: of responses alone, for a client that is not to be sent chunks.
    UntilClose,
}

/// Reads one body.
#[derive(Debug, Clone)]
pub(crate) enum BodyReader {
    Length { left: u64 },
    Chunked(ChunkedReader),
    UntilClose,
}

impl BodyReader {
    pub(crate) const fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Length { left: 0 },
            Framing::Length(left) => Self::Length { left },
            Framing::Chunked => Self::Chunked(ChunkedReader::new()),
            Framing::CloseDelimited => Self::UntilClose,
        }
    }

    pub(crate) fn decode(
        &mut self,
        buffer: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Decoded, RemoteError> {
        match self {
            Self::Length { left: 0 } => Ok(Decoded::End(None)),
            Self::Chunked(reader) => reader.decode(buffer, limits),
            Self::Length { .. } | Self::UntilClose if buffer.is_empty() => Ok(Decoded::NeedMore),
            Self::Length { left } => {
                let data = take(buffer, *left);
                *left = left.saturating_sub(data.len() as u64);
                Ok(Decoded::Data(data))
            }
            Self::UntilClose => Ok(Decoded::Data(buffer.split().freeze())),
        }
    }

    /// The peer closed.
    pub(crate) const fn finish(&self) -> Result<(), RemoteError> {
        match self {
            Self::UntilClose | Self::Length { left: 0 } => Ok(()),
            Self::Length { left } => Err(RemoteError::IncompleteBody {
                missing: Some(*left),
            }),
            Self::Chunked(reader) => Err(RemoteError::IncompleteBody {
                missing: reader.data_left(),
            }),
        }
    }

    /// Whether `buffered` bytes include some that [`decode`](Self::decode) would take.
    pub(crate) const fn has_unseen(&self, buffered: usize) -> bool {
        match self {
            Self::Length { left: 0 } => false,
            Self::Length { .. } | Self::UntilClose => buffered > 0,
            Self::Chunked(reader) => reader.has_unseen(buffered),
        }
    }

    /// Bytes of content that have not been read yet, if that is known.
    pub(crate) const fn remaining(&self) -> Option<u64> {
        match self {
            Self::Length { left } => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }
}

/// What stands around one piece of content on the wire.
///
/// The driver writes `prefix`, then the piece itself from wherever it lies, then `suffix`; so a
/// large piece is never copied to be framed.
#[derive(Debug, Clone, Copy)]
pub struct DataFrame {
    prefix: [u8; 18],
    start: usize,
    suffix: &'static [u8],
}

impl DataFrame {
    const BARE: Self = Self {
        prefix: [0; 18],
        start: 18,
        suffix: b"",
    };

    fn chunk(length: usize) -> Self {
        let mut frame = Self {
            suffix: b"\r\n",
            ..Self::BARE
        };
        let mut rest = length;
        let mut put = |byte| {
            frame.start = frame.start.saturating_sub(1);
            if let Some(place) = frame.prefix.get_mut(frame.start) {
                *place = byte;
            }
        };
        put(b'\n');
        put(b'\r');
        loop {
            put(b"0123456789abcdef".get(rest & 15).copied().unwrap_or(b'0'));
            rest >>= 4;
            if rest == 0 {
                return frame;
            }
        }
    }

    /// Goes before the piece.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        self.prefix.get(self.start..).unwrap_or_default()
    }

    /// Goes behind the piece.
    #[must_use]
    pub const fn suffix(&self) -> &'static [u8] {
        self.suffix
    }
}

/// Writes one body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BodyWriter {
    Length {
        left: u64,
    },
    Chunked,
    UntilClose,
    /// The message has no body by its nature (HEAD, 204, 304): content is accepted and not sent.
    Suppressed,
}

impl BodyWriter {
    /// Frames a piece. `None`: the piece is not to be sent.
    pub(crate) fn frame(&mut self, length: usize) -> Result<Option<DataFrame>, LocalError> {
        match self {
            // An empty chunk would end the body.
            Self::Chunked if length == 0 => Ok(None),
            Self::Chunked => Ok(Some(DataFrame::chunk(length))),
            Self::UntilClose => Ok(Some(DataFrame::BARE)),
            Self::Suppressed => Ok(None),
            Self::Length { left } => {
                *left = left
                    .checked_sub(length as u64)
                    .ok_or(LocalError::BodyTooLong)?;
                Ok(Some(DataFrame::BARE))
            }
        }
    }

    /// Whether the peer has what it needs to know that the body is complete.
    pub(crate) const fn is_complete(self) -> bool {
        matches!(self, Self::Length { left: 0 } | Self::Suppressed)
    }

    /// Whether the body may end here.
    pub(crate) const fn finish(self) -> Result<(), LocalError> {
        match self {
            Self::Length { left: 0 } | Self::Chunked | Self::UntilClose | Self::Suppressed => {
                Ok(())
            }
            Self::Length { left } => Err(LocalError::BodyTooShort { missing: left }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_prefixes() {
        for (length, prefix) in [
            (1, "1\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (usize::MAX, "ffffffffffffffff\r\n"),
        ] {
            assert_eq!(DataFrame::chunk(length).prefix(), prefix.as_bytes());
        }
    }
}
