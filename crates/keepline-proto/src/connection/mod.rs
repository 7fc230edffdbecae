//! One side of one HTTP/1.1 connection: bytes in, events out; events in, bytes out.
//!
//! This is glue. What may follow what is decided in [`state`], where a message ends in [`framing`](crate::framing), whether
//! the connection persists in [`persistence`](crate::persistence). The caller owns the buffers: this type holds none, so
//! that an idle connection costs no memory for bytes that are not there.
//!
//! Invariant: after an error of the peer the connection stays failed and repeats that error; bytes
//! that belong to no message are never handed out as one.

mod receive;
mod send;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::Version;

use crate::body::{BodyReader, BodyWriter};
use crate::framing::Asked;
use crate::head::FieldSpan;
use crate::persistence::{NotPersistent, Persistence};
use crate::scan::Scan;
use crate::state::{self, Coupling, EventKind, Pair, Role, State};
use crate::{Config, Fields, LocalError, RemoteError, RequestHead, ResponseHead};

/// The largest allocation for spans (16 bytes each) that outlives its head.
const SPARE_SPANS: usize = 32;

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
#[cfg_attr(any(test, fuzzing), derive(Clone))]
pub struct Connection {
    config: Arc<Config>,
    role: Role,
    states: Pair,
    /// Why this is the last exchange; the first reason stays.
    closing: Option<NotPersistent>,
    /// The response in progress, or the one before, ends the connection: no other will follow.
    is_last_response: bool,
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

/// Construction.
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

    /// Has another configuration hold, from the next head or piece of content on.
    pub fn set_config(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    fn new(role: Role, config: Arc<Config>) -> Self {
        Self {
            config,
            role,
            states: Pair::IDLE,
            closing: None,
            is_last_response: false,
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
}

/// The exchange and the connection.
impl Connection {
    /// Starts the next exchange on a connection that persists.
    ///
    /// A client looks first whether its buffer is empty: what is left over after the last answer
    /// belongs to no request, and would be read as the answer to the next.
    ///
    /// # Errors
    /// [`LocalError::NotNow`] unless both sides are done.
    pub fn next_exchange(&mut self) -> Result<(), LocalError> {
        if !self.is_exchange_over() {
            return Err(LocalError::NotNow {
                state: self.state(),
                event: EventKind::Request,
            });
        }
        self.states = Pair::IDLE;
        Ok(())
    }

    /// Lets a client send a further request before the response to the last one has come
    /// (pipelining, RFC 9112 §9.3.2). Whether that is wise is the caller's to decide.
    ///
    /// # Errors
    /// [`LocalError::NotNow`] unless the last request is complete, the connection is not known to
    /// close and no switch of protocols is pending.
    pub fn pipeline(&mut self) -> Result<(), LocalError> {
        // A client whose wish to switch is unanswered is not `Done` but `MightSwitch`.
        let may_pipeline = self.role == Role::Client
            && self.states.client == State::Done
            && self.closing.is_none();
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

    /// Both messages of the exchange are complete and the connection persists. (A client that
    /// pipelines may have gone on already.)
    #[must_use]
    pub const fn is_exchange_over(&self) -> bool {
        matches!(
            (self.states.client, self.states.server),
            (State::Done | State::Idle, State::Done)
        )
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

    /// The body that is being sent ends where the connection ends: cut short, it must not look
    /// like an orderly end.
    #[must_use]
    pub const fn is_sending_until_close(&self) -> bool {
        matches!(
            (self.state(), self.writer),
            (State::SendBody, BodyWriter::UntilClose)
        )
    }

    /// The version that the peer spoke last; HTTP/1.1 before it has spoken.
    #[must_use]
    pub const fn peer_version(&self) -> Version {
        self.peer_version
    }

    /// Part of a head has arrived. Empty lines before a request are no part of it.
    #[must_use]
    pub const fn is_in_head(&self, buffered: usize) -> bool {
        matches!(self.peer_state(), State::Idle | State::SendResponse)
            && self.scan.pending(buffered) > 0
    }

    /// Gives a section back that is no longer needed, so that the next head fills its spans again
    /// instead of allocating. Never required.
    pub fn reclaim(&mut self, fields: Fields) {
        // What an idle connection holds has to stay small, whatever its last head was like.
        if fields.spans.capacity() <= SPARE_SPANS {
            self.spare = fields.spans;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(
            size_of::<Connection>() <= 256,
            "{}",
            size_of::<Connection>()
        );
        let with_spans = |spans| Fields {
            spans: vec![FieldSpan::default(); spans],
            ..Fields::default()
        };
        let mut connection = Connection::server(Arc::default());
        connection.reclaim(with_spans(SPARE_SPANS));
        assert_eq!(connection.spare.capacity(), SPARE_SPANS);
        connection.reclaim(with_spans(256));
        assert_eq!(connection.spare.capacity(), SPARE_SPANS);
    }
}
