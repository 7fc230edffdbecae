//! The four forms of a request target (RFC 9112 §3.2), as a pure function.

use http::Method;

use crate::RemoteError;
use crate::facts::decimal;
use crate::field::all;

/// The form of a request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`: to an origin server.
    Origin,
    /// `http://host/path`: to a proxy; an origin server accepts it too.
    Absolute,
    /// `host:port`: CONNECT only.
    Authority,
    /// `*`: OPTIONS only.
    Asterisk,
}

/// The form of `target` in a request with this method.
///
/// # Errors
/// [`RemoteError::InvalidTarget`] if it has none of the forms, or not one of its method's. A
/// fragment is no part of a target, and bytes outside ASCII have to be percent-encoded.
pub fn target_form(method: &Method, target: &[u8]) -> Result<TargetForm, RemoteError> {
    if !all(target, |byte| matches!(byte, b'!'..=b'~') & (byte != b'#')) {
        return Err(RemoteError::InvalidTarget);
    }
    if *method == Method::CONNECT {
        return if is_authority(target) {
            Ok(TargetForm::Authority)
        } else {
            Err(RemoteError::InvalidTarget)
        };
    }
    match target {
        [b'/', ..] => Ok(TargetForm::Origin),
        b"*" if *method == Method::OPTIONS => Ok(TargetForm::Asterisk),
        _ if is_absolute(target) => Ok(TargetForm::Absolute),
        _ => Err(RemoteError::InvalidTarget),
    }
}

/// `host:port`: a port is required (RFC 9112 §3.2.3), and "a server MUST reject a CONNECT request
/// that targets an empty or invalid port number" (RFC 9110 §9.3.6).
fn is_authority(target: &[u8]) -> bool {
    let port = split_port(target).and_then(|(_, port)| decimal(port?));
    port.is_some_and(|port| (1..=65_535).contains(&port))
}

/// `scheme "://" authority …`. "A recipient that processes such a URI reference MUST reject it as
/// invalid" if the host is empty (RFC 9110 §4.2.1); userinfo is refused, since it serves to
/// disguise the host (§4.2.4).
fn is_absolute(target: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', target) else {
        return false;
    };
    let Some((scheme, rest)) = target.split_at_checked(colon) else {
        return false;
    };
    let [b':', b'/', b'/', rest @ ..] = rest else {
        return false;
    };
    let authority = rest.split(|&byte| matches!(byte, b'/' | b'?')).next();
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
        && authority.is_some_and(has_host)
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2) with a host that is not empty.
pub(crate) fn has_host(authority: &[u8]) -> bool {
    split_port(authority).is_some_and(|(_, port)| {
        port.is_none_or(|port| port.len() <= 5 && port.iter().all(u8::is_ascii_digit))
    })
}

/// Host and port, if the host is not empty and has no bytes that a host cannot have. Whether it
/// names something is not judged here; separators and controls are kept out, as Go does.
fn split_port(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (host, rest) = match authority {
        [b'[', rest @ ..] => {
            let (inside, behind) = rest.split_at_checked(memchr::memchr(b']', rest)?)?;
            let is_address = inside.iter().all(|&x| is_reg_name_byte(x) || x == b':');
            (inside, behind.get(1..).filter(|_| is_address)?)
        }
        _ => {
            let end = authority.iter().position(|&byte| !is_reg_name_byte(byte));
            authority.split_at_checked(end.unwrap_or(authority.len()))?
        }
    };
    match rest {
        _ if host.is_empty() => None,
        [] => Some((host, None)),
        [b':', port @ ..] => Some((host, Some(port))),
        _ => None,
    }
}

/// A byte of `reg-name` (RFC 3986 §3.2.2), by a table: each byte of each Host asks.
#[expect(
    clippy::indexing_slicing,
    reason = "an array of 256 has a place for each byte"
)]
const fn is_reg_name_byte(byte: u8) -> bool {
    const REG_NAME: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table[byte as usize] = matches!(byte,
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%'
                | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
            byte += 1;
        }
        table
    };
    REG_NAME[byte as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_its_forms() {
        use TargetForm::{Absolute, Asterisk, Authority, Origin};
        let get = Method::GET;
        for (method, target, form) in [
            (&get, "/", Some(Origin)),
            (&get, "//a", Some(Origin)),
            (&get, "http://a/b", Some(Absolute)),
            (&get, "HTTP://a", Some(Absolute)),
            (&get, "http:///b", None),
            (&get, "http:/b", None),
            (&get, "a/b", None),
            (&get, "*", None),
            (&get, "/a#b", None),
            (&get, "/\u{e4}", None),
            (&get, "", None),
            (&Method::OPTIONS, "*", Some(Asterisk)),
            (&Method::CONNECT, "a:443", Some(Authority)),
            (&Method::CONNECT, "[::1]:443", Some(Authority)),
            (&Method::CONNECT, "a", None),
            (&Method::CONNECT, "a:", None),
            (&Method::CONNECT, "/a:1", None),
            (&Method::CONNECT, "u@a:1", None),
            (&Method::CONNECT, "::1:443", None),
            (&Method::CONNECT, "a:b:443", None),
            (&Method::CONNECT, "[::1:443", None),
            (&Method::CONNECT, "[]:443", None),
            (&Method::CONNECT, ":443", None),
            (&Method::CONNECT, "a:0", None),
            (&Method::CONNECT, "a:65535", Some(Authority)),
            (&Method::CONNECT, "a:65536", None),
            (&Method::CONNECT, "a:+1", None),
            (&get, "http://a:80/", Some(Absolute)),
            (&get, "http://a:/", Some(Absolute)),
            (&get, "http://[::1]?b", Some(Absolute)),
            (&get, "http://:80/", None),
            (&get, "http://u@a/", None),
            (&get, "http://a:b@c/", None),
            (&get, "http://?b", None),
            (&get, "1http://a/", None),
        ] {
            let found = target_form(method, target.as_bytes()).ok();
            assert_eq!(found, form, "{method} {target}");
        }
    }
}
