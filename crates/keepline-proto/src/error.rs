//! Errors by whose fault they are.
//!
//! [`RemoteError`]: the peer broke the protocol; a server answers it with
//! [`status_hint`](RemoteError::status_hint). [`LocalError`]: we were asked to send what may not
//! be sent; never caused by what a peer does. Both are small values that compare, so that tests
//! can name the whole error. A connection that failed stays failed and repeats its error.

use std::fmt;

use http::StatusCode;

use crate::state::{EventKind, State};

/// The peer broke the protocol, or ended a message before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemoteError {
    /// A chunk-size line is longer than [`Limits::chunk_line`](crate::Limits::chunk_line).
    ChunkLineTooLong,
    /// Chunk framing costs more than [`Limits::chunk_overhead`](crate::Limits::chunk_overhead).
    ChunkOverheadTooLarge,
    /// A chunk size does not fit in 64 bits.
    ChunkSizeOverflow,
    /// More than one Content-Length, and they differ (RFC 9112 §6.3).
    ConflictingContentLength,
    /// CONNECT with content (RFC 9110 §9.3.6): one recipient reads it as such, another takes it
    /// for the first bytes of the tunnel.
    ContentInConnect,
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.1): how requests get smuggled.
    ContentLengthWithTransferEncoding,
    /// A field that decides framing or routing stands in the trailer section (RFC 9110 §6.5.1).
    ForbiddenTrailer,
    /// A head is larger than [`Limits::head`](crate::Limits::head), or one of its fields than
    /// [`Limits::line`](crate::Limits::line).
    HeadTooLarge,
    /// The peer closed before the end of the content. How much came is in the counters.
    IncompleteBody {
        /// Bytes of content still missing, if the length was known.
        missing: Option<u64>,
    },
    /// The peer closed in the middle of a head, or before the response that it owed.
    IncompleteHead {
        /// Bytes of the head that had arrived.
        received: usize,
    },
    /// A bare LF ends a line where CRLF is required (RFC 9112 §2.2).
    InvalidBareLf,
    /// The data of a chunk is not followed by CRLF.
    InvalidChunkEnd,
    /// A chunk-size line is not hexadecimal digits, optional extensions and CRLF.
    InvalidChunkSize,
    /// Content-Length is not a plain decimal number that fits in 64 bits.
    InvalidContentLength,
    /// A field line is malformed: no colon, space before it, a control byte, a bare CR.
    InvalidField,
    /// Host has bytes that no host has.
    InvalidHost,
    /// The request line is not `method SP target SP HTTP/1.x`.
    InvalidRequestLine,
    /// The first bytes are not a status line: this is no HTTP/1.x server.
    InvalidStatusLine,
    /// The request target has none of the four forms of RFC 9112 §3.2, or not its method's.
    InvalidTarget,
    /// A request of HTTP/1.1 has no Host (RFC 9112 §3.2).
    MissingHost,
    /// A folded field line (RFC 9112 §5.2).
    ObsoleteFold,
    /// More than one Host field line.
    SeveralHosts,
    /// More field lines than [`Limits::fields`](crate::Limits::fields), or longer Connection fields
    /// than [`Limits::connection_options`](crate::Limits::connection_options).
    TooManyFields,
    /// The request line alone is larger than [`Limits::line`](crate::Limits::line) or
    /// [`Limits::head`](crate::Limits::head).
    RequestLineTooLong,
    /// More empty lines before the request line than allowed.
    TooManyEmptyLines,
    /// The trailer section is larger than [`Limits::trailers`](crate::Limits::trailers).
    TrailersTooLarge,
    /// Transfer-Encoding in a message of HTTP/1.0 (RFC 9112 §6.1).
    TransferEncodingInHttp10,
    /// Transfer-Encoding whose last coding is not chunked, or that names it twice.
    TransferEncodingNotChunked,
    /// 101 to a request that asked for no upgrade, or upgrades to nothing.
    UnexpectedUpgrade,
    /// Bytes that belong to no message: after a last message, or a response to no request.
    UnsolicitedBytes,
    /// A transfer coding besides chunked.
    UnsupportedTransferEncoding,
    /// Not HTTP/1.0 or HTTP/1.1.
    UnsupportedVersion,
    /// The header section starts with a space or tab.
    WhitespaceBeforeFields,
}

impl RemoteError {
    /// The status that a server answers with.
    #[must_use]
    pub fn status_hint(self) -> StatusCode {
        match self {
            Self::RequestLineTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::UnsupportedTransferEncoding => StatusCode::NOT_IMPLEMENTED,
            Self::UnsupportedVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::ChunkLineTooLong
            | Self::ChunkOverheadTooLarge
            | Self::ChunkSizeOverflow
            | Self::ConflictingContentLength
            | Self::ContentInConnect
            | Self::ContentLengthWithTransferEncoding
            | Self::ForbiddenTrailer
            | Self::IncompleteBody { .. }
            | Self::IncompleteHead { .. }
            | Self::InvalidBareLf
            | Self::InvalidChunkEnd
            | Self::InvalidChunkSize
            | Self::InvalidContentLength
            | Self::InvalidField
            | Self::InvalidHost
            | Self::InvalidRequestLine
            | Self::InvalidStatusLine
            | Self::InvalidTarget
            | Self::MissingHost
            | Self::ObsoleteFold
            | Self::SeveralHosts
            | Self::TooManyEmptyLines
            | Self::TransferEncodingInHttp10
            | Self::TransferEncodingNotChunked
            | Self::UnexpectedUpgrade
            | Self::UnsolicitedBytes
            | Self::WhitespaceBeforeFields => StatusCode::BAD_REQUEST,
        }
    }

    /// The peer closed the connection inside a message, or where it owed one.
    #[must_use]
    pub fn is_incomplete(self) -> bool {
        matches!(
            self,
            Self::IncompleteBody { .. } | Self::IncompleteHead { .. }
        )
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChunkLineTooLong => "a chunk-size line is too long",
            Self::ChunkOverheadTooLarge => "the chunk framing is out of proportion to its data",
            Self::ChunkSizeOverflow => "a chunk size does not fit in 64 bits",
            Self::ConflictingContentLength => "several Content-Length fields differ",
            Self::ContentInConnect => "CONNECT has content",
            Self::ContentLengthWithTransferEncoding => {
                "both Content-Length and Transfer-Encoding are given"
            }
            Self::ForbiddenTrailer => "the trailer section has a field that belongs in the head",
            Self::HeadTooLarge => "the head is too large",
            Self::IncompleteBody {
                missing: Some(missing),
            } => {
                return write!(f, "closed with {missing} bytes of the body missing");
            }
            Self::IncompleteBody { missing: None } => "closed before the end of the chunked body",
            Self::IncompleteHead { received: 0 } => "closed without an answer",
            Self::IncompleteHead { received } => {
                return write!(f, "closed after {received} bytes of a head");
            }
            Self::InvalidBareLf => "a line ends with LF instead of CRLF",
            Self::InvalidChunkEnd => "a chunk does not end with CRLF",
            Self::InvalidChunkSize => "a chunk-size line is malformed",
            Self::InvalidContentLength => "Content-Length is not a decimal number",
            Self::InvalidField => "a field line is malformed",
            Self::InvalidHost => "Host is malformed",
            Self::InvalidRequestLine => "the request line is malformed",
            Self::InvalidStatusLine => "this is not an HTTP/1.x status line",
            Self::InvalidTarget => "the request target is malformed",
            Self::MissingHost => "Host is missing",
            Self::ObsoleteFold => "a field line is folded",
            Self::SeveralHosts => "several Host fields are given",
            Self::TooManyFields => "there are too many fields",
            Self::RequestLineTooLong => "the request line is too long",
            Self::TooManyEmptyLines => "too many empty lines precede the request",
            Self::TrailersTooLarge => "the trailer section is too large",
            Self::TransferEncodingInHttp10 => "Transfer-Encoding is given in HTTP/1.0",
            Self::TransferEncodingNotChunked => "the last transfer coding is not chunked",
            Self::UnexpectedUpgrade => "101 without a request to upgrade",
            Self::UnsolicitedBytes => "bytes arrived that belong to no message",
            Self::UnsupportedTransferEncoding => "a transfer coding is not supported",
            Self::UnsupportedVersion => "the HTTP version is not supported",
            Self::WhitespaceBeforeFields => "the header section starts with whitespace",
        })
    }
}

impl std::error::Error for RemoteError {}

/// We were asked to send what the protocol does not allow: a mistake of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LocalError {
    /// More content than Content-Length declared.
    BodyTooLong,
    /// The message ended before its declared Content-Length.
    BodyTooShort {
        /// Bytes that were declared and not sent.
        missing: u64,
    },
    /// The Content-Length field differs from the length of the body, or from its twin.
    ContentLengthMismatch,
    /// Content-Length beside Transfer-Encoding.
    ContentLengthWithTransferEncoding,
    /// CONNECT with content.
    ContentInConnect,
    /// A field name that is no token.
    InvalidFieldName,
    /// A field value with a control byte.
    InvalidFieldValue,
    /// A reason phrase with a control byte.
    InvalidReasonPhrase,
    /// A request target that has none of the forms of RFC 9112 §3.2, or not its method's.
    InvalidTarget,
    /// A request without Host, with several, or with a malformed one.
    MissingHost,
    /// A request of HTTP/1.0, or one that is not to be chunked, whose length is not known.
    MissingLength,
    /// 101 without an Upgrade field (RFC 9110 §15.2.2).
    MissingUpgrade,
    /// This side may not send this now.
    NotNow {
        /// The state of our side.
        state: State,
        /// What was to be sent.
        event: EventKind,
    },
    /// Trailers on a body that is not chunked, or a field that may not be one.
    TrailersNotAllowed,
    /// A transfer coding besides chunked, which this crate does not apply.
    UnsupportedTransferEncoding,
    /// A version besides HTTP/1.1 and HTTP/1.0.
    UnsupportedVersion,
    /// An interim status where a final one is needed, or the other way round.
    WrongStatusClass,
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BodyTooLong => "the body is longer than its Content-Length",
            Self::BodyTooShort { missing } => {
                return write!(
                    f,
                    "the body is {missing} bytes shorter than its Content-Length"
                );
            }
            Self::ContentLengthMismatch => "Content-Length does not match the body",
            Self::ContentLengthWithTransferEncoding => {
                "both Content-Length and Transfer-Encoding are set"
            }
            Self::ContentInConnect => "CONNECT cannot have content",
            Self::InvalidFieldName => "a field name is not a token",
            Self::InvalidFieldValue => "a field value has a control byte",
            Self::InvalidReasonPhrase => "the reason phrase has a control byte",
            Self::InvalidTarget => "the request target is malformed",
            Self::MissingHost => "a request needs exactly one well-formed Host",
            Self::MissingLength => "the length of this body has to be known",
            Self::MissingUpgrade => "101 needs an Upgrade field",
            Self::NotNow { state, event } => {
                return write!(f, "cannot send {event:?} in state {state:?}");
            }
            Self::TrailersNotAllowed => "trailers need a chunked body and may not frame or route",
            Self::UnsupportedTransferEncoding => "only the chunked transfer coding can be sent",
            Self::UnsupportedVersion => "only HTTP/1.1 and HTTP/1.0 can be sent",
            Self::WrongStatusClass => "the status is of the wrong class for this message",
        })
    }
}

impl std::error::Error for LocalError {}
