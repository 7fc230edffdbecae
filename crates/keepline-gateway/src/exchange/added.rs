//! Fields that the configuration adds to answers: `expires` and `add_header`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keepline::proto::Field;

use super::Serving;
use super::scratch::Scratch;
use crate::config::{AddedField, Expires, Settings};

/// The statuses that `expires` and `add_header` without `always` are for.
const fn is_usual(status: u16) -> bool {
    matches!(
        status,
        200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308
    )
}

pub(super) fn applies(field: &AddedField, status: u16) -> bool {
    field.always || is_usual(status)
}

/// What is added to one answer.
#[derive(Debug)]
pub(super) struct Added<'l> {
    settings: &'l Settings,
    status: u16,
    /// Expires, Cache-Control, then the values of those `add_header` that apply.
    values: Scratch,
}

impl Added<'_> {
    /// The fields, in nginx's order. Empty values are left out, and so is what cannot be a field.
    pub(super) fn fields(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        let names = [&b"Expires"[..], b"Cache-Control"].into_iter();
        let added = self.settings.add_headers.iter();
        let added = added.filter(|field| applies(field, self.status));
        let names = names.chain(added.map(|field| field.name.as_bytes()));
        names
            .zip(self.values.values())
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| Field::new(name, value).ok())
    }

    /// A field of the upstream's gives way to one of these.
    pub(super) fn replaces(&self, field: &Field<'_>) -> bool {
        let names = ["expires", "cache-control"];
        let mut replaced = names.iter().zip(self.values.values());
        replaced.any(|(name, value)| !value.is_empty() && field.is(name))
    }
}

impl<'l> Serving<'_, '_, 'l> {
    /// What is added to an answer with this status. `modified`: when its file was modified.
    pub(super) fn added(&self, status: u16, modified: Option<SystemTime>) -> Added<'l> {
        let settings = &self.request.scope.settings;
        let view = self.view();
        let mut values = Scratch::lend();
        let (expires, control) = if is_usual(status) && settings.expires != Expires::Off {
            let now = SystemTime::now();
            expire(&settings.expires, now, modified, |template| {
                view.value(template)
            })
        } else {
            (String::new(), String::new())
        };
        values.add(|out| out.extend_from_slice(expires.as_bytes()));
        values.add(|out| out.extend_from_slice(control.as_bytes()));
        for field in settings.add_headers.iter().filter(|x| applies(x, status)) {
            values.add(|out| view.append(&field.value, out));
        }
        Added {
            settings,
            status,
            values,
        }
    }
}

/// The values of Expires and Cache-Control; empty ones are not sent.
fn expire(
    expires: &Expires,
    now: SystemTime,
    modified: Option<SystemTime>,
    value: impl Fn(&crate::config::Template) -> Vec<u8>,
) -> (String, String) {
    const NO_CACHE: &str = "no-cache";
    let relative = |base: SystemTime, seconds: i64| {
        let at = if seconds < 0 {
            base.checked_sub(Duration::from_secs(seconds.unsigned_abs()))
        } else {
            base.checked_add(Duration::from_secs(seconds.unsigned_abs()))
        };
        let at = at.unwrap_or(UNIX_EPOCH);
        let left = match at.duration_since(now) {
            Ok(left) => format!("max-age={}", left.as_secs()),
            Err(_) => NO_CACHE.to_owned(),
        };
        (httpdate::fmt_http_date(at), left)
    };
    let signed = |time: &Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let from_file = modified.unwrap_or(now);
    match expires {
        Expires::Off => (String::new(), String::new()),
        Expires::Epoch => (
            "Thu, 01 Jan 1970 00:00:01 GMT".to_owned(),
            NO_CACHE.to_owned(),
        ),
        Expires::Max => (
            "Thu, 31 Dec 2037 23:55:55 GMT".to_owned(),
            "max-age=315360000".to_owned(),
        ),
        Expires::After(time) => relative(now, signed(time)),
        Expires::Before(time) => relative(now, -signed(time)),
        Expires::AfterModified(time) => relative(from_file, signed(time)),
        Expires::BeforeModified(time) => relative(from_file, -signed(time)),
        Expires::Daily(time) => relative(now, until_daily(now, *time)),
        Expires::Variable {
            value: template,
            from_modified,
        } => match written(&value(template), *from_modified) {
            Expires::Variable { .. } => (String::new(), String::new()),
            other => expire(&other, now, modified, value),
        },
    }
}

/// Seconds until the clock shows this time of day the next time.
fn until_daily(now: SystemTime, time: Duration) -> i64 {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
    let wanted = time.as_secs() % 86_400;
    let left = if wanted > seconds {
        wanted - seconds
    } else {
        wanted + 86_400 - seconds
    };
    i64::try_from(left).unwrap_or(0)
}

/// The notation of `expires`, as a variable may have it. What it does not understand is off.
fn written(text: &[u8], from_modified: bool) -> Expires {
    let Ok(text) = std::str::from_utf8(text) else {
        return Expires::Off;
    };
    match text {
        "epoch" => return Expires::Epoch,
        "max" => return Expires::Max,
        _ => {}
    }
    if let Some(daily) = text.strip_prefix('@') {
        return seconds(daily).map_or(Expires::Off, Expires::Daily);
    }
    let (is_past, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    match (seconds(digits), is_past, from_modified) {
        (None, _, _) => Expires::Off,
        (Some(time), false, false) => Expires::After(time),
        (Some(time), true, false) => Expires::Before(time),
        (Some(time), false, true) => Expires::AfterModified(time),
        (Some(time), true, true) => Expires::BeforeModified(time),
    }
}

/// A time as nginx writes it: `1h30m`, `15`.
fn seconds(text: &str) -> Option<Duration> {
    let (mut total, mut number, mut has_digit) = (0_u64, 0_u64, false);
    for byte in text.bytes() {
        let unit = match byte {
            b'0'..=b'9' => {
                number = number
                    .checked_mul(10)?
                    .checked_add(u64::from(byte - b'0'))?;
                has_digit = true;
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            b'M' => 2_592_000,
            b'y' => 31_536_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        number = 0;
    }
    has_digit.then(|| Duration::from_secs(total.saturating_add(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expires_and_cache_control() {
        let now = UNIX_EPOCH + Duration::from_secs(86_400 * 365 + 3600);
        let hour = Duration::from_secs(3600);
        for (expires, at, control) in [
            (Expires::Epoch, "Thu, 01 Jan 1970 00:00:01 GMT", "no-cache"),
            (
                Expires::After(hour),
                "Fri, 01 Jan 1971 02:00:00 GMT",
                "max-age=3600",
            ),
            (
                Expires::Before(hour),
                "Fri, 01 Jan 1971 00:00:00 GMT",
                "no-cache",
            ),
            (
                Expires::AfterModified(hour),
                "Fri, 01 Jan 1971 01:00:00 GMT",
                "max-age=0",
            ),
            (
                Expires::Daily(hour * 2),
                "Fri, 01 Jan 1971 02:00:00 GMT",
                "max-age=3600",
            ),
            (
                Expires::Daily(hour),
                "Sat, 02 Jan 1971 01:00:00 GMT",
                "max-age=86400",
            ),
            (Expires::Off, "", ""),
        ] {
            let modified = Some(now - hour);
            let found = expire(&expires, now, modified, |_| Vec::new());
            assert_eq!(found, (at.to_owned(), control.to_owned()), "{expires:?}");
        }
    }

    #[test]
    fn the_notation_of_variables() {
        for (text, expected) in [
            ("epoch", Expires::Epoch),
            ("max", Expires::Max),
            ("off", Expires::Off),
            ("", Expires::Off),
            ("1h30m", Expires::After(Duration::from_secs(5400))),
            ("-1", Expires::Before(Duration::from_secs(1))),
            ("@15h", Expires::Daily(Duration::from_secs(54_000))),
            ("nonsense", Expires::Off),
        ] {
            assert_eq!(written(text.as_bytes(), false), expected, "{text}");
        }
    }
}
