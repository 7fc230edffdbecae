//! The invariants of this crate, as functions of arbitrary bytes.
//!
//! Each of the fuzz targets in `fuzz/` is one function here, and so is the normal test that
//! replays their corpus (`tests::corpus`). They panic when an invariant does not hold:
//!
//! - nothing panics, whatever arrives and in whatever order the caller acts;
//! - the same bytes give the same events, however they are split ([`connection_splits`]);
//! - an error of the peer stays;
//! - what is held back is bounded by [`Limits`], never by the peer;
//! - what is accepted, a naive and strict second parser delimits alike ([`second`]);
//! - what one side encodes, the other decodes to the same, and answers never change places
//!   ([`connection_ops`]).

pub mod feed;
mod ops;
pub mod pair;
mod proxy;
pub mod said;
pub mod second;

use bytes::BytesMut;
use http::{Method, StatusCode};

use crate::state::Role;
use crate::{BodyLength, Config, Connection, Field, Limits, LocalError, ObsFold, RequestLine};
use feed::{Ask, Outcome, Setup, Split, feed};
use said::Said;

pub use ops::connection_ops;
pub use proxy::proxy_protocol;

/// Takes bytes off the front of the input, zeros when it is used up.
#[derive(Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Limits small enough for short inputs to reach them.
#[must_use]
pub fn small_limits() -> Limits {
    Limits {
        head: 160,
        line: 120,
        fields: 6,
        connection_options: 40,
        chunk_line: 24,
        chunk_overhead: 64,
        trailers: 48,
        empty_lines: 2,
    }
}

/// One byte: bit 0 bare LF, bit 1 folds are refused, bit 2 small limits, bit 3 keep-alive is told.
#[must_use]
pub fn config(byte: u8) -> Config {
    Config {
        tells_keep_alive: byte & 8 != 0,
        bare_lf: byte & 1 != 0,
        obs_fold: if byte & 2 != 0 {
            ObsFold::Refuse
        } else {
            ObsFold::Replace
        },
        limits: if byte & 4 != 0 {
            small_limits()
        } else {
            Limits::default()
        },
    }
}

/// One head. Input: configuration (bit 7: a response), then bytes off the wire.
pub fn head(data: &[u8]) {
    let mut input = Input(data);
    let first = input.byte();
    let setup = if first & 0x80 == 0 {
        Setup::server(config(first))
    } else {
        Setup::client(config(first), vec![Ask::of(Method::GET)])
    };
    let wire = input.rest();
    let outcome = same_however_split(&setup, wire, &[3, 1, 7]);
    second::check(&setup, wire, &outcome);
    if let Some(head) = outcome.said.first() {
        encodes_to_itself(head, setup.config);
    }
}

/// A chunked body. Input: configuration, then the body off the wire. What is decoded is encoded
/// again, and that gives the same content.
pub fn chunked(data: &[u8]) {
    let mut input = Input(data);
    let setup = Setup::server(config(input.byte() & !1));
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let wire = [head, input.rest()].concat();
    let outcome = same_however_split(&setup, &wire, &[2, 5, 1]);
    second::check(&setup, &wire, &outcome);
    if let [Said::Request { .. }, Said::Data(content), Said::End(_), ..] = &outcome.said[..] {
        chunks_decode_to_themselves(content);
    }
}

/// A whole connection. Input: configuration (bit 7: client, bit 6: switches are agreed to,
/// bit 5: pipelined, or answers before the body, bit 4: the peer closes at the end), what was
/// asked, two sizes of splits, then bytes off the wire.
pub fn connection_splits(data: &[u8]) {
    let mut input = Input(data);
    let first = input.byte();
    let asked = input.byte();
    let sizes = [input.byte(), input.byte()];
    let mut setup = if first & 0x80 == 0 {
        Setup::server(config(first))
    } else {
        Setup::client(
            config(first),
            (0..4).map(|i| Ask::nth(asked >> (2 * i))).collect(),
        )
    };
    setup.agrees_to_switch = first & 0x40 != 0;
    setup.hurries = first & 0x20 != 0;
    setup.eof = first & 0x10 != 0;
    let wire = input.rest();
    let outcome = same_however_split(&setup, wire, &sizes);
    second::check(&setup, wire, &outcome);
}

/// Feeds the wire whole, a byte at a time, and in pieces of these sizes.
pub fn same_however_split(setup: &Setup, wire: &[u8], sizes: &[u8]) -> Outcome {
    let whole = feed(setup, wire, Split::Whole);
    for split in [Split::EachByte, Split::Sizes(sizes)] {
        let other = feed(setup, wire, split);
        assert_eq!(whole, other, "split {split:?} of {}", wire.escape_ascii());
    }
    whole
}

/// What was decoded is encoded again: this gives the same head, or is refused locally.
fn encodes_to_itself(head: &Said, config: Config) {
    let (Said::Request { fields, .. }
    | Said::Response { fields, .. }
    | Said::Interim { fields, .. }) = head
    else {
        return;
    };
    let config = Config {
        limits: Limits::default(),
        ..config
    };
    let fields = Said::without_framing(fields);
    let lines: Vec<_> = fields
        .iter()
        .map(|(name, value)| Field::new(name, value).unwrap())
        .collect();
    let encoded = match head {
        Said::Request { method, target, .. } => encode_request(method, target, &lines),
        Said::Response { status, .. } | Said::Interim { status, .. } => {
            encode_response(*status, &lines)
        }
        Said::Data(_) | Said::End(_) | Said::Closed | Said::Switched | Said::Failed(_) => return,
    };
    let Some(wire) = encoded else {
        return;
    };
    let setup = match head {
        Said::Request { .. } => Setup::server(config),
        _ => Setup::client(config, vec![Ask::of(Method::GET)]),
    };
    let again = feed(&setup, &wire, Split::Whole);
    let (Said::Request {
        fields: decoded, ..
    }
    | Said::Response {
        fields: decoded, ..
    }
    | Said::Interim {
        fields: decoded, ..
    }) = &again.said[0]
    else {
        panic!("{again:?}");
    };
    assert_eq!(fields, Said::without_framing(decoded));
}

fn encode_request(method: &str, target: &[u8], fields: &[Field<'_>]) -> Option<Vec<u8>> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let line = RequestLine::new(&method, target);
    let mut wire = Vec::new();
    let sent = Connection::client(Config::default().into()).send_request(
        line,
        fields.iter().copied(),
        BodyLength::Known(0),
        &mut wire,
    );
    // HTTP/1.0 does not need Host, and we do not write HTTP/1.0.
    assert!(matches!(sent, Ok(()) | Err(LocalError::MissingHost)));
    sent.ok().map(|()| wire)
}

fn encode_response(status: u16, fields: &[Field<'_>]) -> Option<Vec<u8>> {
    let status = StatusCode::from_u16(status).unwrap();
    let mut server = Connection::server(Config::default().into());
    let mut request = BytesMut::from(&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..]);
    server.receive(&mut request).unwrap();
    let mut wire = Vec::new();
    let fields = fields.iter().copied();
    let sent = if status.is_informational() {
        server.send_interim(status, fields, &mut wire)
    } else {
        server.send_response(status, fields, BodyLength::Known(0), &mut wire)
    };
    assert!(sent.is_ok() || status == StatusCode::SWITCHING_PROTOCOLS);
    sent.ok().map(|()| wire)
}

fn chunks_decode_to_themselves(content: &[u8]) {
    let mut client = Connection::client(Config::default().into());
    let mut wire = Vec::new();
    let line = RequestLine::new(&Method::POST, b"/");
    let host = Field::new(b"host", b"a").unwrap();
    client
        .send_request(line, [host], BodyLength::Unknown, &mut wire)
        .unwrap();
    for piece in content.chunks(content.len() / 3 + 1) {
        let frame = client.send_data(piece.len()).unwrap().unwrap();
        wire.extend_from_slice(frame.prefix());
        wire.extend_from_slice(piece);
        wire.extend_from_slice(frame.suffix());
    }
    client.send_end(None, &mut wire).unwrap();
    let said = feed(&Setup::server(Config::default()), &wire, Split::Whole).said;
    assert_eq!(said[1..], [Said::Data(content.to_vec()), Said::End(None)]);
}

impl Setup {
    /// A server.
    #[must_use]
    pub fn server(config: Config) -> Self {
        Self {
            role: Role::Server,
            config,
            asks: Vec::new(),
            agrees_to_switch: false,
            hurries: false,
            eof: false,
        }
    }

    /// A client that asks these, one after the other.
    #[must_use]
    pub fn client(config: Config, asks: Vec<Ask>) -> Self {
        Self {
            role: Role::Client,
            asks,
            ..Self::server(config)
        }
    }
}
