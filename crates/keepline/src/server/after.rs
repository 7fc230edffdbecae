//! What becomes of a connection: two decisions as pure functions.
//!
//! [`last_exchange`] is asked before a response head is written, so that the head can say close;
//! [`after_exchange`] when the response is complete. What the protocol core decides (RFC 9112
//! §9.3) arrives here as a reason to close and is never overruled.

use super::terms::LingerWhen;
use crate::CloseReason;

/// What is left of the request when the question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// Nothing: it was received whole.
    Nothing,
    /// This much of its body, if that is known.
    Rest(Option<u64>),
    /// Its end will never be found: the peer broke the framing, or stalled.
    Lost,
}

impl Unread {
    /// More is left than may be drained, for certain.
    fn exceeds(self, limit: u64) -> bool {
        matches!(self, Self::Rest(Some(rest)) if rest > limit)
    }
}

/// What is known when a response head is about to be written.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that are independent of each other"
)]
#[derive(Debug, Clone, Copy)]
pub(super) struct BeforeHead {
    /// The connection was told to make room for another.
    pub(super) is_evicted: bool,
    /// The server is being shut down.
    pub(super) is_draining: bool,
    /// The connection has carried as many requests as it may, this one included.
    pub(super) is_used_up: bool,
    /// The connection has reached its age.
    pub(super) is_expired: bool,
    pub(super) unread: Unread,
    /// Nobody will read the rest of the body.
    pub(super) is_abandoned: bool,
    /// The client waits for 100 (Continue) and will not get it.
    pub(super) awaits_continue: bool,
    pub(super) drain_bytes: u64,
    /// The connection may not be idle for any time.
    pub(super) never_idles: bool,
}

/// Why this exchange is the last one, if it is.
pub(super) fn last_exchange(facts: BeforeHead) -> Option<CloseReason> {
    if facts.is_draining {
        return Some(CloseReason::Shutdown);
    }
    if facts.is_evicted {
        return Some(CloseReason::IdleLimit);
    }
    if facts.is_used_up {
        return Some(CloseReason::MaxRequests);
    }
    if facts.is_expired {
        return Some(CloseReason::Lifetime);
    }
    if facts.never_idles {
        return Some(CloseReason::IdleTimeout);
    }
    let is_unread = facts.unread != Unread::Nothing;
    // "A server that responds with a final status code instead of reading the entire request
    // content SHOULD indicate whether it intends to close the connection" (RFC 9110 §10.1.1).
    // Draining would wait for content that a client held back on purpose.
    if is_unread && facts.awaits_continue {
        return Some(CloseReason::NotDrained);
    }
    if facts.is_abandoned && facts.unread.exceeds(facts.drain_bytes) {
        return Some(CloseReason::NotDrained);
    }
    None
}

/// What is known when a response is complete.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtEnd {
    /// Why this was the last exchange, if it was.
    pub(super) closing: Option<CloseReason>,
    pub(super) unread: Unread,
    pub(super) awaits_continue: bool,
    /// The client has closed its direction: nothing more comes than what is here.
    pub(super) is_eof: bool,
    /// Bytes have arrived that belong to no request that was answered.
    pub(super) has_input: bool,
    pub(super) drain_bytes: u64,
    pub(super) linger: LingerWhen,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The next request may come.
    KeepAlive,
    /// The same, once the rest of this request has been thrown away.
    Drain,
    /// It is closed, and what still comes is thrown away for a while.
    Linger(CloseReason),
    /// It is closed.
    Close(CloseReason),
}

/// What becomes of the connection after a complete response.
///
/// "If a server performs an immediate close of a TCP connection, there is a significant risk that
/// the client will not be able to read the last HTTP response. […] the server's TCP stack will
/// send a reset packet to the client" (RFC 9112 §9.6). So it is closed at once only where the
/// client has nothing more to say: it has closed its direction, or it has sent its last request
/// whole.
///
/// Whether such a client is lingered for at all is [`LingerWhen`]'s to say.
pub(super) fn after_exchange(facts: AtEnd) -> After {
    let reason = match (facts.closing, facts.unread) {
        (Some(reason), _) => reason,
        (None, Unread::Nothing) => return After::KeepAlive,
        (None, Unread::Lost) => CloseReason::ProtocolError,
        (None, Unread::Rest(_)) if facts.awaits_continue => CloseReason::NotDrained,
        (None, rest) if rest.exceeds(facts.drain_bytes) => CloseReason::NotDrained,
        (None, Unread::Rest(_)) => return After::Drain,
    };
    // The client knew that this was its last request.
    let is_expected = matches!(
        reason,
        CloseReason::PeerAskedClose | CloseReason::NotPersistent
    );
    let is_silent = facts.unread == Unread::Nothing && !facts.has_input && is_expected;
    let lingers = match facts.linger {
        LingerWhen::Never => false,
        LingerWhen::Needed => !facts.is_eof && !is_silent,
        LingerWhen::Always => !facts.is_eof,
    };
    if lingers {
        After::Linger(reason)
    } else {
        After::Close(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: BeforeHead = BeforeHead {
        is_evicted: false,
        is_draining: false,
        is_used_up: false,
        is_expired: false,
        unread: Unread::Nothing,
        is_abandoned: false,
        awaits_continue: false,
        drain_bytes: 100,
        never_idles: false,
    };

    #[test]
    fn last_exchange_truth_table() {
        let rest = |rest| Unread::Rest(Some(rest));
        let none = Unread::Rest(None);
        let unread = |unread, is_abandoned, awaits_continue| BeforeHead {
            unread,
            is_abandoned,
            awaits_continue,
            ..OPEN
        };
        for (facts, expected) in [
            (OPEN, None),
            (
                BeforeHead {
                    is_draining: true,
                    ..OPEN
                },
                Some(CloseReason::Shutdown),
            ),
            (
                BeforeHead {
                    is_used_up: true,
                    ..OPEN
                },
                Some(CloseReason::MaxRequests),
            ),
            (
                BeforeHead {
                    is_expired: true,
                    ..OPEN
                },
                Some(CloseReason::Lifetime),
            ),
            (
                BeforeHead {
                    never_idles: true,
                    ..OPEN
                },
                Some(CloseReason::IdleTimeout),
            ),
            (
                BeforeHead {
                    is_evicted: true,
                    ..OPEN
                },
                Some(CloseReason::IdleLimit),
            ),
            // Somebody may still read it.
            (unread(rest(101), false, false), None),
            (unread(rest(100), true, false), None),
            (
                unread(rest(101), true, false),
                Some(CloseReason::NotDrained),
            ),
            (unread(none, true, false), None),
            // A body that waits for 100 is not waited for.
            (unread(rest(1), false, true), Some(CloseReason::NotDrained)),
            (unread(none, false, true), Some(CloseReason::NotDrained)),
            (unread(Unread::Nothing, true, true), None),
        ] {
            assert_eq!(last_exchange(facts), expected, "{facts:?}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn after_exchange_truth_table() {
        use After::{Close, Drain, KeepAlive, Linger};
        use CloseReason::{LocalAskedClose, NotDrained, NotPersistent, PeerAskedClose};
        let (whole, rest, large) = (
            Unread::Nothing,
            Unread::Rest(Some(100)),
            Unread::Rest(Some(101)),
        );
        let unknown = Unread::Rest(None);
        // closing, unread, awaits 100, eof, input
        for (closing, unread, awaits_continue, is_eof, has_input, expected) in [
            (None, whole, false, false, false, KeepAlive),
            (None, whole, false, false, true, KeepAlive),
            // What came whole before a FIN is answered; the end shows when the next is awaited.
            (None, whole, false, true, true, KeepAlive),
            (None, rest, false, false, false, Drain),
            (None, unknown, false, false, true, Drain),
            (None, large, false, false, false, Linger(NotDrained)),
            (None, rest, true, false, false, Linger(NotDrained)),
            (
                None,
                Unread::Lost,
                false,
                false,
                false,
                Linger(CloseReason::ProtocolError),
            ),
            (
                Some(PeerAskedClose),
                whole,
                false,
                false,
                false,
                Close(PeerAskedClose),
            ),
            (
                Some(PeerAskedClose),
                whole,
                false,
                false,
                true,
                Linger(PeerAskedClose),
            ),
            (
                Some(PeerAskedClose),
                rest,
                false,
                false,
                false,
                Linger(PeerAskedClose),
            ),
            (
                Some(PeerAskedClose),
                rest,
                false,
                true,
                false,
                Close(PeerAskedClose),
            ),
            (
                Some(NotPersistent),
                whole,
                false,
                false,
                false,
                Close(NotPersistent),
            ),
            // The client may have sent more before it learned of the end.
            (
                Some(LocalAskedClose),
                whole,
                false,
                false,
                false,
                Linger(LocalAskedClose),
            ),
            (
                Some(LocalAskedClose),
                whole,
                false,
                true,
                false,
                Close(LocalAskedClose),
            ),
            (
                Some(CloseReason::MaxRequests),
                whole,
                false,
                false,
                false,
                Linger(CloseReason::MaxRequests),
            ),
            (
                Some(NotDrained),
                large,
                true,
                false,
                true,
                Linger(NotDrained),
            ),
        ] {
            let facts = AtEnd {
                closing,
                unread,
                awaits_continue,
                is_eof,
                has_input,
                drain_bytes: 100,
                linger: LingerWhen::Needed,
            };
            assert_eq!(after_exchange(facts), expected, "{facts:?}");
        }
    }
}
