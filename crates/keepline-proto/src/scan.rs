//! Finds the end of a section of lines (a head, a trailer section) without looking at a byte
//! twice.
//!
//! httparse starts from byte 0 each time it is called; a peer that sends a byte at a time would
//! make that quadratic. This scan remembers where it stopped, and httparse is called once, on a
//! whole section.
//!
//! Invariant: a section ends at the first empty line; each line ends with CRLF, or with a bare LF
//! where the configuration allows it. It does not look into lines, but for folds.

use crate::RemoteError;

/// No section is larger, whatever the limits say: spans are 32 bits wide.
const LARGEST_SECTION: usize = u32::MAX as usize;

/// What the scan needs to know about the section that it looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    /// Longest section, in bytes.
    pub(crate) limit: usize,
    /// Longest line, in bytes.
    pub(crate) line_limit: usize,
    /// The error when it is longer, or a line is.
    pub(crate) too_large: RemoteError,
    /// The error when that happens before its first line has ended.
    pub(crate) first_line_too_long: RemoteError,
    /// A bare LF ends a line.
    pub(crate) bare_lf: bool,
    /// The section begins with a start line; empty lines before it are skipped.
    pub(crate) start_line: bool,
    /// How many empty lines may stand before the start line.
    pub(crate) empty_lines: usize,
}

/// The end of a section, relative to the start of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Bytes of empty lines before the section.
    pub(crate) skip: usize,
    /// Where the section ends, its empty line included.
    pub(crate) end: usize,
    /// A field line is folded.
    pub(crate) folded: bool,
}

/// The state of a scan over a buffer that grows at its end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scan {
    /// Everything before this has been looked at.
    seen: usize,
    /// Where the current line starts.
    line: usize,
    /// Where the section starts, after empty lines.
    start: usize,
    /// Lines of the section that have ended.
    lines: usize,
    /// Empty lines before it.
    empty: usize,
    folded: bool,
}

impl Scan {
    /// Looks at what has arrived since the last call. `None`: the section has not ended.
    ///
    /// # Errors
    /// Those that `section` names, [`RemoteError::InvalidBareLf`],
    /// [`RemoteError::TooManyEmptyLines`] and [`RemoteError::WhitespaceBeforeFields`].
    pub(crate) fn advance(
        &mut self,
        buffer: &[u8],
        section: &Section,
    ) -> Result<Option<Found>, RemoteError> {
        while let Some(offset) = buffer
            .get(self.seen..)
            .and_then(|x| memchr::memchr(b'\n', x))
        {
            let lf = self.seen.saturating_add(offset);
            let next = lf.saturating_add(1);
            // Before the line itself is judged: arriving in pieces, it would have been too long
            // before its end was seen.
            self.check_limit(next, section)?;
            let line = buffer.get(self.line..lf).unwrap_or_default();
            let text = match line {
                [text @ .., b'\r'] => text,
                text if section.bare_lf => text,
                _ => return Err(RemoteError::InvalidBareLf),
            };
            let (is_empty, first) = (text.is_empty(), text.first().copied());
            self.seen = next;
            self.line = next;
            if is_empty {
                if !section.start_line || self.lines > 0 {
                    return Ok(Some(Found {
                        skip: self.start,
                        end: next,
                        folded: self.folded,
                    }));
                }
                self.empty = self.empty.saturating_add(1);
                if self.empty > section.empty_lines {
                    return Err(RemoteError::TooManyEmptyLines);
                }
                self.start = next;
                continue;
            }
            self.note_line(first, section)?;
        }
        self.seen = buffer.len();
        self.check_limit(self.seen, section)?;
        Ok(None)
    }

    /// The section, and its current line, reach at least to `end`.
    const fn check_limit(&self, end: usize, section: &Section) -> Result<(), RemoteError> {
        let limit = if section.limit < LARGEST_SECTION {
            section.limit
        } else {
            LARGEST_SECTION
        };
        let is_line_short = end.saturating_sub(self.line) <= section.line_limit;
        if end.saturating_sub(self.start) <= limit && is_line_short {
            return Ok(());
        }
        Err(if self.lines == 0 {
            section.first_line_too_long
        } else {
            section.too_large
        })
    }

    fn note_line(&mut self, first: Option<u8>, section: &Section) -> Result<(), RemoteError> {
        if matches!(first, Some(b' ' | b'\t')) {
            // "A recipient that receives whitespace between the start-line and the first header
            // field MUST either reject the message as invalid or consume each
            // whitespace-preceded line" (RFC 9112 §2.2)
            if self.lines <= usize::from(section.start_line) {
                return Err(RemoteError::WhitespaceBeforeFields);
            }
            self.folded = true;
        }
        self.lines = self.lines.saturating_add(1);
        Ok(())
    }

    /// Bytes of the section that have arrived, without empty lines before it.
    pub(crate) const fn pending(&self, buffered: usize) -> usize {
        buffered.saturating_sub(self.start)
    }

    /// Nothing of the section has been looked at.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.seen == 0
    }

    /// Whether there are bytes that have not been looked at.
    pub(crate) const fn has_unseen(&self, buffered: usize) -> bool {
        self.seen < buffered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: Section = Section {
        limit: 1000,
        line_limit: 500,
        too_large: RemoteError::HeadTooLarge,
        first_line_too_long: RemoteError::RequestLineTooLong,
        bare_lf: true,
        start_line: true,
        empty_lines: 1,
    };

    #[test]
    fn no_line_is_looked_at_twice() {
        let wire = b"\r\nGET / HTTP/1.1\r\nhost: a\r\nx: y\r\n z\n\r\nnext";
        let mut scan = Scan::default();
        let mut buffer = Vec::new();
        for &byte in &wire[..wire.len() - 4] {
            let line = scan.line;
            // What belongs to lines that have ended may be anything by now.
            buffer[..line].fill(b'\n');
            buffer.push(byte);
            if let Some(found) = scan.advance(&buffer, &SECTION).unwrap() {
                assert_eq!((found.skip, found.end), (2, wire.len() - 4));
                assert!(found.folded);
                return;
            }
            assert!(!scan.has_unseen(buffer.len()));
        }
        panic!("the section has an end");
    }

    #[test]
    fn the_next_section_is_not_touched() {
        let wire = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n\n \0 anything";
        let found = Scan::default().advance(wire, &SECTION).unwrap().unwrap();
        assert_eq!((found.skip, found.end, found.folded), (0, 27, false));
    }
}
