//! Where a `Location` leads: a reference resolved against the URI that was asked (RFC 3986 §5.2),
//! as a pure function.
//!
//! A fragment is dropped: it is nothing that is sent. Bytes that may not stand in a URI are encoded
//! in path and query, as browsers do; in a scheme or host they are an error.

use std::fmt::Write as _;

use http::Uri;

/// A reference that leads somewhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) uri: Uri,
    /// It says itself which host is meant.
    pub(super) names_host: bool,
}

/// Where `reference` leads to from `base`, which has a scheme and an authority. `None`: it is no URI
/// of http or https.
pub(super) fn resolve(base: &Uri, reference: &[u8]) -> Option<Resolved> {
    let before_fragment = reference.split(|x| *x == b'#').next().unwrap_or_default();
    let reference = encode(before_fragment);
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let (scheme, rest) = match split_scheme(&reference) {
        Some((own, rest)) => {
            if !rest.starts_with("//") || !is_http(own) {
                return None;
            }
            (own.to_ascii_lowercase(), rest)
        }
        None => (scheme.to_owned(), reference.as_str()),
    };
    let own = rest.strip_prefix("//");
    let (authority, rest) = match own {
        Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
        None => (authority.as_str(), rest),
    };
    let names_host = own.is_some();
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let (path, query) = if names_host || path.starts_with('/') {
        (remove_dot_segments(path), query)
    } else if path.is_empty() {
        (base.path().to_owned(), query.or_else(|| base.query()))
    } else {
        // §5.2.3: all but the last segment of the base's path.
        let directory = base
            .path()
            .rfind('/')
            .map_or("/", |last| &base.path()[..=last]);
        (remove_dot_segments(&format!("{directory}{path}")), query)
    };
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    let path = if path.is_empty() { "/" } else { &path };
    let uri = format!("{scheme}://{authority}{path}{query}")
        .parse()
        .ok()?;
    Some(Resolved { uri, names_host })
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// §3.1: `scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )`, then a colon.
fn split_scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let mut letters = scheme.bytes();
    let is_scheme = letters.next()?.is_ascii_alphabetic()
        && letters.all(|x| x.is_ascii_alphanumeric() || b"+-.".contains(&x));
    is_scheme.then_some((scheme, rest))
}

/// Encodes what may stand in no part of a URI.
fn encode(reference: &[u8]) -> String {
    let mut encoded = String::with_capacity(reference.len());
    for &byte in reference {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// §5.2.4.
fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    let is_absolute = path.starts_with('/');
    if is_absolute {
        segments.next();
    }
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    let joined = kept.join("/");
    if is_absolute {
        format!("/{joined}")
    } else {
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_3986() {
        // §5.4 with the base of its text; its `;p` stays.
        let base: Uri = "http://a/b/c/d;p?q".parse().unwrap();
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
        ] {
            let resolved = resolve(&base, reference.as_bytes()).unwrap();
            assert_eq!(resolved.uri.to_string(), expected, "{reference}");
        }
    }

    #[test]
    fn absolute_ones_and_bytes_that_may_not_stand_there() {
        let base: Uri = "https://a:8443/b".parse().unwrap();
        for (reference, expected) in [
            ("HTTP://Other:81/x?y", Some("http://Other:81/x?y")),
            ("https://other", Some("https://other/")),
            ("https://other?x", Some("https://other/?x")),
            ("//other:1/..", Some("https://other:1/")),
            ("a b", Some("https://a:8443/a%20b")),
            ("/\u{e9}?\u{e9}", Some("https://a:8443/%C3%A9?%C3%A9")),
            ("x:y", None),
            ("http:y", None),
            ("ftp://other/", None),
            ("javascript:alert(1)", None),
            ("https://", None),
            ("https://ex ample/", None),
        ] {
            let resolved = resolve(&base, reference.as_bytes());
            assert_eq!(
                resolved.map(|x| x.uri.to_string()).as_deref(),
                expected,
                "{reference}"
            );
        }
    }
}
