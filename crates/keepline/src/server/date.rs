//! The `Date` field (RFC 9110 §6.6.1), formatted once a second in each thread.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use http::header::DATE;
use keepline_proto::Field;
use tokio::time::Instant;

struct Cached {
    value: HeaderValue,
    /// The next second begins.
    until: Instant,
}

impl Cached {
    fn field(&self) -> Field<'_> {
        Field::from((&DATE, &self.value))
    }
}

thread_local! {
    static CACHE: RefCell<Option<Cached>> = const { RefCell::new(None) };
}

/// Lends the field as it is at `now` to `write`.
pub(super) fn with_date<T>(now: Instant, write: impl FnOnce(Field<'_>) -> T) -> T {
    CACHE.with(|cache| {
        let is_current = |cached: &Option<Cached>| cached.as_ref().is_some_and(|x| now < x.until);
        if !is_current(&cache.borrow()) {
            // Not while it is lent: what is written may ask for the date too.
            match cache.try_borrow_mut() {
                Ok(mut cached) => *cached = Some(format(now)),
                Err(_) => return write(format(now).field()),
            }
        }
        match &*cache.borrow() {
            Some(cached) => write(cached.field()),
            None => write(format(now).field()),
        }
    })
}

fn format(now: Instant) -> Cached {
    let time = SystemTime::now();
    let text = httpdate::fmt_http_date(time);
    let into_second = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    Cached {
        // It is ASCII of a fixed form; an empty value is better than none of the response.
        value: HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("")),
        until: now + Duration::from_secs(1) - Duration::from_nanos(u64::from(into_second)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_formatted_once_a_second() {
        let value = |now| with_date(now, |field| field.value().to_vec());
        let now = Instant::now();
        let first = value(now);
        assert!(httpdate::parse_http_date(std::str::from_utf8(&first).unwrap()).is_ok());
        let until = CACHE.with_borrow(|cached| cached.as_ref().map(|cached| cached.until));
        assert!(until.is_some_and(|until| until > now && until <= now + Duration::from_secs(1)));
        value(now);
        assert_eq!(
            until,
            CACHE.with_borrow(|cached| cached.as_ref().map(|c| c.until))
        );
        value(now + Duration::from_secs(1));
        assert_ne!(
            until,
            CACHE.with_borrow(|cached| cached.as_ref().map(|c| c.until))
        );
    }
}
