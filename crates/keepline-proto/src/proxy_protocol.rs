//! The PROXY protocol, versions 1 and 2: a balancer says whose connection it passes on, in a header
//! before the first byte of that connection
//! ([proxy-protocol.txt](https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt)).
//!
//! [`parse`] looks at what has come so far. Where it wants more it says how many bytes are certainly
//! still missing: who reads no more than that never takes a byte of what follows the header, be it a
//! request or a TLS handshake, and needs no buffer that outlives the header.
//!
//! Invariant: the answer depends on the bytes alone, not on how they were split, and what is asked
//! for never reaches beyond the header. Nothing is held: whoever collects the bytes is bounded by
//! [`MAX_HEADER`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The largest header, in bytes, extensions (TLVs) included; nginx has the same.
pub const MAX_HEADER: usize = 4096;

/// "So a 108-byte buffer is always enough to store all the line and a trailing zero" (§2.1).
const MAX_LINE: usize = 107;
/// What each header of version 1 begins with.
const LINE: &[u8] = b"PROXY ";
/// The shortest header of version 1; one of version 2 is longer.
const SHORTEST: usize = "PROXY UNKNOWN\r\n".len();
/// What each header of version 2 begins with (§2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The part of a header of version 2 that is always there.
const FIXED: usize = 16;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// A client's, which the sender passes on.
    Client {
        /// The client.
        source: SocketAddr,
        /// Where the client has connected to.
        destination: SocketAddr,
    },
    /// The sender's own (LOCAL: a health check), or of one whose address cannot be told (UNKNOWN,
    /// AF_UNSPEC, AF_UNIX). "the receiver must accept this connection as valid and must use the
    /// real connection endpoints" (§2.2)
    Sender,
}

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A whole header, so many bytes long.
    Header(Announced, usize),
    /// The beginning of one; at least so many bytes are missing.
    More(usize),
}

/// Why the bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoHeader {
    /// They begin like neither version.
    Signature,
    /// The line of version 1 does not end within its limit.
    LineTooLong,
    /// The line of version 1 is not as it has to be.
    Line,
    /// Not version 2, or a command that is neither LOCAL nor PROXY.
    Command,
    /// A family of addresses or a transport that there is not.
    Family,
    /// The header says that it is longer than [`MAX_HEADER`].
    TooLong,
    /// Version 2 announces fewer bytes than its addresses need.
    TooShort,
}

impl fmt::Display for NoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "the connection does not begin with a PROXY protocol header",
            Self::LineTooLong => "the PROXY line is too long",
            Self::Line => "the PROXY line is malformed",
            Self::Command => "the PROXY header has an unknown version or command",
            Self::Family => "the PROXY header has an unknown address family or transport",
            Self::TooLong => "the PROXY header is too long",
            Self::TooShort => "the PROXY header has no room for its addresses",
        })
    }
}

impl std::error::Error for NoHeader {}

/// What `input`, the first bytes of a connection, are.
///
/// # Errors
/// No header begins with these bytes: "the receiver […] must […] abort the connection" (§2).
pub fn parse(input: &[u8]) -> Result<Parsed, NoHeader> {
    let begins = |whole: &[u8]| {
        let length = input.len().min(whole.len());
        input.get(..length) == whole.get(..length)
    };
    if begins(SIGNATURE) {
        binary(input)
    } else if begins(LINE) {
        line(input)
    } else {
        Err(NoHeader::Signature)
    }
}

/// Version 1 (§2.1).
fn line(input: &[u8]) -> Result<Parsed, NoHeader> {
    let head = input.get(..MAX_LINE).unwrap_or(input);
    let Some(end) = memchr::memchr(b'\n', head) else {
        // A carriage return is the end, or belongs to no line.
        let before = head.split_last().map_or(head, |(_, before)| before);
        return if memchr::memchr(b'\r', before).is_some() {
            Err(NoHeader::Line)
        } else if head.len() == MAX_LINE {
            Err(NoHeader::LineTooLong)
        } else {
            Ok(Parsed::More(missing(head)))
        };
    };
    let line = head.get(..end).unwrap_or(head);
    let text = line.strip_suffix(b"\r").ok_or(NoHeader::Line)?;
    let text = std::str::from_utf8(text).map_err(|_| NoHeader::Line)?;
    if text.contains('\r') {
        return Err(NoHeader::Line);
    }
    let mut words = text.split(' ').skip(1);
    let announced = match words.next() {
        // "the receiver must ignore anything presented before the CRLF"
        Some("UNKNOWN") => Announced::Sender,
        Some("TCP4") => addresses::<Ipv4Addr>(words)?,
        Some("TCP6") => addresses::<Ipv6Addr>(words)?,
        _ => return Err(NoHeader::Line),
    };
    Ok(Parsed::Header(announced, end.saturating_add(1)))
}

/// How many bytes a line that begins so lacks at least.
fn missing(begin: &[u8]) -> usize {
    if begin.ends_with(b"\r") {
        return 1;
    }
    // "PROXY TCP4" is followed by four words; so is what may still become one.
    let is_unknown = begin.starts_with(b"PROXY U");
    let spaces = memchr::memchr_iter(b' ', begin).count();
    let words = if is_unknown || begin.len() < SHORTEST {
        0
    } else {
        5_usize.saturating_sub(spaces)
    };
    // Each with its space; and the line's end.
    let rest = words.saturating_mul(2).saturating_add(2);
    rest.max(SHORTEST.saturating_sub(begin.len()))
}

fn addresses<'t, A>(mut words: impl Iterator<Item = &'t str>) -> Result<Announced, NoHeader>
where
    A: FromStr + Into<IpAddr>,
{
    let mut address = || words.next()?.parse::<A>().ok().map(Into::into);
    let (source, destination) = (address(), address());
    let mut port = || words.next().and_then(port);
    let (from, to) = (port(), port());
    match (source, destination, from, to, words.next()) {
        (Some(source), Some(destination), Some(from), Some(to), None) => Ok(Announced::Client {
            source: SocketAddr::new(source, from),
            destination: SocketAddr::new(destination, to),
        }),
        _ => Err(NoHeader::Line),
    }
}

/// "a decimal number […] in the range [0..65535] inclusive. […] no leading zero"
fn port(word: &str) -> Option<u16> {
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_number && (word == "0" || !word.starts_with('0'));
    is_plain.then(|| word.parse().ok())?
}

/// Version 2 (§2.2).
fn binary(input: &[u8]) -> Result<Parsed, NoHeader> {
    let Some((fixed, rest)) = input.split_first_chunk::<FIXED>() else {
        // What is here already may be wrong already.
        if let Some(&command) = input.get(12) {
            check_command(command)?;
        }
        if let Some(&family) = input.get(13) {
            check_family(family)?;
        }
        let next = [SHORTEST, FIXED].into_iter().find(|&at| input.len() < at);
        let missing = next.unwrap_or(FIXED).saturating_sub(input.len());
        return Ok(Parsed::More(missing));
    };
    let (command, family) = (fixed[12], fixed[13]);
    check_command(command)?;
    check_family(family)?;
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED + length > MAX_HEADER {
        return Err(NoHeader::TooLong);
    }
    let is_local = command & 0x0f == 0;
    let needs = match family >> 4 {
        1 if !is_local => 12,
        2 if !is_local => 36,
        3 if !is_local => 216,
        _ => 0,
    };
    if length < needs {
        return Err(NoHeader::TooShort);
    }
    if rest.len() < length {
        return Ok(Parsed::More(length.saturating_sub(rest.len())));
    }
    // What follows the addresses are extensions (TLVs), of which none concerns us.
    let announced = match needs {
        12 => client::<4>(rest),
        36 => client::<16>(rest),
        _ => None,
    };
    let announced = announced.unwrap_or(Announced::Sender);
    Ok(Parsed::Header(announced, FIXED + length))
}

fn check_command(byte: u8) -> Result<(), NoHeader> {
    match byte {
        0x20 | 0x21 => Ok(()),
        _ => Err(NoHeader::Command),
    }
}

/// "Other values are unspecified and must not be emitted in version 2 of this protocol and must be
/// rejected as invalid by receivers."
fn check_family(byte: u8) -> Result<(), NoHeader> {
    match (byte >> 4, byte & 0x0f) {
        (0..=3, 0..=2) => Ok(()),
        _ => Err(NoHeader::Family),
    }
}

/// Two addresses of `N` bytes, two ports.
fn client<const N: usize>(bytes: &[u8]) -> Option<Announced>
where
    IpAddr: From<[u8; N]>,
{
    let (source, bytes) = bytes.split_first_chunk::<N>()?;
    let (destination, bytes) = bytes.split_first_chunk::<N>()?;
    let (from, bytes) = bytes.split_first_chunk::<2>()?;
    let to = bytes.first_chunk::<2>()?;
    Some(Announced::Client {
        source: SocketAddr::new((*source).into(), u16::from_be_bytes(*from)),
        destination: SocketAddr::new((*destination).into(), u16::from_be_bytes(*to)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(source: &str, destination: &str) -> Announced {
        Announced::Client {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    fn version2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend((content.len() as u16).to_be_bytes());
        header.extend(content);
        header
    }

    fn in_v4() -> Vec<u8> {
        vec![192, 0, 2, 1, 10, 0, 0, 1, 0xd4, 0x31, 0x01, 0xbb]
    }

    fn valid() -> Vec<(Vec<u8>, Announced)> {
        let v4 = announced("192.0.2.1:54321", "10.0.0.1:443");
        let v6 = announced("[2001:db8::1]:54321", "[::1]:443");
        let mut in_v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)
            .octets()
            .to_vec();
        in_v6.extend(Ipv6Addr::LOCALHOST.octets());
        in_v6.extend([0xd4, 0x31, 0x01, 0xbb]);
        let with_extensions = [in_v4(), vec![3, 0, 4, 1, 2, 3, 4]].concat();
        vec![
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 54321 443\r\n".to_vec(), v4),
            (b"PROXY TCP6 2001:db8::1 ::1 54321 443\r\n".to_vec(), v6),
            (
                b"PROXY TCP4 0.0.0.0 0.0.0.0 0 65535\r\n".to_vec(),
                announced("0.0.0.0:0", "0.0.0.0:65535"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), Announced::Sender),
            (
                b"PROXY UNKNOWN ::1 what ever 1\r\n".to_vec(),
                Announced::Sender,
            ),
            (version2(0x21, 0x11, &in_v4()), v4),
            (version2(0x21, 0x12, &in_v4()), v4),
            (version2(0x21, 0x11, &with_extensions), v4),
            (version2(0x21, 0x21, &in_v6), v6),
            (version2(0x21, 0x31, &[0; 216]), Announced::Sender),
            (version2(0x21, 0x00, &[]), Announced::Sender),
            (version2(0x20, 0x00, &[]), Announced::Sender),
            // LOCAL: whatever addresses it has.
            (version2(0x20, 0x11, &in_v4()), Announced::Sender),
            (version2(0x20, 0x11, &[]), Announced::Sender),
        ]
    }

    #[test]
    fn headers_of_both_versions_are_read_at_every_split_and_nothing_behind_them() {
        for (header, expected) in valid() {
            let whole = Ok(Parsed::Header(expected, header.len()));
            assert_eq!(parse(&header), whole, "{}", header.escape_ascii());
            let mut followed = header.clone();
            followed.extend(b"GET / HTTP/1.1\r\n\r\n");
            assert_eq!(parse(&followed), whole, "{}", header.escape_ascii());
            for end in 0..header.len() {
                match parse(&header[..end]) {
                    Ok(Parsed::More(missing)) => {
                        assert!((1..=header.len() - end).contains(&missing), "{end}");
                    }
                    other => panic!("{}: {other:?}", header[..end].escape_ascii()),
                }
            }
        }
    }

    #[test]
    fn few_reads_are_enough() {
        for (header, _) in valid() {
            let (mut read, mut reads) = (0, 0);
            while let Ok(Parsed::More(missing)) = parse(&header[..read]) {
                read += missing;
                reads += 1;
            }
            assert!(reads <= 24, "{reads} for {}", header.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_header_is_refused_with_the_reason() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        let mut too_long = version2(0x21, 0x11, &in_v4());
        too_long[14..16].copy_from_slice(&4081_u16.to_be_bytes());
        for (input, reason) in [
            (&b"G"[..], NoHeader::Signature),
            (b"GET / HTTP/1.1\r\n", NoHeader::Signature),
            (b"proxy TCP4 ", NoHeader::Signature),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", NoHeader::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", NoHeader::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", NoHeader::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", NoHeader::Line),
            (b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", NoHeader::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", NoHeader::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", NoHeader::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", NoHeader::Line),
            (b"PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", NoHeader::Line),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n", NoHeader::Line),
            (b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n", NoHeader::Line),
            (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", NoHeader::Line),
            (b"PROXY UNKNOWN \rx", NoHeader::Line),
            (long.as_bytes(), NoHeader::LineTooLong),
            (&version2(0x11, 0x11, &in_v4()), NoHeader::Command),
            (&version2(0x22, 0x11, &in_v4())[..13], NoHeader::Command),
            (&version2(0x21, 0x41, &in_v4())[..14], NoHeader::Family),
            (&version2(0x21, 0x13, &in_v4()), NoHeader::Family),
            (&version2(0x21, 0x11, &in_v4()[..11]), NoHeader::TooShort),
            (&too_long[..16], NoHeader::TooLong),
        ] {
            assert_eq!(parse(input), Err(reason), "{}", input.escape_ascii());
        }
    }
}
