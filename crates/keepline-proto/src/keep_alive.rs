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
