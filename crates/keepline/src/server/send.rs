//! What a busy connection sends: heads with the fields that are the server's own, and bodies.
//!
//! Invariant: a head that says nothing of closing is never followed by a close that we could have
//! foreseen, and `Keep-Alive` is told only where the connection is kept.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use keepline_proto::state::EventKind;
use keepline_proto::{BodyLength, Connection, Field, LocalError, Persistence, State, StatusLine};
use tokio::time::Instant;

use super::after::{BeforeHead, Unread, last_exchange};
use super::date::with_date;
use super::registry::Phase;
use super::wire::Wire;
use crate::error::Error;
use crate::upgrade::Upgraded;

/// What the handler's own fields say about those that the server would add.
#[derive(Debug, Default)]
struct Noted {
    date: Cell<bool>,
    /// Connection or Keep-Alive: persistence is the handler's business then.
    persistence: Cell<bool>,
}

impl Noted {
    fn note(&self, field: &Field<'_>) {
        match field.name().len() {
            4 if field.is("date") => self.date.set(true),
            10 if field.is("connection") || field.is("keep-alive") => self.persistence.set(true),
            _ => {}
        }
    }
}

/// Appends a head with the handler's fields and those of ours that it has not given itself.
fn send_response<'t: 'o, 'o>(
    proto: &mut Connection,
    line: StatusLine<'t>,
    theirs: impl IntoIterator<Item = Field<'t>>,
    ours: [Option<Field<'o>>; 2],
    length: BodyLength,
    output: &mut Vec<u8>,
) -> Result<(), LocalError> {
    let noted = Noted::default();
    #[expect(clippy::manual_inspect, reason = "the map shortens the lifetime")]
    let theirs = theirs.into_iter().map(|field| -> Field<'o> {
        noted.note(&field);
        field
    });
    // Looked at after theirs have passed.
    let ours = ours.into_iter().flatten().filter(|field| {
        let is_given = match field.name().len() {
            4 => &noted.date,
            _ => &noted.persistence,
        };
        !is_given.get()
    });
    proto.send_response(line, theirs.chain(ours), length, output)
}

/// The value of a `Keep-Alive` field, made without allocating.
struct KeepAliveValue {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl KeepAliveValue {
    const LONGEST: usize = "timeout=".len() + 20;

    fn new(seconds: u64) -> Self {
        let mut bytes = [0; Self::LONGEST];
        let mut rest = &mut bytes[..];
        // It is as long as the longest number needs.
        let _ = write!(rest, "timeout={seconds}");
        let length = Self::LONGEST - rest.len();
        Self { bytes, length }
    }

    fn field(&self) -> Result<Field<'_>, LocalError> {
        Field::new(b"keep-alive", &self.bytes[..self.length])
    }
}

impl Wire {
    /// Appends a final response head.
    pub(super) fn append_head<'a>(
        &mut self,
        line: impl Into<StatusLine<'a>>,
        fields: impl IntoIterator<Item = Field<'a>>,
        length: BodyLength,
    ) -> Result<(), Error> {
        let line = line.into();
        let now = Instant::now();
        if let Some(reason) = last_exchange(self.before_head(now)) {
            self.close_after(reason);
        }
        self.driver.lend_output();
        // HTTP/1.0 and a length that is not known: the end of the connection ends the body.
        let is_kept = self.driver.proto.persistence() == Persistence::Persistent
            && match length {
                BodyLength::Known(_) => true,
                BodyLength::Unknown => self.driver.proto.peer_version() >= Version::HTTP_11,
                BodyLength::UntilClose => false,
            };
        let told = self.terms.told_idle_seconds.filter(|_| is_kept);
        let told = told.map(KeepAliveValue::new);
        let keep_alive = told.as_ref().map(KeepAliveValue::field).transpose()?;

        let driver = &mut self.driver;
        let send = |date: Option<Field<'_>>| {
            let ours = [date, keep_alive];
            let (proto, output) = (&mut driver.proto, &mut driver.output);
            send_response(proto, line, fields, ours, length, output)
        };
        let sent = if self.terms.date {
            with_date(now, |date| send(Some(date)))
        } else {
            send(None)
        };
        sent?;
        self.status = Some(line.status);
        self.head_end = self.driver.bytes_queued();
        Ok(())
    }

    fn before_head(&self, now: Instant) -> BeforeHead {
        let core = &self.core;
        let settings = &core.hub().settings;
        BeforeHead {
            is_evicted: core.is_told_to_go,
            is_draining: core.hub().phase() > Phase::Running,
            is_used_up: settings
                .max_requests
                .is_some_and(|max| core.requests >= max),
            is_expired: core.expires.is_some_and(|expires| now >= expires),
            unread: self.unread(),
            is_abandoned: self.abandoned,
            awaits_continue: self.awaits_continue(),
            drain_bytes: self.terms.drain.bytes,
            never_idles: self.terms.idle_timeout == Some(Duration::ZERO),
        }
    }

    /// Appends an interim (1xx) head.
    pub(super) fn append_interim<'a>(
        &mut self,
        line: impl Into<StatusLine<'a>>,
        fields: impl IntoIterator<Item = Field<'a>>,
    ) -> Result<(), Error> {
        self.driver.lend_output();
        let driver = &mut self.driver;
        Ok(driver
            .proto
            .send_interim(line, fields, &mut driver.output)?)
    }

    /// Queues a piece of content.
    pub(super) fn append_piece(&mut self, piece: Bytes) -> Result<(), Error> {
        self.driver.lend_output();
        self.driver.queue_piece(piece)
    }

    /// Appends the end of the response.
    pub(super) fn append_end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Error> {
        let driver = &mut self.driver;
        if driver.can_append() {
            driver.lend_output();
            driver.proto.send_end(trailers, &mut driver.output)?;
            return Ok(());
        }
        // Most ends take no bytes, and a large piece is not copied for nothing.
        let mut end = Vec::new();
        driver.proto.send_end(trailers, &mut end)?;
        if !end.is_empty() {
            self.driver.lend_output();
            self.driver.output.extend_from_slice(&end);
        }
        Ok(())
    }

    /// Hands the connection over once its switch of protocols has been written; it can be had once.
    pub(super) async fn upgrade(&mut self) -> Result<Upgraded, Error> {
        if self.driver.proto.state() != State::Switched || self.is_handed_over {
            let state = self.driver.proto.state();
            let event = EventKind::Switch;
            return Err(LocalError::NotNow { state, event }.into());
        }
        poll_fn(|cx| self.poll_flush(cx)).await?;
        self.is_handed_over = true;
        let early = self.driver.take_input();
        Ok(Upgraded::new(self.driver.take_stream(), early))
    }

    /// An answer of the library itself: its status, a line of text, nothing else.
    pub(super) fn append_answer(&mut self, status: StatusCode, text: &str) -> Result<(), Error> {
        self.append_answer_with(status, text, None)
    }

    /// The same with a further field.
    pub(super) fn append_answer_with(
        &mut self,
        status: StatusCode,
        text: &str,
        further: Option<Field<'_>>,
    ) -> Result<(), Error> {
        let reason = status.canonical_reason().unwrap_or("Error");
        let body = format!("{} {reason}: {text}\n", status.as_str());
        let content_type = Field::new(b"content-type", b"text/plain; charset=utf-8")?;
        let length = BodyLength::Known(body.len() as u64);
        let fields = [Some(content_type), further].into_iter().flatten();
        self.append_head(status, fields, length)?;
        // Nothing is sent where the request was HEAD; the protocol core sees to that.
        self.append_piece(body.into())?;
        self.append_end(None)
    }

    /// A final head has been sent, or queued.
    pub(super) fn is_head_sent(&self) -> bool {
        !matches!(self.driver.proto.state(), State::Idle | State::SendResponse)
    }

    /// The response is complete, as far as we are concerned.
    pub(super) fn is_response_complete(&self) -> bool {
        matches!(
            self.driver.proto.state(),
            State::Done | State::MustClose | State::Switched
        )
    }

    /// The content that remains cannot be too much to drain, or is not there.
    pub(super) fn is_request_received(&self) -> bool {
        self.unread() == Unread::Nothing
    }
}
