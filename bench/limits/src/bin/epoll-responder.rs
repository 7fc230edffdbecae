//! The limit of a server: counts the ends of request heads and answers each with fixed bytes.
//!
//! Also what clients are measured against: it is the least that can stand on the other side.
//! `--gate N` answers when N connections have asked, so that a pooled client has N of them.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use bench_common::{Serve, last_response, origin, response};
use limits::BUFFER;
use limits::listen::listen;
use limits::poller::{Interest, Poller, unless_blocked};
use limits::requests::Requests;

/// Tokens from here on belong to listeners.
const LISTENERS: usize = usize::MAX / 2;

struct Connection {
    stream: TcpStream,
    requests: Requests,
    /// How many requests it may still carry; the answer to the last one says so.
    requests_left: u64,
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
    /// The answer after which a connection closes.
    last: Vec<u8>,
}

/// Connections, and who was not answered yet because of the gate.
struct Server {
    poller: Poller,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    answers: Answers,
    fresh: Connecting,
    /// So many requests are answered together; 0: each as it comes.
    gate: usize,
    /// Requests that are waiting at the gate.
    waiting: usize,
}

/// What each connection begins with.
struct Connecting {
    post_bytes: usize,
    close_every: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let serve = Serve::from_args(&[])?;
    let mut server = Server {
        poller: Poller::new()?,
        connections: Vec::new(),
        vacant: Vec::new(),
        answers: Answers::of_body(serve.body_bytes),
        fresh: Connecting {
            post_bytes: serve.post_bytes,
            close_every: serve.close_every.unwrap_or(u64::MAX),
        },
        gate: serve.gate,
        waiting: 0,
    };
    let mut listeners = Vec::with_capacity(serve.origins);
    for number in 0..serve.origins {
        let listener = listen(origin(serve.listen, number))?;
        server.poller.add(&listener, LISTENERS + number)?;
        listeners.push(listener);
    }
    let mut buffer = vec![0; BUFFER];
    loop {
        server.poller.wait()?;
        let mut index = 0;
        while let Some(ready) = server.poller.ready(index) {
            index += 1;
            match ready.token.checked_sub(LISTENERS) {
                Some(number) => server.accept_all(&listeners[number])?,
                None => server.serve(ready.token, ready.readable, &mut buffer),
            }
        }
    }
}

impl Server {
    fn accept_all(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let token = self.vacant.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poller.add(&stream, token)?;
            self.connections[token] = Some(Connection {
                stream,
                requests: Requests::with_content(self.fresh.post_bytes),
                requests_left: self.fresh.close_every,
                owed: 0,
                offset: 0,
                waits_for_write: false,
            });
        }
    }

    fn serve(&mut self, token: usize, readable: bool, buffer: &mut [u8]) {
        let connection = self.connections[token]
            .as_mut()
            .expect("only open connections are in the set");
        if readable && !connection.receive(buffer, &self.answers) {
            self.close(token);
        } else if self.gate == 0 || connection.owed == 0 {
            self.answer(token);
        } else {
            self.waiting += 1;
            if self.waiting == self.gate {
                self.waiting = 0;
                (0..self.connections.len()).for_each(|token| self.answer(token));
            }
        }
    }

    fn answer(&mut self, token: usize) {
        let Some(connection) = &mut self.connections[token] else {
            return;
        };
        if !(connection.send(&self.answers)
            && connection.wait_for_what_is_missing(&self.poller, token))
        {
            self.close(token);
        }
    }

    fn close(&mut self, token: usize) {
        self.connections[token] = None;
        self.vacant.push(token);
    }
}

// Each step says whether the connection is still open.
impl Connection {
    fn receive(&mut self, buffer: &mut [u8], answers: &Answers) -> bool {
        match unless_blocked(self.stream.read(buffer)) {
            Ok(Some(0)) | Err(_) => false,
            Ok(Some(count)) => {
                let requests = self.requests.count(&buffer[..count]);
                self.owed += answers.length * requests;
                self.requests_left = self.requests_left.saturating_sub(requests as u64);
                if self.requests_left == 0 {
                    // Short enough for any socket's buffer; nothing else is owed by then.
                    let _ = self.stream.write_all(&answers.last);
                }
                self.requests_left > 0
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
            last: last_response(length),
        }
    }

    fn next(&self, offset: usize, owed: usize) -> &[u8] {
        let end = self.block.len().min(offset + owed);
        &self.block[offset..end]
    }
}
