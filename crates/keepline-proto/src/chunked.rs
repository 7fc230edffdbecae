//! The chunked transfer coding (RFC 9112 §7.1), receiving side.
//!
//! Invariant: framing bytes are consumed as they arrive, so that nothing but a trailer section is
//! ever held back; CRLF is strict; what the framing may cost is bounded. Extensions are skipped,
//! never interpreted.

use bytes::{Buf, Bytes, BytesMut};

use crate::field::is_field_byte;
use crate::head::Fields;
use crate::scan::{Scan, Section};
use crate::{Limits, RemoteError, parse};

/// What came out of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// Content.
    Data(Bytes),
    /// The last chunk and the trailer section.
    End(Option<Fields>),
    /// More bytes are needed.
    NeedMore,
}

/// Decodes one chunked body.
#[derive(Debug, Clone)]
pub(crate) struct ChunkedReader {
    state: ChunkState,
    /// Bytes of the current chunk-size line.
    line: usize,
    /// Bytes of framing, net of the allowance for each chunk; never below 0.
    overhead: u64,
}

#[derive(Debug, Clone, Copy)]
enum ChunkState {
    /// In the digits of a chunk size.
    Size { value: u64, digits: u8 },
    /// Whitespace after the size: only an extension may follow.
    BeforeExtension { value: u64 },
    /// In the extensions.
    Extension { value: u64 },
    /// Behind the CR of a chunk-size line.
    SizeLf { value: u64 },
    /// In the data.
    Data { left: u64 },
    /// Behind the data.
    DataCr,
    /// Behind the CR after the data.
    DataLf,
    /// In the trailer section.
    Trailers(Scan),
}

const NEW_CHUNK: ChunkState = ChunkState::Size {
    value: 0,
    digits: 0,
};

impl ChunkedReader {
    pub(crate) const fn new() -> Self {
        Self {
            state: NEW_CHUNK,
            line: 0,
            overhead: 0,
        }
    }

    /// Takes what it can from the start of `buffer`.
    pub(crate) fn decode(
        &mut self,
        buffer: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Decoded, RemoteError> {
        loop {
            match &mut self.state {
                ChunkState::Data { left } => {
                    if buffer.is_empty() {
                        return Ok(Decoded::NeedMore);
                    }
                    let data = take(buffer, *left);
                    *left = left.saturating_sub(data.len() as u64);
                    if *left == 0 {
                        self.state = ChunkState::DataCr;
                    }
                    return Ok(Decoded::Data(data));
                }
                ChunkState::Trailers(scan) => {
                    let Some(found) = scan.advance(buffer, &trailer_section(limits))? else {
                        return Ok(Decoded::NeedMore);
                    };
                    if found.folded {
                        return Err(RemoteError::ObsoleteFold);
                    }
                    let block = buffer.split_to(found.end).freeze();
                    let trailers = match block.len() {
                        2 => None,
                        _ => Some(parse::trailers(block, limits)?),
                    };
                    return Ok(Decoded::End(trailers));
                }
                ChunkState::Size { .. }
                | ChunkState::BeforeExtension { .. }
                | ChunkState::Extension { .. }
                | ChunkState::SizeLf { .. }
                | ChunkState::DataCr
                | ChunkState::DataLf => {
                    let Some(&byte) = buffer.first() else {
                        return Ok(Decoded::NeedMore);
                    };
                    buffer.advance(1);
                    self.frame(byte, limits)?;
                }
            }
        }
    }

    /// One byte of framing.
    fn frame(&mut self, byte: u8, limits: &Limits) -> Result<(), RemoteError> {
        self.line = self.line.saturating_add(1);
        if self.line > limits.chunk_line {
            return Err(RemoteError::ChunkLineTooLong);
        }
        self.state = match (self.state, byte) {
            (ChunkState::Size { value, digits }, _) if hex(byte).is_some() => {
                let digit = hex(byte).unwrap_or(0);
                let value = value.checked_mul(16).and_then(|x| x.checked_add(digit));
                // Sixteen digits hold 64 bits; more would only be zeros, and zeros without end
                // are an attack.
                match (value, digits < 16) {
                    (Some(value), true) => ChunkState::Size {
                        value,
                        digits: digits.saturating_add(1),
                    },
                    _ => return Err(RemoteError::ChunkSizeOverflow),
                }
            }
            (ChunkState::Size { digits: 0, .. }, _) => return Err(RemoteError::InvalidChunkSize),
            (
                ChunkState::Size { value, .. } | ChunkState::BeforeExtension { value },
                b' ' | b'\t',
            ) => ChunkState::BeforeExtension { value },
            (ChunkState::Size { value, .. } | ChunkState::BeforeExtension { value }, b';') => {
                ChunkState::Extension { value }
            }
            (ChunkState::Size { value, .. } | ChunkState::Extension { value }, b'\r') => {
                ChunkState::SizeLf { value }
            }
            (ChunkState::Extension { value }, _) if is_field_byte(byte) => {
                ChunkState::Extension { value }
            }
            (ChunkState::SizeLf { value }, b'\n') => return self.size_line_ended(value, limits),
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => {
                self.line = 0;
                NEW_CHUNK
            }
            (ChunkState::DataCr | ChunkState::DataLf, _) => {
                return Err(RemoteError::InvalidChunkEnd);
            }
            (_, b'\n') => return Err(RemoteError::InvalidBareLf),
            _ => return Err(RemoteError::InvalidChunkSize),
        };
        Ok(())
    }

    fn size_line_ended(&mut self, value: u64, limits: &Limits) -> Result<(), RemoteError> {
        // Go's accounting: each chunk may cost 16 bytes and as much again as twice its data.
        let allowance = value.saturating_mul(2).saturating_add(16);
        let cost = (self.line as u64).saturating_add(2);
        self.overhead = self.overhead.saturating_add(cost).saturating_sub(allowance);
        if self.overhead > limits.chunk_overhead as u64 {
            return Err(RemoteError::ChunkOverheadTooLarge);
        }
        self.line = 0;
        self.state = match value {
            0 => ChunkState::Trailers(Scan::default()),
            left => ChunkState::Data { left },
        };
        Ok(())
    }

    /// Whether `buffered` bytes include some that have not been looked at.
    pub(crate) const fn has_unseen(&self, buffered: usize) -> bool {
        match &self.state {
            ChunkState::Trailers(scan) => scan.has_unseen(buffered),
            ChunkState::Size { .. }
            | ChunkState::BeforeExtension { .. }
            | ChunkState::Extension { .. }
            | ChunkState::SizeLf { .. }
            | ChunkState::Data { .. }
            | ChunkState::DataCr
            | ChunkState::DataLf => buffered > 0,
        }
    }

    /// Bytes of content that are certain to be still missing.
    pub(crate) const fn data_left(&self) -> Option<u64> {
        match self.state {
            ChunkState::Data { left } => Some(left),
            ChunkState::Size { .. }
            | ChunkState::BeforeExtension { .. }
            | ChunkState::Extension { .. }
            | ChunkState::SizeLf { .. }
            | ChunkState::DataCr
            | ChunkState::DataLf
            | ChunkState::Trailers(_) => None,
        }
    }
}

const fn trailer_section(limits: &Limits) -> Section {
    Section {
        limit: limits.trailers,
        line_limit: usize::MAX,
        too_large: RemoteError::TrailersTooLarge,
        first_line_too_long: RemoteError::TrailersTooLarge,
        bare_lf: false,
        start_line: false,
        empty_lines: 0,
    }
}

/// At most `left` bytes from the start of `buffer`.
pub(crate) fn take(buffer: &mut BytesMut, left: u64) -> Bytes {
    let length = usize::try_from(left)
        .unwrap_or(usize::MAX)
        .min(buffer.len());
    buffer.split_to(length).freeze()
}

const fn hex(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0') as u64),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a' - 10) as u64),
        b'A'..=b'F' => Some(byte.wrapping_sub(b'A' - 10) as u64),
        _ => None,
    }
}
