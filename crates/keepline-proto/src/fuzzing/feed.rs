//! Feeds bytes to one side of a connection, split in whatever way, and notes what it makes of
//! them.

use std::collections::VecDeque;

use bytes::BytesMut;
use http::{Method, StatusCode};

use super::said::Said;

use crate::state::{Role, State};
use crate::{
    BodyLength, Config, Connection, Event, Field, Fields, Persistence, Received, RemoteError,
    RequestLine,
};

/// Which side is fed, and how it behaves.
#[derive(Debug, Clone)]
pub struct Setup {
    pub role: Role,
    pub config: Config,
    /// What the client asks; the next one when the exchange before is over.
    pub asks: Vec<Ask>,
    /// A server answers a request to switch protocols with 101 or 2xx.
    pub agrees_to_switch: bool,
    /// A client sends all requests at once, a server answers before the request's content.
    pub hurries: bool,
    /// The peer closes after the last byte.
    pub eof: bool,
}

/// A request of the client.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: Method,
    pub upgrade: bool,
    pub close: bool,
}

impl Ask {
    #[must_use]
    pub fn of(method: Method) -> Self {
        Self {
            method,
            upgrade: false,
            close: false,
        }
    }

    /// Two bits: GET, HEAD, CONNECT, Upgrade.
    #[must_use]
    pub fn nth(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::of(Method::GET),
            1 => Self::of(Method::HEAD),
            2 => Self::of(Method::CONNECT),
            _ => Self {
                upgrade: true,
                ..Self::of(Method::GET)
            },
        }
    }
}

/// How the bytes are split.
#[derive(Debug, Clone, Copy)]
pub enum Split<'a> {
    Whole,
    EachByte,
    /// In two, here.
    At(usize),
    /// Into pieces of these sizes, in turn; 0 counts as 1.
    Sizes(&'a [u8]),
}

impl Split<'_> {
    fn pieces(self, mut wire: &[u8]) -> Vec<&[u8]> {
        let mut pieces = Vec::new();
        let mut turn = 0;
        while !wire.is_empty() {
            let size = match self {
                Split::At(at) if turn == 0 && at > 0 => at,
                Split::Whole | Split::At(_) => wire.len(),
                Split::EachByte | Split::Sizes([]) => 1,
                Split::Sizes(sizes) => usize::from(sizes[turn % sizes.len()]).max(1),
            };
            let (piece, rest) = wire.split_at(size.min(wire.len()));
            pieces.push(piece);
            wire = rest;
            turn += 1;
        }
        pieces
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub said: Vec<Said>,
    pub client: State,
    pub server: State,
    pub persistence: Persistence,
    pub unanswered: usize,
    /// What is left in the buffer; empty after a failure, when it means nothing.
    pub rest: Vec<u8>,
}

impl Outcome {
    /// The error, if there was one.
    #[must_use]
    pub fn error(&self) -> Option<RemoteError> {
        match self.said.last() {
            Some(Said::Failed(error)) => Some(*error),
            _ => None,
        }
    }
}

/// Feeds `wire` to a new connection.
#[must_use]
pub fn feed(setup: &Setup, wire: &[u8], split: Split<'_>) -> Outcome {
    let mut subject = Subject::new(setup);
    for piece in split.pieces(wire) {
        subject.buffer.extend_from_slice(piece);
        subject.receive();
    }
    if wire.is_empty() {
        subject.receive();
    }
    if setup.eof {
        subject.receive_eof();
    }
    subject.outcome()
}

struct Subject<'a> {
    setup: &'a Setup,
    connection: Connection,
    buffer: BytesMut,
    asks: VecDeque<Ask>,
    said: Vec<Said>,
    asked_to_switch: Option<StatusCode>,
}

impl<'a> Subject<'a> {
    fn new(setup: &'a Setup) -> Self {
        let mut subject = Self {
            setup,
            connection: match setup.role {
                Role::Client => Connection::client(setup.config.into()),
                Role::Server => Connection::server(setup.config.into()),
            },
            buffer: BytesMut::new(),
            asks: setup.asks.iter().cloned().collect(),
            said: Vec::new(),
            asked_to_switch: None,
        };
        subject.ask();
        while setup.hurries && !subject.asks.is_empty() && subject.connection.pipeline().is_ok() {
            subject.ask();
        }
        subject
    }

    /// Sends the next request whole.
    fn ask(&mut self) {
        let Some(ask) = self.asks.pop_front() else {
            return;
        };
        let field = |name: &'static str, value: &'static str| {
            Field::new(name.as_bytes(), value.as_bytes()).unwrap()
        };
        let mut fields = vec![field("host", "a")];
        if ask.upgrade {
            fields.extend([field("upgrade", "x"), field("connection", "upgrade")]);
        }
        if ask.close {
            fields.push(field("connection", "close"));
        }
        let line = RequestLine::new(
            &ask.method,
            if ask.method == Method::CONNECT {
                b"a:1"
            } else {
                b"/"
            },
        );
        let mut out = Vec::new();
        let sent = self
            .connection
            .send_request(line, fields, BodyLength::Known(0), &mut out);
        if sent.is_ok() {
            self.connection.send_end(None, &mut out).unwrap();
        }
    }

    fn receive(&mut self) {
        if matches!(
            self.said.last(),
            Some(Said::Failed(_) | Said::Closed | Said::Switched)
        ) {
            return;
        }
        loop {
            match self.connection.receive(&mut self.buffer) {
                Ok(Received::Event(event)) => self.note(event),
                Ok(Received::NeedMore) => return self.assert_bounded(),
                Ok(Received::Paused) => return,
                Ok(Received::Closed) => return self.said.push(Said::Closed),
                Ok(Received::Switched) => return self.said.push(Said::Switched),
                Err(error) => return self.note_failure(error),
            }
        }
    }

    fn receive_eof(&mut self) {
        loop {
            if matches!(
                self.said.last(),
                Some(Said::Failed(_) | Said::Closed | Said::Switched)
            ) {
                return;
            }
            match self.connection.receive_eof(&self.buffer) {
                Ok(Received::Event(event)) => self.note(event),
                Ok(Received::NeedMore) => panic!("more after the end"),
                Ok(Received::Paused) => return,
                Ok(Received::Closed) => return self.said.push(Said::Closed),
                Ok(Received::Switched) => return self.said.push(Said::Switched),
                Err(error) => return self.note_failure(error),
            }
            self.receive();
        }
    }

    fn note_failure(&mut self, error: RemoteError) {
        for _ in 0..2 {
            assert_eq!(self.connection.receive(&mut self.buffer), Err(error));
            assert_eq!(self.connection.receive_eof(&self.buffer), Err(error));
        }
        assert_eq!(self.connection.peer_state(), State::Error);
        assert!(self.connection.next_exchange().is_err());
        self.said.push(Said::Failed(error));
    }

    fn note(&mut self, event: Event) {
        match (self.said.last_mut(), Said::by(&event)) {
            (Some(Said::Data(content)), Said::Data(more)) => content.extend(more),
            (_, said) => self.said.push(said),
        }
        match event {
            Event::Request(head) => {
                check_section(head.fields());
                self.asked_to_switch = None;
                if *head.method() == Method::CONNECT {
                    self.asked_to_switch = Some(StatusCode::OK);
                } else if head.fields().facts().upgrade {
                    self.asked_to_switch = Some(StatusCode::SWITCHING_PROTOCOLS);
                }
                if self.setup.hurries {
                    self.answer();
                }
            }
            Event::Interim(head) | Event::Response(head) => check_section(head.fields()),
            Event::Data(data) => assert!(!data.is_empty(), "an empty piece of content"),
            Event::End(trailers) => {
                trailers.iter().for_each(check_section);
                self.exchange_may_be_over();
            }
        }
    }

    fn exchange_may_be_over(&mut self) {
        if self.setup.role == Role::Server && !self.setup.hurries {
            self.answer();
        }
        if self.connection.is_exchange_over() {
            self.connection.next_exchange().unwrap();
            self.ask();
        }
    }

    fn answer(&mut self) {
        let mut out = Vec::new();
        if let Some(status) = self.asked_to_switch.filter(|_| self.setup.agrees_to_switch) {
            let upgrade = Field::new(b"upgrade", b"x").unwrap();
            let known = BodyLength::Known(0);
            if self
                .connection
                .send_response(status, [upgrade], known, &mut out)
                .is_ok()
            {
                if self.connection.state() == State::SendBody {
                    self.connection.send_end(None, &mut out).unwrap();
                }
                return;
            }
        }
        let (ok, none) = (StatusCode::OK, StatusCode::NOT_FOUND);
        let status = if self.asked_to_switch.is_some() {
            none
        } else {
            ok
        };
        self.connection
            .send_response(status, [], BodyLength::Known(0), &mut out)
            .unwrap();
        self.connection.send_end(None, &mut out).unwrap();
    }

    /// What is held back while more is needed is part of a head or of a trailer section.
    fn assert_bounded(&self) {
        let limits = &self.setup.config.limits;
        let section = limits.head.max(limits.trailers);
        let bound = section
            .saturating_add(limits.empty_lines.saturating_mul(2))
            .saturating_add(2);
        assert!(
            self.buffer.len() <= bound,
            "{} bytes held",
            self.buffer.len()
        );
    }

    fn outcome(self) -> Outcome {
        let (client, server) = match self.setup.role {
            Role::Client => (self.connection.state(), self.connection.peer_state()),
            Role::Server => (self.connection.peer_state(), self.connection.state()),
        };
        let has_failed = matches!(self.said.last(), Some(Said::Failed(_)));
        Outcome {
            said: self.said,
            client,
            server,
            persistence: self.connection.persistence(),
            unanswered: self.connection.unanswered(),
            rest: if has_failed {
                Vec::new()
            } else {
                self.buffer.to_vec()
            },
        }
    }
}

/// Each field is one that we would write, and the map has them all.
fn check_section(fields: &Fields) {
    for field in fields {
        assert_eq!(Field::new(field.name(), field.value()), Ok(field));
    }
    let map = fields.to_header_map().unwrap();
    assert_eq!(map.len(), fields.len());
    for field in fields {
        let name = std::str::from_utf8(field.name()).unwrap();
        assert!(
            map.get_all(name)
                .iter()
                .any(|x| x.as_bytes() == field.value())
        );
        let _decision = crate::forward::forwardable(field, fields);
    }
    let _hint = crate::keep_alive::keep_alive(fields);
}
