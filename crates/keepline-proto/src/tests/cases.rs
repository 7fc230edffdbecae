//! Messages and what they look like on the wire: each case is written, which has to give these
//! bytes, and the bytes are read, which has to give these events: whole, byte by byte, cut at
//! every place, and with bytes that follow.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::fuzzing::feed::{Ask, Setup, Split, feed};
use crate::fuzzing::said::Said;
use crate::persistence::NotPersistent;
use crate::{BodyLength, Config, Connection, Field, Persistence, RequestLine};

/// A message as a caller sends it.
struct Message {
    fields: &'static [(&'static str, &'static str)],
    length: BodyLength,
    content: &'static [&'static str],
    trailers: &'static [(&'static str, &'static str)],
}

impl Message {
    /// Writes the content and the end.
    fn write_body(&self, connection: &mut Connection, wire: &mut Vec<u8>) {
        for piece in self.content {
            if let Some(frame) = connection.send_data(piece.len()).unwrap() {
                wire.extend_from_slice(frame.prefix());
                wire.extend_from_slice(piece.as_bytes());
                wire.extend_from_slice(frame.suffix());
            }
        }
        let trailers: HeaderMap = self
            .trailers
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect();
        connection.send_end(Some(&trailers), wire).unwrap();
    }

    fn fields(&self) -> impl Iterator<Item = Field<'static>> {
        self.fields
            .iter()
            .map(|(name, value)| Field::new(name.as_bytes(), value.as_bytes()).unwrap())
    }
}

const NONE: Message = Message {
    fields: &[],
    length: BodyLength::Known(0),
    content: &[],
    trailers: &[],
};

const TO_A: Message = Message {
    fields: &[("host", "a")],
    ..NONE
};

struct RequestCase {
    start: &'static str,
    message: Message,
    wire: &'static str,
    said: &'static [&'static str],
    closes: Option<NotPersistent>,
}

const REQUESTS: &[RequestCase] = &[
    RequestCase {
        start: "GET /",
        message: TO_A,
        wire: "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        said: &["GET / HTTP/1.1 [\"host: a\"]", "End"],
        closes: None,
    },
    RequestCase {
        start: "OPTIONS *",
        message: TO_A,
        wire: "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        said: &["OPTIONS * HTTP/1.1 [\"host: a\"]", "End"],
        closes: None,
    },
    RequestCase {
        start: "GET http://a/b?c=d",
        message: Message {
            fields: &[
                ("Host", "a"),
                ("x-empty", ""),
                ("X-Tab", "b\tc"),
                ("x-latin", "caf\u{e9}"),
            ],
            ..NONE
        },
        wire: "GET http://a/b?c=d HTTP/1.1\r\nHost: a\r\nx-empty: \r\nX-Tab: b\tc\r\n\
               x-latin: caf\u{e9}\r\n\r\n",
        said: &[
            "GET http://a/b?c=d HTTP/1.1 [\"Host: a\", \"x-empty: \", \"X-Tab: b\\\\tc\", \
             \"x-latin: caf\\\\xc3\\\\xa9\"]",
            "End",
        ],
        closes: None,
    },
    RequestCase {
        start: "GET /",
        message: Message {
            fields: &[("host", "a"), ("connection", "close")],
            ..NONE
        },
        wire: "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        said: &["GET / HTTP/1.1 [\"host: a\", \"connection: close\"]", "End"],
        closes: Some(NotPersistent::PeerAskedClose),
    },
    RequestCase {
        start: "POST /",
        message: Message {
            length: BodyLength::Known(5),
            content: &["ab", "", "cde"],
            ..TO_A
        },
        wire: "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabcde",
        said: &[
            "POST / HTTP/1.1 [\"host: a\", \"content-length: 5\"]",
            "Data(abcde)",
            "End",
        ],
        closes: None,
    },
    RequestCase {
        start: "POST /",
        message: TO_A,
        wire: "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        said: &[
            "POST / HTTP/1.1 [\"host: a\", \"content-length: 0\"]",
            "End",
        ],
        closes: None,
    },
    RequestCase {
        start: "DELETE /",
        message: TO_A,
        wire: "DELETE / HTTP/1.1\r\nhost: a\r\n\r\n",
        said: &["DELETE / HTTP/1.1 [\"host: a\"]", "End"],
        closes: None,
    },
    // The caller's own framing fields are an input to the decision, and written once.
    RequestCase {
        start: "PUT /",
        message: Message {
            fields: &[
                ("content-length", "3"),
                ("host", "a"),
                ("Content-Length", "3"),
            ],
            length: BodyLength::Unknown,
            content: &["abc"],
            trailers: &[],
        },
        wire: "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
        said: &[
            "PUT / HTTP/1.1 [\"host: a\", \"content-length: 3\"]",
            "Data(abc)",
            "End",
        ],
        closes: None,
    },
    RequestCase {
        start: "PUT /",
        message: Message {
            fields: &[("Transfer-Encoding", "chunked"), ("host", "a")],
            length: BodyLength::Known(3),
            content: &["abc"],
            trailers: &[],
        },
        wire: "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        said: &[
            "PUT / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]",
            "Data(abc)",
            "End",
        ],
        closes: None,
    },
    RequestCase {
        start: "POST /",
        message: Message {
            length: BodyLength::Unknown,
            content: &["ab", "", "0123456789abcdef"],
            ..TO_A
        },
        wire: "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
               2\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
        said: &[
            "POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]",
            "Data(ab0123456789abcdef)",
            "End",
        ],
        closes: None,
    },
    RequestCase {
        start: "POST /",
        message: Message {
            length: BodyLength::Unknown,
            trailers: &[("x-sum", "1"), ("x-more", "")],
            ..TO_A
        },
        wire: "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
               0\r\nx-sum: 1\r\nx-more: \r\n\r\n",
        said: &[
            "POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]",
            "End [\"x-sum: 1\", \"x-more: \"]",
        ],
        closes: None,
    },
    RequestCase {
        start: "CONNECT a:443",
        message: TO_A,
        wire: "CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n",
        said: &["CONNECT a:443 HTTP/1.1 [\"host: a\"]", "End"],
        closes: Some(NotPersistent::Connect),
    },
    RequestCase {
        start: "GET /",
        message: Message {
            fields: &[("host", "a"), ("upgrade", "x"), ("connection", "upgrade")],
            ..NONE
        },
        wire: "GET / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        said: &[
            "GET / HTTP/1.1 [\"host: a\", \"upgrade: x\", \"connection: upgrade\"]",
            "End",
        ],
        closes: None,
    },
    RequestCase {
        start: "M-SEARCH /",
        message: TO_A,
        wire: "M-SEARCH / HTTP/1.1\r\nhost: a\r\n\r\n",
        said: &["M-SEARCH / HTTP/1.1 [\"host: a\"]", "End"],
        closes: None,
    },
];

#[test]
fn requests_are_written_as_they_are_read() {
    for case in REQUESTS {
        let mut client = Connection::client(Config::default().into());
        let mut wire = Vec::new();
        let (method, target) = case.start.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let target = target.as_bytes();
        let line = RequestLine::new(&method, target);
        client
            .send_request(line, case.message.fields(), case.message.length, &mut wire)
            .unwrap();
        case.message.write_body(&mut client, &mut wire);
        assert_eq!(
            wire.escape_ascii().to_string(),
            case.wire.as_bytes().escape_ascii().to_string()
        );
    }
}

/// A further request on the same connection, and what it says.
const NEXT_REQUEST: &str = "GET /next HTTP/1.1\r\nhost: b\r\n\r\n";
const NEXT_REQUEST_SAID: [&str; 2] = ["GET /next HTTP/1.1 [\"host: b\"]", "End"];

#[test]
fn requests_are_read_as_they_are_written() {
    for case in REQUESTS {
        let setup = Setup::server(Config::default());
        let expect = Expect {
            said: case.said,
            closes: case.closes,
            next: NEXT_REQUEST,
            next_said: &NEXT_REQUEST_SAID,
        };
        expect.from(&setup, case.wire);
    }
}

/// What has to come of the bytes of a case.
struct Expect<'a> {
    said: &'a [&'a str],
    closes: Option<NotPersistent>,
    next: &'a str,
    next_said: &'a [&'a str],
}

impl Expect<'_> {
    /// Feeds the bytes in all ways.
    fn from(&self, setup: &Setup, wire: &str) {
        self.every_split(setup, wire, self.said, "");
        let followed = format!("{wire}{}", self.next);
        let all = [self.said, self.next_said].concat();
        match self.closes {
            None => self.every_split(setup, &followed, &all, ""),
            // The body has no other end.
            Some(NotPersistent::CloseDelimited) => {}
            // Nothing that follows a last message is read as another.
            Some(_) => self.every_split(setup, &followed, self.said, self.next),
        }
    }

    fn every_split(&self, setup: &Setup, wire: &str, said: &[&str], rest: &str) {
        let cuts = (1..wire.len()).map(Split::At);
        for split in [Split::Whole, Split::EachByte].into_iter().chain(cuts) {
            let outcome = feed(setup, wire.as_bytes(), split);
            assert_eq!(texts(&outcome.said), said, "{split:?} of {wire:?}");
            let left = outcome.rest.escape_ascii().to_string();
            assert_eq!(
                left,
                rest.as_bytes().escape_ascii().to_string(),
                "{split:?} of {wire:?}"
            );
            let expected = self
                .closes
                .map_or(Persistence::Persistent, Persistence::Close);
            assert_eq!(outcome.persistence, expected, "{split:?} of {wire:?}");
        }
    }
}

fn texts(said: &[Said]) -> Vec<String> {
    said.iter().map(|said| format!("{said:?}")).collect()
}

/// Requests that we would not write so, but have to understand.
const ONLY_READ: &[(&str, &[&str], Option<NotPersistent>)] = &[
    // Empty lines before the request line (RFC 9112 §2.2).
    (
        "\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        &["GET / HTTP/1.1 [\"host: a\"]", "End"],
        None,
    ),
    // Whitespace around values, and none.
    (
        "GET / HTTP/1.1\r\nHOST:a\r\nx: \t b \t\r\ny:\t\r\n\r\n",
        &["GET / HTTP/1.1 [\"HOST: a\", \"x: b\", \"y: \"]", "End"],
        None,
    ),
    // Host may be empty (RFC 9112 §3.2).
    (
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        &["GET / HTTP/1.1 [\"Host: \"]", "End"],
        None,
    ),
    // Repeated equal lengths (RFC 9112 §6.3).
    (
        "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nabc",
        &[
            "POST / HTTP/1.1 [\"host: a\", \"Content-Length: 3\", \"content-length: 3\"]",
            "Data(abc)",
            "End",
        ],
        None,
    ),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0003\r\n\r\nabc",
        &[
            "POST / HTTP/1.1 [\"host: a\", \"content-length: 0003\"]",
            "Data(abc)",
            "End",
        ],
        None,
    ),
    // GET may have content (RFC 9110 §9.3.1), and then it has an end.
    (
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
        &[
            "GET / HTTP/1.1 [\"host: a\", \"content-length: 3\"]",
            "Data(abc)",
            "End",
        ],
        None,
    ),
    // Chunk sizes in both cases, with leading zeros, with extensions, with an empty body.
    (
        "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: \tCHUNKED \r\n\r\n\
         00a\r\n0123456789\r\nA;n\r\n0123456789\r\n3 ; n=\"v;w\" \r\nabc\r\n000\r\n\r\n",
        &[
            "POST / HTTP/1.1 [\"host: a\", \"Transfer-Encoding: CHUNKED\"]",
            "Data(01234567890123456789abc)",
            "End",
        ],
        None,
    ),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0;last\r\n\r\n",
        &[
            "POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]",
            "End",
        ],
        None,
    ),
    // HTTP/1.0.
    (
        "GET / HTTP/1.0\r\n\r\n",
        &["GET / HTTP/1.0 []", "End"],
        Some(NotPersistent::Http10),
    ),
    (
        "GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n",
        &["GET / HTTP/1.0 [\"connection: Keep-Alive\"]", "End"],
        None,
    ),
    (
        "POST / HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na",
        &[
            "POST / HTTP/1.0 [\"connection: keep-alive\", \"content-length: 1\"]",
            "Data(a)",
            "End",
        ],
        None,
    ),
    // "close" wins, wherever it stands.
    (
        "GET / HTTP/1.1\r\nhost: a\r\nConnection: keep-alive\r\nconnection: x , CLOSE\r\n\r\n",
        &[
            "GET / HTTP/1.1 [\"host: a\", \"Connection: keep-alive\", \"connection: x , CLOSE\"]",
            "End",
        ],
        Some(NotPersistent::PeerAskedClose),
    ),
];

#[test]
fn other_spellings_of_requests_are_read() {
    for &(wire, said, closes) in ONLY_READ {
        let setup = Setup::server(Config::default());
        let expect = Expect {
            said,
            closes,
            next: NEXT_REQUEST,
            next_said: &NEXT_REQUEST_SAID,
        };
        expect.from(&setup, wire);
    }
}

/// What a response answers.
#[derive(Clone, Copy)]
enum To {
    Get,
    Head,
    Connect,
    Upgrade,
    /// GET with `Connection: keep-alive`, which HTTP/1.1 does not need.
    KeepAlive,
    /// GET in HTTP/1.0.
    Old,
    /// GET in HTTP/1.0 with `Connection: keep-alive`.
    OldKeepAlive,
    /// HEAD in HTTP/1.0.
    OldHead,
}

impl To {
    const fn wire(self) -> &'static str {
        match self {
            Self::Get => "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            Self::Head => "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n",
            Self::Connect => "CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
            Self::Upgrade => {
                "GET / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
            }
            Self::KeepAlive => "GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive\r\n\r\n",
            Self::Old => "GET / HTTP/1.0\r\n\r\n",
            Self::OldKeepAlive => "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
            Self::OldHead => "HEAD / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        }
    }

    fn ask(self) -> Ask {
        match self {
            Self::Get | Self::KeepAlive | Self::Old | Self::OldKeepAlive => Ask::nth(0),
            Self::Head | Self::OldHead => Ask::nth(1),
            Self::Connect => Ask::nth(2),
            Self::Upgrade => Ask::nth(3),
        }
    }
}

struct ResponseCase {
    to: To,
    status: u16,
    message: Message,
    wire: &'static str,
    said: &'static [&'static str],
    closes: Option<NotPersistent>,
}

const ABC: Message = Message {
    length: BodyLength::Known(3),
    content: &["abc"],
    ..NONE
};

const ABC_UNKNOWN: Message = Message {
    length: BodyLength::Unknown,
    ..ABC
};

const RESPONSES: &[ResponseCase] = &[
    ResponseCase {
        to: To::Get,
        status: 200,
        message: ABC,
        wire: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        said: &["HTTP/1.1 200 [\"content-length: 3\"]", "Data(abc)", "End"],
        closes: None,
    },
    ResponseCase {
        to: To::Get,
        status: 404,
        message: NONE,
        wire: "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        said: &["HTTP/1.1 404 [\"content-length: 0\"]", "End"],
        closes: None,
    },
    // A status that IANA does not list has no reason phrase; the space is required.
    ResponseCase {
        to: To::Get,
        status: 599,
        message: NONE,
        wire: "HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n",
        said: &["HTTP/1.1 599 [\"content-length: 0\"]", "End"],
        closes: None,
    },
    ResponseCase {
        to: To::Get,
        status: 200,
        message: Message {
            trailers: &[("x-sum", "1")],
            ..ABC_UNKNOWN
        },
        wire: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
        said: &[
            "HTTP/1.1 200 [\"transfer-encoding: chunked\"]",
            "Data(abc)",
            "End [\"x-sum: 1\"]",
        ],
        closes: None,
    },
    ResponseCase {
        to: To::Get,
        status: 200,
        message: Message {
            fields: &[("connection", "close")],
            ..ABC
        },
        wire: "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
        said: &[
            "HTTP/1.1 200 [\"connection: close\", \"content-length: 3\"]",
            "Data(abc)",
            "End",
        ],
        closes: Some(NotPersistent::PeerAskedClose),
    },
    // No body, whatever the handler gives.
    ResponseCase {
        to: To::Get,
        status: 204,
        message: ABC,
        wire: "HTTP/1.1 204 No Content\r\n\r\n",
        said: &["HTTP/1.1 204 []", "End"],
        closes: None,
    },
    ResponseCase {
        to: To::Get,
        status: 304,
        message: ABC,
        wire: "HTTP/1.1 304 Not Modified\r\n\r\n",
        said: &["HTTP/1.1 304 []", "End"],
        closes: None,
    },
    ResponseCase {
        to: To::Get,
        status: 304,
        message: Message {
            fields: &[("content-length", "3")],
            ..NONE
        },
        wire: "HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n",
        said: &["HTTP/1.1 304 [\"content-length: 3\"]", "End"],
        closes: None,
    },
    ResponseCase {
        to: To::Head,
        status: 200,
        message: ABC,
        wire: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
        said: &["HTTP/1.1 200 [\"content-length: 3\"]", "End"],
        closes: None,
    },
    ResponseCase {
        to: To::Head,
        status: 200,
        message: Message {
            fields: &[("transfer-encoding", "chunked")],
            trailers: &[("x-sum", "1")],
            ..ABC_UNKNOWN
        },
        wire: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        said: &["HTTP/1.1 200 [\"transfer-encoding: chunked\"]", "End"],
        closes: None,
    },
    ResponseCase {
        to: To::Head,
        status: 200,
        message: ABC_UNKNOWN,
        wire: "HTTP/1.1 200 OK\r\n\r\n",
        said: &["HTTP/1.1 200 []", "End"],
        closes: None,
    },
    ResponseCase {
        to: To::KeepAlive,
        status: 200,
        message: ABC,
        wire: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        said: &["HTTP/1.1 200 [\"content-length: 3\"]", "Data(abc)", "End"],
        closes: None,
    },
    // HTTP/1.0 gets neither chunks nor trailers.
    ResponseCase {
        to: To::Old,
        status: 200,
        message: ABC,
        wire: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc",
        said: &[
            "HTTP/1.1 200 [\"content-length: 3\", \"connection: close\"]",
            "Data(abc)",
            "End",
        ],
        closes: Some(NotPersistent::PeerAskedClose),
    },
    ResponseCase {
        to: To::OldKeepAlive,
        status: 200,
        message: ABC,
        wire: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc",
        said: &[
            "HTTP/1.1 200 [\"content-length: 3\", \"connection: keep-alive\"]",
            "Data(abc)",
            "End",
        ],
        closes: None,
    },
    ResponseCase {
        to: To::OldKeepAlive,
        status: 204,
        message: NONE,
        wire: "HTTP/1.1 204 No Content\r\nconnection: keep-alive\r\n\r\n",
        said: &["HTTP/1.1 204 [\"connection: keep-alive\"]", "End"],
        closes: None,
    },
    ResponseCase {
        to: To::OldHead,
        status: 200,
        message: Message {
            fields: &[("transfer-encoding", "chunked")],
            ..ABC_UNKNOWN
        },
        wire: "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\n",
        said: &["HTTP/1.1 200 [\"connection: keep-alive\"]", "End"],
        closes: None,
    },
    // Agreement to switch has no framing.
    ResponseCase {
        to: To::Upgrade,
        status: 101,
        message: Message {
            fields: &[
                ("upgrade", "x"),
                ("connection", "upgrade"),
                ("content-length", "9"),
            ],
            ..NONE
        },
        wire: "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        said: &[
            "HTTP/1.1 101 [\"upgrade: x\", \"connection: upgrade\"]",
            "Switched",
        ],
        closes: Some(NotPersistent::Switched),
    },
    ResponseCase {
        to: To::Connect,
        status: 200,
        message: Message {
            fields: &[("transfer-encoding", "chunked")],
            ..NONE
        },
        wire: "HTTP/1.1 200 OK\r\n\r\n",
        said: &["HTTP/1.1 200 []", "Switched"],
        closes: Some(NotPersistent::Switched),
    },
    ResponseCase {
        to: To::Connect,
        status: 407,
        message: ABC,
        wire: "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 3\r\n\
               connection: close\r\n\r\nabc",
        said: &[
            "HTTP/1.1 407 [\"content-length: 3\", \"connection: close\"]",
            "Data(abc)",
            "End",
        ],
        closes: Some(NotPersistent::PeerAskedClose),
    },
    ResponseCase {
        to: To::Upgrade,
        status: 200,
        message: ABC,
        wire: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        said: &["HTTP/1.1 200 [\"content-length: 3\"]", "Data(abc)", "End"],
        closes: None,
    },
];

#[test]
fn responses_are_written_as_they_are_read() {
    for case in RESPONSES {
        let mut server = Connection::server(Config::default().into());
        let mut request = BytesMut::from(case.to.wire().as_bytes());
        server.receive(&mut request).unwrap();
        server.receive(&mut request).unwrap();
        let mut wire = Vec::new();
        let status = StatusCode::from_u16(case.status).unwrap();
        server
            .send_response(
                status,
                case.message.fields(),
                case.message.length,
                &mut wire,
            )
            .unwrap();
        if !case.said.contains(&"Switched") {
            case.message.write_body(&mut server, &mut wire);
        }
        assert_eq!(
            wire.escape_ascii().to_string(),
            case.wire.as_bytes().escape_ascii().to_string()
        );
    }
}

/// The answer to a further request, and what it says.
const NEXT_RESPONSE: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const NEXT_RESPONSE_SAID: [&str; 2] = ["HTTP/1.1 204 []", "End"];

fn read_responses(to: To, wire: &str, said: &[&str], closes: Option<NotPersistent>) {
    let expect = Expect {
        said,
        closes,
        next: NEXT_RESPONSE,
        next_said: &NEXT_RESPONSE_SAID,
    };
    let setup = Setup::client(Config::default(), vec![to.ask(), Ask::nth(0)]);
    expect.from(&setup, wire);
    // Without a further request, what follows is never read as an answer.
    if closes.is_none() {
        let setup = Setup::client(Config::default(), vec![to.ask()]);
        let followed = format!("{wire}{NEXT_RESPONSE}");
        expect.every_split_fails(&setup, &followed);
    }
}

impl Expect<'_> {
    fn every_split_fails(&self, setup: &Setup, wire: &str) {
        let said = [self.said, &["Failed(UnsolicitedBytes)"]].concat();
        for split in [Split::Whole, Split::EachByte]
            .into_iter()
            .chain((1..wire.len()).map(Split::At))
        {
            let outcome = feed(setup, wire.as_bytes(), split);
            assert_eq!(texts(&outcome.said), said, "{split:?} of {wire:?}");
        }
    }
}

#[test]
fn responses_are_read_as_they_are_written() {
    for case in RESPONSES {
        read_responses(case.to, case.wire, case.said, case.closes);
    }
}

/// Responses that we would not write so, but have to understand.
const ONLY_READ_RESPONSES: &[(To, &str, &[&str], Option<NotPersistent>)] = &[
    // No reason phrase, not even the space before it; or one in other bytes.
    (
        To::Get,
        "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
        &["HTTP/1.1 200 [\"content-length: 0\"]", "End"],
        None,
    ),
    (
        To::Get,
        "HTTP/1.1 200 d\u{e9}j\u{e0}\tvu\r\ncontent-length: 0\r\n\r\n",
        &["HTTP/1.1 200 [\"content-length: 0\"]", "End"],
        None,
    ),
    (
        To::Get,
        "HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n",
        &["HTTP/1.1 999 [\"content-length: 0\"]", "End"],
        None,
    ),
    // Until the connection closes.
    (
        To::Get,
        "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\nabc",
        &["HTTP/1.1 200 [\"connection: keep-alive\"]", "Data(abc)"],
        Some(NotPersistent::CloseDelimited),
    ),
    (
        To::Get,
        "HTTP/1.0 200 OK\r\n\r\nabc",
        &["HTTP/1.0 200 []", "Data(abc)"],
        Some(NotPersistent::CloseDelimited),
    ),
    (
        To::Get,
        "HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        &["HTTP/1.0 200 [\"content-length: 3\"]", "Data(abc)", "End"],
        Some(NotPersistent::Http10),
    ),
    (
        To::Get,
        "HTTP/1.0 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc",
        &[
            "HTTP/1.0 200 [\"content-length: 3\", \"connection: keep-alive\"]",
            "Data(abc)",
            "End",
        ],
        None,
    ),
    // Interim responses; their fields do not frame.
    (
        To::Get,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nlink: x\r\ncontent-length: 9\r\n\r\n\
         HTTP/1.0 102 P\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
        &[
            "HTTP/1.1 100 []",
            "HTTP/1.1 103 [\"link: x\", \"content-length: 9\"]",
            "HTTP/1.0 102 []",
            "HTTP/1.1 200 [\"content-length: 1\"]",
            "Data(a)",
            "End",
        ],
        None,
    ),
    // No body, whatever the fields say.
    (
        To::Head,
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
        &["HTTP/1.1 200 [\"content-length: 10\"]", "End"],
        None,
    ),
    (
        To::Head,
        "HTTP/1.1 200 OK\r\n\r\n",
        &["HTTP/1.1 200 []", "End"],
        None,
    ),
    (
        To::Get,
        "HTTP/1.1 204 OK\r\ncontent-length: 10\r\n\r\n",
        &["HTTP/1.1 204 [\"content-length: 10\"]", "End"],
        None,
    ),
    (
        To::Get,
        "HTTP/1.1 304 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        &["HTTP/1.1 304 [\"transfer-encoding: chunked\"]", "End"],
        None,
    ),
    // A client ignores the framing of an agreement, however contradictory.
    (
        To::Connect,
        "HTTP/1.0 200 Connection established\r\ncontent-length: 3\r\ntransfer-encoding: x\r\n\r\n",
        &[
            "HTTP/1.0 200 [\"content-length: 3\", \"transfer-encoding: x\"]",
            "Switched",
        ],
        Some(NotPersistent::Switched),
    ),
    // A refused CONNECT is an answer like any other, and the last.
    (
        To::Connect,
        "HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno",
        &["HTTP/1.1 403 [\"content-length: 2\"]", "Data(no)", "End"],
        Some(NotPersistent::Connect),
    ),
    // A folded field line is unfolded (RFC 9112 §5.2).
    (
        To::Get,
        "HTTP/1.1 200 OK\r\nx: a\r\n  b\r\n\tc\r\ny:\r\n d\r\ncontent-length: 0\r\n\r\n",
        &[
            "HTTP/1.1 200 [\"x: a    b   c\", \"y: d\", \"content-length: 0\"]",
            "End",
        ],
        None,
    ),
];

#[test]
fn other_spellings_of_responses_are_read() {
    for &(to, wire, said, closes) in ONLY_READ_RESPONSES {
        read_responses(to, wire, said, closes);
    }
}

#[test]
fn a_bare_lf_ends_a_head_line_where_it_is_allowed() {
    let config = Config {
        bare_lf: true,
        ..Config::default()
    };
    let expect = Expect {
        said: &[
            "POST / HTTP/1.1 [\"host: a\", \"content-length: 3\"]",
            "Data(a\\nb)",
            "End",
        ],
        closes: None,
        next: "\n\r\nGET /next HTTP/1.1\nhost: b\n\n",
        next_said: &NEXT_REQUEST_SAID,
    };
    let wire = "\nPOST / HTTP/1.1\nhost: a\r\ncontent-length: 3\n\na\nb";
    expect.from(&Setup::server(config), wire);

    let expect = Expect {
        said: &["HTTP/1.1 200 [\"x: a  b\", \"content-length: 0\"]", "End"],
        closes: None,
        next: "HTTP/1.1 204\n\n",
        next_said: &NEXT_RESPONSE_SAID,
    };
    let setup = Setup::client(config, vec![Ask::nth(0), Ask::nth(0)]);
    expect.from(&setup, "HTTP/1.1 200 OK\nx: a\n b\ncontent-length: 0\n\n");
}
