//! Conditional requests and ranges (RFC 9110 §13, §14), for answers whose validators are known: a
//! pure function.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keepline::proto::Fields;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validators<'a> {
    /// Its entity tag, with quotes.
    pub(super) etag: Option<&'a str>,
    /// When it was modified, in seconds since 1970.
    pub(super) modified: u64,
    /// Its length.
    pub(super) length: u64,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of it.
    Whole,
    /// Only this.
    Part {
        /// The first byte.
        start: u64,
        /// The byte behind the last.
        end: u64,
    },
    /// 304.
    NotModified,
    /// 412.
    Failed,
    /// 416.
    NotSatisfiable,
}

/// Decides, in the order of RFC 9110 §13.2.2.
pub(super) fn decide(fields: &Fields, validators: Validators<'_>) -> Outcome {
    if let Some(tags) = fields.value("if-match") {
        if !lists(tags, validators.etag, true) {
            return Outcome::Failed;
        }
    } else if let Some(date) = fields.value("if-unmodified-since").and_then(seconds)
        && validators.modified > date
    {
        return Outcome::Failed;
    }
    if let Some(tags) = fields.value("if-none-match") {
        if lists(tags, validators.etag, false) {
            return Outcome::NotModified;
        }
    } else if let Some(date) = fields.value("if-modified-since").and_then(seconds)
        // nginx compares for equality (`if_modified_since exact`): a clock that was wrong does not
        // keep an old copy alive.
        && validators.modified == date
    {
        return Outcome::NotModified;
    }
    match fields.value("range") {
        Some(range) if range_holds(fields, validators) => part(range, validators.length),
        _ => Outcome::Whole,
    }
}

/// `If-Range` is absent, or names this state of the file.
fn range_holds(fields: &Fields, validators: Validators<'_>) -> bool {
    match fields.value("if-range") {
        None => true,
        Some(tag) if tag.ends_with(b"\"") => {
            validators.etag.is_some_and(|etag| etag.as_bytes() == tag)
        }
        Some(date) => seconds(date) == Some(validators.modified),
    }
}

/// The one range that is asked for. Several ranges are answered with the whole, which RFC 9110 §14.2
/// allows.
fn part(range: &[u8], length: u64) -> Outcome {
    let Some(spec) = range.strip_prefix(b"bytes=") else {
        return Outcome::Whole;
    };
    let Ok(spec) = std::str::from_utf8(spec) else {
        return Outcome::NotSatisfiable;
    };
    if spec.contains(',') {
        return Outcome::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Outcome::NotSatisfiable;
    };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (start, end) = match (number(first.trim()), number(last.trim())) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(length)),
        (Some(first), None) if last.trim().is_empty() => (first, length),
        (None, Some(count)) if first.trim().is_empty() => (length.saturating_sub(count), length),
        _ => return Outcome::NotSatisfiable,
    };
    if start >= end {
        return Outcome::NotSatisfiable;
    }
    Outcome::Part { start, end }
}

/// A list of entity tags has this one. In a strong comparison a weak tag equals none.
fn lists(tags: &[u8], etag: Option<&str>, is_strong: bool) -> bool {
    if tags == b"*" {
        return true;
    }
    let Some(etag) = etag else {
        return false;
    };
    tags.split(|&byte| byte == b',').any(|tag| {
        let tag = tag.trim_ascii();
        let tag = if is_strong {
            tag
        } else {
            tag.strip_prefix(b"W/").unwrap_or(tag)
        };
        tag == etag.as_bytes()
    })
}

fn seconds(date: &[u8]) -> Option<u64> {
    let at: SystemTime = httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok()?;
    at.duration_since(UNIX_EPOCH)
        .as_ref()
        .map(Duration::as_secs)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use keepline::proto::{Connection, Event, Received};

    fn asked(lines: &str) -> Outcome {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut buffer = BytesMut::from(head.as_bytes());
        let mut server = Connection::server(std::sync::Arc::default());
        let Ok(Received::Event(Event::Request(head))) = server.receive(&mut buffer) else {
            panic!("{lines}");
        };
        let validators = Validators {
            etag: Some("\"1-64\""),
            modified: 784_111_777,
            length: 100,
        };
        decide(head.fields(), validators)
    }

    #[test]
    fn conditions_in_their_order() {
        let at = "Sun, 06 Nov 1994 08:49:37 GMT";
        let later = "Sun, 06 Nov 1994 08:49:38 GMT";
        let earlier = "Sun, 06 Nov 1994 08:49:36 GMT";
        for (lines, expected) in [
            (String::new(), Outcome::Whole),
            (format!("If-Modified-Since: {at}\r\n"), Outcome::NotModified),
            (format!("If-Modified-Since: {later}\r\n"), Outcome::Whole),
            (
                "If-None-Match: \"x\", W/\"1-64\"\r\n".into(),
                Outcome::NotModified,
            ),
            ("If-None-Match: *\r\n".into(), Outcome::NotModified),
            (
                format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {at}\r\n"),
                Outcome::Whole,
            ),
            ("If-Match: \"x\"\r\n".into(), Outcome::Failed),
            ("If-Match: W/\"1-64\"\r\n".into(), Outcome::Failed),
            ("If-Match: \"1-64\"\r\n".into(), Outcome::Whole),
            (
                format!("If-Unmodified-Since: {earlier}\r\n"),
                Outcome::Failed,
            ),
            (format!("If-Unmodified-Since: {at}\r\n"), Outcome::Whole),
        ] {
            assert_eq!(asked(&lines), expected, "{lines}");
        }
    }

    #[test]
    fn ranges() {
        let part = |start, end| Outcome::Part { start, end };
        for (lines, expected) in [
            ("Range: bytes=0-9\r\n", part(0, 10)),
            ("Range: bytes=90-\r\n", part(90, 100)),
            ("Range: bytes=90-1000\r\n", part(90, 100)),
            ("Range: bytes=-10\r\n", part(90, 100)),
            ("Range: bytes=-1000\r\n", part(0, 100)),
            ("Range: bytes=100-\r\n", Outcome::NotSatisfiable),
            ("Range: bytes=9-1\r\n", Outcome::NotSatisfiable),
            ("Range: bytes=-0\r\n", Outcome::NotSatisfiable),
            ("Range: bytes=a-b\r\n", Outcome::NotSatisfiable),
            ("Range: bytes=0-1,5-6\r\n", Outcome::Whole),
            ("Range: lines=0-1\r\n", Outcome::Whole),
            ("Range: bytes=0-9\r\nIf-Range: \"1-64\"\r\n", part(0, 10)),
            ("Range: bytes=0-9\r\nIf-Range: \"2-64\"\r\n", Outcome::Whole),
            (
                "Range: bytes=0-9\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                part(0, 10),
            ),
        ] {
            assert_eq!(asked(lines), expected, "{lines}");
        }
    }
}
