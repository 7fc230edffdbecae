//! Quantities as people read them: three digits that matter, and a unit; written as durations
//! are typed (`500ms`), so that what is read can be typed.

use std::fmt;
use std::time::Duration;

/// `850µs`, `1.25ms`, `30.1s`, `2m05s`.
pub(crate) struct Time(pub(crate) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_secs_f64() * 1e6;
        let text = if micros < 999.5 {
            format!("{micros:.0}µs")
        } else if micros < 999_500.0 {
            format!("{}ms", three_digits(micros / 1e3))
        } else if micros < 59_950_000.0 {
            format!("{}s", three_digits(micros / 1e6))
        } else {
            let seconds = self.0.as_secs_f64().round() as u64;
            format!("{}m{:02}s", seconds / 60, seconds % 60)
        };
        f.pad(&text)
    }
}

/// 1.23, 12.3, 123.
fn three_digits(number: f64) -> String {
    if number < 9.995 {
        format!("{number:.2}")
    } else if number < 99.95 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    }
}

/// `1 connection`, `2 connections`.
pub(crate) struct Plural<'a>(pub(crate) u64, pub(crate) &'a str);

impl fmt::Display for Plural<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = self;
        let ending = if *count == 1 { "" } else { "s" };
        write!(f, "{count} {noun}{ending}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (micros, wanted) in [
            (0, "0µs"),
            (999, "999µs"),
            (1_000, "1.00ms"),
            (12_345, "12.3ms"),
            (999_499, "999ms"),
            (999_600, "1.00s"),
            (30_100_000, "30.1s"),
            (125_000_000, "2m05s"),
        ] {
            assert_eq!(Time(Duration::from_micros(micros)).to_string(), wanted);
        }
    }

    #[test]
    fn plurals() {
        assert_eq!(Plural(1, "request").to_string(), "1 request");
        assert_eq!(Plural(0, "request").to_string(), "0 requests");
        assert_eq!(Plural(3200, "request").to_string(), "3200 requests");
    }
}
