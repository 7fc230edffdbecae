//! A name server that answers what the test tells it to, and can change its mind.
//!
//! It knows one record for all names: their IPv4 addresses, all with the same TTL. By UDP only, and
//! as much of RFC 1035 as that takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::background;

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses.
    Addresses(Vec<Ipv4Addr>),
    /// Something is wrong with the server (SERVFAIL).
    Failure,
    /// There is no such name (NXDOMAIN).
    NoSuchName,
    /// Nothing at all.
    Silence,
}

/// A name server on a loopback port. Dropping it closes the port.
#[derive(Debug)]
pub struct NameServer {
    addr: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    serving: JoinHandle<()>,
}

impl NameServer {
    /// Answers for `ttl` seconds each time.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    #[must_use]
    pub fn start(ttl: u32, answer: Answer) -> Self {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        socket.set_nonblocking(true).expect("a socket can be");
        let addr = socket.local_addr().expect("a bound socket has an address");
        let answer = Arc::new(Mutex::new(answer));
        let _inside = background::handle().enter();
        let socket = UdpSocket::from_std(socket).expect("the runtime takes sockets");
        let serving = background::handle().spawn(serve(socket, Arc::clone(&answer), ttl));
        Self {
            addr,
            answer,
            serving,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it answers from now on.
    pub fn set(&self, answer: Answer) {
        *self.answer.lock().expect("nobody panics with it") = answer;
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(socket: UdpSocket, answer: Arc<Mutex<Answer>>, ttl: u32) {
    let mut question = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut question).await {
        let answer = answer.lock().expect("nobody panics with it").clone();
        if let Some(reply) = reply(&question[..length], &answer, ttl) {
            // Whoever asked may have gone.
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

/// The reply to a question; `None` if it is none.
fn reply(message: &[u8], answer: &Answer, ttl: u32) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const A: [u8; 2] = [0, 1];
    // The question: a name, which ends with an empty label, then type and class.
    let name = message.get(HEADER..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = message.get(HEADER..HEADER + name + 4)?;
    let is_for_v4 = question[name..name + 2] == A;
    let (code, addresses) = match answer {
        Answer::Addresses(addresses) if is_for_v4 => (0, &addresses[..]),
        Answer::Addresses(_) => (0, &[][..]),
        Answer::Failure => (2, &[][..]),
        Answer::NoSuchName => (3, &[][..]),
        Answer::Silence => return None,
    };
    let count = u16::try_from(addresses.len()).ok()?.to_be_bytes();
    let mut reply = message[..2].to_vec();
    // A response, authoritative, recursion as desired and available.
    reply.extend([0x84 | (message[2] & 1), 0x80 | code]);
    reply.extend([0, 1, count[0], count[1], 0, 0, 0, 0]);
    reply.extend(question);
    for address in addresses {
        // The name of the question, A, IN, the TTL, four bytes.
        reply.extend([0xc0, HEADER as u8, 0, 1, 0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_in_the_form_of_rfc_1035() {
        let question =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01";
        let answer = Answer::Addresses(vec![Ipv4Addr::new(127, 0, 0, 9)]);
        let reply = reply(question, &answer, 7).unwrap();
        let mut expected = b"\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00".to_vec();
        expected.extend(&question[12..]);
        expected.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x07\x00\x04\x7f\x00\x00\x09");
        assert_eq!(reply, expected);
        let failed = super::reply(question, &Answer::Failure, 7).unwrap();
        assert_eq!(failed[3] & 0xf, 2);
        assert_eq!(super::reply(b"short", &answer, 7), None);
    }
}
