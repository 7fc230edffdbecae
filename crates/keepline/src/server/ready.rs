//! Answers that are known from the head of a request alone.
//!
//! A probe of health or a fixed text needs no typed request, no service and no body that is polled:
//! the answer is there before any of them is made. It goes out as any other, with the same
//! decisions about the connection, and is told to the same hooks.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use keepline_proto::{BodyLength, Field};

use super::exchange::Exchange;
use crate::error::Error;

/// A whole answer, for [`ServerBuilder::answer_first`](super::ServerBuilder::answer_first).
#[derive(Debug, Clone)]
pub struct ReadyAnswer {
    status: StatusCode,
    content_type: HeaderValue,
    content: Bytes,
}

impl ReadyAnswer {
    /// Of static parts it costs no allocation.
    pub const fn new(status: StatusCode, content_type: HeaderValue, content: Bytes) -> Self {
        Self {
            status,
            content_type,
            content,
        }
    }

    /// Sends it; nobody reads the request's content.
    pub(super) fn send(self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        exchange.abandon_content();
        let content_type = Field::from((&CONTENT_TYPE, &self.content_type));
        let length = BodyLength::Known(self.content.len() as u64);
        exchange.send_head(self.status, [content_type], length)?;
        exchange.send_piece(self.content)?;
        exchange.send_end(None)
    }
}
