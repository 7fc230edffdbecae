//! The content of a request on its way to the upstream: none, held in memory or a file, or passed on
//! as it comes.

use bytes::{Bytes, BytesMut};
use keepline::Error;
use keepline::proto::BodyLength;

use super::Serving;
use crate::answer::Answer;

/// The content of a request.
#[derive(Debug)]
pub(super) enum Content {
    /// There is none.
    None,
    /// All of it.
    Held(Bytes),
    /// It is passed on as it comes: so much, if that is known.
    Streamed(BodyLength),
}

impl Content {
    /// What the upstream is told of its length.
    pub(super) const fn length(&self) -> BodyLength {
        match self {
            Self::None => BodyLength::Known(0),
            Self::Held(bytes) => BodyLength::Known(bytes.len() as u64),
            Self::Streamed(length) => *length,
        }
    }
}

impl Serving<'_, '_, '_> {
    /// Takes the content of the request, as far as it has to be held before it is passed on.
    pub(super) async fn take_content(&mut self) -> Result<Result<Content, Answer>, Error> {
        if self.exchange.is_request_received() {
            return Ok(Ok(Content::None));
        }
        let known = self.exchange.remaining();
        let limit = self.request.scope.client.max_body_size;
        if over(known, limit) {
            return Ok(Err(Answer::Status(413)));
        }
        if !self.request.scope.proxy.request_buffering {
            let length = known.map_or(BodyLength::Unknown, BodyLength::Known);
            return Ok(Ok(Content::Streamed(length)));
        }
        let mut held = BytesMut::new();
        while let Some(piece) = self.exchange.piece().await? {
            held.extend_from_slice(&piece);
            if over(Some(held.len() as u64), limit) {
                return Ok(Err(Answer::Status(413)));
            }
        }
        let held = held.freeze();
        self.request.body = Some(held.clone());
        Ok(Ok(Content::Held(held)))
    }
}

fn over(length: Option<u64>, limit: Option<u64>) -> bool {
    matches!((length, limit), (Some(length), Some(limit)) if length > limit)
}
