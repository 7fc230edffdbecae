//! What a [`Connection`] sends: the sending half of it.

use http::{HeaderMap, StatusCode, Version};

use super::Connection;
use crate::body::{BodyWriter, DataFrame};
use crate::encode::{self, ConnectionLine, FramingLine, RequestLine, StatusLine};
use crate::framing::Asked;
use crate::persistence::NotPersistent;
use crate::state::{self, EventKind, Role, State};
use crate::{BodyLength, Facts, Field, LocalError};

/// What is sent.
impl Connection {
    /// Appends a request head to `out`. The caller gives Host among the fields; Content-Length and
    /// Transfer-Encoding are written by this crate, from `body` and from such fields if given.
    ///
    /// # Errors
    /// The request may not be sent so, or not now. Nothing has been appended and nothing changed.
    pub fn send_request<'a>(
        &mut self,
        line: RequestLine<'_>,
        fields: impl IntoIterator<Item = Field<'a>>,
        body: BodyLength,
        out: &mut Vec<u8>,
    ) -> Result<(), LocalError> {
        self.check(EventKind::Request)?;
        let start = out.len();
        let written = encode::write_request_line(line, out).and_then(|()| {
            let facts = encode::write_fields(fields, out);
            let outgoing = encode::request_outgoing(line, &facts, body)?;
            Ok((facts, outgoing))
        });
        let (facts, outgoing) = written.inspect_err(|_| out.truncate(start))?;
        let asked = Asked::from(line.method);
        let is_old = line.version < Version::HTTP_11;
        // "A server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request." (RFC
        // 9110 §7.8)
        let upgrades = facts.upgrade && facts.connection.upgrade() && !is_old;
        if !self.unanswered.is_empty() && (upgrades || asked == Asked::Connect || is_old) {
            // Which of the answers switches would be anyone's guess; and HTTP/1.0 has no pipelining.
            out.truncate(start);
            return Err(self.not_now(EventKind::Request));
        }
        self.note_switch(asked, upgrades);
        self.unanswered.push_back(asked);
        self.writer = outgoing.writer;
        self.advance(Role::Client, EventKind::Request)?;
        if self.states.server == State::Done {
            // The client had gone on before the last answer was complete.
            self.states.server = State::Idle;
        }
        if self.states.server == State::Idle {
            self.advance(Role::Server, EventKind::RequestSeen)?;
        }
        if facts.connection.close() {
            self.close_after(NotPersistent::LocalAskedClose);
        }
        encode::end_head(outgoing.line, self.connection_line(&facts), out);
        Ok(())
    }

    /// Appends an interim (1xx) response head other than 101 to `out`.
    ///
    /// # Errors
    /// The status is not interim, or a final response has been sent. A client that speaks HTTP/1.0
    /// gets no interim response (RFC 9110 §15.2): nothing is appended then, without an error.
    pub fn send_interim<'a>(
        &mut self,
        line: impl Into<StatusLine<'a>>,
        fields: impl IntoIterator<Item = Field<'a>>,
        out: &mut Vec<u8>,
    ) -> Result<(), LocalError> {
        let line = line.into();
        let status = line.status;
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(LocalError::WrongStatusClass);
        }
        self.check(EventKind::Interim)?;
        if self.peer_version >= Version::HTTP_11 {
            encode::write_status_line(line, out)?;
            encode::write_fields(fields, out);
            encode::end_head(FramingLine::None, ConnectionLine::None, out);
        }
        self.advance(Role::Server, EventKind::Interim)
    }

    /// Appends a final response head, or the 101 or 2xx that agrees to switch protocols.
    ///
    /// `Connection: close` is added if this is the last exchange, and `Connection: keep-alive`
    /// for a client of HTTP/1.0 that asked for it, or [always](crate::Config::tells_keep_alive).
    ///
    /// # Errors
    /// The response may not be sent so, or not now. Nothing has been appended and nothing changed.
    pub fn send_response<'a>(
        &mut self,
        line: impl Into<StatusLine<'a>>,
        fields: impl IntoIterator<Item = Field<'a>>,
        body: BodyLength,
        out: &mut Vec<u8>,
    ) -> Result<(), LocalError> {
        let line = line.into();
        let status = line.status;
        let event = self.response_event(status)?;
        self.check(event)?;
        // "The client can't change the protocol it is sending in the middle of a message" (RFC 9110
        // §7.8): until the request is complete, the server does not switch either.
        if event == EventKind::Switch && self.states.client != State::MightSwitch {
            return Err(self.not_now(event));
        }
        let start = out.len();
        let asked = self.unanswered.front().copied().unwrap_or(Asked::Other);
        let chunked_understood = self.peer_version >= Version::HTTP_11;
        encode::write_status_line(line, out)?;
        let facts = encode::write_fields(fields, out);
        if event == EventKind::Switch {
            if status == StatusCode::SWITCHING_PROTOCOLS && !facts.upgrade {
                out.truncate(start);
                return Err(LocalError::MissingUpgrade);
            }
            self.close_after(NotPersistent::Switched);
            encode::end_head(FramingLine::None, ConnectionLine::None, out);
            return self.advance(Role::Server, EventKind::Switch);
        }
        let outgoing = encode::response_outgoing(asked, status, chunked_understood, &facts, body)
            .inspect_err(|_| out.truncate(start))?;
        if facts.connection.close() || self.states.server == State::Idle {
            // An answer to a request that was not received (whole) is the last: the client would
            // take a further one for the answer to its next request.
            self.close_after(NotPersistent::LocalAskedClose);
        }
        if matches!(outgoing.writer, BodyWriter::UntilClose) {
            self.close_after(NotPersistent::CloseDelimited);
        }
        if asked == Asked::Connect {
            self.close_after(NotPersistent::Connect);
        }
        encode::end_head(outgoing.line, self.connection_line(&facts), out);
        self.switch_asked = None;
        self.writer = outgoing.writer;
        self.advance(Role::Server, EventKind::Response)
    }

    /// Frames a piece of content of `length` bytes. `None`: the piece is not to be written, since
    /// it is empty or the message has no body (a response to HEAD).
    ///
    /// # Errors
    /// [`LocalError::BodyTooLong`], or no body is being sent.
    pub fn send_data(&mut self, length: usize) -> Result<Option<DataFrame>, LocalError> {
        self.check(EventKind::Data)?;
        self.writer.frame(length)
    }

    /// Ends the message, with a trailer section if the body is chunked.
    ///
    /// # Errors
    /// [`LocalError::BodyTooShort`], [`LocalError::TrailersNotAllowed`], or no body is being sent.
    pub fn send_end(
        &mut self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<(), LocalError> {
        self.check(EventKind::End)?;
        self.writer.finish()?;
        match self.writer {
            BodyWriter::Chunked => encode::write_last_chunk(trailers, out)?,
            // A response to HEAD has no trailer section, and HTTP/1.0 knows none; yet a handler
            // need not know that it answers such a request.
            BodyWriter::Suppressed | BodyWriter::UntilClose => {}
            BodyWriter::Length { .. } => {
                if trailers.is_some_and(|trailers| !trailers.is_empty()) {
                    return Err(LocalError::TrailersNotAllowed);
                }
            }
        }
        if self.role == Role::Server {
            self.unanswered.pop_front();
        }
        self.advance(self.role, EventKind::End)
    }

    /// This side has closed its direction.
    pub fn closed(&mut self) {
        self.set_own_state(State::Closed);
        self.settle();
    }

    fn response_event(&self, status: StatusCode) -> Result<EventKind, LocalError> {
        match self.switch_asked {
            Some(Asked::Connect) if status.is_success() => Ok(EventKind::Switch),
            Some(Asked::Head | Asked::Other) if status == StatusCode::SWITCHING_PROTOCOLS => {
                Ok(EventKind::Switch)
            }
            Some(_) | None if status.is_informational() => Err(LocalError::WrongStatusClass),
            Some(_) | None => Ok(EventKind::Response),
        }
    }

    fn connection_line(&self, facts: &Facts) -> ConnectionLine {
        let tells =
            self.keep_alive_asked || (self.role == Role::Server && self.config.tells_keep_alive);
        match self.closing {
            Some(_) if !facts.connection.close() => ConnectionLine::Close,
            None if tells && !facts.connection.keep_alive() => ConnectionLine::KeepAlive,
            Some(_) | None => ConnectionLine::None,
        }
    }

    const fn not_now(&self, event: EventKind) -> LocalError {
        LocalError::NotNow {
            state: self.state(),
            event,
        }
    }

    fn check(&self, event: EventKind) -> Result<(), LocalError> {
        let state = self.state();
        match state::next(self.role, state, event) {
            Some(_) => Ok(()),
            None => Err(self.not_now(event)),
        }
    }
}
