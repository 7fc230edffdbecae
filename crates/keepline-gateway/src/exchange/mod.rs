//! One request from its head to the last byte of its answer, inside the task of the client's
//! connection.
//!
//! There is no task, channel or map for a request: the head that came in is rewritten as it is sent
//! on, and pieces of content pass through. What is awaited of the upstream is awaited together with
//! the client, so that a client that goes away ends the work.

mod added;
mod aim;
mod attempt;
mod backlog;
mod conditional;
mod content;
mod files;
mod inbound;
mod limits;
mod outbound;
mod pace;
mod pass;
mod peer_tls;
mod phases;
mod plan;
mod refuse;
mod relay;
mod reply;
mod report;
mod rewrite;
mod rewritten;
mod scratch;
mod status;
mod temp_file;
mod terms;
mod trailers;
mod tunnel;
mod upload;
mod wait;

use std::sync::Arc;

use keepline::proto::{Fields, RequestHead};
use keepline::server::{Exchange, Handler, HangUp, Refused};
use keepline::{Deadline, Error};

use crate::answer::Answer;
use crate::config::ListenAddress;
use crate::gateway::{Endpoint, Live, Shared};
use crate::request::{Captures, Host, Request, View, authority, host_of};
use crate::route::{InvalidTarget, TargetParts, Text, parse_target};

pub(crate) use plan::Plan;

/// Answers the requests that come in at one address.
#[derive(Debug)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
    address: Arc<ListenAddress>,
    /// One timer for whatever the connection waits for on the upstream side.
    patience: Deadline,
    /// Another for the pauses that a limit of speed makes.
    pause: Deadline,
}

impl Gate {
    pub(crate) fn new(shared: Arc<Shared>, address: ListenAddress) -> Self {
        Self {
            shared,
            address: Arc::new(address),
            patience: Deadline::default(),
            pause: Deadline::default(),
        }
    }
}

impl Clone for Gate {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            address: Arc::clone(&self.address),
            patience: Deadline::default(),
            pause: Deadline::default(),
        }
    }
}

impl Handler for Gate {
    async fn handle(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        let live = self.shared.live_of(&self.address);
        let Some(endpoint) = live.endpoints.get(&*self.address) else {
            // Unreachable: addresses that were closed keep the configuration that had them.
            exchange.hang_up(HangUp::Fin);
            return Ok(());
        };
        let _serving = live.process().serve();
        let timers = (&mut self.patience, &mut self.pause);
        let (mut serving, answer) = Serving::begin(&live, endpoint, exchange, timers);
        let ended = serving.run(answer).await;
        serving.log_access();
        ended
    }

    async fn refuse(&mut self, refused: &mut Refused<'_>) -> Result<(), Error> {
        self.answer_refused(refused).await
    }
}

/// A request in progress, with the places that it is sent from and to.
pub(crate) struct Serving<'s, 'c, 'l> {
    pub(crate) exchange: &'s mut Exchange<'c>,
    pub(crate) request: Request<'l>,
    pub(crate) patience: &'s mut Deadline,
    pause: &'s mut Deadline,
    /// The server's place in the configuration.
    number: usize,
    /// How often the request has gone on elsewhere.
    moves: u32,
    /// An `error_page` has been followed.
    recovered: bool,
    /// The content, where it was read before it was passed on.
    held: Option<content::Content>,
    /// What comes of the content is thrown away.
    abandons: bool,
}

impl<'s, 'c, 'l> Serving<'s, 'c, 'l> {
    /// Finds the virtual server of a request; the answer, if there is nothing more to find out.
    fn begin(
        live: &'l Live,
        endpoint: &'l Endpoint,
        exchange: &'s mut Exchange<'c>,
        (patience, pause): (&'s mut Deadline, &'s mut Deadline),
    ) -> (Self, Option<Answer>) {
        let head = exchange.head();
        let target = head.target();
        let servers = &live.http.servers;
        let merges = |number: usize| servers[number].merges_slashes;
        let parsed = parse_target(target, merges(endpoint.default_server()));
        let (parts, mut answer) = match parsed {
            Ok(parts) => (parts, None),
            Err(InvalidTarget::Form | InvalidTarget::Escape | InvalidTarget::AboveRoot) => {
                (nowhere(), Some(Answer::Status(400)))
            }
        };
        let host = host_of(authority(head, &parts)).unwrap_or_else(|| {
            answer = Some(Answer::Status(400));
            Host::default()
        });
        if !is_taken(head) {
            answer = Some(Answer::Status(400));
        } else if matches!(head.method().as_str(), "CONNECT" | "TRACE") {
            answer = Some(Answer::Status(405));
        } else if endpoint.listen.is_tls && !exchange.info().is_tls() {
            // Without TLS, where it is spoken.
            answer = answer.or(Some(Answer::Status(497)));
        }
        let name = host.bytes(head, &parts);
        let (number, pattern) = endpoint.server_of(name);
        let captures = pattern.and_then(|pattern| Captures::of(pattern, name));
        let mut request = Request::new(live, endpoint, &servers[number], parts, host);
        if let (Some(pattern), Some(captures)) = (pattern, captures) {
            request.keep_captures(pattern, captures);
        }
        request.is_pipelined = exchange.is_pipelined();
        let serving = Self {
            exchange,
            request,
            patience,
            pause,
            number,
            moves: 0,
            recovered: false,
            held: None,
            abandons: false,
        };
        (serving, answer)
    }

    /// What the variables of the request say now.
    pub(crate) fn view(&self) -> View<'_> {
        View {
            request: &self.request,
            head: self.exchange.head(),
            info: self.exchange.info(),
            exchange: self.exchange,
        }
    }
}

/// What nginx refuses though RFC 9110 allows it: a method with other characters than capitals, an
/// empty Host, and a length that is said twice (§8.6).
fn is_taken(head: &RequestHead) -> bool {
    let is_capital = |byte: u8| matches!(byte, b'A'..=b'Z' | b'_' | b'-');
    head.method().as_str().bytes().all(is_capital)
        && head
            .fields()
            .value("host")
            .is_none_or(|host| !host.is_empty())
        && !says_length_twice(head.fields())
}

/// Even if it is the same: a repeated Content-Length is a sign of somebody who splits messages.
fn says_length_twice(fields: &Fields) -> bool {
    let lengths = fields.iter().filter(|field| {
        let name = field.name();
        name.len() == 14 && name.eq_ignore_ascii_case(b"content-length")
    });
    lengths.count() > 1
}

/// The parts of a target that has none.
fn nowhere() -> TargetParts {
    TargetParts {
        authority: None,
        origin: 0..0,
        path: Text::Owned(b"/".to_vec()),
        args: 0..0,
        is_quoted: false,
    }
}
