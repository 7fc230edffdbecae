//! What follows from a redirect: pure functions, as Go's `http.Client` decides, with RFC 9110 §15.4.
//!
//! | status | method | content |
//! |---|---|---|
//! | 301, 302, 303 | HEAD stays HEAD, any other becomes GET | dropped, with the fields that describe it; it never comes back |
//! | 307, 308 | stays | sent again; if it cannot be made again, the redirect is the response |
//!
//! §15.4.2 on 301: "For historical reasons, a user agent MAY change the request method from POST to
//! GET for the subsequent request"; Go and browsers do.
//!
//! Credentials (`Authorization`, `Cookie`, …) go along to the same host and its subdomains, as in
//! Go; not to another port, nor from https to http, which Go allows and curl no longer does
//! (CVE-2022-27774). Once dropped they stay dropped.

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderName, LOCATION, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, REFERER, TRAILER, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use super::reference::{Resolved, resolve};

/// What a redirect is decided by.
#[derive(Debug)]
pub(super) struct Hop<'a> {
    pub(super) status: StatusCode,
    /// The fields of the response.
    pub(super) answer: &'a HeaderMap,
    /// What was asked, with scheme and authority.
    pub(super) uri: &'a Uri,
    pub(super) method: &'a Method,
    /// Redirects that were followed until now, and how many may be.
    pub(super) followed: usize,
    pub(super) most: usize,
    /// The content can be made again, or there is none.
    pub(super) is_replayable: bool,
}

/// What follows from a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// This is asked next.
    Follow {
        method: Method,
        to: Resolved,
        keeps_body: bool,
    },
    /// The response is the final one.
    Stay(Stay),
    /// More redirects than allowed.
    TooMany,
    /// The location is no URI of http or https.
    BadLocation,
}

/// Why a response is the final one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// It is no redirect.
    NotARedirect,
    /// Redirects are not followed.
    Off,
    /// It does not say where to.
    NoLocation,
    /// The content would have to be sent again and cannot be made again.
    BodyConsumed,
}

/// Decides about a response.
pub(super) fn decide(hop: &Hop<'_>) -> Decision {
    let keeps_body = match hop.status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => false,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => return Decision::Stay(Stay::NotARedirect),
    };
    let Some(location) = hop.answer.get(LOCATION) else {
        return Decision::Stay(Stay::NoLocation);
    };
    if hop.most == 0 {
        return Decision::Stay(Stay::Off);
    }
    if keeps_body && !hop.is_replayable {
        return Decision::Stay(Stay::BodyConsumed);
    }
    if hop.followed >= hop.most {
        return Decision::TooMany;
    }
    let Some(to) = resolve(hop.uri, location.as_bytes()) else {
        return Decision::BadLocation;
    };
    let method = match hop.method {
        method if keeps_body => method.clone(),
        &Method::HEAD => Method::HEAD,
        _ => Method::GET,
    };
    Decision::Follow {
        method,
        to,
        keeps_body,
    }
}

/// Fields that only the server may see which they were meant for.
const CREDENTIALS: [HeaderName; 6] = [
    AUTHORIZATION,
    WWW_AUTHENTICATE,
    COOKIE,
    HeaderName::from_static("cookie2"),
    PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATE,
];

/// Fields that describe content or its transfer.
const OF_CONTENT: [HeaderName; 8] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    TRANSFER_ENCODING,
    TRAILER,
    EXPECT,
];

/// Changes the fields of a request into those of the next one. `first` is what was asked at first,
/// `from` what the redirect answers, `to` where it leads; `explicit_referer`: the program set one.
pub(super) fn next_fields(
    fields: &mut HeaderMap,
    (first, from, to): (&Uri, &Uri, &Resolved),
    keeps_body: bool,
    explicit_referer: Option<&HeaderValue>,
) {
    let Resolved {
        uri: to,
        names_host,
    } = to;
    if !keeps_body {
        for name in &OF_CONTENT {
            fields.remove(name);
        }
    }
    if !may_see_credentials(first, to) {
        for name in &CREDENTIALS {
            fields.remove(name);
        }
    }
    // A Host that the program set holds until a redirect names a host itself.
    if *names_host {
        fields.remove(HOST);
    }
    match referer(from, to, explicit_referer) {
        Some(referer) => fields.insert(REFERER, referer),
        None => fields.remove(REFERER),
    };
}

/// Whether `to` may see the credentials that were meant for `first`.
pub(super) fn may_see_credentials(first: &Uri, to: &Uri) -> bool {
    let (Some(meant), Some(asked)) = (first.host(), to.host()) else {
        return false;
    };
    let is_downgrade = is_secure(first) && !is_secure(to);
    // From http to https with the ports that these have anyway, it is the same server, only safer.
    let is_upgrade = !is_secure(first) && is_secure(to);
    let is_same_port = port(first) == port(to)
        || (is_upgrade && first.port_u16().is_none_or(|x| x == 80) && port(to) == 443);
    !is_downgrade && is_same_port && is_same_or_subdomain(asked, meant)
}

fn is_same_or_subdomain(host: &str, of: &str) -> bool {
    let (host, of) = (host.to_ascii_lowercase(), of.to_ascii_lowercase());
    // An address has no subdomains, whatever its dots and colons look like.
    let is_name = !of.contains(':') && of.parse::<std::net::Ipv4Addr>().is_err();
    host == of
        || (is_name
            && host
                .strip_suffix(of.as_str())
                .is_some_and(|rest| rest.ends_with('.')))
}

fn is_secure(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16()
        .unwrap_or_else(|| if is_secure(uri) { 443 } else { 80 })
}

/// RFC 9110 §10.1.3: "A user agent MUST NOT send a Referer header field in an unsecured HTTP request
/// if the referring resource was accessed with a secure protocol." One that the program set stays.
fn referer(from: &Uri, to: &Uri, explicit: Option<&HeaderValue>) -> Option<HeaderValue> {
    if is_secure(from) && !is_secure(to) {
        return None;
    }
    explicit
        .cloned()
        .or_else(|| HeaderValue::from_str(&from.to_string()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    fn after(
        status: u16,
        method: &Method,
        location: Option<&str>,
        change: fn(&mut Hop<'_>),
    ) -> Decision {
        let mut answer = HeaderMap::new();
        if let Some(location) = location {
            answer.insert(LOCATION, location.parse().unwrap());
        }
        let uri = uri("http://a/x");
        let mut hop = Hop {
            status: StatusCode::from_u16(status).unwrap(),
            answer: &answer,
            uri: &uri,
            method,
            followed: 0,
            most: 10,
            is_replayable: true,
        };
        change(&mut hop);
        decide(&hop)
    }

    #[test]
    fn methods_and_contents_as_go_does() {
        for (status, method, next, keeps_body) in [
            (301, "POST", "GET", false),
            (301, "HEAD", "HEAD", false),
            (302, "PUT", "GET", false),
            (302, "GET", "GET", false),
            (303, "DELETE", "GET", false),
            (303, "HEAD", "HEAD", false),
            (307, "POST", "POST", true),
            (307, "DELETE", "DELETE", true),
            (308, "PUT", "PUT", true),
            (308, "GET", "GET", true),
        ] {
            let followed = after(status, &method.parse().unwrap(), Some("y"), |_| {});
            let expected = Decision::Follow {
                method: next.parse().unwrap(),
                to: Resolved {
                    uri: uri("http://a/y"),
                    names_host: false,
                },
                keeps_body,
            };
            assert_eq!(followed, expected, "{status} {method}");
        }
    }

    #[test]
    fn what_is_not_followed_says_why() {
        type Change = fn(&mut Hop<'_>);
        let get = Method::GET;
        let rows: [(u16, Option<&str>, Change, Decision); 10] = [
            (200, Some("y"), |_| {}, Decision::Stay(Stay::NotARedirect)),
            (300, Some("y"), |_| {}, Decision::Stay(Stay::NotARedirect)),
            (304, Some("y"), |_| {}, Decision::Stay(Stay::NotARedirect)),
            (302, None, |_| {}, Decision::Stay(Stay::NoLocation)),
            (302, Some("y"), |x| x.most = 0, Decision::Stay(Stay::Off)),
            (
                307,
                Some("y"),
                |x| x.is_replayable = false,
                Decision::Stay(Stay::BodyConsumed),
            ),
            (302, Some("y"), |x| x.followed = 10, Decision::TooMany),
            (302, Some("ftp://b/"), |_| {}, Decision::BadLocation),
            (307, Some("http://"), |_| {}, Decision::BadLocation),
            (308, Some("y"), |x| x.followed = 11, Decision::TooMany),
        ];
        for (status, location, change, expected) in rows {
            assert_eq!(
                after(status, &get, location, change),
                expected,
                "{status} {location:?}"
            );
        }
    }

    #[test]
    fn credentials_go_to_the_same_host_and_its_subdomains_only() {
        for (first, to, expected) in [
            ("http://foo.com/", "http://foo.com/x", true),
            ("http://foo.com/", "http://FOO.com:80/x", true),
            ("http://foo.com/", "http://sub.foo.com/", true),
            ("http://foo.com/", "http://notfoo.com/", false),
            ("http://sub.foo.com/", "http://foo.com/", false),
            ("http://foo.com/", "http://foo.com.evil.org/", false),
            ("http://foo.com/", "http://bar.com/", false),
            ("http://foo.com/", "https://foo.com/", true),
            ("http://foo.com:8080/", "https://foo.com/", false),
            ("https://foo.com/", "http://foo.com/", false),
            ("https://foo.com/", "https://foo.com:444/", false),
            ("http://127.0.0.1/", "http://1.127.0.0.1/", false),
            ("http://[::1]/", "http://[::1]/y", true),
        ] {
            assert_eq!(
                may_see_credentials(&uri(first), &uri(to)),
                expected,
                "{first} to {to}"
            );
        }
    }

    #[test]
    fn a_referer_is_what_was_asked_and_never_leaves_https() {
        for (from, to, explicit, expected) in [
            ("http://a/x?y", "http://b/", None, Some("http://a/x?y")),
            ("https://a/x", "https://b/", None, Some("https://a/x")),
            ("http://a/x", "https://b/", None, Some("http://a/x")),
            ("https://a/x", "http://b/", None, None),
            ("http://a/x", "http://b/", Some("mine"), Some("mine")),
            ("https://a/x", "http://b/", Some("mine"), None),
        ] {
            let explicit = explicit.map(HeaderValue::from_static);
            let told = referer(&uri(from), &uri(to), explicit.as_ref());
            assert_eq!(
                told,
                expected.map(HeaderValue::from_static),
                "{from} to {to}"
            );
        }
    }
}
