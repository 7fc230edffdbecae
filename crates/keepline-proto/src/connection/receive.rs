//! What arrives at a [`Connection`]: the receiving half of it.

use bytes::{Buf, Bytes, BytesMut};
use http::{StatusCode, Version};

use super::{Connection, Event, Received};
use crate::body::BodyReader;
use crate::chunked::Decoded;
use crate::framing::{Asked, request_framing, response_framing};
use crate::persistence::{NotPersistent, Persistence, persistence};
use crate::scan::{Found, Scan, Section};
use crate::state::{EventKind, Role, State};
use crate::{Fields, Framing, ObsFold, RemoteError, RequestHead, ResponseHead, parse, whole};

/// What arrives.
impl Connection {
    /// Takes the next event from the start of `buffer`; its rest stays there. Call it until it
    /// answers [`Received::NeedMore`], then append what arrives and call it again: a byte at a
    /// time gives the same events as all at once.
    ///
    /// # Errors
    /// The peer broke the protocol. Every later call repeats the error. A request head that was
    /// refused is at the start of `buffer` then, as far as it has come, so that it can be quoted.
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

    /// The peer closed its direction, and [`receive`](Self::receive) has answered
    /// [`Received::NeedMore`]; `buffer` holds the incomplete rest. Called too early, while bytes
    /// in the buffer still give events (now, or in the next exchange), it changes nothing and
    /// answers [`Received::Paused`].
    ///
    /// # Errors
    /// The peer closed inside a message, or owed one.
    pub fn receive_eof(&mut self, buffer: &BytesMut) -> Result<Received, RemoteError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.has_unread(buffer) {
            return Ok(Received::Paused);
        }
        let outcome = match self.peer_state() {
            State::SendBody => self.reader.finish().and_then(|()| self.received_end(None)),
            State::Idle if self.is_in_head(buffer.len()) => self.incomplete_head(buffer),
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

    /// Takes the end of a message that has no content, or none left, as [`receive`](Self::receive)
    /// would: it takes no bytes. False where the message has not come to its end.
    pub fn receive_end(&mut self) -> bool {
        self.peer_state() == State::SendBody
            && self.reader.remaining() == Some(0)
            && self.received_end(None).is_ok()
    }

    /// The buffer has bytes that a message will be made of, and that nobody has looked at.
    fn has_unread(&self, buffer: &BytesMut) -> bool {
        match self.peer_state() {
            State::Idle | State::SendResponse => self.scan.has_unseen(buffer.len()),
            State::SendBody => self.reader.has_unseen(buffer.len()),
            State::Done | State::MightSwitch => self.role == Role::Server && !buffer.is_empty(),
            State::MustClose | State::Closed | State::Switched | State::Error => false,
        }
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
        let Some(head) = self.request_head(buffer)? else {
            return Ok(Received::NeedMore);
        };
        if let Err(error) = self.accept_request(&head) {
            put_back(head.fields.block, buffer);
            return Err(error);
        }
        Ok(Received::Event(Event::Request(head)))
    }

    /// The next whole request head, taken out of the buffer.
    fn request_head(&mut self, buffer: &mut BytesMut) -> Result<Option<RequestHead>, RemoteError> {
        if buffer.is_empty() {
            return Ok(None);
        }
        let section = self.section();
        if self.scan.is_fresh()
            && let Some(head) =
                whole::request(buffer, &mut self.spare, &section, &self.config.limits)
        {
            return Ok(Some(head));
        }
        let Some(mut block) = self.head_block(buffer, &section)? else {
            return Ok(None);
        };
        let spare = std::mem::take(&mut self.spare);
        match parse::request(&mut block, spare, &self.config.limits) {
            Ok(head) => Ok(Some(head)),
            Err(error) => {
                put_back(block, buffer);
                Err(error)
            }
        }
    }

    fn accept_request(&mut self, head: &RequestHead) -> Result<(), RemoteError> {
        let facts = head.fields.facts;
        let framing = request_framing(head.version, &facts)?;
        let asked = Asked::from(&head.method);
        if asked == Asked::Connect && !matches!(framing, Framing::Empty | Framing::Length(0)) {
            return Err(RemoteError::ContentInConnect);
        }
        self.peer_version = head.version;
        self.keep_alive_asked = head.version < Version::HTTP_11 && facts.connection.keep_alive();
        self.note_persistence(persistence(head.version, facts.connection, framing));
        let upgrades = facts.upgrade && facts.connection.upgrade();
        self.note_switch(asked, upgrades && head.version >= Version::HTTP_11);
        self.unanswered.push_back(asked);
        self.reader = BodyReader::new(framing);
        self.step(Role::Client, EventKind::Request)?;
        self.step(Role::Server, EventKind::RequestSeen)
    }

    fn receive_response(&mut self, buffer: &mut BytesMut) -> Result<Received, RemoteError> {
        // "HTTP/1." or a beginning of it: what starts otherwise is no HTTP/1 server, and waiting
        // for its head to end would only hide that.
        if !buffer
            .iter()
            .zip(b"HTTP/1.")
            .take(self.head_limit())
            .all(|(byte, expected)| byte == expected)
        {
            return Err(RemoteError::InvalidStatusLine);
        }
        let Some(head) = self.response_head(buffer)? else {
            return Ok(Received::NeedMore);
        };
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
            self.is_last_response = true;
            self.close_after(NotPersistent::Connect);
        }
        self.switch_asked = None;
        self.reader = BodyReader::new(framing);
        self.step(Role::Server, EventKind::Response)?;
        Ok(Received::Event(Event::Response(head)))
    }

    /// The next whole response head, taken out of the buffer.
    fn response_head(
        &mut self,
        buffer: &mut BytesMut,
    ) -> Result<Option<ResponseHead>, RemoteError> {
        if buffer.is_empty() {
            return Ok(None);
        }
        let section = self.section();
        if self.scan.is_fresh()
            && let Some(head) =
                whole::response(buffer, &mut self.spare, &section, &self.config.limits)
        {
            return Ok(Some(head));
        }
        let Some(block) = self.head_block(buffer, &section)? else {
            return Ok(None);
        };
        let spare = std::mem::take(&mut self.spare);
        parse::response(block, spare, &self.config.limits).map(Some)
    }

    fn received_switch(&mut self, head: ResponseHead) -> Result<Received, RemoteError> {
        let is_agreed = match self.switch_asked {
            Some(Asked::Connect) => head.status.is_success(),
            Some(Asked::Head | Asked::Other) => {
                head.status == StatusCode::SWITCHING_PROTOCOLS && head.fields.facts.upgrade
            }
            None => false,
        };
        // A client that is still writing its body cannot have been understood. (It may have
        // written all of a counted body, and not have ended it.)
        let is_complete = match self.states.client {
            State::MightSwitch => true,
            State::SendBody => self.writer.is_complete(),
            State::Idle
            | State::SendResponse
            | State::Done
            | State::MustClose
            | State::Closed
            | State::Switched
            | State::Error => false,
        };
        if !is_agreed || !is_complete {
            return Err(RemoteError::UnexpectedUpgrade);
        }
        self.close_after(NotPersistent::Switched);
        self.step(Role::Server, EventKind::Switch)?;
        Ok(Received::Event(Event::Response(head)))
    }

    /// What bounds the next head.
    fn section(&self) -> Section {
        let limits = &self.config.limits;
        let is_request = self.role == Role::Server;
        Section {
            limit: self.head_limit(),
            line_limit: if is_request { limits.line } else { usize::MAX },
            too_large: RemoteError::HeadTooLarge,
            first_line_too_long: if is_request {
                RemoteError::RequestLineTooLong
            } else {
                RemoteError::HeadTooLarge
            },
            bare_lf: self.config.bare_lf,
            start_line: true,
            empty_lines: if is_request { limits.empty_lines } else { 0 },
        }
    }

    /// The bytes of the next whole head, taken out of the buffer.
    fn head_block(
        &mut self,
        buffer: &mut BytesMut,
        section: &Section,
    ) -> Result<Option<Bytes>, RemoteError> {
        let Some(found) = self.scan.advance(buffer, section)? else {
            return Ok(None);
        };
        self.scan = Scan::default();
        let Found { skip, end, folded } = found;
        buffer.advance(skip);
        if folded && (self.role == Role::Server || self.config.obs_fold == ObsFold::Refuse) {
            return Err(RemoteError::ObsoleteFold);
        }
        let mut block = buffer.split_to(end.saturating_sub(skip));
        if folded {
            parse::replace_folds(&mut block);
        }
        Ok(Some(block.freeze()))
    }

    /// What is left of the limit after interim heads.
    fn head_limit(&self) -> usize {
        self.config.limits.head.saturating_sub(self.interim_bytes)
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
            // Pipelined: the next response is owed already. That we said "close" with a later
            // request does not change that; that the server said it with this response does.
            if !self.unanswered.is_empty() && !self.is_last_response {
                self.states.server = State::SendResponse;
            }
        }
        Ok(Received::Event(Event::End(trailers)))
    }

    fn note_persistence(&mut self, persistence: Persistence) {
        if let Persistence::Close(reason) = persistence {
            self.is_last_response = true;
            self.close_after(reason);
        }
    }

    pub(super) fn note_switch(&mut self, asked: Asked, upgrades: bool) {
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

/// Puts a head back in front of what follows it.
fn put_back(block: Bytes, buffer: &mut BytesMut) {
    let mut head = BytesMut::from(block);
    head.unsplit(std::mem::take(buffer));
    *buffer = head;
}
