//! The limit of a client: fixed requests on fixed connections, answers counted by their bytes.
//!
//! One answer is read with care at the start; the others are taken to be as long as it was. That
//! is enough to find a wrong one: each batch must begin with `HTTP/1.1 200`, end with the end of
//! the body, and have exactly the expected number of bytes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Instant;

use bench_common::{HELLO, Load, Recorder, body};
use limits::BUFFER;
use limits::poller::{Poller, unless_blocked};

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
    /// Bytes of answers that have not arrived.
    missing: usize,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let load = Load::from_args()?;
    let exchange = Exchange::learn(&load)?;
    let recorder = Recorder::start(load.amount);
    if let Err(error) = run(&load, &exchange, &recorder) {
        recorder.failed(error.to_string());
    }
    Ok(recorder.finish(load.connections as u64).report())
}

fn run(load: &Load, exchange: &Exchange, recorder: &Recorder) -> io::Result<()> {
    let mut poller = Poller::new()?;
    let mut connections = Vec::with_capacity(load.connections);
    for token in 0..load.connections {
        let stream = TcpStream::connect(load.address)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        poller.add(&stream, token)?;
        connections.push(Connection {
            stream,
            sent_at: Instant::now(),
            missing: 0,
        });
    }
    let mut busy = 0;
    for connection in &mut connections {
        busy += usize::from(connection.start(exchange, recorder, Instant::now())?);
    }

    let mut buffer = vec![0; BUFFER];
    while busy > 0 {
        poller.wait()?;
        let mut index = 0;
        while let Some(ready) = poller.ready(index) {
            index += 1;
            let connection = &mut connections[ready.token];
            if !connection.receive(exchange, &mut buffer)? {
                continue;
            }
            let now = Instant::now();
            recorder.succeeded(exchange.depth, now - connection.sent_at);
            if !connection.start(exchange, recorder, now)? {
                busy -= 1;
            }
        }
    }
    Ok(())
}

impl Connection {
    /// Sends the next batch; false when the load is over.
    fn start(
        &mut self,
        exchange: &Exchange,
        recorder: &Recorder,
        now: Instant,
    ) -> io::Result<bool> {
        if !recorder.may_start(exchange.depth, now) {
            return Ok(false);
        }
        // All answers have arrived, so the socket's buffer is empty and takes a batch whole.
        self.stream.write_all(&exchange.batch)?;
        self.sent_at = now;
        self.missing = exchange.answers;
        Ok(true)
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
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
            load.path, load.address
        );
        let body = body(load.body_bytes);
        let answer = answer_length(load, request.as_bytes(), &body)?;
        Ok(Self {
            batch: request.repeat(load.pipeline).into_bytes(),
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
