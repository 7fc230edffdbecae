//! Values as they are typed: durations, sizes, fields, addresses, switches.
//!
//! Each parser either gives the value or says what is wrong with the text and how it is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

const DURATION_FORM: &str = "write a number and a unit, such as 500ms, 2s, 1m or 1h";
const SIZE_FORM: &str = "write a number of bytes, such as 4096, 64KiB or 1M";

/// `500ms`, `2s`, `1.5m`, `1h`, also `1m30s`; `0` needs no unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    loop {
        let (number, after) = split_number(rest).ok_or(DURATION_FORM)?;
        let (unit, after) = split_letters(after);
        let seconds = match unit {
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "" => return Err(format!("no unit: {DURATION_FORM}")),
            unknown => return Err(format!("unknown unit '{unknown}': {DURATION_FORM}")),
        };
        total = Duration::try_from_secs_f64(number * seconds)
            .ok()
            .and_then(|part| total.checked_add(part))
            .ok_or("too long")?;
        if after.is_empty() {
            return Ok(total);
        }
        rest = after;
    }
}

/// A duration that is not 0, where 0 would mean never or nothing and nobody could tell which.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it has to be more than 0".to_owned()),
        some => Ok(some),
    }
}

/// `4096`, `64KiB`, `1M`. `K`, `M`, `G` are the binary units, as in nginx; `kB`, `MB`, `GB` the
/// decimal ones.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text).ok_or(SIZE_FORM)?;
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("unknown unit '{unit}': {SIZE_FORM}")),
    };
    // Whole numbers exactly; only a fraction goes through floating point.
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if let Ok(whole) = digits.parse::<u64>() {
        return whole
            .checked_mul(unit)
            .ok_or_else(|| "too large".to_owned());
    }
    let bytes = number * unit as f64;
    if bytes > u64::MAX as f64 / 2.0 {
        return Err("too large".to_owned());
    }
    Ok(bytes.round() as u64)
}

/// The number at the start, if there is one, and what follows it.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

fn split_letters(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_alphabetic())
            .unwrap_or(text.len()),
    )
}

/// A field line for a request, `name: value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldLine {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

impl FromStr for FieldLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once(':')
            .ok_or("no colon: write 'name: value', such as 'accept: text/html'")?;
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("'{name}' is not a field name: letters, digits and - only"))?;
        let value = HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes())
            .map_err(|_| "the value has a control character".to_owned())?;
        Ok(Self { name, value })
    }
}

/// Where to listen: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `8080` (this machine only)
/// or `:8080` (all interfaces).
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    const FORM: &str = "write an address and a port, such as 127.0.0.1:8080, [::1]:8080, or :8080 for all interfaces";
    if let Ok(port) = text.parse() {
        return Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), port).into());
    }
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| FORM.to_owned())?;
        return Ok((IpAddr::V6(Ipv6Addr::UNSPECIFIED), port).into());
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
    let port: u16 = port.parse().map_err(|_| FORM.to_owned())?;
    (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("{host}: {error}; {FORM}"))?
        .next()
        .ok_or_else(|| format!("{host} has no address"))
}

/// A name server: `192.0.2.53`, `192.0.2.53:5353`, `[::1]:53`; port 53 unless given.
pub(crate) fn name_server(text: &str) -> Result<SocketAddr, String> {
    numeric(text, 53)
}

/// A local address: `192.0.2.1`, `::1`, `192.0.2.1:4000`; any port unless given.
pub(crate) fn local_address(text: &str) -> Result<SocketAddr, String> {
    numeric(text, 0)
}

/// An address in figures, perhaps with a port.
fn numeric(text: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = |text: &str| text.parse::<IpAddr>().map(|ip| (ip, port).into());
    let parsed = text.parse().or_else(|_| bare(text));
    parsed.map_err(|_| "write an address in figures, such as 192.0.2.1 or [::1]:53".to_owned())
}

/// `on` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, wanted) in [
            ("500ms", Duration::from_millis(500)),
            ("2s", Duration::from_secs(2)),
            ("1m", Duration::from_secs(60)),
            ("1h", Duration::from_secs(3600)),
            ("1.5s", Duration::from_millis(1500)),
            ("1m30s", Duration::from_secs(90)),
            ("20us", Duration::from_micros(20)),
            ("0", Duration::ZERO),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(duration(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn wrong_durations_are_refused_with_the_form() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "5x",
            "1s2",
            "1..5s",
            "inf",
            "1e99h",
            "99999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("5").unwrap_err().contains("500ms"));
        assert!(some_time("0").is_err() && some_time("0ms").is_err() && some_time("1ms").is_ok());
    }

    #[test]
    fn sizes_are_read() {
        for (text, wanted) in [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 64 << 10),
            ("64k", 64 << 10),
            ("1M", 1 << 20),
            ("1MB", 1_000_000),
            ("1.5K", 1536),
            ("2g", 2 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(wanted), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "1T",
            "18446744073709551616",
            "99999999999G",
            "1 K",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn field_lines_are_read() {
        let line: FieldLine = "Accept:  text/html ".parse().unwrap();
        assert_eq!(line.name, http::header::ACCEPT);
        assert_eq!(line.value, "text/html");
        assert_eq!("x:".parse::<FieldLine>().unwrap().value, "");
        assert_eq!("x: a:b".parse::<FieldLine>().unwrap().value, "a:b");
        for text in ["accept", "a b: c", ": c", "x: a\nb"] {
            assert!(text.parse::<FieldLine>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_in_figures_are_read() {
        for (text, wanted) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]:54", "[::1]:54"),
        ] {
            assert_eq!(name_server(text), Ok(wanted.parse().unwrap()), "{text}");
        }
        assert_eq!(local_address("::1"), Ok("[::1]:0".parse().unwrap()));
        for text in ["", "localhost", "1.2.3", "1.2.3.4:x", "1.2.3.4:65536"] {
            assert!(name_server(text).is_err(), "{text}");
        }
    }

    #[test]
    fn listen_addresses_are_read() {
        for (text, wanted) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("8080", "127.0.0.1:8080"),
            (":8080", "[::]:8080"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(listen_address(text), Ok(wanted.parse().unwrap()), "{text}");
        }
        for text in ["", "127.0.0.1", "127.0.0.1:x", ":99999", "::1:"] {
            assert!(listen_address(text).is_err(), "{text}");
        }
    }
}
