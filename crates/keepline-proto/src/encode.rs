//! Writes heads. Framing fields are always this crate's own: what a caller sets of them is an
//! input to the decision, never copied.
//!
//! Invariant: on an error nothing has been appended to the output.

use http::{HeaderMap, Method, StatusCode, Version};

use crate::body::BodyWriter;
use crate::field::is_field_byte;
use crate::framing::{Asked, has_no_body};
use crate::target::target_form;
use crate::{BodyLength, ContentLength, Facts, Field, HostFact, LocalError, TransferEncoding};

/// The start line of a request that is to be written.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target in the form that the next hop needs (see [`target`](crate::target)).
    pub target: &'a [u8],
    /// HTTP/1.1, or HTTP/1.0 for a server that bears no other: such a request is never chunked, asks for no
    /// upgrade, follows no request that is not answered, and may have no Host.
    pub version: Version,
}

impl<'a> RequestLine<'a> {
    /// One of HTTP/1.1.
    #[must_use]
    pub const fn new(method: &'a Method, target: &'a [u8]) -> Self {
        Self {
            method,
            target,
            version: Version::HTTP_11,
        }
    }

    /// With another version.
    #[must_use]
    pub const fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }
}

/// The status line of a response that is to be written; the version is always HTTP/1.1. A
/// [`StatusCode`] alone gets the reason phrase that IANA lists for it, or none.
#[derive(Debug, Clone, Copy)]
pub struct StatusLine<'a> {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase as it is to be written, for an intermediary that passes on what it got;
    /// it may be empty. `None`: the listed one.
    pub reason: Option<&'a [u8]>,
}

impl From<StatusCode> for StatusLine<'_> {
    fn from(status: StatusCode) -> Self {
        Self {
            status,
            reason: None,
        }
    }
}

/// How a message that is about to be written will be framed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing {
    pub(crate) writer: BodyWriter,
    pub(crate) line: FramingLine,
}

/// The field line that tells the framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FramingLine {
    None,
    Length(u64),
    Chunked,
}

/// The line about persistence that has to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionLine {
    None,
    Close,
    KeepAlive,
}

/// How a request is framed.
pub(crate) fn request_outgoing(
    line: RequestLine<'_>,
    facts: &Facts,
    body: BodyLength,
) -> Result<Outgoing, LocalError> {
    let RequestLine {
        method, version, ..
    } = line;
    match facts.host {
        HostFact::One => {}
        // "A client MUST send a Host header field […] in all HTTP/1.1 request messages." (RFC 9112 §3.2)
        HostFact::Absent if version < Version::HTTP_11 => {}
        HostFact::Absent | HostFact::Malformed | HostFact::Several => {
            return Err(LocalError::MissingHost);
        }
    }
    let declared = declared(facts, Some(body))?;
    if *method == Method::CONNECT {
        // "A CONNECT request message does not have content." (RFC 9110 §9.3.6)
        let is_empty = body == BodyLength::Known(0)
            && declared.is_none_or(|outgoing| outgoing.line == FramingLine::Length(0));
        return if is_empty {
            Ok(NO_BODY)
        } else {
            Err(LocalError::ContentInConnect)
        };
    }
    if let Some(outgoing) = declared {
        return match outgoing.line {
            FramingLine::Chunked if version < Version::HTTP_11 => Err(LocalError::MissingLength),
            FramingLine::Chunked | FramingLine::Length(_) | FramingLine::None => Ok(outgoing),
        };
    }
    Ok(match body {
        // "A user agent SHOULD send Content-Length in a request when the method defines a
        // meaning for enclosed content and it is not sending Transfer-Encoding." (RFC 9110 §8.6)
        BodyLength::Known(0) => match *method {
            Method::POST | Method::PUT | Method::PATCH => counted(0),
            _ => NO_BODY,
        },
        BodyLength::Known(length) => counted(length),
        // "A client MUST NOT send a request containing Transfer-Encoding unless it knows the server
        // will handle HTTP/1.1 (or later) requests" (RFC 9112 §6.1)
        BodyLength::Unknown if version < Version::HTTP_11 => return Err(LocalError::MissingLength),
        BodyLength::Unknown => CHUNKED,
        // Only a response can end where the connection ends (RFC 9112 §6.3).
        BodyLength::UntilClose => return Err(LocalError::MissingLength),
    })
}

/// How a final response is framed. `chunked_understood`: the client speaks HTTP/1.1.
pub(crate) fn response_outgoing(
    asked: Asked,
    status: StatusCode,
    chunked_understood: bool,
    facts: &Facts,
    body: BodyLength,
) -> Result<Outgoing, LocalError> {
    if asked == Asked::Head || has_no_body(status) {
        let suppressed = suppressed(asked, status, facts, body)?;
        return Ok(match suppressed.line {
            // "A server MUST NOT send a response containing Transfer-Encoding unless the
            // corresponding request indicates HTTP/1.1 (or later minor
            // revisions)." (RFC 9112 §6.1)
            FramingLine::Chunked if !chunked_understood => Outgoing {
                line: FramingLine::None,
                ..suppressed
            },
            FramingLine::Chunked | FramingLine::Length(_) | FramingLine::None => suppressed,
        });
    }
    let outgoing = declared(facts, Some(body))?.unwrap_or_else(|| match body {
        BodyLength::Known(length) => counted(length),
        BodyLength::Unknown => CHUNKED,
        BodyLength::UntilClose => UNTIL_CLOSE,
    });
    if matches!(outgoing.writer, BodyWriter::Chunked) && !chunked_understood {
        return Ok(UNTIL_CLOSE);
    }
    Ok(outgoing)
}

/// A response without a body. To HEAD and in 304 the framing fields tell what GET would have got
/// (RFC 9110 §8.6); 1xx and 204 have none.
fn suppressed(
    asked: Asked,
    status: StatusCode,
    facts: &Facts,
    body: BodyLength,
) -> Result<Outgoing, LocalError> {
    let told = declared(facts, None)?.map(|outgoing| outgoing.line);
    let line = match (told, body) {
        _ if status.is_informational() || status == StatusCode::NO_CONTENT => FramingLine::None,
        (Some(line), _) => line,
        (None, BodyLength::Known(length)) if asked == Asked::Head && length > 0 => {
            FramingLine::Length(length)
        }
        (None, BodyLength::Known(_) | BodyLength::Unknown | BodyLength::UntilClose) => {
            FramingLine::None
        }
    };
    Ok(Outgoing {
        writer: BodyWriter::Suppressed,
        line,
    })
}

const NO_BODY: Outgoing = Outgoing {
    writer: BodyWriter::Length { left: 0 },
    line: FramingLine::None,
};

const CHUNKED: Outgoing = Outgoing {
    writer: BodyWriter::Chunked,
    line: FramingLine::Chunked,
};

const UNTIL_CLOSE: Outgoing = Outgoing {
    writer: BodyWriter::UntilClose,
    line: FramingLine::None,
};

const fn counted(length: u64) -> Outgoing {
    Outgoing {
        writer: BodyWriter::Length { left: length },
        line: FramingLine::Length(length),
    }
}

/// What the caller's own framing fields say. `body` is checked against them where it is sent.
fn declared(facts: &Facts, body: Option<BodyLength>) -> Result<Option<Outgoing>, LocalError> {
    match (facts.transfer_encoding, facts.content_length) {
        (TransferEncoding::Unsupported | TransferEncoding::ChunkedNotLast, _) => {
            Err(LocalError::UnsupportedTransferEncoding)
        }
        (TransferEncoding::Chunked, ContentLength::Absent) => Ok(Some(CHUNKED)),
        (
            TransferEncoding::Chunked,
            ContentLength::Value(_) | ContentLength::Malformed | ContentLength::Conflicting,
        ) => Err(LocalError::ContentLengthWithTransferEncoding),
        (TransferEncoding::Absent, ContentLength::Absent) => Ok(None),
        (TransferEncoding::Absent, ContentLength::Malformed | ContentLength::Conflicting) => {
            Err(LocalError::ContentLengthMismatch)
        }
        (TransferEncoding::Absent, ContentLength::Value(length)) => match body {
            Some(BodyLength::Known(known)) if known != length => {
                Err(LocalError::ContentLengthMismatch)
            }
            Some(BodyLength::Known(_) | BodyLength::Unknown | BodyLength::UntilClose) | None => {
                Ok(Some(counted(length)))
            }
        },
    }
}

/// Appends the field lines and collects their facts. Content-Length and Transfer-Encoding are
/// noted and left out: [`end_head`] writes this crate's own.
pub(crate) fn write_fields<'a>(
    fields: impl IntoIterator<Item = Field<'a>>,
    out: &mut Vec<u8>,
) -> Facts {
    let mut facts = Facts::default();
    for field in fields {
        facts.note(field);
        let is_framing = match field.name().len() {
            14 => field.is("content-length"),
            17 => field.is("transfer-encoding"),
            _ => false,
        };
        if !is_framing {
            write_field(field, out);
        }
    }
    facts
}

fn write_field(field: Field<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(field.name());
    out.extend_from_slice(b": ");
    out.extend_from_slice(field.value());
    out.extend_from_slice(b"\r\n");
}

/// Appends what this crate decides, and the empty line.
pub(crate) fn end_head(framing: FramingLine, connection: ConnectionLine, out: &mut Vec<u8>) {
    match framing {
        FramingLine::None => {}
        FramingLine::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        FramingLine::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            push_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
    }
    match connection {
        ConnectionLine::None => {}
        ConnectionLine::Close => out.extend_from_slice(b"connection: close\r\n"),
        ConnectionLine::KeepAlive => out.extend_from_slice(b"connection: keep-alive\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a request line.
pub(crate) fn write_request_line(
    line: RequestLine<'_>,
    out: &mut Vec<u8>,
) -> Result<(), LocalError> {
    let version: &[u8] = match line.version {
        Version::HTTP_11 => b" HTTP/1.1\r\n",
        Version::HTTP_10 => b" HTTP/1.0\r\n",
        _ => return Err(LocalError::UnsupportedVersion),
    };
    target_form(line.method, line.target).map_err(|_| LocalError::InvalidTarget)?;
    out.extend_from_slice(line.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(line.target);
    out.extend_from_slice(version);
    Ok(())
}

/// Appends a status line.
pub(crate) fn write_status_line(line: StatusLine<'_>, out: &mut Vec<u8>) -> Result<(), LocalError> {
    let StatusLine { status, reason } = line;
    let reason = match reason {
        None if status == StatusCode::OK => {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
            return Ok(());
        }
        None => status.canonical_reason().unwrap_or_default().as_bytes(),
        // "reason-phrase = 1*( HTAB / SP / VCHAR / obs-text )" (RFC 9112 §4): as a field value.
        Some(reason) if reason.iter().all(|&byte| is_field_byte(byte)) => reason,
        Some(_) => return Err(LocalError::InvalidReasonPhrase),
    };
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends the last chunk and the trailer section.
pub(crate) fn write_last_chunk(
    trailers: Option<&HeaderMap>,
    out: &mut Vec<u8>,
) -> Result<(), LocalError> {
    let start = out.len();
    out.extend_from_slice(b"0\r\n");
    for field in trailers.into_iter().flatten().map(Field::from) {
        let forbidden = ["content-length", "transfer-encoding", "host", "trailer"];
        if forbidden.iter().any(|name| field.is(name)) {
            out.truncate(start);
            return Err(LocalError::TrailersNotAllowed);
        }
        write_field(field, out);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn push_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start = start.saturating_sub(1);
        if let Some(digit) = digits.get_mut(start) {
            *digit = b'0'.wrapping_add(u8::try_from(number % 10).unwrap_or(0));
        }
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for number in [0, 9, 10, 1234, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(number, &mut out);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
