//! Ranges of files as RFC 9110 has them, where the file service has them otherwise.
//!
//! It ignores If-Range, so that a client that resumes a download of a file that has changed gets a
//! mixture of both; and a suffix that is longer than the file gets 416 instead of all of it. Both are
//! seen in its answer, which is then asked for again: so there is no moment between a look at the
//! file and its answer in which it could change.

use http::header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

/// What to ask for in place of what was answered; the outer `None` is nothing, the inner is the
/// whole file.
#[expect(clippy::option_option, reason = "no other range, and no range")]
pub(crate) fn instead<B>(asked: &HeaderMap, answer: &Response<B>) -> Option<Option<HeaderValue>> {
    let partial = [
        StatusCode::PARTIAL_CONTENT,
        StatusCode::RANGE_NOT_SATISFIABLE,
    ];
    let range = asked.get(RANGE)?;
    if !partial.contains(&answer.status()) {
        return None;
    }
    if asked
        .get(IF_RANGE)
        .is_some_and(|condition| !holds(condition, answer.headers()))
    {
        return Some(None);
    }
    let is_all = answer.status() == StatusCode::RANGE_NOT_SATISFIABLE
        && suffix(range)? >= length(answer.headers())?;
    is_all.then(|| Some(HeaderValue::from_static("bytes=0-")))
}

/// "A client MUST NOT generate an If-Range header field containing an entity tag that is marked as
/// weak"; a date has to be the same, not earlier (RFC 9110 §13.1.5).
fn holds(condition: &HeaderValue, file: &HeaderMap) -> bool {
    let is = |name| file.get(name) == Some(condition);
    let is_weak = condition.as_bytes().starts_with(b"W/");
    (is(ETAG) && !is_weak) || is(LAST_MODIFIED)
}

/// "If the selected representation is shorter than the specified suffix-length, the entire
/// representation is used." (RFC 9110 §14.1.2)
fn suffix(range: &HeaderValue) -> Option<u64> {
    let suffix = range.to_str().ok()?.strip_prefix("bytes=-")?;
    let is_number = suffix.bytes().all(|digit| digit.is_ascii_digit());
    suffix
        .parse()
        .ok()
        .filter(|length| is_number && *length > 0)
}

/// Of a file that is not empty.
fn length(answer: &HeaderMap) -> Option<u64> {
    let told = answer.get(CONTENT_RANGE)?.to_str().ok()?;
    let length = told.strip_prefix("bytes */")?.parse().ok()?;
    (length > 0).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |&(name, value): &(&'static str, &'static str)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn what_is_asked_for_instead() {
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        let file = [("etag", "\"1\""), ("last-modified", DATE)];
        let (whole, all) = (Some(None), Some(Some(HeaderValue::from_static("bytes=0-"))));
        for (asked, status, content_range, expected) in [
            (&[][..], 200, None, None),
            (&[("range", "bytes=0-1")], 206, Some("bytes 0-1/9"), None),
            (
                &[("range", "bytes=0-1"), ("if-range", "\"1\"")],
                206,
                None,
                None,
            ),
            (
                &[("range", "bytes=0-1"), ("if-range", DATE)],
                206,
                None,
                None,
            ),
            (
                &[("range", "bytes=0-1"), ("if-range", "W/\"1\"")],
                206,
                None,
                whole.clone(),
            ),
            (
                &[("range", "bytes=0-1"), ("if-range", "\"2\"")],
                206,
                None,
                whole.clone(),
            ),
            (
                &[("range", "bytes=9-"), ("if-range", "\"2\"")],
                416,
                Some("bytes */9"),
                whole,
            ),
            (
                &[("range", "bytes=0-1"), ("if-range", "\"2\"")],
                304,
                None,
                None,
            ),
            (&[("range", "bytes=-10")], 416, Some("bytes */9"), all),
            (&[("range", "bytes=-10")], 416, Some("bytes */0"), None),
            (&[("range", "bytes=-0")], 416, Some("bytes */9"), None),
            (&[("range", "bytes=-+10")], 416, Some("bytes */9"), None),
            (&[("range", "bytes=9-")], 416, Some("bytes */9"), None),
        ] {
            let mut answer = Response::new(());
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            *answer.headers_mut() = map(&file);
            if let Some(range) = content_range {
                answer
                    .headers_mut()
                    .insert(CONTENT_RANGE, HeaderValue::from_static(range));
            }
            assert_eq!(instead(&map(asked), &answer), expected, "{asked:?}");
        }
    }
}
