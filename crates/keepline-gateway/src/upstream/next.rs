//! What becomes of a request whose attempt failed: another server, or an answer. nginx's rules
//! (`ngx_http_upstream_next`) as one pure function.
//!
//! | sent | method | listed | outcome |
//! |---|---|---|---|
//! | no | any | cause | next server |
//! | yes | not POST, LOCK, PATCH | cause | next server |
//! | yes | POST, LOCK, PATCH | cause and `non_idempotent` | next server |
//! | yes, and its body is gone | any | any | the failure |
//! | any | any | not the cause | the failure |
//!
//! A failure of a connection that came from the pool costs no try: it tells of the connection, not of
//! the server. Where the request goes to the last server that may be tried, a status that would move
//! it on is passed to the client instead.

use std::time::Duration;

use http::Method;

use crate::config::{Cause, Causes};

/// An attempt that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed<'a> {
    pub(crate) cause: Cause,
    /// The connection had carried an exchange before.
    pub(crate) was_pooled: bool,
    /// Something of the request was written, or tried to be.
    pub(crate) was_sent: bool,
    /// Content has been sent that is not held any more.
    pub(crate) is_body_gone: bool,
    pub(crate) method: &'a Method,
    /// Tries that were left before this one.
    pub(crate) tries: u32,
    /// Since the first attempt began.
    pub(crate) elapsed: Duration,
}

/// `proxy_next_upstream` and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) causes: Causes,
    pub(crate) timeout: Option<Duration>,
}

/// What becomes of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next server, with so many tries left.
    Retry { tries: u32 },
    /// No further attempt.
    GiveUp(WhyNot),
}

/// Why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhyNot {
    /// The cause is not listed.
    NotListed,
    /// The request may have been carried out, and may not be twice.
    NotIdempotent,
    /// Its content was passed on as it came.
    BodyGone,
    /// This was the last try.
    NoTryLeft,
    /// It has taken too long already.
    TooLate,
}

/// Whether a request may be sent twice, by nginx's list.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    !matches!(method.as_str(), "POST" | "LOCK" | "PATCH")
}

/// Decides.
pub(crate) fn next(failed: Failed<'_>, rules: Rules) -> Next {
    let is_free = failed.was_pooled && failed.cause == Cause::Error;
    let tries = if is_free {
        failed.tries
    } else {
        failed.tries.saturating_sub(1)
    };
    let is_listed = rules.causes.has(failed.cause);
    let is_repeatable = is_idempotent(failed.method) || rules.causes.has(Cause::NonIdempotent);
    if !is_listed {
        Next::GiveUp(WhyNot::NotListed)
    } else if failed.is_body_gone {
        Next::GiveUp(WhyNot::BodyGone)
    } else if failed.was_sent && !is_repeatable {
        Next::GiveUp(WhyNot::NotIdempotent)
    } else if tries == 0 {
        Next::GiveUp(WhyNot::NoTryLeft)
    } else if rules.timeout.is_some_and(|limit| failed.elapsed >= limit) {
        Next::GiveUp(WhyNot::TooLate)
    } else {
        Next::Retry { tries }
    }
}

/// The cause that a status is, if it can be one.
pub(crate) const fn cause_of(status: u16) -> Option<Cause> {
    match status {
        403 => Some(Cause::Http403),
        404 => Some(Cause::Http404),
        429 => Some(Cause::Http429),
        500 => Some(Cause::Http500),
        502 => Some(Cause::Http502),
        503 => Some(Cause::Http503),
        504 => Some(Cause::Http504),
        _ => None,
    }
}

/// What the client is answered when no further attempt is made.
pub(crate) const fn status_of(cause: Cause) -> u16 {
    match cause {
        Cause::Timeout | Cause::Http504 => 504,
        Cause::Http500 => 500,
        Cause::Http503 => 503,
        Cause::Http403 => 403,
        Cause::Http404 => 404,
        Cause::Http429 => 429,
        Cause::Error | Cause::InvalidHeader | Cause::Http502 | Cause::NonIdempotent => 502,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Failed<'static> = Failed {
        cause: Cause::Error,
        was_pooled: false,
        was_sent: true,
        is_body_gone: false,
        method: &Method::GET,
        tries: 2,
        elapsed: Duration::ZERO,
    };

    #[test]
    fn truth_table() {
        let default = Causes::default();
        let all = default.with(Cause::NonIdempotent);
        let post = Failed {
            method: &Method::POST,
            ..GET
        };
        let pooled = Failed {
            was_pooled: true,
            tries: 1,
            ..GET
        };
        let gone = Failed {
            is_body_gone: true,
            ..GET
        };
        let unsent = Failed {
            was_sent: false,
            ..post
        };
        let last = Failed { tries: 1, ..GET };
        let slow = Failed {
            cause: Cause::Timeout,
            ..pooled
        };
        let status = Failed {
            cause: Cause::Http503,
            ..GET
        };
        for (failed, causes, expected) in [
            (GET, default, Next::Retry { tries: 1 }),
            (GET, Causes::NONE, Next::GiveUp(WhyNot::NotListed)),
            (post, default, Next::GiveUp(WhyNot::NotIdempotent)),
            (post, all, Next::Retry { tries: 1 }),
            (unsent, default, Next::Retry { tries: 1 }),
            (gone, all, Next::GiveUp(WhyNot::BodyGone)),
            (last, default, Next::GiveUp(WhyNot::NoTryLeft)),
            // The pool's fault is free of charge.
            (pooled, default, Next::Retry { tries: 1 }),
            (slow, default, Next::GiveUp(WhyNot::NoTryLeft)),
            (status, default, Next::GiveUp(WhyNot::NotListed)),
            (
                status,
                default.with(Cause::Http503),
                Next::Retry { tries: 1 },
            ),
        ] {
            let rules = Rules {
                causes,
                timeout: None,
            };
            assert_eq!(next(failed, rules), expected, "{failed:?}");
        }
    }

    #[test]
    fn after_the_timeout_there_is_no_further_attempt() {
        let rules = Rules {
            causes: Causes::default(),
            timeout: Some(Duration::from_secs(1)),
        };
        let late = Failed {
            elapsed: Duration::from_secs(1),
            ..GET
        };
        assert_eq!(next(late, rules), Next::GiveUp(WhyNot::TooLate));
        assert_eq!(next(GET, rules), Next::Retry { tries: 1 });
    }
}
