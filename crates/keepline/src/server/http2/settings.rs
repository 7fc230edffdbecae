//! What can be set about HTTP/2, and why it is what it is by default.

/// Settings of HTTP/2 sessions, for [`ServerBuilder::http2`](crate::server::ServerBuilder::http2).
/// Deadlines, age and limits of content are those of the server; its `max_requests` counts the
/// requests of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Http2 {
    /// Requests in progress at a time in a session (SETTINGS_MAX_CONCURRENT_STREAMS). Default 128,
    /// as nginx (Go 250; RFC 9113 §5.1.2 recommends 100 or more).
    pub max_streams: u32,
    /// The largest header list, in bytes as RFC 9113 §6.5.2 counts them; above it, 431. Default
    /// 64 KiB, as heads of HTTP/1.1 (Go 1 MiB, the h2 crate 16 MiB).
    pub max_header_list: u32,
    /// Requests that a client may take back by resetting them before they are answered, beyond
    /// those that it lets be answered: above it the session is closed with ENHANCE_YOUR_CALM. What
    /// bounds a *rapid reset* (CVE-2023-44487). Default 200.
    pub max_resets: u32,
    /// What a client may send of one request's content before it is read, in bytes. Default 256 KiB
    /// (Go 1 MiB).
    pub stream_window: u32,
    /// The same of all requests of a session together. Default 1 MiB, as Go.
    pub session_window: u32,
    /// What is queued of one response before the client has made room, in bytes. Default 64 KiB.
    pub send_buffer: usize,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            max_streams: 128,
            max_header_list: 64 * 1024,
            max_resets: 200,
            stream_window: 256 * 1024,
            session_window: 1024 * 1024,
            send_buffer: 64 * 1024,
        }
    }
}

impl Http2 {
    pub(super) fn session(self) -> h2::server::Builder {
        let mut builder = h2::server::Builder::new();
        builder
            .max_concurrent_streams(self.max_streams)
            .max_header_list_size(self.max_header_list)
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.session_window)
            .max_send_buffer_size(self.send_buffer)
            // Reset before we have seen them: a client that is honest has few.
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(Some(256))
            .max_concurrent_reset_streams(32);
        builder
    }
}
