//! Which protocols a handler can be served with.
//!
//! The raw exchange is HTTP/1.1: a handler of it is never offered HTTP/2. The typed service does
//! not know the difference.

#[cfg(feature = "http2")]
use std::future::Future;

#[cfg(feature = "http2")]
use bytes::BytesMut;

use super::exchange::{Exchange, Handler};
use super::refused::Refused;
#[cfg(feature = "http2")]
use super::{busy::Rest, http2, wire::Core};
#[cfg(feature = "http2")]
use crate::CloseReason;
use crate::error::Error;
#[cfg(feature = "http2")]
use crate::net::Stream;

/// A handler, and what it can do besides HTTP/1.1.
pub(super) trait Speaks: Handler {
    /// It answers HTTP/2 too.
    #[cfg_attr(
        not(any(feature = "tls", feature = "http2")),
        expect(dead_code, reason = "there is no way to agree on HTTP/2")
    )]
    const HTTP2: bool;
    /// A client that takes nothing of its answer is reset, so that the kernel does not keep what it
    /// does not take. A raw handler chooses for itself, by [`Exchange::hang_up`].
    const RESETS_THE_STUCK: bool;

    /// Serves HTTP/2 on the connection to its end, and says how it is to be closed; called only
    /// where [`HTTP2`](Self::HTTP2) holds.
    #[cfg(feature = "http2")]
    fn serve_http2(
        &mut self,
        core: &mut Core,
        stream: Stream,
        input: BytesMut,
        settings: http2::Http2,
    ) -> impl Future<Output = (Rest, Stream)> + Send;
}

/// A handler of the raw exchange.
#[derive(Debug, Clone)]
pub(super) struct Raw<H>(pub(super) H);

impl<H: Handler> Handler for Raw<H> {
    async fn handle(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        self.0.handle(exchange).await
    }

    async fn refuse(&mut self, refused: &mut Refused<'_>) -> Result<(), Error> {
        self.0.refuse(refused).await
    }
}

impl<H: Handler> Speaks for Raw<H> {
    const HTTP2: bool = false;
    const RESETS_THE_STUCK: bool = false;

    #[cfg(feature = "http2")]
    async fn serve_http2(
        &mut self,
        _: &mut Core,
        stream: Stream,
        _: BytesMut,
        _: http2::Http2,
    ) -> (Rest, Stream) {
        (Rest::Abort(CloseReason::ProtocolError), stream)
    }
}
