//! The `Keep-Alive` field: a hint how long, and for how many requests, a peer keeps an idle
//! connection (`Keep-Alive: timeout=5, max=100`).
//!
//! It has no current standard (RFC 2068 §19.7.1 had it, draft-thomson-hybi-http-timeout defined
//! the parameters); nginx, Apache, Node and this crate's server send it. The numbers are seconds
//! and requests. What does not parse is no hint: a hint never fails a message.

use std::time::Duration;

use crate::Fields;
use crate::facts::decimal;
use crate::field::{list, trim};

/// A longer timeout than this (136 years) counts as this, so that it can be added to an instant.
pub const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// What a peer said about how long it keeps the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeepAlive {
    /// Idle time after which the peer closes, in whole seconds; never more than [`LONGEST`].
    pub timeout: Option<Duration>,
    /// Further requests that the peer accepts on this connection.
    pub max: Option<u64>,
}

/// Reads all Keep-Alive fields of a section; of several equal parameters the smallest holds.
#[must_use]
pub fn keep_alive(fields: &Fields) -> KeepAlive {
    let mut hint = KeepAlive::default();
    if !fields.facts().keep_alive {
        return hint;
    }
    for parameter in fields
        .iter()
        .filter(|f| f.is("keep-alive"))
        .flat_map(|f| list(f.value()))
    {
        let Some((name, value)) = split_at_equals(parameter) else {
            continue;
        };
        let Some(number) = decimal(unquoted(value)) else {
            continue;
        };
        if name.eq_ignore_ascii_case(b"timeout") {
            let timeout = Duration::from_secs(number).min(LONGEST);
            hint.timeout = Some(hint.timeout.map_or(timeout, |known| known.min(timeout)));
        } else if name.eq_ignore_ascii_case(b"max") {
            hint.max = Some(hint.max.map_or(number, |known| known.min(number)));
        }
    }
    hint
}

fn split_at_equals(parameter: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = memchr::memchr(b'=', parameter)?;
    let (name, value) = parameter.split_at_checked(equals)?;
    Some((trim(name), trim(value.get(1..)?)))
}

const fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Limits, parse};

    fn hint(lines: &str) -> (Option<u64>, Option<u64>) {
        let section = Bytes::from(format!("{lines}\r\n"));
        let fields = parse::trailers(section, &Limits::default()).unwrap();
        let KeepAlive { timeout, max } = keep_alive(&fields);
        (timeout.map(|timeout| timeout.as_secs()), max)
    }

    #[test]
    fn what_a_value_says() {
        for (value, timeout, max) in [
            ("timeout=5, max=100", Some(5), Some(100)),
            ("max=100,timeout=5", Some(5), Some(100)),
            ("timeout=5", Some(5), None),
            ("max=0", None, Some(0)),
            ("timeout=0", Some(0), None),
            // Names have no case; whitespace and quotes do no harm.
            ("TimeOut=5, MAX=1", Some(5), Some(1)),
            ("\t timeout\t= 5 ,max =1 ", Some(5), Some(1)),
            ("timeout=\"5\", max=\"1\"", Some(5), Some(1)),
            // The smallest of several holds.
            (
                "timeout=5, timeout=3, timeout=9, max=2, max=1",
                Some(3),
                Some(1),
            ),
            // Seconds, whatever they were meant to be.
            ("timeout=5000", Some(5000), None),
            // What does not parse is no hint, and spoils no other.
            ("timeout=5s, max=1", None, Some(1)),
            ("timeout=5ms", None, None),
            ("timeout=-1, max=-1", None, None),
            ("timeout=+5", None, None),
            ("timeout=5.5", None, None),
            ("timeout=0x5", None, None),
            ("timeout=, max=", None, None),
            ("timeout, max", None, None),
            ("=5", None, None),
            ("timeout=\"5", None, None),
            ("timeout=\"", None, None),
            ("timeout==5", None, None),
            ("timeout=5;max=1", None, None),
            ("timeout=5 max=1", None, None),
            ("300", None, None),
            ("keep-alive", None, None),
            (",,=,,", None, None),
            ("", None, None),
            ("timeouts=5, xmax=1", None, None),
            // Numbers beyond all bounds.
            ("timeout=4294967295", Some(4_294_967_295), None),
            ("timeout=4294967296", Some(4_294_967_295), None),
            ("max=18446744073709551615", None, Some(u64::MAX)),
            (
                "timeout=18446744073709551616, max=18446744073709551616",
                None,
                None,
            ),
        ] {
            assert_eq!(
                hint(&format!("Keep-Alive: {value}\r\n")),
                (timeout, max),
                "{value:?}"
            );
        }
    }

    #[test]
    fn all_lines_count_and_no_other_field() {
        assert_eq!(
            hint("keep-alive: timeout=5\r\nKEEP-ALIVE: timeout=4, max=7\r\n"),
            (Some(4), Some(7))
        );
        assert_eq!(hint("connection: timeout=5\r\n"), (None, None));
        assert_eq!(hint("x-keep-alive: timeout=5\r\n"), (None, None));
    }

    #[test]
    fn the_longest_hint_can_be_added_to_an_instant() {
        // As anybody will do with it. (This crate has no clock; a test may.)
        assert!(
            std::time::SystemTime::UNIX_EPOCH
                .checked_add(LONGEST)
                .is_some()
        );
    }
}
