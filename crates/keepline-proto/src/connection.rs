//! One side of one HTTP/1.1 connection: bytes in, events out; events in, bytes out.
//!
//! This is glue. What may follow what is decided in [`state`], where a
//! message ends in [`framing`], whether the connection persists in
//! [`persistence`]. The caller owns the buffers: this type holds none, so
//! that an idle connection costs no memory for bytes that are not there.
//!
//! Invariant: after an error of the peer the connection stays failed and repeats that error; bytes
//! that belong to no message are never handed out as one.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Version};

use crate::body::{BodyReader, BodyWriter, DataFrame};
use crate::chunked::Decoded;
use crate::encode::{self, ConnectionLine, FramingLine, RequestLine};
use crate::framing::{Asked, request_framing, response_framing};
use crate::head::FieldSpan;
use crate::persistence::{NotPersistent, Persistence, persistence};
use crate::scan::{Found, Scan, Section};
use crate::state::{self, Coupling, EventKind, Pair, Role, State};
use crate::{
    BodyLength, Config, Facts, Field, Fields, LocalError, ObsFold, RemoteError, RequestHead,
    ResponseHead, parse,
};

/// What the peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A request head (server only).
    Request(RequestHead),
    /// An interim (1xx) response head other than 101 (client only).
    Interim(ResponseHead),
    /// A final response head, or the 101 or 2xx that switches protocols (client only).
    Response(ResponseHead),
    /// A piece of content; its size says nothing about how the peer framed it.
    Data(Bytes),
    /// The end of the message, with its trailer section if it has one.
    End(Option<Fields>),
}

/// The outcome of [`Connection::receive`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// The peer said this.
    Event(Event),
    /// More bytes are needed.
    NeedMore,
    /// The peer's message is complete; what is in the buffer waits until the exchange is over.
    Paused,
    /// The peer closed between messages.
    Closed,
    /// Another protocol is spoken: all bytes in the buffer belong to it.
    Switched,
}

/// One side of an HTTP/1.1 connection.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    role: Role,
    states: Pair,
    /// Why this is the last exchange; the first reason stays.
    closing: Option<NotPersistent>,
    /// The client's request asked for another protocol, and this kind of agreement is awaited.
    switch_asked: Option<Asked>,
    /// Requests that have no complete response, oldest first.
    unanswered: VecDeque<Asked>,
    /// Version of the request or response in progress, as the peer sent it.
    peer_version: Version,
    /// The peer speaks HTTP/1.0 and asked to keep the connection.
    keep_alive_asked: bool,
    reader: BodyReader,
    writer: BodyWriter,
    scan: Scan,
    /// Bytes of interim heads in this exchange; they share the limit of the final head.
    interim_bytes: usize,
    failed: Option<RemoteError>,
    /// The spans of a head that was given back, to be filled again.
    spare: Vec<FieldSpan>,
}

/// Construction and what arrives.
impl Connection {
    /// The client's side of a new connection.
    #[must_use]
    pub fn client(config: Arc<Config>) -> Self {
        Self::new(Role::Client, config)
    }

    /// The server's side of a new connection.
    #[must_use]
    pub fn server(config: Arc<Config>) -> Self {
        Self::new(Role::Server, config)
    }

    fn new(role: Role, config: Arc<Config>) -> Self {
        Self {
            config,
            role,
            states: Pair::IDLE,
            closing: None,
            switch_asked: None,
            unanswered: VecDeque::new(),
            peer_version: Version::HTTP_11,
            keep_alive_asked: false,
            reader: BodyReader::Length { left: 0 },
            writer: BodyWriter::Length { left: 0 },
            scan: Scan::default(),
            interim_bytes: 0,
            failed: None,
            spare: Vec::new(),
        }
    }

    /// Takes the next event from the start of `buffer`; its rest stays there. Call it until it
    /// answers [`Received::NeedMore`], then append what arrives and call it again: a byte at a
    /// time gives the same events as all at once.
    ///
    /// # Errors
    /// The peer broke the protocol. Every later call repeats the error.
    pub fn receive(&mut self, buffer: &mut BytesMut) -> Result<Received, RemoteError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let outcome = match (self.role, self.peer_state()) {
            (_, State::SendBody) => self.receive_body(buffer),
            (Role::Server, State::Idle) => self.receive_request(buffer),
            (Role::Client, State::SendResponse) => self.receive_response(buffer),
            // A response to no request. (A client that has not sent one yet.)
            (Role::Client, State::Idle) if !buffer.is_empty() => Err(RemoteError::UnsolicitedBytes),
            (Role::Client, State::Idle) => Ok(Received::NeedMore),
            (_, State::Closed) => Ok(Received::Closed),
            (_, State::Switched) => Ok(Received::Switched),
            (Role::Server, State::SendResponse)
            | (_, State::Done | State::MustClose | State::MightSwitch | State::Error) => {
                Ok(Received::Paused)
            }
        };
        outcome.inspect_err(|&error| self.fail(error))
    }

    /// The peer closed its direction; `buffer` holds what has not been received yet.
    ///
    /// # Errors
    /// The peer closed inside a message, or owed one.
    pub fn receive_eof(&mut self, buffer: &BytesMut) -> Result<Received, RemoteError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let outcome = match self.peer_state() {
            State::SendBody => self.reader.finish().and_then(|()| self.received_end(None)),
            State::Idle if !buffer.is_empty() => self.incomplete_head(buffer),
            State::SendResponse => self.incomplete_head(buffer),
            State::Switched => Ok(Received::Switched),
            State::Idle | State::Done | State::MustClose | State::Closed | State::MightSwitch => {
                self.set_peer_state(State::Closed);
                self.settle();
                Ok(Received::Closed)
            }
            State::Error => Ok(Received::Closed),
        };
        outcome.inspect_err(|&error| self.fail(error))
    }

    fn incomplete_head(&self, buffer: &BytesMut) -> Result<Received, RemoteError> {
        Err(RemoteError::IncompleteHead {
            received: self.scan.pending(buffer.len()),
        })
    }

    fn receive_request(&mut self, buffer: &mut BytesMut) -> Result<Received, RemoteError> {
        // A method is a token. What starts otherwise (a TLS handshake, say) need not be
        // waited for until its "head" is complete.
        let first = buffer.first().copied();
        if first.is_some_and(|x| !crate::field::is_tchar(x) && x != b'\r' && x != b'\n') {
            return Err(RemoteError::InvalidRequestLine);
        }
        let Some(block) = self.head_block(buffer)? else {
            return Ok(Received::NeedMore);
        };
        let spare = std::mem::take(&mut self.spare);
        let head = parse::request(block, spare, &self.config.limits)?;
        let facts = head.fields.facts;
        let framing = request_framing(head.version, &facts)?;
        let asked = Asked::from(&head.method);
        self.peer_version = head.version;
        self.keep_alive_asked = head.version < Version::HTTP_11 && facts.connection.keep_alive();
        self.note_persistence(persistence(head.version, facts.connection, framing));
        let upgrades = facts.upgrade && facts.connection.upgrade();
        self.note_switch(asked, upgrades && head.version >= Version::HTTP_11);
        self.unanswered.push_back(asked);
        self.reader = BodyReader::new(framing);
        self.step(Role::Client, EventKind::Request)?;
        self.step(Role::Server, EventKind::RequestSeen)?;
        Ok(Received::Event(Event::Request(head)))
    }

    fn receive_response(&mut self, buffer: &mut BytesMut) -> Result<Received, RemoteError> {
        // "HTTP/1." or a beginning of it: what starts otherwise is no HTTP/1 server, and waiting
        // for its head to end would only hide that.
        if !buffer
            .iter()
            .zip(b"HTTP/1.")
            .all(|(byte, expected)| byte == expected)
        {
            return Err(RemoteError::InvalidStatusLine);
        }
        let Some(block) = self.head_block(buffer)? else {
            return Ok(Received::NeedMore);
        };
        let spare = std::mem::take(&mut self.spare);
        let head = parse::response(block, spare, &self.config.limits)?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.received_switch(head);
        }
        if head.status.is_informational() {
            self.interim_bytes = self.interim_bytes.saturating_add(head.wire_len());
            self.step(Role::Server, EventKind::Interim)?;
            return Ok(Received::Event(Event::Interim(head)));
        }
        let asked = self.unanswered.front().copied().unwrap_or(Asked::Other);
        if asked == Asked::Connect && head.status.is_success() {
            return self.received_switch(head);
        }
        let facts = &head.fields.facts;
        let framing = response_framing(asked, head.status, head.version, facts)?;
        self.peer_version = head.version;
        self.note_persistence(persistence(head.version, facts.connection, framing));
        if asked == Asked::Connect {
            self.close_after(NotPersistent::Connect);
        }
        self.switch_asked = None;
        self.reader = BodyReader::new(framing);
        self.step(Role::Server, EventKind::Response)?;
        Ok(Received::Event(Event::Response(head)))
    }

    fn received_switch(&mut self, head: ResponseHead) -> Result<Received, RemoteError> {
        let is_agreed = match self.switch_asked {
            Some(Asked::Connect) => head.status.is_success(),
            Some(Asked::Head | Asked::Other) => {
                head.status == StatusCode::SWITCHING_PROTOCOLS && head.fields.facts.upgrade
            }
            None => false,
        };
        // A client that is still writing its body cannot have been understood.
        if !is_agreed || self.states.client != State::MightSwitch {
            return Err(RemoteError::UnexpectedUpgrade);
        }
        self.close_after(NotPersistent::Switched);
        self.step(Role::Server, EventKind::Switch)?;
        Ok(Received::Event(Event::Response(head)))
    }

    /// The next whole head, taken out of the buffer.
    fn head_block(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, RemoteError> {
        let limits = &self.config.limits;
        let is_request = self.role == Role::Server;
        let section = Section {
            limit: limits.head.saturating_sub(self.interim_bytes),
            too_large: RemoteError::HeadTooLarge,
            first_line_too_long: if is_request {
                RemoteError::RequestLineTooLong
            } else {
                RemoteError::HeadTooLarge
            },
            bare_lf: self.config.bare_lf,
            start_line: true,
            empty_lines: if is_request { limits.empty_lines } else { 0 },
        };
        let Some(found) = self.scan.advance(buffer, &section)? else {
            return Ok(None);
        };
        self.scan = Scan::default();
        let Found { skip, end, folded } = found;
        buffer.advance(skip);
        let mut block = buffer.split_to(end.saturating_sub(skip));
        if folded {
            if is_request || self.config.obs_fold == ObsFold::Refuse {
                return Err(RemoteError::ObsoleteFold);
            }
            parse::replace_folds(&mut block);
        }
        Ok(Some(block.freeze()))
    }

    fn receive_body(&mut self, buffer: &mut BytesMut) -> Result<Received, RemoteError> {
        match self.reader.decode(buffer, &self.config.limits)? {
            Decoded::NeedMore => Ok(Received::NeedMore),
            Decoded::Data(data) => Ok(Received::Event(Event::Data(data))),
            Decoded::End(trailers) => self.received_end(trailers),
        }
    }

    fn received_end(&mut self, trailers: Option<Fields>) -> Result<Received, RemoteError> {
        self.step(self.peer_role(), EventKind::End)?;
        if self.role == Role::Client {
            self.unanswered.pop_front();
            self.interim_bytes = 0;
            // Pipelined: the next response is owed already.
            if !self.unanswered.is_empty() && self.closing.is_none() {
                self.states.server = State::SendResponse;
            }
        }
        Ok(Received::Event(Event::End(trailers)))
    }

    fn note_persistence(&mut self, persistence: Persistence) {
        if let Persistence::Close(reason) = persistence {
            self.close_after(reason);
        }
    }

    fn note_switch(&mut self, asked: Asked, upgrades: bool) {
        if asked == Asked::Connect || upgrades {
            self.switch_asked = Some(asked);
        }
    }

    fn fail(&mut self, error: RemoteError) {
        self.failed = Some(error);
        self.set_peer_state(State::Error);
        self.close_after(NotPersistent::LocalAskedClose);
        self.settle();
    }

    /// A transition that the peer caused.
    fn step(&mut self, role: Role, event: EventKind) -> Result<(), RemoteError> {
        self.advance(role, event)
            .map_err(|_| RemoteError::UnsolicitedBytes)
    }
}

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
            let outgoing = encode::request_outgoing(line.method, &facts, body)?;
            Ok((facts, outgoing))
        });
        let (facts, outgoing) = written.inspect_err(|_| out.truncate(start))?;
        let asked = Asked::from(line.method);
        if facts.connection.close() {
            self.close_after(NotPersistent::LocalAskedClose);
        }
        encode::end_head(outgoing.line, self.connection_line(&facts), out);
        self.note_switch(asked, facts.upgrade && facts.connection.upgrade());
        self.unanswered.push_back(asked);
        self.writer = outgoing.writer;
        self.advance(Role::Client, EventKind::Request)?;
        if self.states.server == State::Idle {
            self.advance(Role::Server, EventKind::RequestSeen)?;
        }
        Ok(())
    }

    /// Appends an interim (1xx) response head other than 101 to `out`.
    ///
    /// # Errors
    /// The status is not interim, or a final response has been sent. A client that speaks HTTP/1.0
    /// gets no interim response (RFC 9110 §15.2): nothing is appended then, without an error.
    pub fn send_interim<'a>(
        &mut self,
        status: StatusCode,
        fields: impl IntoIterator<Item = Field<'a>>,
        out: &mut Vec<u8>,
    ) -> Result<(), LocalError> {
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(LocalError::WrongStatusClass);
        }
        self.check(EventKind::Interim)?;
        if self.peer_version >= Version::HTTP_11 {
            encode::write_status_line(status, out);
            encode::write_fields(fields, out);
            encode::end_head(FramingLine::None, ConnectionLine::None, out);
        }
        self.advance(Role::Server, EventKind::Interim)
    }

    /// Appends a final response head, or the 101 or 2xx that agrees to switch protocols.
    ///
    /// `Connection: close` is added if this is the last exchange, and `Connection: keep-alive`
    /// for a client of HTTP/1.0 that asked for it.
    ///
    /// # Errors
    /// The response may not be sent so, or not now. Nothing has been appended and nothing changed.
    pub fn send_response<'a>(
        &mut self,
        status: StatusCode,
        fields: impl IntoIterator<Item = Field<'a>>,
        body: BodyLength,
        out: &mut Vec<u8>,
    ) -> Result<(), LocalError> {
        let event = self.response_event(status)?;
        self.check(event)?;
        let start = out.len();
        let asked = self.unanswered.front().copied().unwrap_or(Asked::Other);
        let chunked_understood = self.peer_version >= Version::HTTP_11;
        encode::write_status_line(status, out);
        let facts = encode::write_fields(fields, out);
        if event == EventKind::Switch {
            self.close_after(NotPersistent::Switched);
            encode::end_head(FramingLine::None, ConnectionLine::None, out);
            return self.advance(Role::Server, EventKind::Switch);
        }
        let outgoing = encode::response_outgoing(asked, status, chunked_understood, &facts, body)
            .inspect_err(|_| out.truncate(start))?;
        if facts.connection.close() {
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
            // A response to HEAD has no trailer section, yet its handler need not know that.
            BodyWriter::Suppressed => {}
            BodyWriter::Length { .. } | BodyWriter::UntilClose => {
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

    const fn connection_line(&self, facts: &Facts) -> ConnectionLine {
        match self.closing {
            Some(_) if !facts.connection.close() => ConnectionLine::Close,
            None if self.keep_alive_asked && !facts.connection.keep_alive() => {
                ConnectionLine::KeepAlive
            }
            Some(_) | None => ConnectionLine::None,
        }
    }

    fn check(&self, event: EventKind) -> Result<(), LocalError> {
        let state = self.state();
        match state::next(self.role, state, event) {
            Some(_) => Ok(()),
            None => Err(LocalError::NotNow { state, event }),
        }
    }
}

/// The exchange and the connection.
impl Connection {
    /// Starts the next exchange on a connection that persists.
    ///
    /// # Errors
    /// [`LocalError::NotNow`] unless both sides are done.
    pub fn next_exchange(&mut self) -> Result<(), LocalError> {
        let are_done = matches!(
            (self.states.client, self.states.server),
            (State::Done, State::Done) | (State::Idle, State::Done)
        );
        if !are_done {
            return Err(LocalError::NotNow {
                state: self.state(),
                event: EventKind::Request,
            });
        }
        self.states = Pair::IDLE;
        self.interim_bytes = 0;
        self.switch_asked = None;
        Ok(())
    }

    /// Lets a client send a further request before the response to the last one has come
    /// (pipelining, RFC 9112 §9.3.2). Whether that is wise is the caller's to decide.
    ///
    /// # Errors
    /// [`LocalError::NotNow`] unless the last request is complete, the connection is not known to
    /// close and no switch of protocols is pending.
    pub fn pipeline(&mut self) -> Result<(), LocalError> {
        let may_pipeline = self.role == Role::Client
            && self.states.client == State::Done
            && self.closing.is_none()
            && self.switch_asked.is_none();
        if !may_pipeline {
            return Err(LocalError::NotNow {
                state: self.state(),
                event: EventKind::Request,
            });
        }
        self.states.client = State::Idle;
        Ok(())
    }

    /// Makes this the last exchange; the next head that is sent says so.
    pub fn close_after(&mut self, reason: NotPersistent) {
        self.closing.get_or_insert(reason);
        self.settle();
    }

    /// Whether the connection carries a further exchange, as far as is known now.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        self.closing
            .map_or(Persistence::Persistent, Persistence::Close)
    }

    /// Both messages of the exchange are complete and the connection persists.
    #[must_use]
    pub fn is_exchange_over(&self) -> bool {
        self.states.client == State::Done && self.states.server == State::Done
    }

    /// The state of our side.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.role {
            Role::Client => self.states.client,
            Role::Server => self.states.server,
        }
    }

    /// The state of the peer's side, as far as we know.
    #[must_use]
    pub const fn peer_state(&self) -> State {
        match self.role {
            Role::Client => self.states.server,
            Role::Server => self.states.client,
        }
    }

    /// Requests without a complete response; more than one only when pipelining.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// Content of the message being received that is still missing, if its length is known.
    #[must_use]
    pub const fn remaining(&self) -> Option<u64> {
        self.reader.remaining()
    }

    /// The version that the peer spoke last; HTTP/1.1 before it has spoken.
    #[must_use]
    pub const fn peer_version(&self) -> Version {
        self.peer_version
    }

    /// Part of a head has arrived.
    #[must_use]
    pub const fn is_in_head(&self, buffered: usize) -> bool {
        matches!(self.peer_state(), State::Idle | State::SendResponse) && buffered > 0
    }

    /// Gives a section back that is no longer needed, so that the next head fills its spans again
    /// instead of allocating. Never required.
    pub fn reclaim(&mut self, fields: Fields) {
        self.spare = fields.spans;
    }

    fn advance(&mut self, role: Role, event: EventKind) -> Result<(), LocalError> {
        let state = match role {
            Role::Client => &mut self.states.client,
            Role::Server => &mut self.states.server,
        };
        *state = state::next(role, *state, event).ok_or(LocalError::NotNow {
            state: *state,
            event,
        })?;
        self.settle();
        Ok(())
    }

    const fn settle(&mut self) {
        self.states = state::settle(
            self.states,
            Coupling {
                closing: self.closing.is_some(),
                switch_asked: self.switch_asked.is_some(),
            },
        );
    }

    const fn peer_role(&self) -> Role {
        match self.role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }

    const fn set_peer_state(&mut self, state: State) {
        match self.role {
            Role::Client => self.states.server = state,
            Role::Server => self.states.client = state,
        }
    }

    const fn set_own_state(&mut self, state: State) {
        match self.role {
            Role::Client => self.states.client = state,
            Role::Server => self.states.server = state,
        }
    }
}
