//! Every bound of the protocol core, in one place.
//!
//! Invariant: nothing that a peer sends makes a connection hold more than these numbers allow,
//! whatever way the bytes are split. The limits on *content* (how large an upload may be) are
//! not here: they belong to the server and the gateway.

/// How much a connection accepts of what its peer sends.
///
/// Passed down whole, never as single setters. All sizes are in bytes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A whole head: start line and header section with their line ends; on the client all
    /// interim (1xx) heads of an exchange together with the final one. Default 64 KiB (Go
    /// accepts 1 MiB from clients and 10 MiB from servers, nginx 4 × 8 KiB, hyper about 400 KiB).
    pub head: usize,
    /// One line of a request's head, with its line end. Default 64 KiB: no limit beside that of the
    /// whole (nginx 8 KiB).
    pub line: usize,
    /// Field lines in a header or trailer section. Default 256 (Go 500 values, nginx 1000,
    /// hyper 100).
    pub fields: usize,
    /// All Connection field values of a section. Default 2 KiB: whether a field is forwarded is
    /// asked of each of them, for each field.
    pub connection_options: usize,
    /// A chunk-size line with its extensions and its line end. Default 4 KiB, as Go.
    pub chunk_line: usize,
    /// What chunk framing may cost in a body beyond 16 bytes plus twice its data per chunk.
    /// Default 16 KiB, as Go: it stops bodies that are nearly all extension.
    pub chunk_overhead: usize,
    /// A trailer section. Default 16 KiB (Go 4 KiB).
    pub trailers: usize,
    /// Empty lines in front of a request line (RFC 9112 §2.2 asks for at least one). Default 4.
    pub empty_lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 * 1024,
            line: 64 * 1024,
            fields: 256,
            connection_options: 2 * 1024,
            chunk_line: 4 * 1024,
            chunk_overhead: 16 * 1024,
            trailers: 16 * 1024,
            empty_lines: 4,
        }
    }
}

/// What to do with a folded field line (RFC 9112 §5.2) in a response. In a request, folding is
/// always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ObsFold {
    /// Refuse the message. A gateway does this and answers 502.
    Refuse,
    /// Replace each fold by spaces before the field is interpreted, as a user agent must.
    #[default]
    Replace,
}

/// How a [`Connection`](crate::Connection) reads, and the one choice in how it writes: its limits
/// and what RFC 9112 leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Config {
    /// Bounds on what the peer may send.
    pub limits: Limits,
    /// Accept a bare LF as the end of a head line (RFC 9112 §2.2, MAY). Off by default; the
    /// gateway turns it on, as nginx does. Chunk framing and trailers are strict CRLF always.
    pub bare_lf: bool,
    /// Folded field lines in responses.
    pub obs_fold: ObsFold,
    /// A server writes `Connection: keep-alive` to every client whose connection is kept, also to
    /// those of HTTP/1.1, which need not be told. Off by default; nginx always does.
    pub tells_keep_alive: bool,
}
