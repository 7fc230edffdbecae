//! Times, sizes and numbers as nginx writes them.

use std::time::Duration;

/// `30`, `500ms`, `1h30m`, `1d 12h`: seconds if nothing else is said (`ngx_parse_time`).
///
/// Units go from the largest to the smallest, each at most once: `y M w d h m s ms`. A number
/// without a unit, which is seconds, comes last.
pub(crate) fn time(text: &str) -> Option<Duration> {
    const YEAR: u64 = 365 * DAY;
    const MONTH: u64 = 30 * DAY;
    const DAY: u64 = 24 * 60 * 60 * 1000;
    /// From the largest to the smallest, in milliseconds.
    const UNITS: [(&str, u64); 8] = [
        ("y", YEAR),
        ("M", MONTH),
        ("w", 7 * DAY),
        ("d", DAY),
        ("h", 60 * 60 * 1000),
        ("m", 60 * 1000),
        ("s", 1000),
        ("ms", 1),
    ];
    let mut rest = text;
    let mut smallest = None;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number = digits(&mut rest)?;
        let unit_end = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let (unit, behind) = rest.split_at(unit_end);
        let (place, scale) = match unit {
            "" => (6, 1000),
            unit => {
                let place = UNITS.iter().position(|(name, _)| *name == unit)?;
                (place, UNITS[place].1)
            }
        };
        if smallest.is_some_and(|smallest| place <= smallest) {
            return None;
        }
        // A bare number is the end, unless it stood alone with blanks behind it.
        if unit.is_empty() && !behind.trim_start_matches(' ').is_empty() {
            return None;
        }
        smallest = Some(place);
        total = total.checked_add(number.checked_mul(scale)?)?;
        rest = behind.trim_start_matches(' ');
    }
    smallest?;
    // nginx's own bound: a time is a signed 64-bit number of milliseconds. A century is as good as
    // longer, and can be added to any instant.
    (i64::try_from(total).is_ok()).then(|| Duration::from_millis(total.min(100 * YEAR)))
}

/// `512`, `8k`, `1m`, `2g`: bytes (`ngx_parse_offset`).
pub(crate) fn size(text: &str) -> Option<u64> {
    let mut rest = text;
    let number = digits(&mut rest)?;
    let scale: u64 = match rest {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    let size = number.checked_mul(scale)?;
    i64::try_from(size).is_ok().then_some(size)
}

/// A decimal number and nothing else.
pub(crate) fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| text.parse().ok()).flatten()
}

fn digits(rest: &mut &str) -> Option<u64> {
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, behind) = rest.split_at(end);
    *rest = behind;
    number(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let hour = 3600;
        for (text, seconds) in [
            ("0", 0),
            ("75", 75),
            ("75s", 75),
            ("1m", 60),
            ("1h30m", hour + 1800),
            ("1d 12h", 36 * hour),
            ("1h 30", hour + 30),
            ("1w2d", 9 * 24 * hour),
            ("1M", 30 * 24 * hour),
            ("1y", 365 * 24 * hour),
        ] {
            assert_eq!(time(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(time("99999999y"), time("100y"));
        assert_eq!(time("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(time("1s500ms"), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "s",
            "1x",
            "-1",
            "1.5s",
            "1s1s",
            "1m1h",
            "1ms1s",
            "1 1",
            " 1",
            "1S",
            "99999999999999999999",
            "9223372036854775807y",
            "1h30m5x",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("512"), Some(512));
        assert_eq!(size("8k"), Some(8192));
        assert_eq!(size("1M"), Some(1 << 20));
        assert_eq!(size("2g"), Some(2 << 30));
        for text in ["", "k", "1kb", "-1", "1.5m", "99999999999g", "0x1"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
