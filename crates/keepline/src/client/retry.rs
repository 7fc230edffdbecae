//! Whether a failed request is sent again: one pure function.
//!
//! RFC 9110 §9.2.2: "A client SHOULD NOT automatically retry a request with a non-idempotent
//! method unless it has some means to know that the request semantics are actually idempotent,
//! regardless of the method, or some means to detect that the original request was never
//! applied." RFC 9112 §9.3.1 adds that an idle connection may be closed at any time, so a
//! failure on a *pooled* connection (one that carried an exchange, or was idle after a dial whose
//! request was served otherwise) before the first byte of the response is the expected race, and
//! a failure on a *new* one is not.
//!
//! | connection | written | response | request | decision |
//! |---|---|---|---|---|
//! | any | any | any | the error is ours, a deadline or a cancellation | no |
//! | any | any | none | the peer says that it has not processed it (HTTP/2: GOAWAY, REFUSED_STREAM), body can be made again | again, any method |
//! | new | any | any | any | no: it would loop |
//! | pooled | nothing | none | body can be made again, or was not polled | again, any method |
//! | pooled | something | none | idempotent or `Idempotency-Key`, body can be made again | again, on a new connection |
//! | pooled | something | none | otherwise | no: it may have been applied |
//! | pooled | any | first byte | any | no |
//!
//! Against Go: what was *written* decides, not which of two racing signals came first (Go issue
//! 22158), and a partial write does not forbid the retry of an idempotent request.

use http::{HeaderMap, Method};

/// A request is sent at most this often. The last attempt is on a newly dialled connection, so
/// that a pool full of stale connections cannot use up all attempts (Go has no such limit).
pub(crate) const MOST_ATTEMPTS: u32 = 4;

/// How often a request has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attempts {
    /// Those that count towards [`MOST_ATTEMPTS`].
    counted: u32,
    /// Those in a pipeline that do not: one that goes alone in the end has two attempts in any case.
    forgiven: u32,
}

impl Attempts {
    /// It was sent in a pipeline so often.
    pub(crate) fn pipelined(times: u32) -> Self {
        let counted = times.min(MOST_ATTEMPTS - 2);
        Self {
            counted,
            forgiven: times - counted,
        }
    }

    /// It is about to be sent.
    pub(crate) const fn begin(&mut self) {
        self.counted += 1;
    }

    /// Those that count.
    pub(crate) const fn counted(self) -> u32 {
        self.counted
    }

    /// No further one is made.
    pub(crate) const fn is_last(self) -> bool {
        self.counted == MOST_ATTEMPTS
    }

    /// How often it has been sent again.
    pub(crate) const fn retries(self) -> u32 {
        (self.counted + self.forgiven).saturating_sub(1)
    }
}

/// Why, or why not, a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing had reached the connection: any method.
    NothingWritten,
    /// The peer says that it has not processed the request: any method.
    Unprocessed,
    /// The server closed before it answered, and the request may be applied twice.
    Idempotent,
    /// Retries are switched off.
    Off,
    /// It has been sent often enough.
    EnoughAttempts,
    /// The failure is not the loss of the connection.
    NotALoss,
    /// The connection was new: there is no race that would explain the failure.
    NewConnection,
    /// A part of the response had arrived.
    ResponseBegun,
    /// The body cannot be made again.
    BodyConsumed,
    /// The request may have been applied.
    NotIdempotent,
}

impl Decision {
    /// The request is sent again.
    pub(crate) const fn is_retry(self) -> bool {
        matches!(
            self,
            Self::NothingWritten | Self::Unprocessed | Self::Idempotent
        )
    }
}

/// What is known of a failed attempt.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that are independent of each other"
)]
pub(crate) struct Failure {
    /// Retries are allowed.
    pub(crate) is_on: bool,
    /// Attempts so far, this one among them.
    pub(crate) attempts: u32,
    /// The connection was lost: closed, reset or unusable, not too slow and not our mistake.
    pub(crate) is_loss: bool,
    /// The peer says that it has not processed the request.
    pub(crate) is_unprocessed: bool,
    /// The connection had neither been in the pool nor carried an exchange.
    pub(crate) was_fresh: bool,
    /// Bytes of the request that were given to the socket.
    pub(crate) written: u64,
    /// Bytes of the response that arrived.
    pub(crate) read: u64,
    /// The method is idempotent, or the request says so itself.
    pub(crate) is_idempotent: bool,
    /// The body can be made again.
    pub(crate) is_replayable: bool,
}

/// Decides about a failed attempt.
pub(crate) const fn decide(failure: &Failure) -> Decision {
    if !failure.is_on {
        Decision::Off
    } else if failure.is_unprocessed && failure.is_replayable && failure.attempts < MOST_ATTEMPTS {
        Decision::Unprocessed
    } else if !failure.is_loss {
        Decision::NotALoss
    } else if failure.was_fresh {
        Decision::NewConnection
    } else if failure.read > 0 {
        Decision::ResponseBegun
    } else if !failure.is_replayable {
        Decision::BodyConsumed
    } else if failure.attempts >= MOST_ATTEMPTS {
        Decision::EnoughAttempts
    } else if failure.written == 0 {
        Decision::NothingWritten
    } else if failure.is_idempotent {
        Decision::Idempotent
    } else {
        Decision::NotIdempotent
    }
}

/// RFC 9110 §9.2.2: "Of the request methods defined by this specification, PUT, DELETE, and safe
/// request methods are idempotent"; or the request carries a key that makes it so. A key without
/// a value promises nothing.
pub(crate) fn is_idempotent(method: &Method, headers: &HeaderMap) -> bool {
    method.is_idempotent()
        || ["idempotency-key", "x-idempotency-key"]
            .iter()
            .any(|name| headers.get(*name).is_some_and(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Failure = Failure {
        is_on: true,
        attempts: 1,
        is_loss: true,
        is_unprocessed: false,
        was_fresh: false,
        written: 80,
        read: 0,
        is_idempotent: true,
        is_replayable: true,
    };

    #[test]
    fn truth_table() {
        type Change = fn(&mut Failure);
        let rows: [(&str, Change, Decision); 15] = [
            ("lost", |_| {}, Decision::Idempotent),
            ("unwritten", |x| x.written = 0, Decision::NothingWritten),
            (
                "unwritten POST",
                |x| (x.written, x.is_idempotent) = (0, false),
                Decision::NothingWritten,
            ),
            ("POST", |x| x.is_idempotent = false, Decision::NotIdempotent),
            (
                "stream",
                |x| x.is_replayable = false,
                Decision::BodyConsumed,
            ),
            (
                "unwritten stream",
                |x| (x.written, x.is_replayable) = (0, false),
                Decision::BodyConsumed,
            ),
            ("fresh", |x| x.was_fresh = true, Decision::NewConnection),
            (
                "fresh, unwritten",
                |x| (x.written, x.was_fresh) = (0, true),
                Decision::NewConnection,
            ),
            ("answered", |x| x.read = 1, Decision::ResponseBegun),
            (
                "refused on a new connection, POST",
                |x| {
                    (x.is_unprocessed, x.is_loss) = (true, false);
                    (x.was_fresh, x.is_idempotent) = (true, false);
                },
                Decision::Unprocessed,
            ),
            (
                "refused stream",
                |x| (x.is_unprocessed, x.is_replayable) = (true, false),
                Decision::BodyConsumed,
            ),
            (
                "refused often",
                |x| (x.is_unprocessed, x.attempts) = (true, MOST_ATTEMPTS),
                Decision::EnoughAttempts,
            ),
            ("no loss", |x| x.is_loss = false, Decision::NotALoss),
            ("off", |x| x.is_on = false, Decision::Off),
            (
                "often",
                |x| x.attempts = MOST_ATTEMPTS,
                Decision::EnoughAttempts,
            ),
        ];
        for (name, change, decision) in rows {
            let mut failure = LOST;
            change(&mut failure);
            assert_eq!(decide(&failure), decision, "{name}");
        }
    }

    #[test]
    fn methods_and_keys() {
        let mut headers = HeaderMap::new();
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"] {
            assert!(
                is_idempotent(&method.parse().unwrap(), &headers),
                "{method}"
            );
        }
        for method in ["POST", "PATCH", "CONNECT", "LOCK"] {
            assert!(
                !is_idempotent(&method.parse().unwrap(), &headers),
                "{method}"
            );
        }
        headers.insert("idempotency-key", http::HeaderValue::from_static(""));
        assert!(!is_idempotent(&Method::POST, &headers));
        headers.insert("idempotency-key", http::HeaderValue::from_static("7"));
        assert!(is_idempotent(&Method::POST, &headers));
    }
}
