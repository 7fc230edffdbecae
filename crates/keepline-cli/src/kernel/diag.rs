//! The kernel's messages about sockets, as bytes (linux/netlink.h, linux/inet_diag.h, linux/tcp.h).
//!
//! Pure: asking for them is [`netlink`](super::netlink)'s.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::sockets::{Socket, State};

/// `nlmsghdr`.
const HEADER: usize = 16;
/// `inet_diag_msg`.
const DIAG: usize = 72;

/// A message about a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) socket: Socket,
    /// The counters of a socket; one that only waits for TIME-WAIT to pass has none.
    pub(crate) info: Option<Info>,
}

/// What `tcp_info` has that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) segments_sent: u32,
    pub(crate) segments_received: u32,
    /// Segments sent again, in the whole life of the connection.
    pub(crate) retransmits: u32,
    /// Since data was last sent or received.
    pub(crate) idle: Duration,
}

/// What a datagram of the kernel holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Message(&'a [u8]),
    /// The answer is complete.
    Done,
    /// The kernel cannot answer; an `errno`.
    Error(i32),
}

/// The messages in a datagram.
pub(crate) fn parts(mut datagram: &[u8]) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(array(datagram, 0)?)).ok()?;
        let message = datagram.get(..length).filter(|_| length >= HEADER)?;
        let kind = u16::from_ne_bytes(array(message, 4)?);
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some(match kind {
            2 => Part::Error(i32::from_ne_bytes(
                array(message, HEADER).unwrap_or_default(),
            )),
            3 => Part::Done,
            _ => Part::Message(message),
        })
    })
}

/// Asks for all TCP sockets of a family: those with this local or remote port, where it is not 0.
pub(crate) fn request(is_v6: bool, local_port: u16, remote_port: u16) -> [u8; HEADER + 56] {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    /// `NLM_F_REQUEST` and `NLM_F_DUMP`.
    const FLAGS: u16 = 1 | 0x300;
    let mut request = [0; HEADER + 56];
    let length = u32::try_from(request.len()).unwrap_or_default();
    request[0..4].copy_from_slice(&length.to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&FLAGS.to_ne_bytes());
    // `inet_diag_req_v2`: AF_INET or AF_INET6, IPPROTO_TCP, the attribute with tcp_info.
    request[16..19].copy_from_slice(&[if is_v6 { 10 } else { 2 }, 6, 1 << 1]);
    // All states but LISTEN and NEW-SYN-RECV, which are no connections yet.
    request[20..24].copy_from_slice(&(0xfff_u32 & !(1 << 10)).to_ne_bytes());
    request[24..26].copy_from_slice(&local_port.to_be_bytes());
    request[26..28].copy_from_slice(&remote_port.to_be_bytes());
    request
}

impl Message {
    /// From a netlink message: `nlmsghdr`, `inet_diag_msg`, attributes.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let diag = message.get(HEADER..)?;
        let is_v6 = *diag.first()? == 10;
        let state = State::from_number(*diag.get(1)?)?;
        let local = SocketAddr::new(address(diag, 8, is_v6)?, port(diag, 4)?);
        let remote = SocketAddr::new(address(diag, 24, is_v6)?, port(diag, 6)?);
        let inode = u64::from(u32::from_ne_bytes(array(diag, 68)?));
        let info = tcp_info(message.get(HEADER + DIAG..).unwrap_or_default()).and_then(Info::parse);
        Some(Self {
            socket: Socket {
                state,
                local,
                remote,
                inode,
                idle: info.map(|info| info.idle),
                retransmits: info.map(|info| u64::from(info.retransmits)),
                is_whole: info.is_some(),
            },
            info,
        })
    }
}

impl Info {
    fn parse(info: &[u8]) -> Option<Self> {
        let number = |at| array(info, at).map(u32::from_ne_bytes);
        let (sent, received) = (number(44)?, number(52)?);
        Some(Self {
            retransmits: number(100)?,
            segments_sent: number(136)?,
            segments_received: number(140)?,
            idle: Duration::from_millis(u64::from(sent.min(received))),
        })
    }
}

fn port(diag: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(array(diag, at)?))
}

/// An IPv4 address in IPv6 clothes is one of IPv4: it is the same socket to its other end.
fn address(diag: &[u8], at: usize, is_v6: bool) -> Option<IpAddr> {
    Some(if is_v6 {
        IpAddr::from(Ipv6Addr::from(array::<16>(diag, at)?)).to_canonical()
    } else {
        Ipv4Addr::from(array::<4>(diag, at)?).into()
    })
}

/// The attribute `INET_DIAG_INFO`. Attributes are a length, a type and a content, padded to four
/// bytes.
fn tcp_info(mut attributes: &[u8]) -> Option<&[u8]> {
    const INFO: u16 = 2;
    loop {
        let length = usize::from(u16::from_ne_bytes(array(attributes, 0)?));
        let kind = u16::from_ne_bytes(array(attributes, 2)?);
        let content = attributes.get(4..length)?;
        if kind == INFO {
            return Some(content);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ports: (u16, u16), segments: (u32, u32)) -> Vec<u8> {
        let mut message = vec![0; HEADER + DIAG];
        message[16..18].copy_from_slice(&[2, 1]);
        message[20..22].copy_from_slice(&ports.0.to_be_bytes());
        message[22..24].copy_from_slice(&ports.1.to_be_bytes());
        message[24..28].copy_from_slice(&[127, 0, 0, 1]);
        message[40..44].copy_from_slice(&[127, 0, 0, 2]);
        message[84..88].copy_from_slice(&77_u32.to_ne_bytes());
        // Another attribute first, of a length that needs padding.
        message.extend([5, 0, 8, 0, 7, 0, 0, 0]);
        let mut info = vec![0; 232];
        info[44..48].copy_from_slice(&900_u32.to_ne_bytes());
        info[52..56].copy_from_slice(&800_u32.to_ne_bytes());
        info[100..104].copy_from_slice(&3_u32.to_ne_bytes());
        info[136..140].copy_from_slice(&segments.0.to_ne_bytes());
        info[140..144].copy_from_slice(&segments.1.to_ne_bytes());
        message.extend(u16::try_from(info.len() + 4).unwrap().to_ne_bytes());
        message.extend(2_u16.to_ne_bytes());
        message.extend(info);
        let length = u32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message[4..6].copy_from_slice(&20_u16.to_ne_bytes());
        message
    }

    #[test]
    fn a_message_is_read() {
        let read = Message::parse(&message((40_000, 80), (6, 4))).expect("it is whole");
        assert_eq!(read.socket.state, State::Established);
        assert_eq!(read.socket.local, "127.0.0.1:40000".parse().unwrap());
        assert_eq!(read.socket.remote, "127.0.0.2:80".parse().unwrap());
        assert_eq!((read.socket.inode, read.socket.is_whole), (77, true));
        let info = read.info.expect("it has one");
        assert_eq!((info.segments_sent, info.segments_received), (6, 4));
        assert_eq!(
            (info.retransmits, info.idle),
            (3, Duration::from_millis(800))
        );
    }

    #[test]
    fn a_message_that_is_cut_short_is_none_or_has_no_counters() {
        let whole = message((1, 2), (3, 4));
        for length in 0..whole.len() {
            let read = Message::parse(&whole[..length]);
            assert!(read.is_none_or(|read| read.info.is_none()), "{length}");
        }
    }

    #[test]
    fn a_datagram_holds_several_and_its_end() {
        let one = message((1, 2), (3, 4));
        let done = [16_u32.to_ne_bytes().to_vec(), vec![3, 0], vec![0; 10]].concat();
        let datagram = [one.clone(), one.clone(), done].concat();
        let found: Vec<_> = parts(&datagram).collect();
        assert_eq!(
            found,
            [Part::Message(&one), Part::Message(&one), Part::Done]
        );
        assert_eq!(parts(&datagram[..20]).count(), 0);
        assert_eq!(parts(&[0; 64]).count(), 0);
    }

    #[test]
    fn the_request_names_the_ports() {
        let bytes = request(false, 80, 0);
        assert_eq!((bytes[0], bytes[16], bytes[17]), (72, 2, 6));
        assert_eq!(bytes[24..28], [0, 80, 0, 0]);
    }
}
