//! What a header section says about framing, persistence and routing, collected in one pass.
//!
//! Invariant: facts are read, not judged. A malformed or repeated field is recorded as such, and
//! the pure functions in [`framing`](crate::framing) and [`persistence`](crate::persistence)
//! decide what follows from it.

use crate::field::{Field, list, trim};
use crate::target::has_host;

/// Facts of one header section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Content-Length.
    pub content_length: ContentLength,
    /// Transfer-Encoding.
    pub transfer_encoding: TransferEncoding,
    /// Options of all Connection fields.
    pub connection: ConnectionOptions,
    /// Host.
    pub host: HostFact,
    /// Expect.
    pub expect: Expectation,
    /// An Upgrade field is there.
    pub upgrade: bool,
    /// A Keep-Alive field is there; [`keep_alive`](crate::keep_alive) reads it.
    pub keep_alive: bool,
    /// A Date field is there.
    pub date: bool,
}

/// What the Content-Length fields say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentLength {
    /// There is none.
    #[default]
    Absent,
    /// One value, perhaps on several equal lines.
    Value(u64),
    /// Not a plain decimal number below 2⁶⁴; a list is malformed too, even of equal numbers.
    Malformed,
    /// Several values that differ.
    Conflicting,
}

/// What the Transfer-Encoding fields say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransferEncoding {
    /// There is none.
    #[default]
    Absent,
    /// Exactly `chunked`, once.
    Chunked,
    /// Codings besides chunked; chunked is the last or absent.
    Unsupported,
    /// Chunked is there but not last, or is there twice: the end of the body is unknowable.
    ChunkedNotLast,
}

/// What the Host fields say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostFact {
    /// There is none.
    #[default]
    Absent,
    /// One; its value may be empty.
    One,
    /// More than one line.
    Several,
    /// One that is no `host` or `host:port`.
    Malformed,
}

/// What the Expect fields say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expectation {
    /// There is none.
    #[default]
    None,
    /// `100-continue`.
    Continue,
    /// Anything else.
    Other,
}

/// The options of the Connection fields (RFC 9110 §7.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionOptions {
    set: u8,
    /// Bytes of all values together; 32 bits are enough for a section, and keep facts small.
    length: u32,
}

impl ConnectionOptions {
    const CLOSE: u8 = 1;
    const KEEP_ALIVE: u8 = 2;
    const UPGRADE: u8 = 4;
    const OTHER: u8 = 8;

    /// `close` is among them.
    #[must_use]
    pub const fn close(self) -> bool {
        self.set & Self::CLOSE != 0
    }

    /// `keep-alive` is among them.
    #[must_use]
    pub const fn keep_alive(self) -> bool {
        self.set & Self::KEEP_ALIVE != 0
    }

    /// `upgrade` is among them.
    #[must_use]
    pub const fn upgrade(self) -> bool {
        self.set & Self::UPGRADE != 0
    }

    /// Options besides these three are among them: names of fields that are not to be forwarded.
    #[must_use]
    pub const fn names_fields(self) -> bool {
        self.set & Self::OTHER != 0
    }

    /// No option at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.set == 0
    }

    /// Bytes of all Connection field values together.
    pub(crate) const fn length(self) -> usize {
        self.length as usize
    }

    pub(crate) fn add(&mut self, value: &[u8]) {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.length = self.length.saturating_add(length);
        for option in list(value) {
            self.set |= if option.eq_ignore_ascii_case(b"close") {
                Self::CLOSE
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                Self::KEEP_ALIVE
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                Self::UPGRADE
            } else {
                Self::OTHER
            };
        }
    }
}

impl Facts {
    /// Takes note of one field line. The length of the name decides first: most fields are none
    /// of these, and one comparison of lengths tells.
    pub(crate) fn note(&mut self, field: Field<'_>) {
        match field.name().len() {
            4 if field.is("host") => self.note_host(field.value()),
            4 if field.is("date") => self.date = true,
            6 if field.is("expect") => self.note_expect(field.value()),
            7 if field.is("upgrade") => self.upgrade = true,
            10 if field.is("connection") => self.connection.add(field.value()),
            10 if field.is("keep-alive") => self.keep_alive = true,
            14 if field.is("content-length") => self.note_content_length(field.value()),
            17 if field.is("transfer-encoding") => self.note_transfer_encoding(field.value()),
            _ => {}
        }
    }

    fn note_host(&mut self, value: &[u8]) {
        self.host = match self.host {
            HostFact::Absent if value.is_empty() || has_host(value) => HostFact::One,
            HostFact::Absent => HostFact::Malformed,
            HostFact::One | HostFact::Several | HostFact::Malformed => HostFact::Several,
        };
    }

    fn note_expect(&mut self, value: &[u8]) {
        self.expect = match self.expect {
            Expectation::None | Expectation::Continue
                if trim(value).eq_ignore_ascii_case(b"100-continue") =>
            {
                Expectation::Continue
            }
            Expectation::None | Expectation::Continue | Expectation::Other => Expectation::Other,
        };
    }

    fn note_content_length(&mut self, value: &[u8]) {
        self.content_length = match (self.content_length, decimal(value)) {
            (ContentLength::Malformed, _) | (_, None) => ContentLength::Malformed,
            (ContentLength::Absent, Some(length)) => ContentLength::Value(length),
            (ContentLength::Value(known), Some(length)) if known == length => {
                ContentLength::Value(known)
            }
            (ContentLength::Value(_) | ContentLength::Conflicting, Some(_)) => {
                ContentLength::Conflicting
            }
        };
    }

    fn note_transfer_encoding(&mut self, value: &[u8]) {
        // Empty elements, which other lists may have, are refused here as codings that nobody
        // supports: no sender needs them, and `, chunked` is not chunked to everybody.
        for coding in value.split(|&byte| byte == b',').map(trim) {
            let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.transfer_encoding = match self.transfer_encoding {
                TransferEncoding::Chunked if coding.is_empty() => TransferEncoding::Unsupported,
                TransferEncoding::Absent if is_chunked => TransferEncoding::Chunked,
                TransferEncoding::Absent | TransferEncoding::Unsupported => {
                    TransferEncoding::Unsupported
                }
                TransferEncoding::Chunked | TransferEncoding::ChunkedNotLast => {
                    TransferEncoding::ChunkedNotLast
                }
            };
        }
    }
}

/// A plain decimal number (RFC 9110 §8.6: `1*DIGIT`) below 2⁶⁴.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(lines: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (name, value) in lines {
            facts.note(Field::new(name.as_bytes(), value.as_bytes()).unwrap());
        }
        facts
    }

    #[test]
    fn content_length_is_one_plain_number() {
        let of = |values: &[&str]| {
            let lines: Vec<_> = values
                .iter()
                .map(|value| ("Content-Length", *value))
                .collect();
            facts(&lines).content_length
        };
        assert_eq!(of(&[]), ContentLength::Absent);
        assert_eq!(of(&["0"]), ContentLength::Value(0));
        assert_eq!(
            of(&["18446744073709551615"]),
            ContentLength::Value(u64::MAX)
        );
        assert_eq!(of(&["7", "7"]), ContentLength::Value(7));
        assert_eq!(of(&["7", "8"]), ContentLength::Conflicting);
        assert_eq!(of(&["7", "8", "7"]), ContentLength::Conflicting);
        for bad in [
            "",
            "+1",
            "-1",
            "1 ",
            "0x1",
            "1, 1",
            "18446744073709551616",
            "1_0",
            "٣",
        ] {
            assert_eq!(of(&[bad]), ContentLength::Malformed, "{bad:?}");
            assert_eq!(of(&["1", bad]), ContentLength::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn only_a_single_chunked_is_chunked() {
        let of = |values: &[&str]| {
            let lines: Vec<_> = values
                .iter()
                .map(|value| ("transfer-encoding", *value))
                .collect();
            facts(&lines).transfer_encoding
        };
        assert_eq!(of(&["Chunked"]), TransferEncoding::Chunked);
        for two in [
            &["chunked", "chunked"][..],
            &["chunked, chunked"],
            &["chunked", "gzip"],
        ] {
            assert_eq!(of(two), TransferEncoding::ChunkedNotLast);
        }
        for other in [
            &["gzip"][..],
            &["gzip, chunked"],
            &["xchunked"],
            &["\"chunked\""],
            &[""],
            &[", chunked"],
            &["chunked,"],
            &["chunked", ""],
        ] {
            assert_eq!(of(other), TransferEncoding::Unsupported);
        }
    }

    #[test]
    fn connection_options_of_all_lines_count() {
        let options =
            facts(&[("connection", "Keep-Alive, X-A"), ("Connection", "CLOSE")]).connection;
        assert!(options.close() && options.keep_alive() && options.names_fields());
        assert!(!options.upgrade());
        assert!(
            facts(&[("connection", "closed, x-close")])
                .connection
                .names_fields()
        );
        assert!(
            !facts(&[("connection", "closed, x-close")])
                .connection
                .close()
        );
    }
}
