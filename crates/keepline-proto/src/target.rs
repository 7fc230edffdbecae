//! The four forms of a request target (RFC 9112 §3.2), as a pure function.

use http::Method;

use crate::RemoteError;

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
    if !target
        .iter()
        .all(|&byte| matches!(byte, b'!'..=b'~') && byte != b'#')
    {
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

/// `host:port`: a port is required (RFC 9112 §3.2.3), userinfo and path are not allowed.
fn is_authority(target: &[u8]) -> bool {
    let Some(colon) = memchr::memrchr(b':', target) else {
        return false;
    };
    let Some((host, port)) = target.split_at_checked(colon) else {
        return false;
    };
    let port = port.get(1..).unwrap_or_default();
    !host.is_empty()
        && !host.iter().any(|byte| matches!(byte, b'@' | b'/' | b'?'))
        && !port.is_empty()
        && port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
}

/// `scheme "://" authority …` with a non-empty authority.
fn is_absolute(target: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', target) else {
        return false;
    };
    let Some((scheme, rest)) = target.split_at_checked(colon) else {
        return false;
    };
    let [b':', b'/', b'/', authority @ ..] = rest else {
        return false;
    };
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
        && authority
            .first()
            .is_some_and(|&byte| byte != b'/' && byte != b'?')
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
        ] {
            let found = target_form(method, target.as_bytes()).ok();
            assert_eq!(found, form, "{method} {target}");
        }
    }
}
