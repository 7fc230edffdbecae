//! A record as a line of text.
//!
//! Invariant: one record is one line, and nothing that a client sends can end a quoted value, add
//! a field or begin another line. (Terminals are safe too: no control character gets through.)

use std::fmt::Write;
use std::net::IpAddr;

use http::Version;

use super::record::AccessRecord;
use crate::net::PeerAddr;

/// The form of the lines of an access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccessFormat {
    /// The Common Log Format: address, time, request line, status, bytes of content. Times are in
    /// UTC; the status of a request without a response is 000, as in nginx.
    Common,
    /// The same with Referer and User-Agent, as Apache and nginx have it.
    Combined,
    /// An object of JSON with all that is known: also the connection, the number of the request
    /// on it, the duration, and why the connection closed.
    Json,
}

impl AccessFormat {
    /// Appends the line, without its end.
    pub fn append_line(self, record: &AccessRecord<'_>, out: &mut String) {
        match self {
            Self::Common => append_common(record, out),
            Self::Combined => {
                append_common(record, out);
                for value in [record.referer, record.user_agent] {
                    out.push_str(" \"");
                    append_quoted(value.unwrap_or(b"-"), out);
                    out.push('"');
                }
            }
            Self::Json => append_json(record, out),
        }
    }
}

fn append_common(record: &AccessRecord<'_>, out: &mut String) {
    match address(record) {
        Some(address) => write_to(out, format_args!("{address}")),
        None => out.push('-'),
    }
    // "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 §5.6.7), all parts of fixed width.
    let date = httpdate::fmt_http_date(record.started);
    let part = |start, end| date.get(start..end).unwrap_or_default();
    write_to(
        out,
        format_args!(
            " - - [{}/{}/{}:{} +0000] \"",
            part(5, 7),
            part(8, 11),
            part(12, 16),
            part(17, 25)
        ),
    );
    match (record.method, record.target, record.version) {
        (Some(method), Some(target), Some(version)) => {
            append_quoted(method.as_str().as_bytes(), out);
            out.push(' ');
            append_quoted(target, out);
            write_to(out, format_args!(" {}", protocol(version)));
        }
        _ => out.push('-'),
    }
    let status = record.status.map_or(0, |status| status.as_u16());
    write_to(out, format_args!("\" {status:03} {}", record.content_sent));
}

/// The address of the client, as short as it can be written.
fn address(record: &AccessRecord<'_>) -> Option<IpAddr> {
    match record.info.peer() {
        PeerAddr::Tcp(address) => Some(address.ip().to_canonical()),
        PeerAddr::Unix | PeerAddr::Unknown => None,
    }
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// As nginx and Apache write what is between quotes.
fn append_quoted(value: &[u8], out: &mut String) {
    for &byte in value {
        match byte {
            b'"' | b'\\' | 0..=31 | 127.. => write_to(out, format_args!("\\x{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
}

fn append_json(record: &AccessRecord<'_>, out: &mut String) {
    out.push_str("{\"time\":\"");
    append_rfc3339(record.started, out);
    out.push('"');
    let info = &record.info;
    append_text("peer", Some(info.peer().to_string().as_bytes()), out);
    let (connection, number) = (info.connection(), info.number());
    write_to(
        out,
        format_args!(",\"connection\":{connection},\"request\":{number}"),
    );
    append_text("method", record.method.map(|m| m.as_str().as_bytes()), out);
    append_text("target", record.target, out);
    append_text(
        "protocol",
        record.version.map(|v| protocol(v).as_bytes()),
        out,
    );
    write_to(out, format_args!(",\"tls\":{}", info.is_tls()));
    match record.status {
        Some(status) => write_to(out, format_args!(",\"status\":{}", status.as_u16())),
        None => out.push_str(",\"status\":null"),
    }
    write_to(
        out,
        format_args!(
            ",\"content_sent\":{},\"complete\":{},\"duration_us\":{}",
            record.content_sent,
            record.is_complete,
            record.duration.as_micros()
        ),
    );
    append_text("referer", record.referer, out);
    append_text("user_agent", record.user_agent, out);
    let close = record.close.map(|reason| reason.to_string());
    append_text("close", close.as_deref().map(str::as_bytes), out);
    out.push('}');
}

/// A further member; bytes that are not UTF-8 become U+FFFD.
fn append_text(name: &str, value: Option<&[u8]>, out: &mut String) {
    write_to(out, format_args!(",\"{name}\":"));
    let Some(value) = value else {
        return out.push_str("null");
    };
    out.push('"');
    for symbol in String::from_utf8_lossy(value).chars() {
        match symbol {
            '"' | '\\' => out.extend(['\\', symbol]),
            // Some readers of lines take these two for the end of one.
            '\u{2028}' | '\u{2029}' => write_to(out, format_args!("\\u{:04x}", symbol as u32)),
            _ if symbol.is_control() => write_to(out, format_args!("\\u{:04x}", symbol as u32)),
            _ => out.push(symbol),
        }
    }
    out.push('"');
}

fn append_rfc3339(time: std::time::SystemTime, out: &mut String) {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let date = httpdate::fmt_http_date(time);
    let part = |start, end| date.get(start..end).unwrap_or_default();
    let month = MONTHS.iter().position(|month| *month == part(8, 11));
    let millis = time
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_millis());
    let (year, day, clock) = (part(12, 16), part(5, 7), part(17, 25));
    let month = month.unwrap_or(0) + 1;
    write_to(
        out,
        format_args!("{year}-{month:02}-{day}T{clock}.{millis:03}Z"),
    );
}

fn write_to(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use http::{Method, StatusCode};

    use super::super::record::Asked;
    use super::*;
    use crate::CloseReason;
    use crate::server::RequestInfo;

    fn record(asked: Asked<'_>) -> AccessRecord<'_> {
        let info = RequestInfo {
            connection: 7,
            number: 3,
            opened: tokio::time::Instant::now(),
            peer: PeerAddr::Tcp("[::ffff:192.0.2.1]:4711".parse().unwrap()),
            tls: true,
        };
        let answer = super::super::Answer {
            status: Some(StatusCode::OK),
            content_sent: 2326,
            is_complete: true,
        };
        let close = Some(CloseReason::MaxRequests);
        let mut record = asked.answered(info, tokio::time::Instant::now(), answer, close);
        record.started = UNIX_EPOCH + Duration::from_millis(784_111_777_089);
        record.duration = Duration::from_micros(1500);
        record
    }

    fn line(format: AccessFormat, record: &AccessRecord<'_>) -> String {
        let mut line = String::new();
        format.append_line(record, &mut line);
        line
    }

    const ASKED: Asked<'static> = Asked {
        method: Some(&Method::GET),
        target: Some(b"/a?b"),
        version: Some(Version::HTTP_10),
        referer: None,
        user_agent: Some(b"curl/8"),
    };

    #[test]
    fn the_three_forms_of_a_line() {
        let record = record(ASKED);
        let common =
            "192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b HTTP/1.0\" 200 2326".to_owned();
        assert_eq!(line(AccessFormat::Common, &record), common);
        assert_eq!(
            line(AccessFormat::Combined, &record),
            common + " \"-\" \"curl/8\""
        );
        assert_eq!(
            line(AccessFormat::Json, &record),
            "{\"time\":\"1994-11-06T08:49:37.089Z\",\"peer\":\"[::ffff:192.0.2.1]:4711\",\
            \"connection\":7,\"request\":3,\"method\":\"GET\",\"target\":\"/a?b\",\
            \"protocol\":\"HTTP/1.0\",\"tls\":true,\"status\":200,\"content_sent\":2326,\
            \"complete\":true,\"duration_us\":1500,\"referer\":null,\"user_agent\":\"curl/8\",\
            \"close\":\"max-requests\"}"
        );
    }

    #[test]
    fn what_was_no_request_and_got_no_answer_has_a_line_too() {
        let mut record = record(Asked::default());
        record.status = None;
        assert!(line(AccessFormat::Combined, &record).ends_with(" \"-\" 000 2326 \"-\" \"-\""));
        assert!(
            line(AccessFormat::Json, &record)
                .contains("\"method\":null,\"target\":null,\"protocol\":null")
        );
    }

    #[test]
    fn no_value_forges_a_line_or_a_field() {
        // Every byte, and what some readers take for the end of a line.
        let mut nasty: Vec<u8> = (0..=255).collect();
        nasty.extend_from_slice("\u{85}\u{2028}\u{2029}\u{9b}ä\u{1f600}\" 200 0 \"x".as_bytes());
        let record = record(Asked {
            target: Some(&nasty),
            referer: Some(&nasty),
            user_agent: Some(&nasty),
            ..ASKED
        });
        for format in [AccessFormat::Common, AccessFormat::Combined] {
            let line = line(format, &record);
            assert!(
                line.bytes().all(|byte| matches!(byte, b' '..=b'~')),
                "{line}"
            );
            let quotes = if format == AccessFormat::Common { 2 } else { 6 };
            assert_eq!(line.matches('"').count(), quotes, "{line}");
            assert!(!line.replace("\\x", "").contains('\\'), "{line}");
        }
        let line = line(AccessFormat::Json, &record);
        assert!(!line.contains(|symbol: char| symbol.is_control()), "{line}");
        assert!(!line.contains(['\u{2028}', '\u{2029}']), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["target"], *String::from_utf8_lossy(&nasty));
        assert_eq!(value.as_object().unwrap().len(), 15);
    }
}
