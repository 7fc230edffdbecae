//! Sends the answers that the gateway makes itself.

use bytes::Bytes;
use http::StatusCode;
use keepline::Error;
use keepline::proto::{BodyLength, Field, StatusLine};
use keepline::server::HangUp;

use super::Serving;
use crate::answer::{Answer, page, reason};
use crate::config::Settings;

/// What Server says where `server_tokens` is off.
const SERVER: &str = "keepline";
/// What it says else.
const SERVER_WITH_VERSION: &str = concat!("keepline/", env!("CARGO_PKG_VERSION"));

/// nginx closes after these: what follows on the connection is not to be trusted, or too much.
pub(super) const fn closes(status: u16) -> bool {
    matches!(status, 400 | 413 | 414 | 494..=497 | 500 | 501)
}

/// What Server says.
pub(super) const fn server_name(settings: &Settings) -> &'static str {
    if settings.server_tokens {
        SERVER_WITH_VERSION
    } else {
        SERVER
    }
}

/// nginx has statuses for its own use, which it sends as others.
pub(super) const fn wire_status(status: u16) -> u16 {
    match status {
        494..=497 => 400,
        status => status,
    }
}

/// An answer whose content is at hand.
pub(super) struct Ready<'a> {
    pub(super) status: u16,
    /// The media type; none where there is no content.
    pub(super) kind: Option<&'a [u8]>,
    pub(super) location: Option<&'a [u8]>,
    pub(super) content: Bytes,
}

impl Serving<'_, '_, '_> {
    /// What Server says in this scope.
    pub(super) const fn server_field(&self) -> &'static str {
        server_name(&self.request.scope.settings)
    }

    /// Sends an answer of the gateway's own.
    pub(super) async fn reply(&mut self, answer: Answer) -> Result<(), Error> {
        self.request.sent.status = answer.status();
        match answer {
            Answer::Status(status) => self.send_page(status, None).await,
            Answer::Text { status, text } => {
                let kind = self.request.scope.settings.default_type.clone();
                let ready = Ready {
                    status,
                    kind: Some(kind.as_bytes()),
                    location: None,
                    content: text.into(),
                };
                self.send_ready(ready).await
            }
            Answer::Redirect { status, url } => {
                let location = self.absolute(url);
                self.send_page(status, Some(&location)).await
            }
            Answer::HangUp | Answer::ClientGone | Answer::Abandoned(_) | Answer::Again => {
                let resets = matches!(answer, Answer::HangUp | Answer::Abandoned(408))
                    && self.request.scope.client.resets_timed_out;
                self.exchange
                    .hang_up(if resets { HangUp::Reset } else { HangUp::Fin });
                Ok(())
            }
        }
    }

    /// Sends the page of a status, or that of the status that `error_page` says.
    async fn send_page(&mut self, status: u16, location: Option<&[u8]>) -> Result<(), Error> {
        let page = page(status, self.server_field());
        let ready = Ready {
            status: wire_status(status),
            kind: page.is_some().then_some(b"text/html"),
            location,
            content: page.unwrap_or_default().into(),
        };
        self.send_ready(ready).await
    }

    /// Sends an answer whose content is at hand.
    pub(super) async fn send_ready(&mut self, ready: Ready<'_>) -> Result<(), Error> {
        let status = self.request.overriding_status.unwrap_or(ready.status);
        if self.request.overriding_status.is_some() {
            self.request.sent.status = status;
        }
        self.exchange.abandon_content();
        let added = self.added(status, None);
        let kind = ready.kind.map(|kind| Field::new(b"Content-Type", kind));
        let location = ready.location.map(|url| Field::new(b"Location", url));
        let fields = [Field::new(b"Server", self.server_field().as_bytes())?]
            .into_iter()
            .chain(kind.transpose()?)
            .chain(location.transpose()?)
            .chain(added.fields());
        let length = BodyLength::Known(ready.content.len() as u64);
        self.request
            .sent
            .record(self.request.plan, fields.clone(), length);
        let line = StatusLine {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            reason: reason(status).map(str::as_bytes),
        };
        self.exchange.send_head(line, fields, length)?;
        let is_head = self.exchange.head().method() == http::Method::HEAD;
        if !is_head && status != 304 && status != 204 {
            self.request.sent.content = ready.content.len() as u64;
        }
        self.exchange.ready().await?;
        self.exchange.send_piece(ready.content)?;
        self.exchange.send_end(None)?;
        self.request.sent.is_complete = true;
        Ok(())
    }

    /// A place inside the server with scheme and host before it, unless the scope leaves that to the
    /// client.
    pub(super) fn absolute(&self, url: Vec<u8>) -> Vec<u8> {
        let settings = &self.request.scope.settings;
        if url.first() != Some(&b'/') || !settings.absolute_redirect {
            return url;
        }
        let (view, is_tls) = (self.view(), self.exchange.info().is_tls());
        let mut absolute: Vec<u8> = if is_tls { "https://" } else { "http://" }.into();
        let host = if settings.server_name_in_redirect {
            crate::config::Variable::ServerName
        } else {
            crate::config::Variable::Host
        };
        view.variable(&host, &mut absolute);
        let port = self.local_port();
        if settings.port_in_redirect && port != if is_tls { 443 } else { 80 } {
            absolute.extend_from_slice(format!(":{port}").as_bytes());
        }
        absolute.extend_from_slice(&url);
        absolute
    }

    /// The port that the client has reached.
    fn local_port(&self) -> u16 {
        match self.request.endpoint.port() {
            0 => self
                .exchange
                .local_addr()
                .map_or(0, |address| address.port()),
            port => port,
        }
    }
}
