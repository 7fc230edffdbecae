//! Both sides do what they like, in any order, and the link brings some of it across at any time.
//!
//! Whatever our own two sides send each other, they understand: a request arrives as it was sent,
//! the k-th answer is the answer to the k-th request, and an error means that somebody closed in
//! the middle. What a side is not allowed to do is refused and changes nothing.

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::pair::Pair;
use super::{Input, config};
use crate::persistence::NotPersistent;
use crate::state::State;
use crate::{BodyLength, Event, Field, RemoteError, RequestLine};

/// A message as it was sent.
#[derive(Debug)]
struct Sent {
    id: usize,
    content: Vec<u8>,
    has_ended: bool,
    /// Its length was told: it is complete with its last byte, whether it was ended or not.
    is_counted: bool,
}

/// What went over the link so far.
#[derive(Debug, Default)]
struct Model {
    requests: Vec<Sent>,
    responses: Vec<Sent>,
    /// How many of them have arrived whole.
    requests_received: usize,
    responses_received: usize,
    /// What has arrived of the message in progress.
    request_content: Vec<u8>,
    response_content: Vec<u8>,
    /// How often each side went on to the next exchange.
    turns: [usize; 2],
    /// A request was sent before the last one was answered.
    has_pipelined: bool,
    /// A side decided to close, or closed; the other may not know yet.
    is_closing: bool,
    /// The server answered a request that it had not seen. Whose answer the client takes it for
    /// is then beyond anybody's control.
    has_stray: bool,
}

/// Input: configuration, then operations: a byte that names one and a byte of detail.
pub fn connection_ops(data: &[u8]) {
    let mut input = Input(data);
    // Small limits would refuse what we send ourselves.
    let mut pair = Pair::new(config(input.byte() & 3));
    let mut model = Model::default();
    for _ in 0..256 {
        if input.0.is_empty() {
            break;
        }
        let (operation, detail) = (input.byte(), input.byte());
        if !model.step(&mut pair, operation, detail) {
            return;
        }
    }
    if model.server_receives(&mut pair, usize::MAX) && model.client_receives(&mut pair, usize::MAX)
    {
        model.check_end(&pair);
    }
}

impl Model {
    /// One operation. False: the connection has failed, as it may.
    fn step(&mut self, pair: &mut Pair, operation: u8, detail: u8) -> bool {
        match operation & 15 {
            14 => self.server_receives(pair, usize::from(detail)),
            15 => self.client_receives(pair, usize::from(detail)),
            operation @ 0..7 => {
                self.client_acts(pair, operation, detail);
                true
            }
            operation => {
                self.server_acts(pair, operation, detail);
                true
            }
        }
    }

    fn client_acts(&mut self, pair: &mut Pair, operation: u8, detail: u8) {
        let client = &mut pair.client;
        match operation {
            0 => self.send_request(pair, detail),
            1 => {
                let piece = vec![detail; usize::from(detail >> 4)];
                if client.data(&piece).is_ok() {
                    self.requests.last_mut().unwrap().content.extend(piece);
                }
            }
            2 => {
                let has_ended = client.end(trailers(detail).as_ref()).is_ok();
                if has_ended {
                    self.requests.last_mut().unwrap().has_ended = true;
                }
            }
            3 => self.has_pipelined |= client.connection.pipeline().is_ok(),
            4 => {
                let is_next = client.input.is_empty() && client.connection.next_exchange().is_ok();
                self.turns[0] += usize::from(is_next);
            }
            // Closing comes seldom, or little else would happen.
            5 if detail & 3 == 0 => {
                client.close();
                self.is_closing = true;
            }
            6 if detail & 3 == 0 => {
                client
                    .connection
                    .close_after(NotPersistent::LocalAskedClose);
                self.is_closing = true;
            }
            _ => {}
        }
    }

    fn server_acts(&mut self, pair: &mut Pair, operation: u8, detail: u8) {
        let server = &mut pair.server;
        match operation {
            7 => self.send_response(pair, detail),
            8 => {
                let _refused = server.unless_refused(|connection, out| {
                    connection.send_interim(StatusCode::EARLY_HINTS, [], out)
                });
            }
            9 => {
                let piece = vec![detail; usize::from(detail >> 4)];
                if server.data(&piece).is_ok() {
                    self.responses.last_mut().unwrap().content.extend(piece);
                }
            }
            10 => {
                let has_ended = server.end(trailers(detail).as_ref()).is_ok();
                if has_ended {
                    self.responses.last_mut().unwrap().has_ended = true;
                }
            }
            11 => self.turns[1] += usize::from(server.connection.next_exchange().is_ok()),
            12 if detail & 3 == 0 => {
                server.close();
                self.is_closing = true;
            }
            13 if detail & 3 == 0 => {
                server
                    .connection
                    .close_after(NotPersistent::LocalAskedClose);
                self.is_closing = true;
            }
            _ => {}
        }
    }

    fn send_request(&mut self, pair: &mut Pair, detail: u8) {
        let id = self.requests.len();
        let number = id.to_string();
        let mut fields = vec![
            Field::new(b"host", b"a").unwrap(),
            Field::new(b"x-id", number.as_bytes()).unwrap(),
        ];
        let (method, target) = match detail & 7 {
            0 | 1 => (Method::GET, "/"),
            2 => (Method::HEAD, "/"),
            3 => (Method::CONNECT, "a:1"),
            4 => {
                fields.push(Field::new(b"upgrade", b"x").unwrap());
                fields.push(Field::new(b"connection", b"upgrade").unwrap());
                (Method::POST, "/")
            }
            _ => (Method::PUT, "http://a/"),
        };
        if detail & 0x80 != 0 {
            fields.push(Field::new(b"connection", b"close").unwrap());
        }
        let body = length(detail);
        let target = target.as_bytes();
        let line = RequestLine::new(&method, target);
        if pair.client.request(line, &fields, body).is_ok() {
            self.requests.push(Sent {
                id,
                content: Vec::new(),
                has_ended: false,
                is_counted: length(detail) != BodyLength::Unknown,
            });
        }
    }

    fn send_response(&mut self, pair: &mut Pair, detail: u8) {
        let is_stray = pair.server.connection.state() == State::Idle;
        let id = self.responses.len();
        let number = id.to_string();
        let status = match detail & 7 {
            0..=2 => StatusCode::OK,
            3 => StatusCode::NO_CONTENT,
            4 => StatusCode::SWITCHING_PROTOCOLS,
            5 => StatusCode::NOT_MODIFIED,
            _ => StatusCode::NOT_FOUND,
        };
        let mut fields = vec![Field::new(b"x-id", number.as_bytes()).unwrap()];
        if status == StatusCode::SWITCHING_PROTOCOLS {
            fields.push(Field::new(b"upgrade", b"x").unwrap());
        }
        if detail & 0x80 != 0 {
            fields.push(Field::new(b"connection", b"close").unwrap());
        }
        let sent = pair.server.unless_refused(|connection, out| {
            connection.send_response(status, fields.iter().copied(), length(detail), out)
        });
        if sent.is_ok() {
            self.has_stray |= is_stray;
            self.responses.push(Sent {
                id,
                content: Vec::new(),
                has_ended: pair.server.connection.state() == State::Switched,
                is_counted: length(detail) != BodyLength::Unknown,
            });
        }
    }

    fn server_receives(&mut self, pair: &mut Pair, limit: usize) -> bool {
        match pair.server_receives(limit) {
            Ok(events) => {
                for event in events {
                    self.server_received(event);
                }
                true
            }
            Err(error) => {
                let may_be = error.is_incomplete() && pair.client.has_closed;
                assert!(may_be, "our client broke the protocol: {error:?}");
                false
            }
        }
    }

    fn client_receives(&mut self, pair: &mut Pair, limit: usize) -> bool {
        match pair.client_receives(limit) {
            Ok(events) => {
                for event in events {
                    self.client_received(event);
                }
                true
            }
            Err(error) => {
                let may_be = self.has_stray || (error.is_incomplete() && pair.server.has_closed);
                // A client that closes while it waits for the answer can switch to nothing.
                let is_late = error == RemoteError::UnexpectedUpgrade && pair.client.has_closed;
                assert!(
                    may_be || is_late,
                    "our server broke the protocol: {error:?}"
                );
                false
            }
        }
    }

    fn server_received(&mut self, event: Event) {
        match event {
            Event::Request(head) => {
                let id = head.fields().value("x-id").unwrap();
                assert_eq!(id, self.requests_received.to_string().as_bytes());
                self.request_content.clear();
            }
            Event::Data(data) => self.request_content.extend_from_slice(&data),
            Event::End(_) => {
                let sent = &self.requests[self.requests_received];
                assert!(sent.has_ended || sent.is_counted);
                assert_eq!(sent.id, self.requests_received);
                assert_eq!(sent.content, self.request_content);
                self.requests_received += 1;
            }
            Event::Interim(_) | Event::Response(_) => panic!("a server received {event:?}"),
        }
    }

    fn client_received(&mut self, event: Event) {
        if self.has_stray {
            return;
        }
        match event {
            Event::Response(head) => {
                let id = head.fields().value("x-id").unwrap();
                assert_eq!(id, self.responses_received.to_string().as_bytes());
                assert!(self.requests.len() > self.responses_received);
                self.response_content.clear();
            }
            Event::Interim(_) => {}
            Event::Data(data) => self.response_content.extend_from_slice(&data),
            Event::End(_) => {
                let sent = &self.responses[self.responses_received];
                // To HEAD and in 204 and 304, content is accepted and not written.
                if !self.response_content.is_empty() {
                    assert!(sent.has_ended || sent.is_counted);
                    assert_eq!(sent.content, self.response_content);
                }
                self.responses_received += 1;
            }
            Event::Request(_) => panic!("a client received {event:?}"),
        }
    }

    /// Everything has arrived, and nobody has broken anything.
    fn check_end(&self, pair: &Pair) {
        let is_plain = !self.is_closing && !self.has_stray && !self.has_pipelined;
        let has_ended = |sent: Option<&Sent>| sent.is_none_or(|sent| sent.has_ended);
        let is_plain =
            is_plain && has_ended(self.requests.last()) && has_ended(self.responses.last());
        if is_plain && self.turns[0] == self.turns[1] {
            let [seen_by_client, seen_by_server] = pair.states();
            assert_eq!(seen_by_client, seen_by_server, "{self:?}");
        }
        let unanswered = self.requests.len() - self.responses_received.min(self.requests.len());
        if !self.has_stray && pair.client.connection.state() != State::Switched {
            assert_eq!(pair.client.connection.unanswered(), unanswered, "{self:?}");
        }
    }
}

const fn length(detail: u8) -> BodyLength {
    if detail & 8 == 0 {
        BodyLength::Unknown
    } else {
        BodyLength::Known((detail >> 4 & 7) as u64)
    }
}

fn trailers(detail: u8) -> Option<HeaderMap> {
    (detail & 0xf0 == 0xf0).then(|| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        trailers
    })
}
