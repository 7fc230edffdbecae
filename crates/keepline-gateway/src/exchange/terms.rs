//! What a scope says about the client's connection, and nginx's rules on whether it is kept.

use std::time::Duration;

use http::Method;
use keepline::CloseReason;
use keepline::server::{Drain, Linger, LingerWhen, Terms};

use super::Serving;
use crate::config::{ClientSettings, KeepAlive, LingeringClose};

/// The terms of requests in a scope.
pub(super) fn terms(client: &ClientSettings) -> Terms {
    let lingering = &client.lingering;
    let mut terms = Terms::default();
    terms.body_timeout = limit(client.body_timeout);
    terms.write_timeout = limit(client.send_timeout);
    terms.idle_timeout = Some(client.keepalive.timeout);
    terms.min_idle = client.keepalive.min_timeout;
    terms.told_idle_seconds = client
        .keepalive
        .told
        .map(|told| told.as_secs())
        .filter(|&told| told > 0);
    // nginx reads on without a limit of size, as long as something comes.
    terms.drain = Drain {
        bytes: u64::MAX,
        timeout: lingering.timeout,
        time: lingering.time,
    };
    terms.linger = Linger {
        when: match lingering.close {
            LingeringClose::Off => LingerWhen::Never,
            LingeringClose::On => LingerWhen::Needed,
            LingeringClose::Always => LingerWhen::Always,
        },
        timeout: lingering.timeout,
        time: lingering.time,
    };
    terms.cancel_on_half_close = true;
    terms
}

/// 0 is no limit to us; nginx would end at once, which nobody can want.
fn limit(time: Duration) -> Option<Duration> {
    Some(time).filter(|time| !time.is_zero())
}

/// What a browser is, as far as `keepalive_disable` asks (`ngx_http_process_user_agent`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Browser {
    Msie6,
    Safari,
    Other,
}

/// The browser of a User-Agent field. Case matters.
fn browser(agent: &[u8]) -> Browser {
    let has = |text: &[u8]| memchr::memmem::find(agent, text).is_some();
    if has(b"Opera") {
        return Browser::Other;
    }
    if let Some(at) = memchr::memmem::find(agent, b"MSIE ") {
        return match agent.get(at + 5..) {
            Some([b'4' | b'5', b'.', _, ..]) => Browser::Msie6,
            Some([b'6', b'.', _, ..]) if !has(b"SV1") => Browser::Msie6,
            _ => Browser::Other,
        };
    }
    if !has(b"Gecko/") && !has(b"Chrome/") && has(b"Safari/") && has(b"Mac OS X") {
        return Browser::Safari;
    }
    Browser::Other
}

/// Why the connection is not kept after this request, by the location's settings; in nginx's order.
fn why_not_kept(
    keepalive: &KeepAlive,
    number: u64,
    age: Duration,
    browser: impl FnOnce() -> Browser,
    method: &Method,
) -> Option<CloseReason> {
    if keepalive.timeout.is_zero() {
        return Some(CloseReason::LocalAskedClose);
    }
    if number >= keepalive.requests {
        return Some(CloseReason::MaxRequests);
    }
    if age > keepalive.time {
        return Some(CloseReason::Lifetime);
    }
    let is_disabled =
        (keepalive.disable.msie6 && *method == Method::POST) || keepalive.disable.safari;
    if !is_disabled {
        return None;
    }
    match browser() {
        Browser::Msie6 if keepalive.disable.msie6 && *method == Method::POST => {
            Some(CloseReason::LocalAskedClose)
        }
        Browser::Safari if keepalive.disable.safari => Some(CloseReason::LocalAskedClose),
        Browser::Msie6 | Browser::Safari | Browser::Other => None,
    }
}

impl Serving<'_, '_, '_> {
    /// Has the scope's terms hold. Each location that a request enters may close its connection, none
    /// may keep it that another closes.
    pub(super) fn settle_terms(&mut self) {
        if let Some(plan) = self.request.plan {
            self.exchange.set_terms(&plan.terms);
        }
        let head = self.exchange.head();
        let info = self.exchange.info();
        let agent = || browser(head.fields().value("user-agent").unwrap_or_default());
        let keepalive = &self.request.scope.client.keepalive;
        let age = info.age_at(self.request.began);
        let reason = why_not_kept(keepalive, info.number(), age, agent, head.method());
        if let Some(reason) = reason {
            self.exchange.close_after(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Browsers;

    #[test]
    fn browsers() {
        for (agent, expected) in [
            (
                "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)",
                Browser::Msie6,
            ),
            (
                "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)",
                Browser::Other,
            ),
            ("Mozilla/4.0 (compatible; MSIE 5.5)", Browser::Msie6),
            ("Mozilla/4.0 (compatible; MSIE 7.0)", Browser::Other),
            ("MSIE 6.", Browser::Other),
            (
                "Mozilla/4.0 (compatible; MSIE 6.0; X) Opera 9",
                Browser::Other,
            ),
            (
                "Mozilla/5.0 (Mac OS X) AppleWebKit Safari/600",
                Browser::Safari,
            ),
            ("Mozilla/5.0 (Mac OS X) Chrome/9 Safari/600", Browser::Other),
            ("Mozilla/5.0 (Windows) Safari/600", Browser::Other),
            ("curl/8", Browser::Other),
        ] {
            assert_eq!(browser(agent.as_bytes()), expected, "{agent}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn each_setting_closes_alone() {
        let kept = KeepAlive::default();
        let hour = Duration::from_secs(3600);
        let none = KeepAlive {
            timeout: Duration::ZERO,
            ..KeepAlive::default()
        };
        let two = KeepAlive {
            requests: 2,
            ..KeepAlive::default()
        };
        let zero = KeepAlive {
            requests: 0,
            ..KeepAlive::default()
        };
        let safari = KeepAlive {
            disable: Browsers {
                msie6: false,
                safari: true,
            },
            ..KeepAlive::default()
        };
        let (get, post) = (Method::GET, Method::POST);
        for (settings, number, age, browser, method, expected) in [
            (&kept, 999, hour, Browser::Other, &get, None),
            (
                &kept,
                1000,
                hour,
                Browser::Other,
                &get,
                Some(CloseReason::MaxRequests),
            ),
            (
                &kept,
                1,
                hour + hour,
                Browser::Other,
                &get,
                Some(CloseReason::Lifetime),
            ),
            (
                &none,
                1,
                hour,
                Browser::Other,
                &get,
                Some(CloseReason::LocalAskedClose),
            ),
            (&two, 1, hour, Browser::Other, &get, None),
            (
                &two,
                2,
                hour,
                Browser::Other,
                &get,
                Some(CloseReason::MaxRequests),
            ),
            (
                &zero,
                1,
                hour,
                Browser::Other,
                &get,
                Some(CloseReason::MaxRequests),
            ),
            (&kept, 1, hour, Browser::Msie6, &get, None),
            (
                &kept,
                1,
                hour,
                Browser::Msie6,
                &post,
                Some(CloseReason::LocalAskedClose),
            ),
            (&kept, 1, hour, Browser::Safari, &get, None),
            (
                &safari,
                1,
                hour,
                Browser::Safari,
                &get,
                Some(CloseReason::LocalAskedClose),
            ),
            (&safari, 1, hour, Browser::Msie6, &post, None),
        ] {
            let reason = why_not_kept(settings, number, age, || browser, method);
            assert_eq!(
                reason, expected,
                "{settings:?} {number} {age:?} {browser:?}"
            );
        }
    }
}
