//! The limit of a gateway: every accepted connection gets one upstream connection, and bytes are
//! copied both ways without a look at them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use lexopt::prelude::*;
use limits::BUFFER;
use limits::listen::listen;
use limits::poller::{Interest, Poller, Ready, unless_blocked};

const LISTENER: usize = usize::MAX;

/// One end of a relayed connection.
struct End {
    stream: TcpStream,
    /// What the other end sent and this one could not take yet.
    pending: Vec<u8>,
    interest: Interest,
}

/// The client's end and the upstream's.
type Pair = [End; 2];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (address, upstream) = addresses()?;
    let listener = listen(address)?;

    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER)?;
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut vacant = Vec::new();
    let mut closed = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        poller.wait()?;
        let mut index = 0;
        while let Some(ready) = poller.ready(index) {
            index += 1;
            if ready.token == LISTENER {
                accept_all(&listener, upstream, &poller, &mut pairs, &mut vacant)?;
                continue;
            }
            let number = ready.token / 2;
            // The other end's event, earlier in this batch, may have closed the pair.
            let Some(pair) = &mut pairs[number] else {
                continue;
            };
            if !relay(pair, ready, &poller, &mut buffer) {
                pairs[number] = None;
                closed.push(number);
            }
        }
        // Numbers are given out again only now: this batch may still have named them.
        vacant.append(&mut closed);
    }
}

fn addresses() -> Result<(SocketAddr, SocketAddr), lexopt::Error> {
    let (mut listen, mut upstream) = (None, None);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("listen") => listen = Some(args.value()?.parse()?),
            Long("upstream") => upstream = Some(args.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok((
        listen.ok_or("--listen is needed")?,
        upstream.ok_or("--upstream is needed")?,
    ))
}

fn accept_all(
    listener: &TcpListener,
    upstream: SocketAddr,
    poller: &Poller,
    pairs: &mut Vec<Option<Pair>>,
    vacant: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let downstream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let number = vacant.pop().unwrap_or_else(|| {
            pairs.push(None);
            pairs.len() - 1
        });
        // A blocking connect: on the loopback it ends at once, and the limit dials only at start.
        let ends = [downstream, TcpStream::connect(upstream)?];
        for (side, stream) in ends.iter().enumerate() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            poller.add(stream, number * 2 + side)?;
        }
        pairs[number] = Some(ends.map(|stream| End {
            stream,
            pending: Vec::new(),
            interest: Interest::READ,
        }));
    }
}

/// False when the pair is to be closed.
fn relay(pair: &mut Pair, ready: Ready, poller: &Poller, buffer: &mut [u8]) -> bool {
    let side = ready.token % 2;
    let [client, upstream] = pair;
    let (this, other) = if side == 0 {
        (client, upstream)
    } else {
        (upstream, client)
    };
    let moved = (!ready.writable || this.flush().is_ok())
        && (!ready.readable || this.read_into(other, buffer).unwrap_or(false));
    moved
        && this
            .wait_for(other.pending.is_empty(), poller, ready.token)
            .is_ok()
        && other
            .wait_for(this.pending.is_empty(), poller, ready.token ^ 1)
            .is_ok()
}

impl End {
    fn flush(&mut self) -> io::Result<()> {
        if let Some(sent) = unless_blocked(self.stream.write(&self.pending))? {
            self.pending.drain(..sent);
        }
        Ok(())
    }

    /// False at the end of the stream.
    fn read_into(&mut self, other: &mut Self, buffer: &mut [u8]) -> io::Result<bool> {
        let Some(count) = unless_blocked(self.stream.read(buffer))? else {
            return Ok(true);
        };
        if count == 0 {
            return Ok(false);
        }
        let sent = if other.pending.is_empty() {
            unless_blocked(other.stream.write(&buffer[..count]))?.unwrap_or(0)
        } else {
            0
        };
        other.pending.extend_from_slice(&buffer[sent..count]);
        Ok(true)
    }

    /// Reads only while the other end takes what was read, so `pending` stays within one buffer.
    fn wait_for(&mut self, other_is_empty: bool, poller: &Poller, token: usize) -> io::Result<()> {
        let interest = Interest {
            read: other_is_empty,
            write: !self.pending.is_empty(),
        };
        if interest != self.interest {
            self.interest = interest;
            poller.change(&self.stream, token, interest)?;
        }
        Ok(())
    }
}
