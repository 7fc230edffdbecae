//! Names of fields as variables spell them, and the host of a request.

use super::state::Host;

/// `name` is the field that a variable calls `variable`: lower case, with `_` for `-`.
pub(crate) fn is_field(name: &[u8], variable: &str) -> bool {
    name.len() == variable.len()
        && name.iter().zip(variable.bytes()).all(|(&byte, asked)| {
            let byte = if byte == b'-' { b'_' } else { byte };
            byte.to_ascii_lowercase() == asked
        })
}

/// A host without port, in lower case and without the dot at its end, and the port. `None`: it is no
/// host (nginx answers 400).
pub(crate) fn host_of(authority: &[u8]) -> Option<Host> {
    let (host, port) = split_port(authority)?;
    let host = host.strip_suffix(b".").unwrap_or(host);
    let has_empty_label = host.windows(2).any(|two| two == b"..");
    let is_forbidden = has_empty_label || host.iter().any(|&byte| is_forbidden(byte));
    if host.is_empty() != authority.is_empty() || is_forbidden {
        return None;
    }
    let is_folded = host.iter().any(u8::is_ascii_uppercase);
    Some(Host {
        folded: is_folded.then(|| host.to_ascii_lowercase().into()),
        length: host.len(),
        port,
    })
}

/// What a host cannot hold: what would change the path of a file or the line of a log.
const fn is_forbidden(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'/' | b'\\' | b'"' | b'@' | 0x7f)
}

/// A host as it is written, and the port behind it.
fn split_port(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let colon = match authority.first() {
        Some(b'[') => {
            let end = authority.iter().position(|&byte| byte == b']')? + 1;
            match authority.get(end) {
                None => return Some((authority, None)),
                Some(b':') => end,
                Some(_) => return None,
            }
        }
        _ => match authority.iter().position(|&byte| byte == b':') {
            None => return Some((authority, None)),
            Some(colon) => colon,
        },
    };
    let (host, digits) = (&authority[..colon], &authority[colon + 1..]);
    if digits.is_empty() {
        return Some((host, None));
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let port = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((host, Some(port)))
}

/// An authority without its port.
pub(crate) fn without_port(authority: &str) -> &str {
    match split_port(authority.as_bytes()) {
        Some((host, _)) => &authority[..host.len()],
        None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (authority, expected) in [
            ("Example.COM", Some(("example.com", None))),
            ("example.com.", Some(("example.com", None))),
            ("example.com:8080", Some(("example.com", Some(8080)))),
            ("example.com:", Some(("example.com", None))),
            ("[::1]:80", Some(("[::1]", Some(80)))),
            ("[::1]", Some(("[::1]", None))),
            ("", Some(("", None))),
            ("a b", None),
            ("a/b", None),
            (":80", None),
            ("a:80x", None),
            ("a:99999", None),
            ("[::1", None),
            ("[::1]x", None),
        ] {
            let host = host_of(authority.as_bytes()).map(|host| {
                let folded = host
                    .folded
                    .map(|bytes| String::from_utf8(bytes.into()).unwrap());
                let text = folded.unwrap_or_else(|| authority[..host.length].to_owned());
                (text, host.port)
            });
            let expected = expected.map(|(host, port): (&str, _)| (host.to_owned(), port));
            assert_eq!(host, expected, "{authority}");
        }
    }

    #[test]
    fn names_of_variables() {
        for (name, variable, expected) in [
            ("X-Token", "x_token", true),
            ("x_token", "x_token", true),
            ("X-Tokens", "x_token", false),
            ("Host", "host", true),
        ] {
            assert_eq!(is_field(name.as_bytes(), variable), expected);
        }
    }
}
