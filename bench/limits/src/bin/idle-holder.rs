//! Opens connections, sends one request on each, then keeps them idle until its stdin ends.
//!
//! It prints `idle N` when all are idle, and at the end `open N`: how many the server kept.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use bench_common::HELLO;
use lexopt::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (address, count) = arguments()?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes())?;
        read_answer(&mut stream)?;
        connections.push(stream);
    }
    println!("idle {}", connections.len());

    io::stdin().read_to_end(&mut Vec::new())?;
    let open = connections.iter().filter(|stream| is_open(stream)).count();
    println!("open {open}");
    Ok(())
}

fn arguments() -> Result<(SocketAddr, usize), lexopt::Error> {
    let (mut address, mut count) = (None, None);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Short('c') => count = Some(args.value()?.parse()?),
            Value(value) => address = Some(value.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok((
        address.ok_or("an address is needed")?,
        count.ok_or("-c is needed")?,
    ))
}

/// The answer is whole when its body is; its head is not looked at beyond the status.
fn read_answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.ends_with(HELLO) {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::Error::other(
                "the server closed the connection before its answer",
            ));
        }
        answer.extend_from_slice(&piece[..count]);
    }
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other("not 200"));
    }
    Ok(())
}

/// Nothing to read and no end of stream.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).is_ok()
        && stream
            .peek(&mut [0])
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
