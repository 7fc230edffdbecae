//! Whose connection it is, as a balancer says in a header of the PROXY protocol: the first thing on
//! each connection of a listener that is set so, before TLS.
//!
//! Invariant: not a byte behind the header is read, and without a whole header nothing of the
//! connection is served. The header has the time of a head.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};

use keepline_proto::proxy_protocol::{Announced, Parsed, parse};
use tokio::io::AsyncReadExt;

use super::wire::{Core, is_end};
use crate::CloseReason;
use crate::net::{PeerAddr, Stream};

/// Reads the header, and enters the connection as that of the client that it names.
pub(super) async fn read_announced(
    core: &mut Core,
    stream: &mut Stream,
) -> Result<(), CloseReason> {
    match read_header(core, stream).await? {
        Announced::Client { source, .. } => core.registration.name(Some(PeerAddr::Tcp(source))),
        Announced::Sender => core.registration.name(None),
    }
    .map_err(|_| CloseReason::LocalAskedClose)
}

async fn read_header(core: &mut Core, stream: &mut Stream) -> Result<Announced, CloseReason> {
    let mut header = Vec::new();
    loop {
        match parse(&header) {
            Ok(Parsed::Header(announced, _)) => return Ok(announced),
            Ok(Parsed::More(missing)) => {
                let read = header.len();
                header.resize(read + missing, 0);
                let more = read_some(core, stream, &mut header[read..]).await?;
                header.truncate(read + more);
            }
            Err(error) => {
                tracing::debug!(peer = %core.registration.peer, %error, "a connection is closed");
                return Err(CloseReason::ProtocolError);
            }
        }
    }
}

/// Reads at least one byte, before the deadline of the connection.
async fn read_some(
    core: &mut Core,
    stream: &mut Stream,
    space: &mut [u8],
) -> Result<usize, CloseReason> {
    let mut reading = pin!(stream.read(space));
    poll_fn(|cx| match reading.as_mut().poll(cx) {
        Poll::Ready(Ok(0)) => Poll::Ready(Err(CloseReason::PeerClosed)),
        Poll::Ready(Ok(read)) => Poll::Ready(Ok(read)),
        Poll::Ready(Err(error)) if is_end(&error) => Poll::Ready(Err(CloseReason::PeerClosed)),
        Poll::Ready(Err(_)) => Poll::Ready(Err(CloseReason::IoError)),
        Poll::Pending => {
            ready!(core.deadline.poll(cx));
            Poll::Ready(Err(CloseReason::Timeout))
        }
    })
    .await
}
