//! Sends the answers that the gateway makes itself.

use bytes::Bytes;
use http::StatusCode;
use keepline::Error;
use keepline::proto::{BodyLength, Field};
use keepline::server::Exchange;

use super::Serving;
use crate::answer::{Answer, page};

/// What Server says where `server_tokens` is off.
const SERVER: &[u8] = b"keepline";
/// What it says else.
const SERVER_WITH_VERSION: &[u8] = concat!("keepline/", env!("CARGO_PKG_VERSION")).as_bytes();

/// Answers with a status alone and closes.
pub(super) fn close(exchange: &mut Exchange<'_>, status: StatusCode) -> Result<(), Error> {
    exchange.abandon_content();
    exchange.send_head(
        status,
        [Field::new(b"connection", b"close")?],
        BodyLength::Known(0),
    )?;
    exchange.send_end(None)
}

/// nginx closes after these: what follows on the connection is not to be trusted, or too much.
const fn closes(status: u16) -> bool {
    matches!(status, 400 | 413 | 414 | 494..=497 | 500 | 501)
}

impl Serving<'_, '_, '_> {
    /// What Server says in this scope.
    pub(super) const fn server_field(&self) -> &'static [u8] {
        if self.request.scope.settings.server_tokens {
            SERVER_WITH_VERSION
        } else {
            SERVER
        }
    }

    /// Sends an answer of the gateway's own.
    pub(super) async fn reply(&mut self, answer: Answer) -> Result<(), Error> {
        self.request.sent.status = answer.status();
        let server = self.server_field();
        let (status, content, location, kind) = match answer {
            Answer::Status(status) => {
                let name = std::str::from_utf8(server).unwrap_or_default();
                let page = page(status, name).unwrap_or_default();
                (status, page.into_bytes(), None, &b"text/html"[..])
            }
            Answer::Text { status, text } => {
                let kind = self.request.scope.settings.default_type.as_bytes();
                (status, text, None, kind)
            }
            Answer::Redirect { status, url } => {
                let name = std::str::from_utf8(server).unwrap_or_default();
                let page = page(status, name).unwrap_or_default();
                (status, page.into_bytes(), Some(url), &b"text/html"[..])
            }
            Answer::HangUp | Answer::ClientGone => {
                return Err(super::pass::gone());
            }
        };
        let code = StatusCode::from_u16(wire_status(status)).unwrap_or(StatusCode::BAD_GATEWAY);
        self.exchange.abandon_content();
        let kind = Field::new(b"Content-Type", kind)?;
        let location = match &location {
            Some(url) => Some(Field::new(b"Location", url)?),
            None => None,
        };
        let close = if closes(status) {
            Some(Field::new(b"Connection", b"close")?)
        } else {
            None
        };
        let fields = [Field::new(b"Server", server)?]
            .into_iter()
            .chain((!content.is_empty()).then_some(kind))
            .chain(location)
            .chain(close);
        let length = BodyLength::Known(content.len() as u64);
        self.exchange.send_head(code, fields, length)?;
        self.request.sent.content = content.len() as u64;
        self.exchange.send_piece(Bytes::from(content))?;
        self.exchange.send_end(None)?;
        self.request.sent.is_complete = true;
        Ok(())
    }
}

/// nginx has statuses for its own use, which it sends as others.
const fn wire_status(status: u16) -> u16 {
    match status {
        494..=497 => 400,
        status => status,
    }
}
