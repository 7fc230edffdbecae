//! The limit of a server: counts the ends of request heads and answers each with fixed bytes.
//!
//! Also what clients are measured against: it is the least that can stand on the other side.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use bench_common::{Serve, response};
use limits::BUFFER;
use limits::delimiter::Delimiter;
use limits::poller::{Interest, Poller, unless_blocked};

const LISTENER: usize = usize::MAX;

struct Connection {
    stream: TcpStream,
    delimiter: Delimiter,
    /// Bytes of answers that are still to be sent.
    owed: usize,
    /// Where in an answer the next byte lies.
    offset: usize,
    waits_for_write: bool,
}

/// Answers laid end to end, so that a pipelined batch goes out in one write and a half-sent answer
/// needs no buffer of its own.
struct Answers {
    block: Vec<u8>,
    length: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let serve = Serve::from_args(&[])?;
    let listener = TcpListener::bind(serve.listen)?;
    listener.set_nonblocking(true)?;
    let answers = Answers::of_body(serve.body_bytes);

    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut vacant = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        poller.wait()?;
        let mut index = 0;
        while let Some(ready) = poller.ready(index) {
            index += 1;
            if ready.token == LISTENER {
                accept_all(&listener, &poller, &mut connections, &mut vacant)?;
                continue;
            }
            let slot = &mut connections[ready.token];
            let connection = slot.as_mut().expect("only open connections are in the set");
            let open = (!ready.readable || connection.receive(&mut buffer, answers.length))
                && connection.send(&answers)
                && connection.wait_for_what_is_missing(&poller, ready.token);
            if !open {
                *slot = None;
                vacant.push(ready.token);
            }
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    poller: &Poller,
    connections: &mut Vec<Option<Connection>>,
    vacant: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let token = vacant.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        poller.add(&stream, token)?;
        connections[token] = Some(Connection {
            stream,
            delimiter: Delimiter::default(),
            owed: 0,
            offset: 0,
            waits_for_write: false,
        });
    }
}

// Each step says whether the connection is still open.
impl Connection {
    fn receive(&mut self, buffer: &mut [u8], answer_length: usize) -> bool {
        match unless_blocked(self.stream.read(buffer)) {
            Ok(Some(0)) | Err(_) => false,
            Ok(Some(count)) => {
                self.owed += answer_length * self.delimiter.count(&buffer[..count]);
                true
            }
            Ok(None) => true,
        }
    }

    fn send(&mut self, answers: &Answers) -> bool {
        while self.owed > 0 {
            match unless_blocked(self.stream.write(answers.next(self.offset, self.owed))) {
                Ok(Some(sent)) => {
                    self.owed -= sent;
                    self.offset = (self.offset + sent) % answers.length;
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn wait_for_what_is_missing(&mut self, poller: &Poller, token: usize) -> bool {
        let blocked = self.owed > 0;
        if blocked == self.waits_for_write {
            return true;
        }
        self.waits_for_write = blocked;
        // A client that does not read its answers is not read from either.
        let interest = Interest {
            read: !blocked,
            write: blocked,
        };
        poller.change(&self.stream, token, interest).is_ok()
    }
}

impl Answers {
    fn of_body(length: usize) -> Self {
        let answer = response(length);
        // Two copies at least: a send may begin anywhere in the first.
        let copies = (BUFFER / answer.len()).max(2);
        Self {
            block: answer.repeat(copies),
            length: answer.len(),
        }
    }

    fn next(&self, offset: usize, owed: usize) -> &[u8] {
        let end = self.block.len().min(offset + owed);
        &self.block[offset..end]
    }
}
