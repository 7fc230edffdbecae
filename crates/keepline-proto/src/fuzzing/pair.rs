//! Both sides of a connection and the link between them, without sockets.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::feed::Split;
use crate::state::State;
use crate::{
    BodyLength, Config, Connection, Event, Field, LocalError, Received, RemoteError, RequestLine,
};

/// One side: its connection, what has arrived at it, and what it has written.
#[derive(Debug)]
pub struct Side {
    pub connection: Connection,
    pub input: BytesMut,
    /// Written and not delivered yet.
    pub output: Vec<u8>,
    /// This side has closed, behind what it has written.
    pub has_closed: bool,
    /// The other side has been told so.
    pub eof: bool,
}

impl Side {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            input: BytesMut::new(),
            output: Vec::new(),
            has_closed: false,
            eof: false,
        }
    }

    /// Sends a request head.
    ///
    /// # Errors
    /// As [`Connection::send_request`], which must then have written nothing.
    pub fn request(
        &mut self,
        line: RequestLine<'_>,
        fields: &[Field<'_>],
        body: BodyLength,
    ) -> Result<(), LocalError> {
        self.unless_refused(|connection, out| {
            connection.send_request(line, fields.iter().copied(), body, out)
        })
    }

    /// Writes one piece of content.
    ///
    /// # Errors
    /// As [`Connection::send_data`].
    pub fn data(&mut self, piece: &[u8]) -> Result<(), LocalError> {
        if let Some(frame) = self.connection.send_data(piece.len())? {
            self.output.extend_from_slice(frame.prefix());
            self.output.extend_from_slice(piece);
            self.output.extend_from_slice(frame.suffix());
        }
        Ok(())
    }

    /// Ends the message.
    ///
    /// # Errors
    /// As [`Connection::send_end`], which must then have written nothing.
    pub fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), LocalError> {
        self.unless_refused(|connection, out| connection.send_end(trailers, out))
    }

    /// Closes this side's direction.
    pub fn close(&mut self) {
        self.connection.closed();
        self.has_closed = true;
    }

    /// Runs something that writes, and checks that it leaves no trace when it is refused.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn unless_refused(
        &mut self,
        act: impl FnOnce(&mut Connection, &mut Vec<u8>) -> Result<(), LocalError>,
    ) -> Result<(), LocalError> {
        let before = (self.output.len(), self.connection.clone());
        let done = act(&mut self.connection, &mut self.output);
        if done.is_err() {
            let after = (self.output.len(), &self.connection);
            assert_eq!(format!("{:?}", (before.0, &before.1)), format!("{after:?}"));
        }
        done
    }

    /// All events that the bytes at hand give.
    ///
    /// # Errors
    /// The other side broke the protocol.
    pub fn events(&mut self) -> Result<Vec<Event>, RemoteError> {
        let mut events = Vec::new();
        loop {
            match self.connection.receive(&mut self.input)? {
                Received::Event(event) => events.push(event),
                Received::NeedMore if self.eof => {
                    match self.connection.receive_eof(&self.input)? {
                        Received::Event(event) => events.push(event),
                        _ => return Ok(events),
                    }
                }
                Received::Paused if self.eof && self.input.is_empty() => {
                    match self.connection.receive_eof(&self.input)? {
                        Received::Event(event) => events.push(event),
                        _ => return Ok(events),
                    }
                }
                Received::NeedMore | Received::Paused | Received::Closed | Received::Switched => {
                    return Ok(events);
                }
            }
        }
    }
}

/// Both sides.
#[derive(Debug)]
pub struct Pair {
    pub client: Side,
    pub server: Side,
}

impl Pair {
    #[must_use]
    pub fn new(config: Config) -> Self {
        let config = Arc::new(config);
        Self {
            client: Side::new(Connection::client(config.clone())),
            server: Side::new(Connection::server(config)),
        }
    }

    /// Brings at most `limit` bytes to the server; gives what it makes of them.
    ///
    /// # Errors
    /// The client broke the protocol.
    pub fn server_receives(&mut self, limit: usize) -> Result<Vec<Event>, RemoteError> {
        carry(&mut self.client, &mut self.server, limit);
        self.server.events()
    }

    /// Brings at most `limit` bytes to the client; gives what it makes of them.
    ///
    /// # Errors
    /// The server broke the protocol.
    pub fn client_receives(&mut self, limit: usize) -> Result<Vec<Event>, RemoteError> {
        carry(&mut self.server, &mut self.client, limit);
        self.client.events()
    }

    /// Brings everything to the server, split so; gives what it makes of it, content joined.
    ///
    /// # Panics
    /// The client broke the protocol.
    pub fn server_receives_all(&mut self, split: Split<'_>) -> Vec<Event> {
        let mut events = Events::default();
        loop {
            events.extend(self.server_receives(step(split)).unwrap());
            if self.client.output.is_empty() {
                return events.0;
            }
        }
    }

    /// Brings everything to the client, split so; gives what it makes of it, content joined.
    ///
    /// # Panics
    /// The server broke the protocol.
    pub fn client_receives_all(&mut self, split: Split<'_>) -> Vec<Event> {
        let mut events = Events::default();
        loop {
            events.extend(self.client_receives(step(split)).unwrap());
            if self.server.output.is_empty() {
                return events.0;
            }
        }
    }

    /// Both states, as each side sees them.
    #[must_use]
    pub fn states(&self) -> [(State, State); 2] {
        [
            (
                self.client.connection.state(),
                self.client.connection.peer_state(),
            ),
            (
                self.server.connection.peer_state(),
                self.server.connection.state(),
            ),
        ]
    }

    /// Starts the next exchange on both sides.
    ///
    /// # Errors
    /// One of them does not persist.
    pub fn next_exchange(&mut self) -> Result<(), LocalError> {
        self.client.connection.next_exchange()?;
        self.server.connection.next_exchange()
    }
}

fn carry(from: &mut Side, to: &mut Side, limit: usize) {
    let bytes: Vec<_> = from.output.drain(..limit.min(from.output.len())).collect();
    to.input.extend_from_slice(&bytes);
    to.eof = from.has_closed && from.output.is_empty();
}

const fn step(split: Split<'_>) -> usize {
    match split {
        Split::EachByte => 1,
        Split::Whole | Split::At(_) | Split::Sizes(_) => usize::MAX,
    }
}

/// Events, with neighbouring pieces of content joined.
#[derive(Debug, Default)]
struct Events(Vec<Event>);

impl Events {
    fn extend(&mut self, events: Vec<Event>) {
        for event in events {
            match (self.0.last_mut(), event) {
                (Some(Event::Data(known)), Event::Data(more)) => {
                    *known = Bytes::from([&known[..], &more[..]].concat());
                }
                (_, event) => self.0.push(event),
            }
        }
    }
}
