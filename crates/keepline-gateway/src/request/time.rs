//! Times as nginx writes them: in the zone of the process.
//!
//! The zone is that of `TZ`, else that of the system (`/etc/localtime`), and stays what it was when a time was first written,
//! as it does for the C library that nginx asks. Without either it is UTC.

use std::io::Write;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Seconds with milliseconds: `0.003`.
pub(crate) fn append_seconds(time: Duration, out: &mut Vec<u8>) {
    let _ = write!(out, "{}.{:03}", time.as_secs(), time.subsec_millis());
}

/// Seconds since 1970 with milliseconds.
pub(crate) fn append_msec(now: SystemTime, out: &mut Vec<u8>) {
    append_seconds(now.duration_since(UNIX_EPOCH).unwrap_or_default(), out);
}

static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// A moment in parts, in the zone of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: u32,
    pub(crate) day: u32,
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
    /// How far the zone was from UTC then, in seconds; negative to the west.
    pub(crate) offset: i32,
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl Civil {
    /// The parts of a moment.
    pub(crate) fn of(now: SystemTime) -> Self {
        let offset = Timestamp::try_from(now).map(|now| ZONE.to_offset(now).seconds());
        Self::at(now, offset.unwrap_or(0))
    }

    /// The parts of a moment where the clock is so many seconds ahead of UTC. The calendar is Hinnant's
    /// `civil_from_days`.
    fn at(now: SystemTime, offset: i32) -> Self {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let seconds = seconds.saturating_add_signed(i64::from(offset));
        let (days, rest) = (seconds / 86_400, (seconds % 86_400) as u32);
        let z = days as i64 + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
        let month = (if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        }) as u32;
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            offset,
        }
    }

    /// The sign, the hours and the minutes of the offset.
    const fn zone(&self) -> (char, u32, u32) {
        let minutes = self.offset.unsigned_abs() / 60;
        let sign = if self.offset < 0 { '-' } else { '+' };
        (sign, minutes / 60, minutes % 60)
    }

    /// `28/Sep/2026:14:05:09 +0200`.
    pub(crate) fn append_local(&self, out: &mut Vec<u8>) {
        let month = MONTHS[self.month as usize - 1];
        let Self {
            year,
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        let (sign, hours, minutes) = self.zone();
        let _ = write!(
            out,
            "{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} {sign}{hours:02}{minutes:02}"
        );
    }

    /// `2026-09-28T14:05:09+02:00`.
    pub(crate) fn append_iso8601(&self, out: &mut Vec<u8>) {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        let (sign, hours, minutes) = self.zone();
        let _ = write!(
            out,
            "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{hours:02}:{minutes:02}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Civil {
        there(seconds, 0)
    }

    fn there(seconds: u64, offset: i32) -> Civil {
        Civil::at(UNIX_EPOCH + Duration::from_secs(seconds), offset)
    }

    #[test]
    fn east_and_west_of_greenwich() {
        for (offset, local, iso) in [
            (
                7200,
                "28/Sep/2026:16:05:09 +0200",
                "2026-09-28T16:05:09+02:00",
            ),
            (
                -12_600,
                "28/Sep/2026:10:35:09 -0330",
                "2026-09-28T10:35:09-03:30",
            ),
            (
                43_200,
                "29/Sep/2026:02:05:09 +1200",
                "2026-09-29T02:05:09+12:00",
            ),
        ] {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            there(1_790_604_309, offset).append_local(&mut one);
            there(1_790_604_309, offset).append_iso8601(&mut other);
            assert_eq!((&*one, &*other), (local.as_bytes(), iso.as_bytes()));
        }
    }

    #[test]
    fn the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (951_782_400, "2000-02-29T00:00:00+00:00"),
            (1_709_251_199, "2024-02-29T23:59:59+00:00"),
            (4_102_444_800, "2100-01-01T00:00:00+00:00"),
        ] {
            let mut text = Vec::new();
            at(seconds).append_iso8601(&mut text);
            assert_eq!(text, expected.as_bytes());
        }
        let mut text = Vec::new();
        at(1_790_604_309).append_local(&mut text);
        assert_eq!(text, b"28/Sep/2026:14:05:09 +0000");
    }

    #[test]
    fn seconds_have_milliseconds() {
        let mut text = Vec::new();
        append_seconds(Duration::from_micros(1_234_567), &mut text);
        assert_eq!(text, b"1.234");
    }
}
