//! Heads that have arrived whole, in the form that nearly all have: httparse finds their end and
//! their tokens in one pass.
//!
//! Invariant: what is taken here is what [`scan`](crate::scan) and [`parse`](crate::parse) would have
//! taken, byte for byte. What is incomplete, unusual or wrong is left to them, without a word: they
//! judge. It is tried once for each head, so that time stays linear in what a peer sends.

use std::mem::{self, MaybeUninit};

use bytes::BytesMut;

use crate::Limits;
use crate::head::{FieldSpan, RequestHead, ResponseHead};
use crate::parse::{FIELDS_ON_STACK, request_head, response_head};
use crate::scan::Section;

/// The request head at the start of `buffer`.
pub(crate) fn request(
    buffer: &mut BytesMut,
    spare: &mut Vec<FieldSpan>,
    section: &Section,
    limits: &Limits,
) -> Option<RequestHead> {
    let mut stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = parsed.parse_with_uninit_headers(buffer, &mut stack);
    let block = usual(buffer, &outcome, parsed.headers, section)?;
    let head = request_head(&parsed, block, mem::take(spare), limits).ok()?;
    let length = block.len();
    Some(head.in_block(buffer.split_to(length).freeze()))
}

/// The response head at the start of `buffer`.
pub(crate) fn response(
    buffer: &mut BytesMut,
    spare: &mut Vec<FieldSpan>,
    section: &Section,
    limits: &Limits,
) -> Option<ResponseHead> {
    let mut stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let config = httparse::ParserConfig::default();
    let mut parsed = httparse::Response::new(&mut []);
    let outcome = config.parse_response_with_uninit_headers(&mut parsed, buffer, &mut stack);
    let block = usual(buffer, &outcome, parsed.headers, section)?;
    let head = response_head(&parsed, block, mem::take(spare), limits).ok()?;
    let length = block.len();
    Some(head.in_block(buffer.split_to(length).freeze()))
}

/// The bytes of the head that httparse has found, if a scan would find the same.
fn usual<'b>(
    buffer: &'b [u8],
    outcome: &httparse::Result<usize>,
    lines: &[httparse::Header<'_>],
    section: &Section,
) -> Option<&'b [u8]> {
    let Ok(httparse::Status::Complete(end)) = *outcome else {
        return None;
    };
    let block = buffer.get(..end)?;
    // No line is longer than the whole. httparse skips empty lines before the first, uncounted.
    let is_within = end <= section.limit && end <= section.line_limit;
    let starts_at_once = !matches!(block.first(), Some(b'\r' | b'\n'));
    let is_usual =
        is_within && starts_at_once && (section.bare_lf || ends_lines_with_crlf(block, lines));
    is_usual.then_some(block)
}

/// httparse takes a bare LF for the end of a line. Each line ends where the next one's name starts.
fn ends_lines_with_crlf(block: &[u8], lines: &[httparse::Header<'_>]) -> bool {
    block.ends_with(b"\r\n\r\n")
        && lines.iter().all(|line| {
            let start = line.name.as_ptr().addr();
            let before = start.wrapping_sub(block.as_ptr().addr()).wrapping_sub(2);
            block.get(before) == Some(&b'\r')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RemoteError;

    const SECTION: Section = Section {
        limit: 60,
        line_limit: 60,
        too_large: RemoteError::HeadTooLarge,
        first_line_too_long: RemoteError::RequestLineTooLong,
        bare_lf: false,
        start_line: true,
        empty_lines: 1,
    };

    /// Whether it is taken, and what is left of it and of what follows it.
    fn take(wire: &str, section: &Section) -> (bool, usize) {
        let mut buffer = BytesMut::from(wire);
        let mut spare = Vec::new();
        let limits = Limits {
            fields: 2,
            ..Limits::default()
        };
        let is_taken = if wire.starts_with("HTTP") {
            response(&mut buffer, &mut spare, section, &limits).is_some()
        } else {
            request(&mut buffer, &mut spare, section, &limits).is_some()
        };
        (is_taken, buffer.len())
    }

    #[test]
    fn what_is_usual_is_taken_and_nothing_else() {
        let lenient = Section {
            bare_lf: true,
            ..SECTION
        };
        let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(40));
        for (wire, section, is_taken) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", SECTION, true),
            ("GET / HTTP/1.1\r\nhost: a \t\r\nb:\r\n\r\n", SECTION, true),
            ("GET / HTTP/1.0\r\n\r\n", SECTION, true),
            ("HTTP/1.1 200 OK\r\na: b\r\n\r\n", SECTION, true),
            ("HTTP/1.1 200\r\n\r\n", SECTION, true),
            // Not whole.
            ("GET / HTTP/1.1\r\nhost: a\r\n\r", SECTION, false),
            ("", SECTION, false),
            // Empty lines before it are counted elsewhere.
            ("\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", SECTION, false),
            // Whether a bare LF ends a line is a setting.
            ("GET / HTTP/1.1\nhost: a\r\n\r\n", SECTION, false),
            ("GET / HTTP/1.1\r\nhost: a\nb: c\r\n\r\n", SECTION, false),
            ("GET / HTTP/1.1\r\nhost: a\n\r\n", SECTION, false),
            ("GET / HTTP/1.1\r\nhost: a\r\n\n", SECTION, false),
            ("GET / HTTP/1.0\n\n", SECTION, false),
            ("GET / HTTP/1.1\nhost: a\nb: c\n\n", lenient, true),
            // A fold, and whitespace before the first field.
            ("HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", SECTION, false),
            ("GET / HTTP/1.1\r\n host: a\r\n\r\n", SECTION, false),
            // Too long, too many.
            (&long, SECTION, false),
            (
                "GET / HTTP/1.1\r\nhost: a\r\nb:\r\nc:\r\n\r\n",
                SECTION,
                false,
            ),
            // No head.
            ("GET / HTTP/1.1\r\n\r\n", SECTION, false),
            ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", SECTION, false),
        ] {
            let left = if is_taken { 0 } else { wire.len() };
            assert_eq!(take(wire, &section), (is_taken, left), "{wire:?}");
            let more = format!("{wire}GET");
            let left = if is_taken { 3 } else { more.len() };
            assert_eq!(take(&more, &section), (is_taken, left), "{more:?}");
        }
    }
}
