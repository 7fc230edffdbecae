//! Telling HTTP/2 by prior knowledge (RFC 9113 §3.3) from HTTP/1.1 by the first bytes.

use std::future::poll_fn;
use std::task::{Poll, ready};

use bytes::BytesMut;

use crate::net::Stream;
use crate::server::registry::Hub;
use crate::server::wire::Core;

/// What a client that speaks HTTP/2 says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection begins with.
pub(in crate::server) enum Sniffed {
    /// HTTP/2, of its own accord.
    Http2(BytesMut),
    Other(BytesMut),
}

/// Nothing so far contradicts HTTP/2 by prior knowledge.
pub(in crate::server) fn may_be_http2(hub: &Hub, input: &[u8]) -> bool {
    let length = input.len().min(PREFACE.len());
    hub.settings.offers_http2() && input[..length] == PREFACE[..length]
}

/// Reads until it is clear what the connection begins with. No request of HTTP/1 begins with more
/// than a few bytes of the preface. What does not come in time is left to HTTP/1.1 to refuse.
pub(in crate::server) async fn sniff(
    core: &mut Core,
    stream: &mut Stream,
    mut input: BytesMut,
) -> Sniffed {
    core.deadline.set(core.hub().settings.head_timeout);
    poll_fn(|cx| {
        loop {
            if !may_be_http2(core.hub(), &input) {
                return Poll::Ready(Sniffed::Other(std::mem::take(&mut input)));
            }
            if input.len() >= PREFACE.len() {
                return Poll::Ready(Sniffed::Http2(std::mem::take(&mut input)));
            }
            match stream.poll_read(cx, &mut input) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Sniffed::Other(std::mem::take(&mut input))),
                Poll::Pending => {
                    ready!(core.deadline.poll(cx));
                    return Poll::Ready(Sniffed::Other(std::mem::take(&mut input)));
                }
            }
        }
    })
    .await
}
