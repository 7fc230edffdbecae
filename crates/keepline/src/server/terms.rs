//! What holds for one exchange and the pause after it: the settings that a handler may choose for
//! each request, as a gateway does by location.
//!
//! Invariant: an exchange begins with the server's own terms; what a handler chose for one never
//! holds for the next.

use std::time::Duration;

/// The terms of one exchange and of the pause after it; see
/// [`Exchange::set_terms`](super::Exchange::set_terms). Those of a server are set at its
/// [`ServerBuilder`](super::ServerBuilder), where each default has its reason.
///
/// Where a time limit is an `Option`, `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// How long the request body may make no progress while it is being read.
    pub body_timeout: Option<Duration>,
    /// Bytes that count as progress of the request body: in each `body_timeout` that is spent
    /// waiting for it at least so many have to come. At least 1.
    pub body_progress: u64,
    /// How long the whole request body may take, from the first time that it is waited for.
    pub body_deadline: Option<Duration>,
    /// The largest content of a request, in bytes. What is larger fails to be read
    /// ([`TooLarge`](crate::ErrorKind::TooLarge)), and is answered with 413 if the handler does not.
    pub max_body: Option<u64>,
    /// How long the response may make no progress while it is being sent.
    pub write_timeout: Option<Duration>,
    /// Bytes that count as progress of what is sent: in each `write_timeout` that is spent waiting
    /// for the client it has to take at least so many. At least 1.
    pub write_progress: u64,
    /// How long the connection may be idle after this exchange. Zero closes it after the answer,
    /// which says so.
    pub idle_timeout: Option<Duration>,
    /// How long the connection stays idle at least, before a shutdown or the limit of connections
    /// may close it: a request that is on its way meanwhile is not lost (nginx:
    /// `keepalive_min_timeout`).
    pub min_idle: Duration,
    /// What the answer tells as `Keep-Alive: timeout=`, in seconds; `None`: nothing is told.
    pub told_idle_seconds: Option<u64>,
    /// What is done with a request body that nobody read.
    pub drain: Drain,
    /// How the connection is closed.
    pub linger: Linger,
    /// [`Exchange::watch`](super::Exchange::watch) gives up also when the client only closes its
    /// own direction.
    pub cancel_on_half_close: bool,
    /// `Date` is added to an answer that has none.
    pub date: bool,
}

/// How much of a request body that nobody read is drained after the answer, to keep the
/// connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// Bytes.
    pub bytes: u64,
    /// Without a byte from the client for so long it is given up (nginx: `lingering_timeout`).
    pub timeout: Duration,
    /// In all this time (nginx: `lingering_time`).
    pub time: Duration,
}

/// Lingering close: half-close, then read and discard, so that no reset destroys the last answer
/// (RFC 9112 §9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linger {
    /// When it is done at all.
    pub when: LingerWhen,
    /// Without a byte from the client for so long it ends.
    pub timeout: Duration,
    /// In all it takes no longer than this.
    pub time: Duration,
}

/// When a connection that closes lingers (nginx: `lingering_close`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LingerWhen {
    /// Never: what the client is still sending may destroy the answer.
    Never,
    /// Unless it is certain that the client has nothing more to say.
    #[default]
    Needed,
    /// Always.
    Always,
}

/// How a connection ends without a word; see [`Exchange::hang_up`](super::Exchange::hang_up).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUp {
    /// An orderly end of the stream. A response that the end of the connection ends looks complete.
    Fin,
    /// A reset, where the stream can: the client sees that something is missing.
    Reset,
}

impl Default for Terms {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            body_timeout: Some(seconds(30)),
            body_progress: 1,
            body_deadline: None,
            max_body: None,
            write_timeout: Some(seconds(30)),
            write_progress: 1,
            idle_timeout: Some(seconds(75)),
            min_idle: Duration::ZERO,
            told_idle_seconds: None,
            drain: Drain {
                bytes: 256 * 1024,
                timeout: seconds(5),
                time: seconds(5),
            },
            linger: Linger {
                when: LingerWhen::Needed,
                timeout: seconds(5),
                time: seconds(30),
            },
            cancel_on_half_close: false,
            date: true,
        }
    }
}
