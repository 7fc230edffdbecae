//! How the end of a message is found: RFC 9112 §6.3 as two pure functions.
//!
//! Invariant: where two recipients could find different ends, the answer is an error.

use http::{Method, StatusCode, Version};

use crate::{ContentLength, Facts, RemoteError, TransferEncoding};

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, whatever the fields say.
    Empty,
    /// This many bytes.
    Length(u64),
    /// The chunked transfer coding (RFC 9112 §7.1).
    Chunked,
    /// Until the peer closes: only in responses, and the connection ends with it.
    CloseDelimited,
}

/// What a response answers: the part of a request that decides its response's framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// HEAD: the response has no body.
    Head,
    /// CONNECT: a 2xx response turns the connection into a tunnel.
    Connect,
    /// Any other method.
    Other,
}

impl From<&Method> for Asked {
    fn from(method: &Method) -> Self {
        if *method == Method::HEAD {
            Self::Head
        } else if *method == Method::CONNECT {
            Self::Connect
        } else {
            Self::Other
        }
    }
}

/// The framing of a request.
///
/// # Errors
/// What RFC 9112 §6.1 and §6.3 call faulty: both lengths, differing or malformed lengths, a
/// transfer coding other than chunked, any transfer coding in HTTP/1.0.
pub fn request_framing(version: Version, facts: &Facts) -> Result<Framing, RemoteError> {
    match coded_or_counted(version, facts)? {
        Some(framing) => Ok(framing),
        // "If this is a request message and none of the above are true, then the message body
        // length is zero (no message body is present)." (§6.3, rule 7)
        None => Ok(Framing::Empty),
    }
}

/// The framing of a final response to a request of kind `asked`.
///
/// # Errors
/// As [`request_framing`]. Fields of a response that cannot have a body are still judged: a
/// server that contradicts itself is not trusted with the next exchange.
pub fn response_framing(
    asked: Asked,
    status: StatusCode,
    version: Version,
    facts: &Facts,
) -> Result<Framing, RemoteError> {
    // "Any 2xx (Successful) response to a CONNECT request implies that the connection will
    // become a tunnel […]. A client MUST ignore any Content-Length or Transfer-Encoding header
    // fields received in such a message." (§6.3, rule 2)
    if asked == Asked::Connect && status.is_success() {
        return Ok(Framing::Empty);
    }
    let framing = coded_or_counted(version, facts)?;
    // "Any response to a HEAD request and any response with a 1xx (Informational), 204 (No
    // Content), or 304 (Not Modified) status code is always terminated by the first empty line
    // after the header fields" (§6.3, rule 1)
    if asked == Asked::Head || has_no_body(status) {
        return Ok(Framing::Empty);
    }
    // "Otherwise, this is a response message without a declared message body length, so the
    // message body length is determined by the number of octets received prior to the server
    // closing the connection." (§6.3, rule 8)
    Ok(framing.unwrap_or(Framing::CloseDelimited))
}

/// Statuses whose responses never have a body.
#[must_use]
pub fn has_no_body(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// Rules 3 to 6 of §6.3, which requests and responses share.
fn coded_or_counted(version: Version, facts: &Facts) -> Result<Option<Framing>, RemoteError> {
    match (facts.transfer_encoding, facts.content_length) {
        // "A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding
        // header field MUST treat the message as if the framing is faulty" (§6.1)
        (
            TransferEncoding::Chunked
            | TransferEncoding::Unsupported
            | TransferEncoding::ChunkedNotLast,
            _,
        ) if version < Version::HTTP_11 => Err(RemoteError::TransferEncodingInHttp10),
        // "If any transfer coding other than chunked is applied […] the sender MUST […] apply
        // chunked as the final transfer coding"; "A sender MUST NOT apply the chunked transfer
        // coding more than once" (§6.1, §7)
        (TransferEncoding::ChunkedNotLast, _) => Err(RemoteError::TransferEncodingNotChunked),
        // "A server that receives a request message with a transfer coding it does not
        // understand SHOULD respond with 501 (Not Implemented)." (§6.1)
        (TransferEncoding::Unsupported, _) => Err(RemoteError::UnsupportedTransferEncoding),
        (TransferEncoding::Chunked, ContentLength::Absent) => Ok(Some(Framing::Chunked)),
        // "A server MAY reject a request that contains both Content-Length and
        // Transfer-Encoding" (§6.1): it is how requests are smuggled.
        (
            TransferEncoding::Chunked,
            ContentLength::Value(_) | ContentLength::Malformed | ContentLength::Conflicting,
        ) => Err(RemoteError::ContentLengthWithTransferEncoding),
        // "If a message is received without Transfer-Encoding and with an invalid
        // Content-Length header field, then the message framing is invalid and the recipient
        // MUST treat it as an unrecoverable error" (§6.3, rule 5)
        (TransferEncoding::Absent, ContentLength::Malformed) => {
            Err(RemoteError::InvalidContentLength)
        }
        (TransferEncoding::Absent, ContentLength::Conflicting) => {
            Err(RemoteError::ConflictingContentLength)
        }
        (TransferEncoding::Absent, ContentLength::Value(length)) => {
            Ok(Some(Framing::Length(length)))
        }
        (TransferEncoding::Absent, ContentLength::Absent) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Field;

    fn facts(lines: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (name, value) in lines {
            facts.note(Field::new(name.as_bytes(), value.as_bytes()).unwrap());
        }
        facts
    }

    const NONE: &[(&str, &str)] = &[];
    const THREE: &[(&str, &str)] = &[("content-length", "3")];
    const CHUNKED: &[(&str, &str)] = &[("transfer-encoding", "chunked")];
    const BOTH: &[(&str, &str)] = &[("content-length", "3"), ("transfer-encoding", "chunked")];
    const GZIP: &[(&str, &str)] = &[("transfer-encoding", "gzip")];

    #[test]
    fn requests() {
        let (new, old) = (Version::HTTP_11, Version::HTTP_10);
        for (version, lines, expected) in [
            (new, NONE, Ok(Framing::Empty)),
            (old, NONE, Ok(Framing::Empty)),
            (new, THREE, Ok(Framing::Length(3))),
            (old, THREE, Ok(Framing::Length(3))),
            (new, CHUNKED, Ok(Framing::Chunked)),
            (old, CHUNKED, Err(RemoteError::TransferEncodingInHttp10)),
            (
                new,
                BOTH,
                Err(RemoteError::ContentLengthWithTransferEncoding),
            ),
            (old, BOTH, Err(RemoteError::TransferEncodingInHttp10)),
            (new, GZIP, Err(RemoteError::UnsupportedTransferEncoding)),
        ] {
            assert_eq!(
                request_framing(version, &facts(lines)),
                expected,
                "{version:?} {lines:?}"
            );
        }
    }

    #[test]
    fn responses() {
        use Asked::{Connect, Head, Other};
        let both = Err(RemoteError::ContentLengthWithTransferEncoding);
        for (asked, status, lines, expected) in [
            (Other, 200, NONE, Ok(Framing::CloseDelimited)),
            (Other, 200, THREE, Ok(Framing::Length(3))),
            (Other, 200, CHUNKED, Ok(Framing::Chunked)),
            (Other, 200, BOTH, both),
            (Other, 404, NONE, Ok(Framing::CloseDelimited)),
            (Other, 205, NONE, Ok(Framing::CloseDelimited)),
            (Other, 204, NONE, Ok(Framing::Empty)),
            (Other, 204, THREE, Ok(Framing::Empty)),
            (Other, 304, CHUNKED, Ok(Framing::Empty)),
            (Other, 304, BOTH, both),
            (Head, 200, NONE, Ok(Framing::Empty)),
            (Head, 200, THREE, Ok(Framing::Empty)),
            (Head, 404, CHUNKED, Ok(Framing::Empty)),
            (Head, 200, BOTH, both),
            (Connect, 200, BOTH, Ok(Framing::Empty)),
            (Connect, 299, THREE, Ok(Framing::Empty)),
            (Connect, 300, THREE, Ok(Framing::Length(3))),
            (Connect, 407, BOTH, both),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                response_framing(asked, status, Version::HTTP_11, &facts(lines)),
                expected,
                "{asked:?} {status} {lines:?}"
            );
        }
    }
}
