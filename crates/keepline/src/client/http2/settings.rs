//! What can be set about HTTP/2, and why it is what it is by default.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Which versions of HTTP a Transport speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Versions {
    /// HTTP/1.1 alone.
    Http1,
    /// Over TLS both are offered, by ALPN, HTTP/2 first; without TLS HTTP/1.1 is spoken. As Go. A
    /// [`ClientTls`](crate::tls::ClientTls) whose ALPN list was set is taken as it is.
    #[default]
    Auto,
    /// HTTP/2 alone: over TLS nothing else is offered, and without TLS it is spoken at once, by
    /// prior knowledge (RFC 9113 §3.3).
    Http2,
}

/// Settings of HTTP/2 sessions, for
/// [`TransportBuilder::http2`](crate::client::TransportBuilder::http2). Timeouts, lifetime, requests
/// per connection and limits of connections are those of the Transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Http2 {
    /// At the peer's limit of streams requests wait for one, instead of opening a further
    /// connection (Go: `StrictMaxConcurrentRequests`). Default off, as Go.
    pub strict_streams: bool,
    /// A session that had no stream for so long is asked by PING whether it is alive before a
    /// request is sent on it. Default 15 s; `None`: never, as Go.
    pub ping_after: Option<Duration>,
    /// While requests are in progress, a PING so often, so that a peer that has died silently is
    /// noticed. Default `None`, as Go: some servers take it for an attack.
    pub ping_interval: Option<Duration>,
    /// How long the answer to a PING may take; then the session is closed, and what was in progress
    /// fails with [`Phase::Ping`](crate::Phase::Ping). Default 5 s (Go 15 s).
    pub ping_timeout: Duration,
    /// What a server may send of one response before it is read, in bytes. Default 1 MiB (Go 4 MiB).
    pub stream_window: u32,
    /// The same of all responses of a session together. Default 16 MiB (Go 1 GiB): responses that
    /// nobody reads may fill it, and then all others stall.
    pub session_window: u32,
    /// The largest header list, in bytes as RFC 9113 §6.5.2 counts them. Default 64 KiB, as heads of
    /// HTTP/1.1 (Go 10 MiB).
    pub max_header_list: u32,
    /// What is queued of one request's content before the server has made room, in bytes. Default
    /// 64 KiB.
    pub send_buffer: usize,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            strict_streams: false,
            ping_after: Some(Duration::from_secs(15)),
            ping_interval: None,
            ping_timeout: Duration::from_secs(5),
            stream_window: 1024 * 1024,
            session_window: 16 * 1024 * 1024,
            max_header_list: 64 * 1024,
            send_buffer: 64 * 1024,
        }
    }
}

/// A number of streams that no peer can allow: a peer that has spoken allows another one.
pub(super) const UNSETTLED: usize = usize::MAX - 1;

impl Http2 {
    pub(super) fn session(self) -> h2::client::Builder {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(UNSETTLED)
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.session_window)
            .max_header_list_size(self.max_header_list)
            .max_send_buffer_size(self.send_buffer)
            .max_local_error_reset_streams(Some(256))
            .max_concurrent_reset_streams(32);
        builder
    }

    /// # Errors
    /// A setting makes no sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        const LARGEST_WINDOW: u32 = (1 << 31) - 1;
        let times = [self.ping_after, self.ping_interval, Some(self.ping_timeout)];
        let windows = [self.stream_window, self.session_window];
        let message = if times.contains(&Some(Duration::ZERO)) {
            "a time of HTTP/2 is 0: use None for never"
        } else if windows
            .iter()
            .any(|x| !(65_535..=LARGEST_WINDOW).contains(x))
        {
            "a window of HTTP/2 is not between 64 KiB and 2 GiB"
        } else if self.max_header_list == 0 || self.send_buffer == 0 {
            "a limit of HTTP/2 is 0: no request could be sent"
        } else {
            return Ok(());
        };
        Err(Error::caused(ErrorKind::InvalidRequest, message))
    }
}
