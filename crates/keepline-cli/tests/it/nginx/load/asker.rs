//! Clients that ask one request after the other on connections that they keep, and tell what came
//! of each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use keepline_testkit::within;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::nginx::inbox::{Inbox, content_or_part};

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The whole answer, with its own token.
    Answered,
    /// Answered by the gateway itself.
    Refused(String),
    /// An answer that ends too early.
    Cut,
    /// The connection ended before any answer.
    Unanswered,
    /// Nobody accepted the connection.
    NoConnection,
}

/// A request that was not answered as it should be.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) token: u64,
    pub(super) method: &'static str,
    pub(super) outcome: Outcome,
}

/// Clients at work.
#[derive(Debug)]
pub(super) struct Askers {
    clients: JoinSet<Vec<Failure>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    next: AtomicU64,
    answered: AtomicU64,
    connections: AtomicU64,
    enough: AtomicBool,
}

impl Askers {
    /// `count` clients, which use these methods in turn.
    pub(super) fn start(count: usize, gateway: SocketAddr, methods: &'static [&str]) -> Self {
        let shared = Arc::new(Shared::default());
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let shared = Arc::clone(&shared);
            clients.spawn(ask_on(gateway, methods, shared));
        }
        Self { clients, shared }
    }

    pub(super) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// How many connections they have opened.
    pub(super) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Lets everybody finish; answers what failed.
    pub(super) async fn stop(&mut self) -> Vec<Failure> {
        self.shared.enough.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        while let Some(of_one) = within("a client to finish", self.clients.join_next()).await {
            failures.extend(of_one.expect("a client does not panic"));
        }
        failures
    }
}

async fn ask_on(
    gateway: SocketAddr,
    methods: &'static [&'static str],
    shared: Arc<Shared>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut kept = None;
    while !shared.enough.load(Ordering::Relaxed) {
        let token = shared.next.fetch_add(1, Ordering::Relaxed);
        let turn = usize::try_from(token).expect("it is small") % methods.len();
        let method = methods[turn];
        let outcome = match kept.take() {
            Some(inbox) => ask(inbox, token, method, &mut kept).await,
            None => match TcpStream::connect(gateway).await {
                Ok(stream) => {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    ask(Inbox::new(stream), token, method, &mut kept).await
                }
                Err(_) => Outcome::NoConnection,
            },
        };
        match outcome {
            Outcome::Answered => {
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::NoConnection => {
                // There is nobody to ask any more.
                failures.push(Failure {
                    token,
                    method,
                    outcome,
                });
                break;
            }
            _ => failures.push(Failure {
                token,
                method,
                outcome,
            }),
        }
    }
    failures
}

/// Asks once. What can be used again is kept.
async fn ask(mut inbox: Inbox, token: u64, method: &str, kept: &mut Option<Inbox>) -> Outcome {
    let length = if method == "GET" {
        ""
    } else {
        "Content-Length: 0\r\n"
    };
    let request = format!("{method} / HTTP/1.1\r\nHost: x\r\nX-Token: {token}\r\n{length}\r\n");
    if inbox.stream.write_all(request.as_bytes()).await.is_err() {
        return Outcome::Unanswered;
    }
    let answer = within(format!("the answer to {token}"), answer(&mut inbox, token)).await;
    let Ok((outcome, is_kept)) = answer else {
        return Outcome::Unanswered;
    };
    if is_kept {
        *kept = Some(inbox);
    }
    outcome
}

async fn answer(inbox: &mut Inbox, token: u64) -> io::Result<(Outcome, bool)> {
    let Some(head) = inbox.head().await? else {
        let is_cut = !inbox.take_unread().is_empty();
        let outcome = if is_cut {
            Outcome::Cut
        } else {
            Outcome::Unanswered
        };
        return Ok((outcome, false));
    };
    let content = content_or_part(inbox, &head, true).await?;
    let is_kept = content.is_whole && head.field("connection") != Some("close");
    let is_own = head.field("x-token") == Some(token.to_string().as_str());
    let outcome = if !content.is_whole {
        Outcome::Cut
    } else if is_own && content.bytes == b"Hello, World!" {
        Outcome::Answered
    } else {
        Outcome::Refused(head.start)
    };
    Ok((outcome, is_kept))
}
