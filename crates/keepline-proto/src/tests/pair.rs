//! Whole exchanges between a client and a server, without sockets: what is sent, what arrives,
//! and in which states both sides then are. Each is run with the bytes brought across whole and
//! one at a time.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::fuzzing::feed::Split;
use crate::fuzzing::pair::Pair;
use crate::fuzzing::said::Said;
use crate::persistence::NotPersistent;
use crate::state::{EventKind, State};
use crate::{
    BodyLength, Config, Event, Field, LocalError, Persistence, Received, RemoteError, RequestLine,
};

use BodyLength::{Known, Unknown};

/// A pair whose bytes are split in one way, and whose events are told as text.
struct Link {
    pair: Pair,
    split: Split<'static>,
}

type Lines = &'static [(&'static str, &'static str)];

const HOST: Lines = &[("host", "a")];
const UPGRADE: Lines = &[("host", "a"), ("upgrade", "x"), ("connection", "upgrade")];

fn fields(lines: Lines) -> Vec<Field<'static>> {
    lines
        .iter()
        .map(|(name, value)| Field::new(name.as_bytes(), value.as_bytes()).unwrap())
        .collect()
}

fn trailers(lines: Lines) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        })
        .collect()
}

fn texts(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| format!("{:?}", Said::by(event)))
        .collect()
}

impl Link {
    /// Runs an exchange with the bytes split in both ways.
    fn each(test: impl Fn(&mut Self)) {
        for split in [Split::Whole, Split::EachByte] {
            test(&mut Self {
                pair: Pair::new(Config::default()),
                split,
            });
        }
    }

    fn try_request(
        &mut self,
        start: &str,
        lines: Lines,
        length: BodyLength,
    ) -> Result<(), LocalError> {
        let (method, target) = start.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let target = target.as_bytes();
        let line = RequestLine::new(&method, target);
        self.pair.client.request(line, &fields(lines), length)
    }

    /// The client sends a request head.
    fn request(&mut self, start: &str, lines: Lines, length: BodyLength) -> &mut Self {
        self.try_request(start, lines, length).unwrap();
        self
    }

    /// The client sends a request without content.
    fn get(&mut self) -> &mut Self {
        self.request("GET /", HOST, Known(0)).client_ends()
    }

    fn client_writes(&mut self, piece: &str) -> &mut Self {
        self.pair.client.data(piece.as_bytes()).unwrap();
        self
    }

    fn client_ends(&mut self) -> &mut Self {
        self.pair.client.end(None).unwrap();
        self
    }

    fn try_respond(
        &mut self,
        status: u16,
        lines: Lines,
        length: BodyLength,
    ) -> Result<(), LocalError> {
        let status = StatusCode::from_u16(status).unwrap();
        self.pair.server.unless_refused(|connection, out| {
            connection.send_response(status, fields(lines), length, out)
        })
    }

    /// The server sends a response head.
    fn respond(&mut self, status: u16, lines: Lines, length: BodyLength) -> &mut Self {
        self.try_respond(status, lines, length).unwrap();
        self
    }

    /// The server sends a response without content.
    fn ok(&mut self) -> &mut Self {
        self.respond(200, &[], Known(0)).server_ends()
    }

    fn interim(&mut self, status: u16) -> &mut Self {
        let status = StatusCode::from_u16(status).unwrap();
        self.pair
            .server
            .unless_refused(|connection, out| connection.send_interim(status, [], out))
            .unwrap();
        self
    }

    fn server_writes(&mut self, piece: &str) -> &mut Self {
        self.pair.server.data(piece.as_bytes()).unwrap();
        self
    }

    fn server_ends(&mut self) -> &mut Self {
        self.pair.server.end(None).unwrap();
        self
    }

    #[track_caller]
    fn server_hears<const N: usize>(&mut self, expected: [&str; N]) -> &mut Self {
        assert_eq!(texts(&self.pair.server_receives_all(self.split)), expected);
        self
    }

    #[track_caller]
    fn client_hears<const N: usize>(&mut self, expected: [&str; N]) -> &mut Self {
        assert_eq!(texts(&self.pair.client_receives_all(self.split)), expected);
        self
    }

    /// Both sides see the same states.
    #[track_caller]
    fn states(&mut self, client: State, server: State) -> &mut Self {
        assert_eq!(self.pair.states(), [(client, server); 2]);
        self
    }

    /// The client sees these states (of client and server), the server those.
    #[track_caller]
    fn views(&mut self, client: [State; 2], server: [State; 2]) -> &mut Self {
        let expected = [(client[0], client[1]), (server[0], server[1])];
        assert_eq!(self.pair.states(), expected);
        self
    }

    #[track_caller]
    fn persists(&mut self) -> &mut Self {
        self.states(State::Done, State::Done);
        for side in [&self.pair.client, &self.pair.server] {
            assert_eq!(side.connection.persistence(), Persistence::Persistent);
            assert!(side.connection.is_exchange_over());
            assert!(side.input.is_empty());
            assert_eq!(side.connection.unanswered(), 0);
        }
        self.pair.next_exchange().unwrap();
        self.states(State::Idle, State::Idle)
    }

    #[track_caller]
    fn closes(&mut self, client: NotPersistent, server: NotPersistent) -> &mut Self {
        self.states(State::MustClose, State::MustClose);
        for (side, reason) in [(&self.pair.client, client), (&self.pair.server, server)] {
            assert_eq!(side.connection.persistence(), Persistence::Close(reason));
            assert!(!side.connection.is_exchange_over());
        }
        assert!(self.pair.next_exchange().is_err());
        self
    }

    fn client_closes(&mut self) -> &mut Self {
        self.pair.client.close();
        self
    }

    fn server_closes(&mut self) -> &mut Self {
        self.pair.server.close();
        self
    }
}

use NotPersistent::{LocalAskedClose, PeerAskedClose};

#[test]
fn get_and_again() {
    Link::each(|link| {
        for _ in 0..3 {
            link.states(State::Idle, State::Idle)
                .get()
                .views(
                    [State::Done, State::SendResponse],
                    [State::Idle, State::Idle],
                )
                .server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
                .states(State::Done, State::SendResponse)
                .respond(200, &[], Known(5))
                .views(
                    [State::Done, State::SendResponse],
                    [State::Done, State::SendBody],
                )
                .server_writes("he")
                .client_hears(["HTTP/1.1 200 [\"content-length: 5\"]", "Data(he)"])
                .states(State::Done, State::SendBody)
                .server_writes("llo")
                .server_ends()
                .client_hears(["Data(llo)", "End"])
                .persists();
        }
    });
}

#[test]
fn post_with_a_known_length() {
    Link::each(|link| {
        link.request("POST /", HOST, Known(3))
            .server_hears(["POST / HTTP/1.1 [\"host: a\", \"content-length: 3\"]"])
            .states(State::SendBody, State::SendResponse)
            .client_writes("ab")
            .client_writes("c")
            .server_hears(["Data(abc)", "End"])
            .views(
                [State::SendBody, State::SendResponse],
                [State::Done, State::SendResponse],
            )
            .client_ends()
            .ok()
            .client_hears(["HTTP/1.1 200 [\"content-length: 0\"]", "End"])
            .persists();
    });
}

#[test]
fn chunked_both_ways_with_trailers() {
    Link::each(|link| {
        link.request("POST /", HOST, Unknown)
            .client_writes("abc")
            .server_hears([
                "POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]",
                "Data(abc)",
            ])
            .states(State::SendBody, State::SendResponse);
        let sum = trailers(&[("x-sum", "1")]);
        link.pair.client.end(Some(&sum)).unwrap();
        link.server_hears(["End [\"x-sum: 1\"]"])
            .states(State::Done, State::SendResponse)
            .respond(200, &[], Unknown)
            .server_writes("de")
            .client_hears(["HTTP/1.1 200 [\"transfer-encoding: chunked\"]", "Data(de)"]);
        link.pair.server.end(Some(&sum)).unwrap();
        link.client_hears(["End [\"x-sum: 1\"]"]).persists();
    });
}

#[test]
fn head_and_statuses_without_a_body() {
    Link::each(|link| {
        link.request("HEAD /", HOST, Known(0))
            .client_ends()
            .server_hears(["HEAD / HTTP/1.1 [\"host: a\"]", "End"])
            .respond(200, &[], Known(5))
            .server_writes("hello")
            .server_ends()
            .client_hears(["HTTP/1.1 200 [\"content-length: 5\"]", "End"])
            .persists();
        for (status, said) in [(204, "HTTP/1.1 204 []"), (304, "HTTP/1.1 304 []")] {
            link.get()
                .server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
                .respond(status, &[], Unknown)
                .server_writes("never sent")
                .server_ends()
                .client_hears([said, "End"])
                .persists();
        }
    });
}

#[test]
fn interim_responses_before_the_final_one() {
    Link::each(|link| {
        link.get()
            .server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .interim(103)
            .client_hears(["HTTP/1.1 103 []"])
            .states(State::Done, State::SendResponse)
            .interim(102)
            .ok()
            .client_hears([
                "HTTP/1.1 102 []",
                "HTTP/1.1 200 [\"content-length: 0\"]",
                "End",
            ])
            .persists();
        // After the final response it is too late.
        link.get()
            .server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .respond(200, &[], Known(0));
        let late = link.pair.server.unless_refused(|connection, out| {
            connection.send_interim(StatusCode::EARLY_HINTS, [], out)
        });
        assert_eq!(
            late,
            Err(LocalError::NotNow {
                state: State::SendBody,
                event: EventKind::Interim
            })
        );
    });
}

const EXPECT: Lines = &[("host", "a"), ("expect", "100-continue")];

#[test]
fn a_client_waits_for_100_before_it_sends_content() {
    Link::each(|link| {
        link.request("PUT /", EXPECT, Known(3))
            .server_hears([
                "PUT / HTTP/1.1 [\"host: a\", \"expect: 100-continue\", \"content-length: 3\"]",
            ])
            .states(State::SendBody, State::SendResponse)
            .interim(100)
            .client_hears(["HTTP/1.1 100 []"])
            .states(State::SendBody, State::SendResponse)
            .client_writes("abc")
            .client_ends()
            .server_hears(["Data(abc)", "End"])
            .ok()
            .client_hears(["HTTP/1.1 200 [\"content-length: 0\"]", "End"])
            .persists();
    });
}

#[test]
fn an_expectation_that_is_refused_leaves_a_request_without_its_content() {
    Link::each(|link| {
        link.request("PUT /", EXPECT, Known(3))
            .server_hears([
                "PUT / HTTP/1.1 [\"host: a\", \"expect: 100-continue\", \"content-length: 3\"]",
            ])
            .respond(417, &[], Known(0))
            .server_ends()
            .client_hears(["HTTP/1.1 417 [\"content-length: 0\"]", "End"])
            .states(State::SendBody, State::Done);
        // The client cannot go on as if the content had been sent.
        assert!(link.pair.next_exchange().is_err());
        assert!(link.pair.client.connection.pipeline().is_err());
        assert_eq!(
            link.pair.client.end(None),
            Err(LocalError::BodyTooShort { missing: 3 })
        );
        // It may still send it.
        link.client_writes("abc")
            .client_ends()
            .server_hears(["Data(abc)", "End"])
            .persists();
    });
}

#[test]
fn an_early_answer_while_the_request_is_on_its_way() {
    Link::each(|link| {
        link.request("POST /", HOST, Unknown)
            .client_writes("a")
            .server_hears([
                "POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]",
                "Data(a)",
            ])
            .ok()
            .views(
                [State::SendBody, State::SendResponse],
                [State::SendBody, State::Done],
            )
            .client_hears(["HTTP/1.1 200 [\"content-length: 0\"]", "End"])
            .states(State::SendBody, State::Done)
            .client_writes("b")
            .client_ends()
            .server_hears(["Data(b)", "End"])
            .persists();
        link.request("POST /", HOST, Unknown)
            .server_hears(["POST / HTTP/1.1 [\"host: a\", \"transfer-encoding: chunked\"]"])
            .respond(413, &[("connection", "close")], Known(0))
            .server_ends()
            .client_hears([
                "HTTP/1.1 413 [\"connection: close\", \"content-length: 0\"]",
                "End",
            ])
            .states(State::SendBody, State::MustClose)
            .client_ends()
            .server_hears(["End"])
            .closes(PeerAskedClose, LocalAskedClose);
    });
}

#[test]
fn an_upgrade_that_is_agreed_to() {
    Link::each(|link| {
        link.request("GET /", UPGRADE, Known(0))
            .views(
                [State::SendBody, State::SendResponse],
                [State::Idle, State::Idle],
            )
            .client_ends()
            .server_hears([
                "GET / HTTP/1.1 [\"host: a\", \"upgrade: x\", \"connection: upgrade\"]",
                "End",
            ])
            .states(State::MightSwitch, State::SendResponse);
        assert_eq!(
            link.try_respond(101, &[], Known(0)),
            Err(LocalError::MissingUpgrade)
        );
        link.respond(
            101,
            &[("upgrade", "x"), ("connection", "upgrade")],
            Known(0),
        );
        link.pair
            .server
            .output
            .extend_from_slice(b"\0other protocol");
        link.client_hears(["HTTP/1.1 101 [\"upgrade: x\", \"connection: upgrade\"]"])
            .states(State::Switched, State::Switched);
        assert_eq!(link.pair.client.input, b"\0other protocol"[..]);
        for side in [&mut link.pair.client, &mut link.pair.server] {
            let switched = Persistence::Close(NotPersistent::Switched);
            assert_eq!(side.connection.persistence(), switched);
            assert_eq!(
                side.connection.receive(&mut side.input),
                Ok(Received::Switched)
            );
            assert_eq!(
                side.connection.receive_eof(&side.input),
                Ok(Received::Switched)
            );
        }
        assert!(link.try_request("GET /", HOST, Known(0)).is_err());
    });
}

#[test]
fn an_upgrade_that_is_refused() {
    Link::each(|link| {
        link.request("GET /", UPGRADE, Known(0)).client_ends();
        // It was sent too early, and waits.
        link.pair
            .client
            .output
            .extend_from_slice(b"GET /b HTTP/1.1\r\nhost: b\r\n\r\n");
        link.server_hears([
            "GET / HTTP/1.1 [\"host: a\", \"upgrade: x\", \"connection: upgrade\"]",
            "End",
        ])
        .states(State::MightSwitch, State::SendResponse);
        assert_eq!(link.pair.server.input.len(), 28);
        link.ok()
            .client_hears(["HTTP/1.1 200 [\"content-length: 0\"]", "End"])
            .states(State::Done, State::Done);
        link.pair.server.connection.next_exchange().unwrap();
        link.server_hears(["GET /b HTTP/1.1 [\"host: b\"]", "End"]);
    });
}

#[test]
fn a_switch_waits_for_the_end_of_the_request() {
    Link::each(|link| {
        link.request("POST /", UPGRADE, Known(3))
            .client_writes("a")
            .server_hears([
                "POST / HTTP/1.1 [\"host: a\", \"upgrade: x\", \"connection: upgrade\", \
                 \"content-length: 3\"]",
                "Data(a)",
            ]);
        assert_eq!(
            link.try_respond(101, &[("upgrade", "x")], Known(0)),
            Err(LocalError::NotNow {
                state: State::SendResponse,
                event: EventKind::Switch
            })
        );
        link.client_writes("bc")
            .server_hears(["Data(bc)", "End"])
            .respond(101, &[("upgrade", "x")], Known(0))
            .client_hears(["HTTP/1.1 101 [\"upgrade: x\"]"])
            .views(
                [State::SendBody, State::Switched],
                [State::Switched, State::Switched],
            )
            .client_ends()
            .states(State::Switched, State::Switched);
    });
}

#[test]
fn connect_that_is_agreed_to() {
    Link::each(|link| {
        link.request("CONNECT a:443", HOST, Known(0)).client_ends();
        link.pair.client.output.extend_from_slice(b"\x16\x03");
        link.server_hears(["CONNECT a:443 HTTP/1.1 [\"host: a\"]", "End"])
            .states(State::MightSwitch, State::SendResponse)
            .respond(200, &[], Known(0))
            .client_hears(["HTTP/1.1 200 []"])
            .states(State::Switched, State::Switched);
        assert_eq!(link.pair.server.input, b"\x16\x03"[..]);
    });
}

#[test]
fn connect_that_is_refused_ends_the_connection() {
    Link::each(|link| {
        link.request("CONNECT a:443", HOST, Known(0)).client_ends();
        // Tunnelled too early: never read as a request.
        link.pair
            .client
            .output
            .extend_from_slice(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        link.server_hears(["CONNECT a:443 HTTP/1.1 [\"host: a\"]", "End"])
            .respond(403, &[], Known(2))
            .server_writes("no")
            .server_ends()
            .client_hears([
                "HTTP/1.1 403 [\"content-length: 2\", \"connection: close\"]",
                "Data(no)",
                "End",
            ])
            .server_hears([])
            .closes(PeerAskedClose, NotPersistent::Connect);
    });
}

/// A client of HTTP/1.0, which we never are, writes by hand.
fn old_request(link: &mut Link, request: &str) {
    link.pair
        .client
        .output
        .extend_from_slice(request.as_bytes());
}

#[test]
fn a_client_of_http_10_gets_one_answer() {
    Link::each(|link| {
        old_request(link, "GET / HTTP/1.0\r\n\r\nGET /never HTTP/1.0\r\n\r\n");
        link.server_hears(["GET / HTTP/1.0 []", "End"])
            // HTTP/1.0 knows no interim response.
            .interim(103)
            .respond(200, &[], Unknown)
            .server_writes("abc");
        // Its handler need not know that there are no trailers either.
        link.pair
            .server
            .end(Some(&trailers(&[("x-sum", "1")])))
            .unwrap();
        assert_eq!(
            link.pair.server.output,
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"
        );
        assert_eq!(
            link.pair.server.connection.persistence(),
            Persistence::Close(NotPersistent::Http10)
        );
        assert_eq!(link.pair.server.connection.state(), State::MustClose);
        link.server_hears([]);
    });
}

#[test]
fn a_client_of_http_10_keeps_its_connection_if_it_asks() {
    Link::each(|link| {
        for _ in 0..2 {
            old_request(link, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
            link.server_hears(["GET / HTTP/1.0 [\"connection: keep-alive\"]", "End"])
                .respond(200, &[], Known(1))
                .server_writes("a")
                .server_ends();
            assert_eq!(
                link.pair.server.output,
                b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\na"
            );
            link.pair.server.output.clear();
            link.pair.server.connection.next_exchange().unwrap();
        }
        // Content of unknown length ends with the connection.
        old_request(link, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        link.server_hears(["GET / HTTP/1.0 [\"connection: keep-alive\"]", "End"])
            .respond(200, &[], Unknown)
            .server_ends();
        assert_eq!(
            link.pair.server.output,
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
        );
        // HTTP/1.1 on the same connection is told nothing about keep-alive.
        assert_eq!(link.pair.server.connection.state(), State::MustClose);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    Link::each(|link| {
        link.get();
        for start in ["HEAD /b", "GET /c"] {
            link.pair.client.connection.pipeline().unwrap();
            link.request(start, HOST, Known(0)).client_ends();
        }
        assert_eq!(link.pair.client.connection.unanswered(), 3);
        // The server sees one at a time.
        link.server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .states(State::Done, State::SendResponse)
            .interim(103)
            .respond(200, &[], Known(1))
            .server_writes("a")
            .server_ends();
        link.pair.server.connection.next_exchange().unwrap();
        link.server_hears(["HEAD /b HTTP/1.1 [\"host: a\"]", "End"])
            .respond(200, &[], Known(1))
            .server_writes("b")
            .server_ends();
        link.pair.server.connection.next_exchange().unwrap();
        link.server_hears(["GET /c HTTP/1.1 [\"host: a\"]", "End"])
            .ok();
        // The answer to HEAD has no body, and the one behind it is not taken for one.
        link.client_hears([
            "HTTP/1.1 103 []",
            "HTTP/1.1 200 [\"content-length: 1\"]",
            "Data(a)",
            "End",
            "HTTP/1.1 200 [\"content-length: 1\"]",
            "End",
            "HTTP/1.1 200 [\"content-length: 0\"]",
            "End",
        ])
        .persists();
    });
}

#[test]
fn a_client_that_goes_on_before_its_answer_is_complete_waits_for_the_next() {
    Link::each(|link| {
        link.get()
            .server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .respond(200, &[], Known(1))
            .client_hears(["HTTP/1.1 200 [\"content-length: 1\"]"]);
        // It makes ready for the next request, and the answer ends before that is sent.
        link.pair.client.connection.pipeline().unwrap();
        link.server_writes("a")
            .server_ends()
            .client_hears(["Data(a)", "End"]);
        assert!(link.pair.client.connection.is_exchange_over());
        link.pair.server.connection.next_exchange().unwrap();
        link.get()
            .states_of_client(State::Done, State::SendResponse)
            .server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .ok()
            .client_hears(["HTTP/1.1 200 [\"content-length: 0\"]", "End"])
            .persists();
    });
}

impl Link {
    #[track_caller]
    fn states_of_client(&mut self, client: State, server: State) -> &mut Self {
        assert_eq!(self.pair.states()[0], (client, server));
        self
    }
}

#[test]
fn close_in_the_last_of_several_pipelined_requests_leaves_the_earlier_ones_their_answers() {
    Link::each(|link| {
        link.get();
        link.pair.client.connection.pipeline().unwrap();
        link.request(
            "GET /b",
            &[("host", "a"), ("connection", "close")],
            Known(0),
        )
        .client_ends();
        assert!(link.pair.client.connection.pipeline().is_err());
        link.server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .ok();
        link.pair.server.connection.next_exchange().unwrap();
        link.server_hears([
            "GET /b HTTP/1.1 [\"host: a\", \"connection: close\"]",
            "End",
        ])
        .ok()
        .client_hears([
            "HTTP/1.1 200 [\"content-length: 0\"]",
            "End",
            "HTTP/1.1 200 [\"content-length: 0\", \"connection: close\"]",
            "End",
        ])
        .closes(LocalAskedClose, PeerAskedClose);
    });
}

#[test]
fn close_in_an_answer_cuts_the_pipeline() {
    Link::each(|link| {
        link.get();
        link.pair.client.connection.pipeline().unwrap();
        link.get()
            .server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .respond(200, &[("connection", "close")], Known(0))
            .server_ends()
            // What follows such an answer belongs to no request.
            .pair
            .server
            .output
            .extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        link.client_hears([
            "HTTP/1.1 200 [\"connection: close\", \"content-length: 0\"]",
            "End",
        ])
        .server_hears([])
        .closes(PeerAskedClose, LocalAskedClose);
        assert_eq!(link.pair.client.connection.unanswered(), 1);
    });
}

#[test]
fn close_in_an_answer_stops_a_client_that_was_ahead_of_it() {
    Link::each(|link| {
        link.get();
        link.pair.client.connection.pipeline().unwrap();
        link.server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .respond(200, &[("connection", "close")], Known(1))
            .client_hears(["HTTP/1.1 200 [\"connection: close\", \"content-length: 1\"]"])
            .states_of_client(State::MustClose, State::SendBody);
        assert_eq!(
            link.try_request("GET /b", HOST, Known(0)),
            Err(LocalError::NotNow {
                state: State::MustClose,
                event: EventKind::Request
            })
        );
    });
}

#[test]
fn a_switch_is_not_pipelined() {
    Link::each(|link| {
        link.get();
        link.pair.client.connection.pipeline().unwrap();
        for (start, lines) in [("GET /", UPGRADE), ("CONNECT a:1", HOST)] {
            assert_eq!(
                link.try_request(start, lines, Known(0)),
                Err(LocalError::NotNow {
                    state: State::Idle,
                    event: EventKind::Request
                })
            );
        }
        // Nor is anything sent behind one that waits for its answer.
        link.get();
        let mut other = Link {
            pair: Pair::new(Config::default()),
            split: link.split,
        };
        other.request("GET /", UPGRADE, Known(0)).client_ends();
        assert!(other.pair.client.connection.pipeline().is_err());
    });
}

#[test]
fn either_side_says_close() {
    Link::each(|link| {
        link.request("GET /", &[("host", "a"), ("connection", "close")], Known(0))
            .client_ends()
            .server_hears(["GET / HTTP/1.1 [\"host: a\", \"connection: close\"]", "End"])
            .views(
                [State::MustClose, State::SendResponse],
                [State::MustClose, State::SendResponse],
            )
            .ok()
            .client_hears([
                "HTTP/1.1 200 [\"content-length: 0\", \"connection: close\"]",
                "End",
            ])
            .closes(LocalAskedClose, PeerAskedClose)
            .client_closes()
            .server_hears([])
            .states(State::Closed, State::MustClose);
    });
    Link::each(|link| {
        link.get()
            .server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"]);
        // The decision to close is told with the next head.
        link.pair.server.connection.close_after(LocalAskedClose);
        link.ok()
            .client_hears([
                "HTTP/1.1 200 [\"content-length: 0\", \"connection: close\"]",
                "End",
            ])
            .closes(PeerAskedClose, LocalAskedClose)
            .server_closes()
            .client_hears([])
            .states(State::MustClose, State::Closed);
    });
    Link::each(|link| {
        link.pair.client.connection.close_after(LocalAskedClose);
        link.get()
            .server_hears(["GET / HTTP/1.1 [\"host: a\", \"connection: close\"]", "End"])
            .ok()
            .client_hears([
                "HTTP/1.1 200 [\"content-length: 0\", \"connection: close\"]",
                "End",
            ])
            .closes(LocalAskedClose, PeerAskedClose);
    });
}

#[test]
fn an_idle_connection_that_one_side_closes() {
    Link::each(|link| {
        link.server_closes().client_hears([]);
        link.states(State::MustClose, State::Closed);
        assert!(link.try_request("GET /", HOST, Known(0)).is_err());
    });
    Link::each(|link| {
        link.get()
            .server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .ok()
            .client_hears(["HTTP/1.1 200 [\"content-length: 0\"]", "End"])
            .persists()
            .client_closes()
            .server_hears([])
            .views(
                [State::Closed, State::MustClose],
                [State::Closed, State::MustClose],
            );
    });
}

#[test]
fn a_client_that_half_closes_still_gets_its_answers() {
    Link::each(|link| {
        link.get();
        link.pair.client.connection.pipeline().unwrap();
        link.get().client_closes();
        link.server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .ok();
        // The second request had arrived before the end of the stream.
        link.pair.server.connection.next_exchange().unwrap();
        link.server_hears(["GET / HTTP/1.1 [\"host: a\"]", "End"])
            .views(
                [State::Closed, State::SendResponse],
                [State::Closed, State::SendResponse],
            )
            .ok()
            .client_hears([
                "HTTP/1.1 200 [\"content-length: 0\"]",
                "End",
                "HTTP/1.1 200 [\"content-length: 0\"]",
                "End",
            ])
            .states(State::Closed, State::MustClose);
    });
}

#[test]
fn the_end_of_the_stream_before_the_buffer_is_read_loses_nothing() {
    let mut pair = Pair::new(Config::default());
    pair.client.output.extend_from_slice(
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\naGET / HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    pair.client.has_closed = true;
    let bytes = std::mem::take(&mut pair.client.output);
    let server = &mut pair.server.connection;
    let mut buffer = bytes::BytesMut::from(&bytes[..]);
    let mut events = Vec::new();
    // Whoever asks about the end first, each time, is told that there is more.
    loop {
        match server.receive_eof(&buffer).unwrap() {
            Received::Event(event) => events.push(event),
            Received::Closed => break,
            Received::Paused => match server.receive(&mut buffer).unwrap() {
                Received::Event(event) => events.push(event),
                Received::Paused => {
                    let mut out = Vec::new();
                    server
                        .send_response(StatusCode::OK, [], Known(0), &mut out)
                        .unwrap();
                    server.send_end(None, &mut out).unwrap();
                    server.next_exchange().unwrap();
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        texts(&events),
        [
            "POST / HTTP/1.1 [\"host: a\", \"content-length: 1\"]",
            "Data(a)",
            "End",
            "GET / HTTP/1.1 [\"host: a\"]",
            "End"
        ]
    );
}

#[test]
fn a_response_that_ends_with_the_connection() {
    let mut link = Link {
        pair: Pair::new(Config::default()),
        split: Split::Whole,
    };
    link.get();
    link.pair
        .server
        .output
        .extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\nabc");
    link.client_hears(["HTTP/1.1 200 []", "Data(abc)"])
        .states_of_client(State::MustClose, State::SendBody);
    link.pair.server.has_closed = true;
    link.client_hears(["End"])
        .states_of_client(State::MustClose, State::Closed);
    assert_eq!(
        link.pair.client.connection.persistence(),
        Persistence::Close(NotPersistent::CloseDelimited)
    );
}

#[test]
fn an_answer_to_no_request_is_the_last() {
    Link::each(|link| {
        // 408 on an idle connection: no request has been seen.
        link.respond(408, &[], Known(0)).server_ends();
        assert_eq!(link.pair.server.connection.state(), State::MustClose);
        assert!(link.pair.server.connection.next_exchange().is_err());
        // A client that waits for no answer does not take it for one.
        let heard = link.pair.client_receives(usize::MAX);
        assert_eq!(heard.unwrap_err(), RemoteError::UnsolicitedBytes);
        // A request that crosses it on its way is not answered a second time.
        link.pair
            .client
            .output
            .extend_from_slice(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        link.server_hears([]);
    });
}

#[test]
fn a_malformed_request_is_answered_and_nothing_after_it_is_read() {
    Link::each(|link| {
        link.pair.client.output.extend_from_slice(
            b"GET / HTTP/1.1\r\nhost a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        );
        let error = RemoteError::InvalidField;
        while !link.pair.client.output.is_empty() {
            let heard = link.pair.server_receives(30);
            let expected = link.pair.client.output.len() > 27;
            assert!(
                heard == Err(error) || (expected && heard == Ok(Vec::new())),
                "{heard:?}"
            );
        }
        assert_eq!(link.pair.server.connection.peer_state(), State::Error);
        link.respond(400, &[], Known(3))
            .server_writes("bad")
            .server_ends();
        assert_eq!(
            link.pair.server.output,
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbad"
        );
        assert_eq!(link.pair.server.connection.state(), State::MustClose);
        assert_eq!(link.pair.server_receives(1), Err(error));
    });
}

#[test]
fn content_is_handed_over_without_a_copy() {
    let mut pair = Pair::new(Config::default());
    pair.client
        .output
        .extend_from_slice(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nabcd");
    let events = pair.server_receives_all(Split::Whole);
    let [Event::Request(head), Event::Data(data), Event::End(None)] = &events[..] else {
        panic!("{events:?}");
    };
    let target: Bytes = head.target_bytes();
    // Both lie in the buffer in which they arrived.
    let distance = data.as_ptr() as usize - target.as_ptr() as usize;
    assert_eq!(
        distance,
        "/ HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n".len()
    );
}
