//! Counts the empty lines that end request heads.

use memchr::memmem;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Counts `CRLF CRLF` in a stream that arrives in pieces: all that a server without parsing needs
/// to know how many requests without a body were sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delimiter {
    /// How many bytes of the delimiter the pieces so far end with.
    matched: usize,
}

impl Delimiter {
    pub fn count(&mut self, mut piece: &[u8]) -> usize {
        let mut ends = 0;
        // A delimiter cut by the end of the last piece: byte by byte, which is rare.
        while self.matched > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return ends;
            };
            piece = rest;
            self.matched = match (self.matched, byte) {
                (matched, byte) if byte == END_OF_HEAD[matched] => matched + 1,
                (_, b'\r') => 1,
                _ => 0,
            };
            if self.matched == END_OF_HEAD.len() {
                ends += 1;
                self.matched = 0;
            }
        }
        while let Some(at) = memmem::find(piece, END_OF_HEAD) {
            ends += 1;
            piece = &piece[at + END_OF_HEAD.len()..];
        }
        self.matched = (1..END_OF_HEAD.len())
            .rev()
            .find(|&length| piece.ends_with(&END_OF_HEAD[..length]))
            .unwrap_or(0);
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_gives_the_same_count() {
        let stream = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\r\n\r\n\r\n\r\n";
        let whole = Delimiter::default().count(stream);
        assert_eq!(whole, 3);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut delimiter = Delimiter::default();
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                let count: usize = pieces.iter().map(|piece| delimiter.count(piece)).sum();
                assert_eq!(count, whole, "split at {first} and {second}");
            }
        }
    }
}
