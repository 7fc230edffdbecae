//! The limit of a client: fixed requests on fixed connections, answers counted by their bytes.
//!
//! One answer is read with care at the start; the others are taken to be as long as it was. That
//! is enough to find a wrong one: each batch must begin with `HTTP/1.1 200`, end with the end of
//! the body, and have exactly the expected number of bytes.
//!
//! With `--close-every N` a connection is closed after N batches and another one opened.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Instant;

use bench_common::{HELLO, Load, Recorder, body};
use limits::BUFFER;
use limits::poller::{Interest, Poller, unless_blocked};

const OK: &[u8] = b"HTTP/1.1 200";

/// What goes out and what must come back, the same for all connections.
struct Exchange {
    batch: Vec<u8>,
    depth: usize,
    /// Bytes of the answers to one batch.
    answers: usize,
    /// The end of every body, as much of it as is compared.
    tail: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    sent_at: Instant,
    /// Bytes of the batch that the socket has not taken yet.
    unsent: usize,
    waits_for_write: bool,
    /// Bytes of answers that have not arrived.
    missing: usize,
    batches: u64,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let load = Load::from_args()?;
    let exchange = Exchange::learn(&load)?;
    let mut poller = Poller::new()?;
    let mut connections = Vec::with_capacity(load.connections);
    for token in 0..load.connections {
        connections.push(Connection::open(&load, &poller, token)?);
    }
    // Not before, since connections may take long.
    let recorder = Recorder::start(load.amount);
    let outcome = run(&load, &exchange, &recorder, &mut poller, &mut connections);
    let opened = outcome.unwrap_or_else(|error| {
        recorder.failed(error.to_string());
        0
    });
    Ok(recorder.finish(opened).report())
}

/// How many connections were opened.
fn run(
    load: &Load,
    exchange: &Exchange,
    recorder: &Recorder,
    poller: &mut Poller,
    connections: &mut [Connection],
) -> io::Result<u64> {
    let mut opened = load.connections as u64;
    let mut busy = 0;
    for (token, connection) in connections.iter_mut().enumerate() {
        busy += usize::from(connection.start(exchange, recorder, Instant::now())?);
        connection.send(exchange, poller, token)?;
    }

    let close_every = load.close_every.unwrap_or(u64::MAX);
    let mut buffer = vec![0; BUFFER];
    while busy > 0 {
        poller.wait()?;
        let mut index = 0;
        while let Some(ready) = poller.ready(index) {
            index += 1;
            let connection = &mut connections[ready.token];
            if ready.writable {
                connection.send(exchange, poller, ready.token)?;
            }
            if !ready.readable || !connection.receive(exchange, &mut buffer)? {
                continue;
            }
            let now = Instant::now();
            recorder.succeeded(exchange.depth, now - connection.sent_at);
            if connection.batches == close_every {
                *connection = Connection::open(load, poller, ready.token)?;
                opened += 1;
            }
            if connection.start(exchange, recorder, now)? {
                connection.send(exchange, poller, ready.token)?;
            } else {
                busy -= 1;
            }
        }
    }
    Ok(opened)
}

impl Connection {
    fn open(load: &Load, poller: &Poller, token: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(load.address)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        poller.add(&stream, token)?;
        Ok(Self {
            stream,
            sent_at: Instant::now(),
            unsent: 0,
            waits_for_write: false,
            missing: 0,
            batches: 0,
        })
    }

    /// Begins the next batch; false when the load is over.
    fn start(
        &mut self,
        exchange: &Exchange,
        recorder: &Recorder,
        now: Instant,
    ) -> io::Result<bool> {
        if !recorder.may_start(exchange.depth, now) {
            return Ok(false);
        }
        if self.unsent > 0 {
            return Err(io::Error::other("an answer before the end of its request"));
        }
        self.sent_at = now;
        self.unsent = exchange.batch.len();
        self.missing = exchange.answers;
        self.batches += 1;
        Ok(true)
    }

    /// Sends what the socket takes, and waits for it to take the rest.
    fn send(&mut self, exchange: &Exchange, poller: &Poller, token: usize) -> io::Result<()> {
        while self.unsent > 0 {
            let rest = &exchange.batch[exchange.batch.len() - self.unsent..];
            match unless_blocked(self.stream.write(rest))? {
                Some(sent) => self.unsent -= sent,
                None => break,
            }
        }
        let blocked = self.unsent > 0;
        if blocked != self.waits_for_write {
            self.waits_for_write = blocked;
            let interest = Interest {
                read: true,
                write: blocked,
            };
            poller.change(&self.stream, token, interest)?;
        }
        Ok(())
    }

    /// True when the answers to the whole batch have arrived.
    fn receive(&mut self, exchange: &Exchange, buffer: &mut [u8]) -> io::Result<bool> {
        let Some(count) = unless_blocked(self.stream.read(buffer))? else {
            return Ok(false);
        };
        let received = &buffer[..count];
        if received.is_empty() {
            return Err(io::Error::other("the server closed the connection"));
        }
        let begins = self.missing == exchange.answers;
        if begins && count >= OK.len() && !received.starts_with(OK) {
            return Err(io::Error::other(
                "an answer that is not 200, or is out of step",
            ));
        }
        self.missing = self
            .missing
            .checked_sub(count)
            .ok_or_else(|| io::Error::other("more bytes than the answers have"))?;
        if self.missing > 0 {
            return Ok(false);
        }
        let compared = exchange.tail.len().min(count);
        if received[count - compared..] != exchange.tail[exchange.tail.len() - compared..] {
            return Err(io::Error::other("wrong body"));
        }
        Ok(true)
    }
}

impl Exchange {
    fn learn(load: &Load) -> io::Result<Self> {
        let (path, host) = (&load.path, load.address);
        let mut request = if load.post_bytes == 0 {
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
        } else {
            let length = load.post_bytes;
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes()
        };
        request.extend(body(load.post_bytes));
        let body = body(load.body_bytes);
        let answer = answer_length(load, &request, &body)?;
        Ok(Self {
            batch: request.repeat(load.pipeline),
            depth: load.pipeline,
            answers: answer * load.pipeline,
            tail: body[body.len().saturating_sub(HELLO.len())..].to_vec(),
        })
    }
}

/// Length of one whole answer, head and body; its status, length and body are checked.
fn answer_length(load: &Load, request: &[u8], body: &[u8]) -> io::Result<usize> {
    let mut stream = TcpStream::connect(load.address)?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut piece = vec![0; BUFFER];
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::Error::other(
                "the server closed the connection before its answer",
            ));
        }
        answer.extend_from_slice(&piece[..count]);
        let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let told = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        if !answer.starts_with(OK) || told.and_then(|n| n.trim().parse().ok()) != Some(body.len()) {
            return Err(io::Error::other(format!(
                "not 200 with {} bytes: {head}",
                body.len()
            )));
        }
        let arrived = &answer[end + 4..];
        if arrived.len() >= body.len() {
            return if arrived == body {
                Ok(answer.len())
            } else {
                Err(io::Error::other("wrong body"))
            };
        }
    }
}
