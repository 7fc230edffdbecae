//! Whether a connection can be used again: two pure functions that answer with a reason.
//!
//! [`ending`] after an exchange that ran to its end (Go: the conditions before `tryPutIdleConn`,
//! and two that Go does not test: bytes left over, and a runtime that is gone); [`abandoned`]
//! when a body is dropped before its end.

use std::time::Duration;

use keepline_proto::Persistence;

use crate::CloseReason;

/// What [`ending`] looks at.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that are independent of each other"
)]
pub(crate) struct Ending {
    /// Both messages are complete.
    pub(crate) is_over: bool,
    /// Whether anybody said that this was the last exchange.
    pub(crate) persistence: Persistence,
    /// Bytes that have arrived behind the response.
    pub(crate) buffered: usize,
    /// Something of the request is not written.
    pub(crate) has_unsent: bool,
    /// The peer has closed behind the response.
    pub(crate) is_eof: bool,
    /// The runtime that its socket is registered with has been shut down.
    pub(crate) is_runtime_gone: bool,
}

/// Whether the connection goes back to the pool; otherwise why it is closed. The first reason
/// that holds is told: what the peer said explains more than what it then did.
pub(crate) fn ending(ending: &Ending) -> Result<(), CloseReason> {
    if let Persistence::Close(reason) = ending.persistence {
        return Err(reason.into());
    }
    if !ending.is_over || ending.has_unsent {
        return Err(CloseReason::RequestUnsent);
    }
    if ending.buffered > 0 {
        return Err(CloseReason::UnsolicitedBytes);
    }
    if ending.is_eof {
        return Err(CloseReason::PeerClosed);
    }
    if ending.is_runtime_gone {
        return Err(CloseReason::Shutdown);
    }
    Ok(())
}

/// How much of an unread body is read after it was dropped, so that its connection stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DrainLimits {
    /// Bytes of content. 0: nothing is drained, and a connection is given back only when the
    /// reader has seen the end of the body (Go before 1.27).
    pub(crate) bytes: u64,
    /// Time.
    pub(crate) time: Duration,
}

impl Default for DrainLimits {
    /// 256 KiB within 50 ms, as Go 1.27.
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            time: Duration::from_millis(50),
        }
    }
}

impl DrainLimits {
    /// Unread bodies are drained at all.
    pub(crate) const fn is_on(self) -> bool {
        self.bytes > 0
    }
}

/// What happens to a connection whose body was dropped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// Read the rest, within the limits.
    Drain,
    /// Close it.
    Close(CloseReason),
}

/// Decides about a body that was dropped with `remaining` bytes to come (`None`: unknown). What
/// *remains* counts, not the total as in Go.
pub(crate) fn abandoned(
    limits: DrainLimits,
    persistence: Persistence,
    remaining: Option<u64>,
    is_upload_over: bool,
) -> Abandoned {
    match persistence {
        // Nothing is gained by reading on.
        Persistence::Close(reason) => Abandoned::Close(reason.into()),
        Persistence::Persistent if !is_upload_over => Abandoned::Close(CloseReason::RequestUnsent),
        Persistence::Persistent if !limits.is_on() || remaining > Some(limits.bytes) => {
            Abandoned::Close(CloseReason::NotDrained)
        }
        Persistence::Persistent => Abandoned::Drain,
    }
}

#[cfg(test)]
mod tests {
    use keepline_proto::NotPersistent;

    use super::*;

    const WELL: Ending = Ending {
        is_over: true,
        persistence: Persistence::Persistent,
        buffered: 0,
        has_unsent: false,
        is_eof: false,
        is_runtime_gone: false,
    };

    #[test]
    fn each_condition_alone_keeps_a_connection_out_of_the_pool() {
        assert_eq!(ending(&WELL), Ok(()));
        let closing = Persistence::Close(NotPersistent::PeerAskedClose);
        for (state, reason) in [
            (
                Ending {
                    is_over: false,
                    ..WELL
                },
                CloseReason::RequestUnsent,
            ),
            (
                Ending {
                    persistence: closing,
                    ..WELL
                },
                CloseReason::PeerAskedClose,
            ),
            (
                Ending {
                    buffered: 1,
                    ..WELL
                },
                CloseReason::UnsolicitedBytes,
            ),
            (
                Ending {
                    has_unsent: true,
                    ..WELL
                },
                CloseReason::RequestUnsent,
            ),
            (
                Ending {
                    is_eof: true,
                    ..WELL
                },
                CloseReason::PeerClosed,
            ),
            (
                Ending {
                    is_runtime_gone: true,
                    ..WELL
                },
                CloseReason::Shutdown,
            ),
            (
                Ending {
                    persistence: closing,
                    is_eof: true,
                    ..WELL
                },
                CloseReason::PeerAskedClose,
            ),
        ] {
            assert_eq!(ending(&state), Err(reason), "{state:?}");
        }
    }

    #[test]
    fn what_remains_decides_about_a_dropped_body() {
        let limits = DrainLimits {
            bytes: 100,
            ..DrainLimits::default()
        };
        let off = DrainLimits { bytes: 0, ..limits };
        let stay = Persistence::Persistent;
        let close = Persistence::Close(NotPersistent::CloseDelimited);
        let not_drained = Abandoned::Close(CloseReason::NotDrained);
        for (limits, persistence, remaining, upload_over, expected) in [
            (limits, stay, Some(100), true, Abandoned::Drain),
            (limits, stay, Some(101), true, not_drained),
            (limits, stay, None, true, Abandoned::Drain),
            (off, stay, Some(1), true, not_drained),
            (off, stay, None, true, not_drained),
            (
                limits,
                stay,
                Some(1),
                false,
                Abandoned::Close(CloseReason::RequestUnsent),
            ),
            (
                limits,
                close,
                Some(1),
                true,
                Abandoned::Close(CloseReason::NotPersistent),
            ),
        ] {
            assert_eq!(
                abandoned(limits, persistence, remaining, upload_over),
                expected
            );
        }
    }
}
