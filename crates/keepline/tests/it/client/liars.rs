//! Peers that lie: each gets its reason for the close, and nobody gets a wrong answer.

use keepline::{CloseReason, ErrorKind, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::until;

use super::support::{always, closed, exchange, get, ok, stats, until_closed};

/// What a peer says, and what is made of it.
struct Lie {
    what: &'static str,
    /// To the first request; what follows the answer is no part of it.
    says: String,
    /// The first request is answered.
    is_answer: bool,
    /// Why the connection is closed; `None`: it stays.
    reason: Option<CloseReason>,
}

/// An answer whose content is `right`, with these fields.
fn right(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}content-length: 5\r\n\r\nright")
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn lies() -> Vec<Lie> {
    use CloseReason as R;
    let lie = |what, says, is_answer, reason| Lie {
        what,
        says,
        is_answer,
        reason,
    };
    let hint = |what, value: &str, reason| {
        lie(
            what,
            right(&format!("keep-alive: {value}\r\n")),
            true,
            reason,
        )
    };
    let chunked = "transfer-encoding: chunked\r\n";
    vec![
        hint("no time at all", "timeout=0", Some(R::KeepAliveHint)),
        hint(
            "no time after the margin",
            "timeout=1",
            Some(R::KeepAliveHint),
        ),
        hint("a time without end", "timeout=1000000000000", None),
        hint("a negative time", "timeout=-5", None),
        hint("no number", "timeout=soon, max=many", None),
        hint("no further request", "max=0", Some(R::MaxRequests)),
        hint("a negative number of requests", "max=-1", None),
        hint("requests without end", "max=1000000000000", None),
        lie(
            "an answer and another one",
            right("") + &ok("wrong"),
            true,
            Some(R::UnsolicitedBytes),
        ),
        lie(
            "an answer and a 408",
            right("") + "HTTP/1.1 408 Request Timeout\r\n\r\n",
            true,
            Some(R::UnsolicitedBytes),
        ),
        lie(
            "one byte more",
            right("") + "x",
            true,
            Some(R::UnsolicitedBytes),
        ),
        lie(
            "an empty line more",
            right("") + "\r\n",
            true,
            Some(R::UnsolicitedBytes),
        ),
        lie(
            "a length with chunks",
            format!("HTTP/1.1 200 OK\r\n{chunked}content-length: 5\r\n\r\n5\r\nwrong\r\n0\r\n\r\n"),
            false,
            Some(R::ProtocolError),
        ),
        lie(
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nwrong!".into(),
            false,
            Some(R::ProtocolError),
        ),
        lie(
            "interim responses without end",
            "HTTP/1.1 102 Processing\r\n\r\n".repeat(10_000),
            false,
            Some(R::ProtocolError),
        ),
        lie(
            "a switch that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".into(),
            false,
            Some(R::ProtocolError),
        ),
        lie(
            "another protocol",
            "SSH-2.0-OpenSSH_9.2\r\n".into(),
            false,
            Some(R::ProtocolError),
        ),
        lie(
            "TLS",
            "\u{16}\u{3}\u{1}".into(),
            false,
            Some(R::ProtocolError),
        ),
    ]
}

#[tokio::test]
async fn a_lie_has_its_reason_and_is_never_taken_for_an_answer() {
    for Lie {
        what,
        says,
        is_answer,
        reason,
    } in lies()
    {
        let liar = Script::new().expect_head().send(says);
        let liar = liar.repeat_forever(Script::new().expect_head().send(ok("right")));
        let peer = Peer::start_each([liar, always(ok("right"))]);
        let transport = Transport::default();
        match exchange(&transport, get(&peer.url("/"))).await {
            Ok((body, _)) => assert!(is_answer && body == "right", "{what}: {body}"),
            Err(error) => {
                assert!(!is_answer, "{what}: {error}");
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::Protocol(_)), "{what}: {error}");
            }
        }
        if let Some(reason) = reason {
            until_closed(&transport, reason, 1).await;
        }
        let (body, info) = exchange(&transport, get(&peer.url("/"))).await.unwrap();
        assert_eq!(
            (body.as_str(), info.reused),
            ("right", reason.is_none()),
            "{what}"
        );
        stats(&transport);
    }
}

/// What a peer says on a connection on which nothing has been asked.
#[tokio::test]
async fn what_is_said_before_it_was_asked_is_no_answer() {
    for says in [
        ok("wrong"),
        "HTTP/1.1 408 Request Timeout\r\n\r\n".into(),
        "x".into(),
    ] {
        let peer = Peer::start_each([Script::new().send(&says).hold(), always(ok("right"))]);
        let transport = Transport::default();
        // A connection that lies in the pool before its first request: it is not raced against.
        let uri = peer.url("/").parse().unwrap();
        assert_eq!(transport.warm(&uri, 1).unwrap(), 1);
        until("the lie to be noticed", || {
            (!closed(&transport).is_empty()).then_some(())
        })
        .await;
        let (body, info) = exchange(&transport, get(&peer.url("/"))).await.unwrap();
        assert_eq!((body.as_str(), info.id), ("right", 2), "{says}");
        let reason = match says.contains(" 408 ") {
            true => CloseReason::PeerAskedClose,
            false => CloseReason::UnsolicitedBytes,
        };
        assert_eq!(closed(&transport), [(reason, 1)], "{says}");
    }
}
