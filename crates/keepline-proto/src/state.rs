//! Which message may follow which: the states of both sides of a connection, as one table.
//!
//! Two rules, after h11: everything that affects a transition lives in this file, and this file
//! does not know which of the two sides we are.
//!
//! # Theory of operation
//!
//! Each side of a connection runs a small machine. In one exchange the client goes
//! `Idle → SendBody → Done` and the server `Idle → SendResponse → SendBody → Done`; interim (1xx)
//! responses keep the server in `SendResponse`. When both are `Done`, the exchange is over and
//! both start again at `Idle`. [`next`] is this table: a missing entry is a protocol error.
//!
//! Three couplings join the machines, and [`settle`] applies them until nothing changes:
//! - *Persistence.* As soon as the connection is known not to persist, a side that is done must
//!   close: `Done → MustClose`.
//! - *Closing.* When one side has closed, the other cannot start another exchange:
//!   `Idle` or `Done → MustClose`. Nor can a client that has already gone on to its next request
//!   (pipelining), or has sent none, once the server is sending its last answer.
//! - *Switching.* A client that asked for another protocol (Upgrade or CONNECT) waits in
//!   `MightSwitch` when it is done; a server that agrees is `Switched` and takes the client along,
//!   one that answers otherwise sends it back to `Done`.
//!
//! ```text
//!  client   Idle ──Request──▶ SendBody ──End──▶ Done ──────────┐ both Done:
//!                               └─Data─┘          │            │ start again
//!                                                 ▼            ▼
//!                                    MustClose ──Close──▶ Closed
//!  server   Idle ──RequestSeen──▶ SendResponse ──Response──▶ SendBody ──End──▶ Done
//!                                   └─Interim─┘                └─Data─┘
//!                                        └──Switch──▶ Switched
//! ```

/// Which side of a connection a program is. "Server" includes a gateway's downstream side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends requests.
    Client,
    /// Answers them.
    Server,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 2] = [Self::Client, Self::Server];
}

/// Where one side stands in the current exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing of this exchange has been sent by this side.
    Idle,
    /// The request has been seen; this side (the server) owes the response.
    SendResponse,
    /// The head is out, the body is on its way.
    SendBody,
    /// The message is complete.
    Done,
    /// This side is to close; nothing more may be sent.
    MustClose,
    /// This side has closed.
    Closed,
    /// The message is complete, and asked for another protocol: nothing more until the answer.
    MightSwitch,
    /// Another protocol is spoken now.
    Switched,
    /// This side broke the protocol. It stays so.
    Error,
}

impl State {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Idle,
        Self::SendResponse,
        Self::SendBody,
        Self::Done,
        Self::MustClose,
        Self::Closed,
        Self::MightSwitch,
        Self::Switched,
        Self::Error,
    ];
}

/// What one side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The client sends a request head.
    Request,
    /// The server has seen a request head.
    RequestSeen,
    /// The server sends an interim (1xx) response.
    Interim,
    /// The server sends a final response head.
    Response,
    /// The server agrees to switch: 101, or 2xx to CONNECT.
    Switch,
    /// A piece of content.
    Data,
    /// The end of the message.
    End,
    /// This side closes its direction.
    Close,
}

impl EventKind {
    /// All events.
    pub const ALL: [Self; 8] = [
        Self::Request,
        Self::RequestSeen,
        Self::Interim,
        Self::Response,
        Self::Switch,
        Self::Data,
        Self::End,
        Self::Close,
    ];
}

/// The state of `role` after `event`, or `None` where the event is a protocol error.
#[must_use]
pub const fn next(role: Role, state: State, event: EventKind) -> Option<State> {
    match (role, state) {
        (Role::Client, State::Idle) => match event {
            EventKind::Request => Some(State::SendBody),
            EventKind::Close => Some(State::Closed),
            EventKind::RequestSeen
            | EventKind::Interim
            | EventKind::Response
            | EventKind::Switch
            | EventKind::Data
            | EventKind::End => None,
        },
        (Role::Server, State::Idle) => match event {
            EventKind::RequestSeen => Some(State::SendResponse),
            // An answer to a request whose head never parsed: 400, 408, 431 and the like.
            EventKind::Response => Some(State::SendBody),
            EventKind::Close => Some(State::Closed),
            EventKind::Request
            | EventKind::Interim
            | EventKind::Switch
            | EventKind::Data
            | EventKind::End => None,
        },
        (Role::Server, State::SendResponse) => match event {
            EventKind::Interim => Some(State::SendResponse),
            EventKind::Response => Some(State::SendBody),
            EventKind::Switch => Some(State::Switched),
            EventKind::Request
            | EventKind::RequestSeen
            | EventKind::Data
            | EventKind::End
            | EventKind::Close => None,
        },
        (Role::Client | Role::Server, State::SendBody) => match event {
            EventKind::Data => Some(State::SendBody),
            EventKind::End => Some(State::Done),
            EventKind::Request
            | EventKind::RequestSeen
            | EventKind::Interim
            | EventKind::Response
            | EventKind::Switch
            | EventKind::Close => None,
        },
        (Role::Client | Role::Server, State::Done | State::MustClose | State::Closed) => {
            match event {
                EventKind::Close => Some(State::Closed),
                EventKind::Request
                | EventKind::RequestSeen
                | EventKind::Interim
                | EventKind::Response
                | EventKind::Switch
                | EventKind::Data
                | EventKind::End => None,
            }
        }
        // Half-closing while the answer about the switch is out would end the new protocol
        // before it began.
        (Role::Client | Role::Server, State::MightSwitch | State::Switched | State::Error)
        | (Role::Client, State::SendResponse) => None,
    }
}

/// The states of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The client's.
    pub client: State,
    /// The server's.
    pub server: State,
}

impl Pair {
    /// Both sides at the start of an exchange.
    pub const IDLE: Self = Self {
        client: State::Idle,
        server: State::Idle,
    };
}

/// What couples the two sides besides their states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coupling {
    /// The connection is known to carry no further exchange.
    pub closing: bool,
    /// The client's request asked for another protocol and has not been answered.
    pub switch_asked: bool,
}

/// Applies the couplings until nothing changes.
#[must_use]
pub const fn settle(mut pair: Pair, coupling: Coupling) -> Pair {
    loop {
        // Each round moves a side strictly forward (Done → MightSwitch → Switched, Idle or
        // Done → MustClose) or is the last; a test goes through all pairs.
        let settled = settle_once(pair, coupling);
        let is_same =
            settled.client as u8 == pair.client as u8 && settled.server as u8 == pair.server as u8;
        if is_same {
            return settled;
        }
        pair = settled;
    }
}

const fn settle_once(Pair { client, server }: Pair, coupling: Coupling) -> Pair {
    let client = match (client, server) {
        (State::Done, State::Idle | State::SendResponse) if coupling.switch_asked => {
            State::MightSwitch
        }
        (State::MightSwitch | State::Done, State::Switched) => State::Switched,
        (State::MightSwitch, State::SendBody | State::Done) => State::Done,
        (State::Idle | State::Done | State::MightSwitch, State::Closed | State::Error) => {
            State::MustClose
        }
        // "A client that receives a 'close' connection option MUST cease sending requests on
        // that connection" (RFC 9112 §9.6): here the answer that said so is on its way or
        // over, and the client was ahead of it.
        (State::Idle, State::SendBody | State::Done | State::MustClose) if coupling.closing => {
            State::MustClose
        }
        (State::Done, _) if coupling.closing => State::MustClose,
        (client, _) => client,
    };
    let server = match (client, server) {
        // A client that broke the protocol can still be told so: `Idle` stays.
        (State::Closed, State::Idle) | (State::Closed | State::Error, State::Done) => {
            State::MustClose
        }
        (_, State::Done) if coupling.closing => State::MustClose,
        (_, server) => server,
    };
    Pair { client, server }
}
