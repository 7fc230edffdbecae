//! Moves a request's body into its exchange.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderMap;
use http_body::Body as _;

use super::exchange::Exchange;
use crate::Body;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};

/// The body of a request that is being sent.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Option<Body>,
    trailers: Option<HeaderMap>,
    /// Something of the body has been taken.
    is_begun: bool,
    /// The server is to say first that it wants the body (`Expect: 100-continue`); without an
    /// answer it is sent when this passes.
    held: Option<Deadline>,
}

impl Upload {
    pub(crate) const fn new(body: Body) -> Self {
        Self {
            body: Some(body),
            trailers: None,
            is_begun: false,
            held: None,
        }
    }

    /// Holds the body back until the server says that it wants it, at most so long.
    pub(crate) fn hold(&mut self, time: Option<Duration>) {
        let mut deadline = Deadline::default();
        deadline.set(time);
        self.held = Some(deadline);
    }

    /// The server wants the body.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }

    /// The body is still held back.
    pub(crate) const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Moves what can be moved. Ready when the request is written, or will never be.
    ///
    /// # Errors
    /// The body itself failed, or does not keep its own length.
    pub(crate) fn poll(
        &mut self,
        exchange: &mut Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if let Some(held) = &mut self.held {
            let _ = exchange.poll_flush(cx);
            ready!(held.poll(cx));
            self.held = None;
        }
        while let Some(body) = &mut self.body {
            if exchange.is_request_over() {
                self.body = None;
                break;
            }
            ready!(exchange.poll_ready(cx));
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
                // What there is leaves at once: the server sees the head while the body blocks.
                let _ = exchange.poll_flush(cx);
                return Poll::Pending;
            };
            self.is_begun = true;
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => exchange.send_piece(piece)?,
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => return Poll::Ready(Err(as_body_error(error))),
                None => {
                    ready!(exchange.poll_ready(cx));
                    self.body = None;
                    exchange.send_end(self.trailers.as_ref())?;
                }
            }
        }
        exchange.poll_flush(cx).map(Ok)
    }

    /// The body, if nothing of it has been taken: it can be sent again, whatever it is.
    pub(crate) fn into_untouched(self) -> Option<Body> {
        self.body.filter(|_| !self.is_begun)
    }
}

fn as_body_error(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Body => error,
        _ => Error::caused(ErrorKind::Body, error),
    }
}
