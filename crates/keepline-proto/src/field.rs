//! One field line, and the lists inside field values.
//!
//! Invariant: a [`Field`] is valid by construction, so that whoever writes one need not check it
//! again and nothing can inject a line into a head. This module does not know what fields mean.

use http::{HeaderName, HeaderValue};

use crate::LocalError;

/// A field line: a name that is a token and a value without control bytes (RFC 9110 §5.1, §5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Checks a name and a value.
    ///
    /// # Errors
    /// [`LocalError::InvalidFieldName`], [`LocalError::InvalidFieldValue`].
    pub fn new(name: &'a [u8], value: &'a [u8]) -> Result<Self, LocalError> {
        if name.is_empty() || !name.iter().all(|&byte| is_tchar(byte)) {
            return Err(LocalError::InvalidFieldName);
        }
        if !all(value, is_field_byte) {
            return Err(LocalError::InvalidFieldValue);
        }
        Ok(Self { name, value })
    }

    /// A name and value that the parser has checked.
    pub(crate) const fn checked(name: &'a [u8], value: &'a [u8]) -> Self {
        Self { name, value }
    }

    /// The name, in the case in which it was written.
    #[must_use]
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The value, without the whitespace around it.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    /// Compares the name, ignoring case.
    #[must_use]
    pub const fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

impl<'a> From<(&'a HeaderName, &'a HeaderValue)> for Field<'a> {
    fn from((name, value): (&'a HeaderName, &'a HeaderValue)) -> Self {
        Self::checked(name.as_str().as_bytes(), value.as_bytes())
    }
}

/// The elements of a comma-separated list, trimmed, empty ones left out (RFC 9110 §5.6.1).
/// A comma in a quoted string separates too: no list that matters here has one.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// Without optional whitespace (SP, HTAB) at both ends.
pub(crate) const fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// `tchar` of RFC 9110 §5.6.2, by a table: each byte of each field name asks.
#[expect(
    clippy::indexing_slicing,
    reason = "an array of 256 has a place for each byte"
)]
pub(crate) const fn is_tchar(byte: u8) -> bool {
    const TCHARS: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table[byte as usize] = matches!(byte,
                b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
                | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
            byte += 1;
        }
        table
    };
    TCHARS[byte as usize]
}

/// Every byte is one of those that `allowed` allows. Without an early end, so that the compiler
/// looks at sixteen bytes at a time: nearly always all of them are allowed.
pub(crate) fn all(bytes: &[u8], allowed: impl Fn(u8) -> bool) -> bool {
    bytes
        .iter()
        .fold(true, |so_far, &byte| so_far & allowed(byte))
}

/// A byte that a field value may hold: HTAB, SP, visible ASCII and obs-text (RFC 9110 §5.5).
pub(crate) const fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_cannot_inject_a_line() {
        assert!(Field::new(b"x", b"a\tb \xff").is_ok());
        for value in [&b"a\r\nb: c"[..], b"a\nb", b"a\0", b"\x7f", b"\r"] {
            assert_eq!(Field::new(b"x", value), Err(LocalError::InvalidFieldValue));
        }
        for name in [&b""[..], b"a b", b"a:", b"\xe4", b"a\r\n"] {
            assert_eq!(Field::new(name, b""), Err(LocalError::InvalidFieldName));
        }
    }

    #[test]
    fn lists_are_trimmed_and_lose_empty_elements() {
        let elements: Vec<_> = list(b" a,, b\t, ,c").collect();
        assert_eq!(elements, [b"a", b"b", b"c"]);
    }
}
