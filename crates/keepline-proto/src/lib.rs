//! HTTP/1.1 without I/O, clock or runtime.
//!
//! Bytes in, events out; events in, bytes out. A [`Connection`] is one side of one HTTP/1.1
//! connection, [`Role::Client`] or [`Role::Server`]. It knows how messages are framed, which
//! message may follow which, and whether the connection can carry a further exchange; it
//! answers each of these with a reason. It never reads a socket, never waits and never asks
//! what time it is: whoever drives it does (crate `keepline`, module `driver`).
//!
//! ```
//! use std::sync::Arc;
//! use bytes::BytesMut;
//! use http::{Method, StatusCode};
//! use keepline_proto::{BodyLength, Config, Connection, Event, Field, Received, RequestLine};
//!
//! let config = Arc::new(Config::default());
//! let mut client = Connection::client(config.clone());
//! let mut server = Connection::server(config);
//!
//! // The client writes a request …
//! let mut wire = Vec::new();
//! let line = RequestLine::new(&Method::GET, b"/");
//! let host = Field::new(b"host", b"example.com")?;
//! client.send_request(line, [host], BodyLength::Known(0), &mut wire)?;
//! client.send_end(None, &mut wire)?;
//!
//! // … and the server reads it.
//! let mut buffer = BytesMut::from(&wire[..]);
//! let Received::Event(Event::Request(head)) = server.receive(&mut buffer)? else { panic!() };
//! assert_eq!(head.target(), b"/");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not do
//! No content coding, no caching, no cookies, no redirects, no HTTP/2. It does not repair:
//! what RFC 9112 leaves ambiguous is refused with a [`RemoteError`], since two recipients that
//! repair differently are how requests get smuggled.
//!
//! # Where to look
//! [`framing`] (RFC 9112 §6.3), [`persistence`] (§9.3), [`forward`] (RFC 9110 §7.6.1) and
//! [`state`] (which message may follow which) are pure functions that quote the rule they
//! apply; [`Connection`] is the glue between them.
#![cfg_attr(
    not(any(test, fuzzing)),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::wildcard_enum_match_arm
    )
)]

mod body;
mod chunked;
mod connection;
mod encode;
mod error;
mod facts;
mod field;
pub mod forward;
pub mod framing;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod head;
pub mod keep_alive;
mod limits;
mod parse;
pub mod persistence;
pub mod proxy_protocol;
mod scan;
pub mod state;
pub mod target;
mod whole;

pub use body::{BodyLength, DataFrame};
pub use connection::{Connection, Event, Received};
pub use encode::{RequestLine, StatusLine};
pub use error::{LocalError, RemoteError};
pub use facts::{ConnectionOptions, ContentLength, Expectation, Facts, HostFact, TransferEncoding};
pub use field::Field;
pub use framing::Framing;
pub use head::{Fields, FieldsIter, RequestHead, ResponseHead};
pub use limits::{Config, Limits, ObsFold};
pub use persistence::{NotPersistent, Persistence};
pub use state::{Role, State};

#[cfg(test)]
mod tests;
