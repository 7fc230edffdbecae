//! The TLS handshake of an accepted connection, bounded in time.

use std::future::poll_fn;
use std::io::IoSlice;

use super::linger::discard;
use super::registry::Hub;
use super::settings::PlainHttp;
use crate::CloseReason;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::net::Stream;
use crate::tls::{Handshake, ServerTls};

/// A line that a person understands, in the protocol that was spoken (Go: the same).
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 51\r\n\
    connection: close\r\n\r\n\
    400 Bad Request: plain HTTP was sent to a TLS port\n";

/// The stream once TLS is spoken on it, or why the connection ends.
pub(super) async fn shake_hands(
    tls: &ServerTls,
    stream: Stream,
    hub: &Hub,
) -> Result<Stream, CloseReason> {
    let handshake = tls.handshake(stream);
    let reception = hub.receptions.look().reception;
    let outcome = match reception.handshake_timeout {
        Some(limit) => tokio::time::timeout(limit, handshake)
            .await
            .map_err(|_| CloseReason::Timeout)?,
        None => handshake.await,
    };
    match outcome {
        Ok(Handshake::Done(stream)) => Ok(stream),
        Ok(Handshake::PlainHttp(stream)) if hub.settings.plain_http == PlainHttp::Admitted => {
            Ok(stream)
        }
        Ok(Handshake::PlainHttp(mut stream)) => {
            // Shorter than any socket buffer: what one write does not take, nobody would read.
            let slice = [IoSlice::new(PLAIN_HTTP)];
            if poll_fn(|cx| stream.poll_write(cx, &slice)).await.is_ok() {
                discard(
                    &mut stream,
                    &mut Deadline::default(),
                    reception.terms.linger,
                    || false,
                )
                .await;
            }
            Err(CloseReason::ProtocolError)
        }
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            Err(handshake_failure(&error))
        }
    }
}

/// A client that leaves before the handshake is over has broken nothing.
fn handshake_failure(error: &Error) -> CloseReason {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<std::io::Error>() {
            return match cause.kind() {
                std::io::ErrorKind::UnexpectedEof => CloseReason::PeerClosed,
                std::io::ErrorKind::InvalidData => CloseReason::ProtocolError,
                _ => CloseReason::IoError,
            };
        }
        source = cause.source();
    }
    CloseReason::ProtocolError
}
