//! Counts requests by the empty lines that end their heads.

use memchr::memmem;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Counts requests in a stream that arrives in pieces, each with the same amount of content: all that
/// a server without parsing needs to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requests {
    /// How many bytes of the end of a head the pieces so far end with.
    matched: usize,
    /// Of each request.
    content: usize,
    /// Bytes of content that the current request still has; its head has ended.
    content_left: usize,
}

impl Requests {
    pub fn with_content(content: usize) -> Self {
        Self {
            content,
            ..Self::default()
        }
    }

    /// How many requests end within the piece.
    pub fn count(&mut self, mut piece: &[u8]) -> usize {
        let mut ends = 0;
        loop {
            if self.content_left > 0 {
                let now = self.content_left.min(piece.len());
                self.content_left -= now;
                piece = &piece[now..];
                if self.content_left > 0 {
                    return ends;
                }
                ends += 1;
            }
            let Some(rest) = self.after_head(piece) else {
                return ends;
            };
            piece = rest;
            self.content_left = self.content;
            ends += usize::from(self.content == 0);
        }
    }

    /// What follows the first end of a head; without one, remembers how the piece ends.
    fn after_head<'p>(&mut self, mut piece: &'p [u8]) -> Option<&'p [u8]> {
        // An end cut by that of the last piece: byte by byte, which is rare.
        while self.matched > 0 {
            let (&byte, rest) = piece.split_first()?;
            piece = rest;
            self.matched = match (self.matched, byte) {
                (matched, byte) if byte == END_OF_HEAD[matched] => matched + 1,
                (_, b'\r') => 1,
                _ => 0,
            };
            if self.matched == END_OF_HEAD.len() {
                self.matched = 0;
                return Some(piece);
            }
        }
        if let Some(at) = memmem::find(piece, END_OF_HEAD) {
            return Some(&piece[at + END_OF_HEAD.len()..]);
        }
        self.matched = (1..END_OF_HEAD.len())
            .rev()
            .find(|&length| piece.ends_with(&END_OF_HEAD[..length]))
            .unwrap_or(0);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_split_counts(stream: &[u8], content: usize, expected: usize) {
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut requests = Requests::with_content(content);
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                let count: usize = pieces.iter().map(|piece| requests.count(piece)).sum();
                assert_eq!(count, expected, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn any_split_gives_the_same_count() {
        let stream = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\r\n\r\n\r\n\r\n";
        any_split_counts(stream, 0, 3);
    }

    #[test]
    fn content_ends_a_request_whatever_is_in_it() {
        let stream = b"POST / HTTP/1.1\r\n\r\n\r\n\r\n!POST / HTTP/1.1\r\n\r\n12345";
        any_split_counts(stream, 5, 2);
        any_split_counts(&stream[..stream.len() - 1], 5, 1);
    }
}
