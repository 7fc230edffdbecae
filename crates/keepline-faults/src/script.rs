//! What a plan means on one connection: steps, as a value.
//!
//! Pure: [`of`] answers a script, and [`player`](crate::player) carries it out. The bytes are
//! written out here, so that a test can compare them.

use std::time::Duration;

use bytes::Bytes;

use crate::{Fault, Plan};

/// The content of every ordinary answer: 13 bytes.
pub const CONTENT: &[u8] = b"Hello, World!";

/// The content of a response that nobody asked for. A client that shows it has taken foreign bytes
/// for its answer.
pub const FOREIGN: &[u8] = b"FOREIGN";

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n";
const STRAY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nFOREIGN";

/// What happens on one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    /// The answer to each request before the fault's.
    pub(crate) ordinary: Vec<Step>,
    /// The fault's request, counted from 1; those after it are answered as it is.
    pub(crate) at: u64,
    /// The answer from the fault's request on.
    pub(crate) faulty: Vec<Step>,
    /// What happens on the connection when it is idle after a faulty answer.
    pub(crate) idle: Option<Idle>,
}

/// What happens to an idle connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idle {
    pub(crate) after: Duration,
    pub(crate) steps: Vec<Step>,
}

/// One thing that the server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Bytes),
    /// Sends these bytes, unless the request was HEAD, whose answer has no body.
    Body(Bytes),
    /// Sends the body, if there may be one, a byte at a time.
    SlowBody(Bytes, Duration),
    /// Sends bytes one at a time.
    Slowly(Bytes, Duration),
    /// Sends these bytes again and again, until the client is gone.
    Forever(Bytes),
    /// Closes: a FIN.
    Close,
    /// Resets: a RST.
    Reset,
    /// Sends a FIN and reads on, answering nothing, until the client closes.
    HalfClose,
    /// Reads on and does not close, whatever the client does.
    NeverClose,
}

/// The script of a plan.
pub(crate) fn of(plan: Plan) -> Script {
    let ordinary = ordinary();
    let Plan {
        fault,
        at,
        after,
        every,
        times: _,
    } = plan;
    let idle = |steps| Some(Idle { after, steps });
    let (faulty, idle) = match fault {
        Fault::IdleFin => (ordinary.clone(), idle(vec![Step::Close])),
        Fault::IdleRst => (ordinary.clone(), idle(vec![Step::Reset])),
        Fault::Idle408 => {
            let farewell =
                b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            (ordinary.clone(), idle(vec![send(farewell), Step::Close]))
        }
        Fault::StrayBytes => (ordinary.clone(), idle(vec![send(STRAY)])),
        Fault::LyingKeepAlive => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nKeep-Alive: timeout=60, max=1000\r\n\r\n";
            (vec![send(head), body(CONTENT)], idle(vec![Step::Close]))
        }
        fault => (answer(fault, every), None),
    };
    Script {
        ordinary,
        at,
        faulty,
        idle,
    }
}

/// A script without fault.
pub(crate) fn without_fault() -> Script {
    Script {
        ordinary: ordinary(),
        at: 1,
        faulty: ordinary(),
        idle: None,
    }
}

/// The answer of the faults that lie in an answer.
fn answer(fault: Fault, every: Duration) -> Vec<Step> {
    match fault {
        // Their answers are those of `of`.
        Fault::IdleFin
        | Fault::IdleRst
        | Fault::Idle408
        | Fault::StrayBytes
        | Fault::LyingKeepAlive => ordinary(),
        Fault::FinMidHead => vec![send(b"HTTP/1.1 200 OK\r\nContent-Len"), Step::Close],
        Fault::FinMidBody => vec![send(HEAD), body(b"Hello"), Step::Close],
        Fault::RstMidBody => vec![send(HEAD), body(b"Hello"), Step::Reset],
        Fault::SlowHead => vec![Step::Slowly(Bytes::from_static(HEAD), every), body(CONTENT)],
        Fault::SlowBody => vec![
            send(HEAD),
            Step::SlowBody(Bytes::from_static(CONTENT), every),
        ],
        // One write, so that what is too much comes with what is not.
        Fault::LyingLength => vec![
            send(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n"),
            Step::Body([CONTENT, STRAY].concat().into()),
        ],
        // By the length the body is `5\r\nHe`, by the coding `Hello`.
        Fault::ClTe => vec![
            send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            body(b"5\r\nHello\r\n0\r\n\r\n"),
        ],
        Fault::Endless1xx => vec![Step::Forever(Bytes::from_static(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
        ))],
        Fault::EndlessHead => vec![
            send(b"HTTP/1.1 200 OK\r\n"),
            Step::Forever(Bytes::from_static(
                b"X-Fill: 0123456789abcdef0123456789abcdef0123456789abcdef\r\n",
            )),
        ],
        Fault::CloseEveryN => vec![send(HEAD), body(CONTENT), Step::Close],
        Fault::NeverClose => vec![
            send(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n"),
            body(CONTENT),
            Step::NeverClose,
        ],
        Fault::HalfClose => vec![send(HEAD), body(CONTENT), Step::HalfClose],
        Fault::SplitBytes => vec![
            Step::Slowly(Bytes::from_static(HEAD), every),
            Step::SlowBody(Bytes::from_static(CONTENT), every),
        ],
    }
}

fn ordinary() -> Vec<Step> {
    vec![send(HEAD), body(CONTENT)]
}

fn send(bytes: &'static [u8]) -> Step {
    Step::Send(Bytes::from_static(bytes))
}

fn body(bytes: &'static [u8]) -> Step {
    Step::Body(Bytes::from_static(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_idle_connections_waits_for_one() {
        let waiting: Vec<_> = Fault::ALL
            .into_iter()
            .filter(|fault| of(Plan::new(*fault)).idle.is_some())
            .map(Fault::name)
            .collect();
        assert_eq!(
            waiting,
            [
                "idle-fin",
                "idle-rst",
                "idle-408",
                "stray-bytes",
                "lying-keep-alive"
            ]
        );
    }

    #[test]
    fn what_differs_from_the_ordinary_answer_is_the_fault() {
        for fault in Fault::ALL {
            let script = of(Plan::new(fault));
            assert!(
                script.idle.is_some() || script.faulty != script.ordinary,
                "{fault}"
            );
        }
        let well = without_fault();
        assert_eq!((well.faulty, well.idle), (well.ordinary, None));
    }
}
