//! From a request target to a path that can be compared: decoded, without dot segments.
//!
//! nginx's rules (`ngx_http_parse_complex_uri`): `%XX` is decoded, `/./` and `/../` are resolved,
//! `//` is one slash if the server says so, and a fragment is dropped. What would leave the root, or
//! hides a NUL, is refused.
//!
//! Invariant: a path begins with a slash. Where nothing had to be changed it is a range of the target: no
//! copy.

use std::ops::Range;

/// A text that is a part of the request target, or a changed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    /// This range of the target.
    Target(Range<usize>),
    /// Something else.
    Owned(Vec<u8>),
}

impl Text {
    pub(crate) fn bytes<'a>(&'a self, target: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Target(range) => target.get(range.clone()).unwrap_or_default(),
            Self::Owned(bytes) => bytes,
        }
    }
}

/// What a request target says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetParts {
    /// The authority of an absolute-form target.
    pub(crate) authority: Option<Range<usize>>,
    /// Path and query as they came: what follows the authority, or all of it. Empty if there is none.
    pub(crate) origin: Range<usize>,
    /// The path.
    pub(crate) path: Text,
    /// What follows the first `?`, as it came.
    pub(crate) args: Range<usize>,
    /// The path had `%XX`: it is encoded again when it is passed on.
    pub(crate) is_quoted: bool,
}

/// The target is none that a path can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InvalidTarget {
    /// Neither a path nor an absolute URI of http or https.
    Form,
    /// A `%` without two hexadecimal digits behind it, or `%00`.
    Escape,
    /// `..` above the root.
    AboveRoot,
}

/// Reads a request target.
pub(crate) fn parse_target(
    target: &[u8],
    merges_slashes: bool,
) -> Result<TargetParts, InvalidTarget> {
    let (authority, start) = match target.first() {
        Some(b'/') => (None, 0),
        _ => absolute(target)?,
    };
    let rest = target.get(start..).unwrap_or_default();
    // A fragment is never sent; who sends one means the text before it.
    let end = start + memchr::memchr(b'#', rest).unwrap_or(rest.len());
    let query = memchr::memchr(b'?', &target[start..end]).map(|at| start + at);
    let path_end = query.unwrap_or(end);
    let args = query.map_or(end..end, |at| at + 1..end);
    let raw = &target[start..path_end];
    let path = if start == path_end {
        Text::Owned(b"/".to_vec())
    } else if is_plain(raw, merges_slashes) {
        Text::Target(start..path_end)
    } else {
        Text::Owned(normalize(raw, merges_slashes)?)
    };
    Ok(TargetParts {
        authority,
        origin: start..target.len(),
        path,
        args,
        is_quoted: raw.contains(&b'%'),
    })
}

/// The authority of an absolute URI, and where its path begins.
fn absolute(target: &[u8]) -> Result<(Option<Range<usize>>, usize), InvalidTarget> {
    let scheme_end = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| {
            let start = target.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .map(<[u8]>::len)
        .ok_or(InvalidTarget::Form)?;
    let rest = &target[scheme_end..];
    let length = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    if length == 0 {
        return Err(InvalidTarget::Form);
    }
    let end = scheme_end + length;
    Ok((Some(scheme_end..end), end))
}

/// Nothing in the path has to be changed.
fn is_plain(path: &[u8], merges_slashes: bool) -> bool {
    let mut last = 0;
    for &byte in path {
        let changes = match byte {
            b'%' => true,
            b'.' => last == b'/',
            b'/' => merges_slashes && last == b'/',
            _ => false,
        };
        if changes {
            return false;
        }
        last = byte;
    }
    path.first() == Some(&b'/')
}

/// Decodes and resolves a path.
pub(crate) fn normalize(path: &[u8], merges_slashes: bool) -> Result<Vec<u8>, InvalidTarget> {
    let mut decoded = Vec::with_capacity(path.len() + 1);
    if path.first() != Some(&b'/') {
        decoded.push(b'/');
    }
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (digits, behind) = behind.split_at_checked(2).ok_or(InvalidTarget::Escape)?;
        match (hex(digits[0]), hex(digits[1])) {
            (Some(high), Some(low)) if high | low != 0 => decoded.push(high << 4 | low),
            _ => return Err(InvalidTarget::Escape),
        }
        rest = behind;
    }
    resolve(&decoded, merges_slashes)
}

/// Takes dot segments out, and doubled slashes.
fn resolve(path: &[u8], merges_slashes: bool) -> Result<Vec<u8>, InvalidTarget> {
    let mut resolved = Vec::with_capacity(path.len());
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." if is_last => resolved.push(b'/'),
            b"." => {}
            b".." => {
                let parent = resolved.iter().rposition(|&byte| byte == b'/');
                resolved.truncate(parent.ok_or(InvalidTarget::AboveRoot)?);
                if is_last {
                    resolved.push(b'/');
                }
            }
            b"" if !is_last && merges_slashes => {}
            segment => {
                resolved.push(b'/');
                resolved.extend_from_slice(segment);
            }
        }
    }
    Ok(resolved)
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Appends a decoded path with what a request target cannot hold encoded (nginx: NGX_ESCAPE_URI).
pub(crate) fn append_escaped(path: &[u8], out: &mut Vec<u8>) {
    for &byte in path {
        let is_escaped = matches!(byte, 0..=b' ' | b'#' | b'%' | b'?' | 0x7f..=0xff);
        if is_escaped {
            append_percent(byte, out);
        } else {
            out.push(byte);
        }
    }
}

/// Appends `%XX`.
pub(crate) fn append_percent(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[
        b'%',
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(target: &str) -> Result<String, InvalidTarget> {
        let parts = parse_target(target.as_bytes(), true)?;
        let path = parts.path.bytes(target.as_bytes());
        Ok(String::from_utf8_lossy(path).into_owned())
    }

    #[test]
    fn paths_are_decoded_and_resolved() {
        for (target, expected) in [
            ("/", Ok("/")),
            ("/a/b", Ok("/a/b")),
            ("/a?b=/../", Ok("/a")),
            ("/a%20b%2Fc", Ok("/a b/c")),
            ("/a//b///c", Ok("/a/b/c")),
            ("/a/./b/.", Ok("/a/b/")),
            ("/a/b/../c", Ok("/a/c")),
            ("/a/b/..", Ok("/a/")),
            ("/a/%2e%2e/c", Ok("/c")),
            ("/.hidden/..x", Ok("/.hidden/..x")),
            ("/a#b?c", Ok("/a")),
            ("/..", Err(InvalidTarget::AboveRoot)),
            ("/a/../../b", Err(InvalidTarget::AboveRoot)),
            ("/%2e%2e/", Err(InvalidTarget::AboveRoot)),
            ("/a%00", Err(InvalidTarget::Escape)),
            ("/a%zz", Err(InvalidTarget::Escape)),
            ("/a%2", Err(InvalidTarget::Escape)),
            ("http://host/a", Ok("/a")),
            ("HTTPS://host:1?x", Ok("/")),
            ("http:///a", Err(InvalidTarget::Form)),
            ("ftp://host/", Err(InvalidTarget::Form)),
            ("*", Err(InvalidTarget::Form)),
            ("host:443", Err(InvalidTarget::Form)),
        ] {
            assert_eq!(path(target), expected.map(str::to_owned), "{target}");
        }
    }

    #[test]
    fn slashes_stay_where_they_are_not_merged() {
        let parts = parse_target(b"/a//b", false).unwrap();
        assert_eq!(parts.path, Text::Target(0..5));
        assert_eq!(normalize(b"/a//%62/", false).unwrap(), b"/a//b/");
    }

    #[test]
    fn the_parts_of_a_target() {
        let target = b"http://example.com:8080/a/b?c=d?e#f";
        let parts = parse_target(target, true).unwrap();
        assert_eq!(&target[parts.authority.unwrap()], b"example.com:8080");
        assert_eq!(parts.path.bytes(target), b"/a/b");
        assert_eq!(&target[parts.args], b"c=d?e");
        assert_eq!(&target[parts.origin], b"/a/b?c=d?e#f");
    }

    #[test]
    fn escaping_is_undone_by_parsing() {
        let all: Vec<u8> = (1..=255).filter(|&byte| byte != b'/').collect();
        let mut escaped = b"/".to_vec();
        append_escaped(&all, &mut escaped);
        let parts = parse_target(&escaped, true).unwrap();
        assert_eq!(&parts.path.bytes(&escaped)[1..], all);
    }
}
