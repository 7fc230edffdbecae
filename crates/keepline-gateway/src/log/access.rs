//! A line of an access log.

use crate::config::{Escape, LogFormat, Piece};
use crate::request::View;

/// Appends the line of `format`, with its end.
pub(crate) fn append_line(format: &LogFormat, view: View<'_>, out: &mut Vec<u8>) {
    for piece in format.line.pieces() {
        match piece {
            Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Variable(variable) => {
                let start = out.len();
                if view.variable(variable, out) {
                    escape(format.escape, start, out);
                } else if format.escape == Escape::Default {
                    out.push(b'-');
                }
            }
        }
    }
    out.push(b'\n');
}

/// Escapes what stands behind `start`.
fn escape(how: Escape, start: usize, out: &mut Vec<u8>) {
    let is_special = |byte: &u8| match how {
        Escape::None => false,
        Escape::Default => matches!(byte, 0..=31 | b'"' | b'\\' | 127..=255),
        Escape::Json => matches!(byte, 0..=31 | b'"' | b'\\'),
    };
    if !out[start..].iter().any(is_special) {
        return;
    }
    let value = out.split_off(start);
    for byte in value {
        if !is_special(&byte) {
            out.push(byte);
            continue;
        }
        match (how, byte) {
            (Escape::Json, b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            (Escape::Json, b'\n') => out.extend_from_slice(b"\\n"),
            (Escape::Json, b'\r') => out.extend_from_slice(b"\\r"),
            (Escape::Json, b'\t') => out.extend_from_slice(b"\\t"),
            (Escape::Json, 8) => out.extend_from_slice(b"\\b"),
            (Escape::Json, 12) => out.extend_from_slice(b"\\f"),
            (Escape::Json, _) => append_hex(b"\\u00", byte, out),
            (Escape::Default | Escape::None, _) => append_hex(b"\\x", byte, out),
        }
    }
}

fn append_hex(prefix: &[u8], byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(prefix);
    out.extend_from_slice(&[
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_end_a_line_or_a_quote() {
        let value = b"a\"b\\\n\x7f\xc3";
        for (how, expected) in [
            (Escape::Default, &b"|a\\x22b\\x5C\\x0A\\x7F\\xC3"[..]),
            (Escape::Json, b"|a\\\"b\\\\\\n\x7f\xc3"),
            (Escape::None, b"|a\"b\\\n\x7f\xc3"),
        ] {
            let mut out = b"|".to_vec();
            out.extend_from_slice(value);
            escape(how, 1, &mut out);
            assert_eq!(out, expected, "{how:?}");
        }
    }
}
