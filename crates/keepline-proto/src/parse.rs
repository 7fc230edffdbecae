//! Turns a whole head or trailer section into spans. httparse finds the tokens; the rules about
//! what they mean together are in [`facts`](crate::facts) and [`framing`](crate::framing).
//!
//! Invariant: called once per section, with its end known; or, by [`whole`](crate::whole), on what
//! may be more than one.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, Version};

use crate::head::{FieldSpan, Fields, RequestHead, ResponseHead};
use crate::target::target_form;
use crate::{Facts, Field, HostFact, Limits, RemoteError};

/// Field lines that are parsed on the stack; a head with more takes the slow way once.
pub(crate) const FIELDS_ON_STACK: usize = 48;

/// Replaces each fold (CRLF or LF, then SP or HTAB) by spaces, as RFC 9112 §5.2 demands of a user
/// agent: "replace each received obs-fold with one or more SP octets prior to interpreting".
pub(crate) fn replace_folds(head: &mut BytesMut) {
    let mut at = 0;
    while let Some(offset) = head.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let lf = offset.saturating_add(at);
        at = lf.saturating_add(1);
        if !matches!(head.get(at), Some(b' ' | b'\t')) {
            continue;
        }
        for fold in [lf.checked_sub(1), Some(lf), Some(at)]
            .into_iter()
            .flatten()
        {
            if let Some(byte @ (b'\r' | b'\n' | b'\t')) = head.get_mut(fold) {
                *byte = b' ';
            }
        }
    }
}

/// Room for as many field lines as are allowed and can be there: the shortest is `a:` LF. (So an
/// absurd limit allocates no more than a head justifies.)
fn field_slots<'a>(block: &[u8], limits: &Limits) -> Vec<httparse::Header<'a>> {
    vec![httparse::EMPTY_HEADER; limits.fields.min(block.len() / 3)]
}

/// Parses a request head. `block` is taken only if it is one.
pub(crate) fn request(
    block: &mut Bytes,
    spans: Vec<FieldSpan>,
    limits: &Limits,
) -> Result<RequestHead, RemoteError> {
    let mut stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = parsed.parse_with_uninit_headers(block, &mut stack);
    let head = match outcome {
        Err(httparse::Error::TooManyHeaders) => {
            let mut heap = field_slots(block, limits);
            let mut parsed = httparse::Request::new(&mut heap);
            complete(&parsed.parse(block)).map_err(|error| request_error(error, block))?;
            request_head(&parsed, block, spans, limits)?
        }
        outcome => {
            complete(&outcome).map_err(|error| request_error(error, block))?;
            request_head(&parsed, block, spans, limits)?
        }
    };
    Ok(head.in_block(std::mem::take(block)))
}

/// "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
/// that lacks a Host header field and to any request message that contains more than one Host
/// header field line or a Host header field with an invalid field value." (RFC 9112 §3.2)
const fn check_host(version: Version, host: HostFact) -> Result<(), RemoteError> {
    match host {
        HostFact::One => Ok(()),
        HostFact::Absent if matches!(version, Version::HTTP_10) => Ok(()),
        HostFact::Absent => Err(RemoteError::MissingHost),
        HostFact::Several => Err(RemoteError::SeveralHosts),
        HostFact::Malformed => Err(RemoteError::InvalidHost),
    }
}

/// The request head that httparse has found in `block`, without the block itself.
pub(crate) fn request_head(
    parsed: &httparse::Request<'_, '_>,
    block: &[u8],
    spans: Vec<FieldSpan>,
    limits: &Limits,
) -> Result<RequestHead, RemoteError> {
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(RemoteError::InvalidRequestLine);
    };
    let method =
        Method::from_bytes(method.as_bytes()).map_err(|_| RemoteError::InvalidRequestLine)?;
    let fields = fields(block, parsed.headers, spans, limits)?;
    target_form(&method, target.as_bytes())?;
    let version = version(minor);
    check_host(version, fields.facts.host)?;
    Ok(RequestHead {
        method,
        target: span(block, target.as_bytes()),
        version,
        fields,
    })
}

/// Parses a response head.
pub(crate) fn response(
    block: Bytes,
    spans: Vec<FieldSpan>,
    limits: &Limits,
) -> Result<ResponseHead, RemoteError> {
    let mut stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let config = httparse::ParserConfig::default();
    let mut parsed = httparse::Response::new(&mut []);
    let outcome = config.parse_response_with_uninit_headers(&mut parsed, &block, &mut stack);
    let head = match outcome {
        Err(httparse::Error::TooManyHeaders) => {
            let mut heap = field_slots(&block, limits);
            let mut parsed = httparse::Response::new(&mut heap);
            complete(&config.parse_response(&mut parsed, &block))
                .map_err(|error| response_error(error, &block))?;
            response_head(&parsed, &block, spans, limits)?
        }
        outcome => {
            complete(&outcome).map_err(|error| response_error(error, &block))?;
            response_head(&parsed, &block, spans, limits)?
        }
    };
    Ok(head.in_block(block))
}

/// The response head that httparse has found in `block`, without the block itself.
pub(crate) fn response_head(
    parsed: &httparse::Response<'_, '_>,
    block: &[u8],
    spans: Vec<FieldSpan>,
    limits: &Limits,
) -> Result<ResponseHead, RemoteError> {
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(RemoteError::InvalidStatusLine);
    };
    let status = StatusCode::from_u16(code).map_err(|_| RemoteError::InvalidStatusLine)?;
    Ok(ResponseHead {
        status,
        reason: reason(block),
        version: version(minor),
        fields: fields(block, parsed.headers, spans, limits)?,
    })
}

/// Where the reason phrase lies. (httparse gives none where it has bytes above 127.)
fn reason(block: &[u8]) -> Range<u32> {
    let line = block
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.get("HTTP/1.1 200 ".len()..)
        .map_or(0..0, |reason| span(block, reason))
}

/// Parses a trailer section: field lines and the empty line.
pub(crate) fn trailers(block: Bytes, limits: &Limits) -> Result<Fields, RemoteError> {
    let mut heap = field_slots(&block, limits);
    let parsed = match httparse::parse_headers(&block, &mut heap) {
        Ok(httparse::Status::Complete((_, parsed))) => parsed,
        Ok(httparse::Status::Partial) => return Err(RemoteError::InvalidField),
        Err(error) => return Err(field_error(error)),
    };
    // "A sender MUST NOT generate a trailer field unless the sender knows the corresponding
    // header field name's definition permits sending it as a trailer" (RFC 9110 §6.5.1); these
    // would frame or route a message whose head has been acted on.
    let forbidden = ["content-length", "transfer-encoding", "host", "trailer"];
    if parsed
        .iter()
        .any(|line| forbidden.iter().any(|x| line.name.eq_ignore_ascii_case(x)))
    {
        return Err(RemoteError::ForbiddenTrailer);
    }
    let fields = fields(&block, parsed, Vec::with_capacity(parsed.len()), limits)?;
    Ok(Fields { block, ..fields })
}

fn fields(
    block: &[u8],
    lines: &[httparse::Header<'_>],
    mut spans: Vec<FieldSpan>,
    limits: &Limits,
) -> Result<Fields, RemoteError> {
    if lines.len() > limits.fields {
        return Err(RemoteError::TooManyFields);
    }
    let mut facts = Facts::default();
    spans.clear();
    spans.reserve(lines.len());
    for line in lines {
        let (name, value) = (span(block, line.name.as_bytes()), span(block, line.value));
        spans.push(FieldSpan {
            name: name.start,
            name_end: name.end,
            value: value.start,
            value_end: value.end,
        });
        // httparse and this crate agree on what a field may hold: to look at each byte again would be
        // a quarter of what a head costs.
        debug_assert!(Field::new(line.name.as_bytes(), line.value).is_ok());
        facts.note(Field::checked(line.name.as_bytes(), line.value));
    }
    if facts.connection.length() > limits.connection_options {
        return Err(RemoteError::TooManyFields);
    }
    Ok(Fields {
        block: Bytes::new(),
        spans,
        facts,
    })
}

/// Where `part` lies in `block`, of which it is a sub-slice. Both are below 4 GiB by
/// [`Limits::head`].
fn span(block: &[u8], part: &[u8]) -> Range<u32> {
    if part.is_empty() {
        return 0..0;
    }
    let start = part.as_ptr().addr().saturating_sub(block.as_ptr().addr());
    let end = start.saturating_add(part.len());
    u32::try_from(start).unwrap_or(0)..u32::try_from(end).unwrap_or(0)
}

const fn version(minor: u8) -> Version {
    if minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    }
}

/// The end of the section is known, so "partial" means that httparse sees its lines otherwise.
fn complete<T>(outcome: &httparse::Result<T>) -> Result<(), httparse::Error> {
    match outcome {
        Ok(httparse::Status::Complete(_)) => Ok(()),
        Ok(httparse::Status::Partial) => Err(httparse::Error::NewLine),
        Err(error) => Err(*error),
    }
}

fn request_error(error: httparse::Error, block: &[u8]) -> RemoteError {
    let line = block
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let words: Vec<_> = line.splitn(4, |&byte| byte == b' ').collect();
    let [_, _, version] = words[..] else {
        return RemoteError::InvalidRequestLine;
    };
    match error {
        // `HTTP/` digit `.` digit (RFC 9112 §2.3): a version, though none of ours.
        httparse::Error::Version
            if matches!(
                version,
                [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']
            ) =>
        {
            RemoteError::UnsupportedVersion
        }
        httparse::Error::Version | httparse::Error::Token => RemoteError::InvalidRequestLine,
        // A CR that ends no line, or something else than the line end behind the version.
        httparse::Error::NewLine
            if line.contains(&b'\r') || !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") =>
        {
            RemoteError::InvalidRequestLine
        }
        httparse::Error::Status => RemoteError::InvalidStatusLine,
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::TooManyHeaders => field_error(error),
    }
}

const fn response_error(error: httparse::Error, block: &[u8]) -> RemoteError {
    match error {
        httparse::Error::Version
            if matches!(
                block,
                [
                    b'H',
                    b'T',
                    b'T',
                    b'P',
                    b'/',
                    b'1',
                    b'.',
                    b'0'..=b'9',
                    b' ',
                    ..
                ]
            ) =>
        {
            RemoteError::UnsupportedVersion
        }
        httparse::Error::Version | httparse::Error::Token | httparse::Error::Status => {
            RemoteError::InvalidStatusLine
        }
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::TooManyHeaders => field_error(error),
    }
}

const fn field_error(error: httparse::Error) -> RemoteError {
    match error {
        httparse::Error::TooManyHeaders => RemoteError::TooManyFields,
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => RemoteError::InvalidField,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_phrase_is_what_stands_there() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK\r\n", &b"OK"[..]),
            ("HTTP/1.0 404 Not\tFound at all \r\n", b"Not\tFound at all "),
            (
                "HTTP/1.1 200 d\u{e9}j\u{e0}\r\n",
                "d\u{e9}j\u{e0}".as_bytes(),
            ),
            ("HTTP/1.1 200 \r\n", b""),
            ("HTTP/1.1 200\r\n", b""),
            ("HTTP/1.1 200 OK\n", b"OK"),
        ] {
            let block = Bytes::from(format!("{line}x: y\r\n\r\n"));
            let head = response(block, Vec::new(), &Limits::default()).unwrap();
            assert_eq!(head.reason(), expected, "{line:?}");
        }
    }

    #[test]
    fn spans_lie_in_the_block_also_where_there_are_many() {
        for count in [
            0,
            1,
            FIELDS_ON_STACK - 1,
            FIELDS_ON_STACK,
            FIELDS_ON_STACK + 1,
            250,
        ] {
            let lines: String = (0..count).map(|i| format!("x-{i}: {i}\r\n")).collect();
            let limits = Limits::default();
            let mut block = Bytes::from(format!("GET /a HTTP/1.1\r\nhost: b\r\n{lines}\r\n"));
            let head = request(&mut block, Vec::new(), &limits).unwrap();
            assert_eq!(
                (head.target(), head.fields().len()),
                (&b"/a"[..], count + 1)
            );
            let block = Bytes::from(format!("HTTP/1.1 200 OK\r\nhost: b\r\n{lines}\r\n"));
            let head = response(block, Vec::new(), &limits).unwrap();
            for (i, field) in head.fields().iter().skip(1).enumerate() {
                assert_eq!(field.name(), format!("x-{i}").as_bytes());
                assert_eq!(field.value(), i.to_string().as_bytes());
            }
        }
    }
}
