//! Requests by our own client: over TLS, and in HTTP/2 with many at once.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use http::Request;
use keepline::client::Versions;
use keepline::tls::ClientTls;
use keepline::{Body, Error, Transport};
use keepline_testkit::certs;
use tokio::task::JoinSet;

use super::asked::{Asked, Size};
use super::loads::Round;
use super::wire::Answer;
use crate::dice::Dice;

/// Requests at a time.
const TOGETHER: u64 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Tls,
    Http2OverTls,
    Http2,
}

/// Asks until the round ends, then closes all connections.
pub(super) async fn ask(round: Round, speaks: Speaks) {
    let tls = ClientTls::builder().root_pem(certs::authority().pem.as_bytes());
    let (versions, base) = match speaks {
        Speaks::Tls => (Versions::Http1, format!("https://localhost:{}", round.tls)),
        Speaks::Http2OverTls => (Versions::Http2, format!("https://localhost:{}", round.tls)),
        Speaks::Http2 => (Versions::Http2, format!("http://127.0.0.1:{}", round.plain)),
    };
    let transport = Transport::builder()
        .versions(versions)
        .tls(tls.build().expect("the certificate is one"))
        .build()
        .expect("the settings can work");
    let base: Arc<str> = base.into();
    let mut asking = JoinSet::new();
    for client in 0..TOGETHER {
        let (round, transport, base) = (round.clone(), transport.clone(), Arc::clone(&base));
        let seed = round.number * 1000 + 500 + 10 * client + speaks as u64;
        asking.spawn(async move {
            let mut dice = Dice::new(seed);
            while round.goes_on() {
                one(&round, &transport, &base, speaks, &mut dice).await;
            }
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended.expect("no client panics");
    }
    transport.shutdown().await;
}

async fn one(round: &Round, transport: &Transport, base: &str, speaks: Speaks, dice: &mut Dice) {
    let asked = Asked::thrown(dice, Size::Any);
    let request = Request::builder()
        .method(asked.method)
        .uri(format!("{base}{}", asked.path))
        .header("x-token", &asked.token)
        .body(Body::from(asked.content.clone()))
        .expect("it is valid");
    let started = Instant::now();
    let told = |error: &Error, part: &str| {
        let (method, path, sent) = (asked.method, &asked.path, asked.content.len());
        let time = started.elapsed();
        let mut told = format!(
            "{speaks:?}: {method} {path} with {sent} bytes, {part} after {time:?}: {error}"
        );
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let _ = write!(told, ": {cause}");
            source = cause.source();
        }
        told
    };
    let response = match transport.send(request).await {
        Ok(response) => response,
        Err(error) if speaks == Speaks::Tls && error.is_closed_early() => {
            let connection = error.connection();
            let untouched = connection.filter(|it| it.reused && it.bytes_read == 0);
            let idle = untouched.and_then(|it| it.idle_for).unwrap_or_default();
            return round.tally.note_lost(idle, &told(&error, "no answer"));
        }
        // A session of HTTP/2 says which requests it has not seen: they are sent again.
        Err(error) => return round.tally.note_wrong(told(&error, "no answer")),
    };
    let status = response.status().as_u16();
    if dice.one_in(10) {
        // Dropped unread: drained, a connection lost, or a stream reset.
        return round.tally.abandoned();
    }
    let length = response.headers().get("content-length").cloned();
    let content = match response.into_body().bytes(16 << 20).await {
        Ok(content) => content.to_vec(),
        Err(error) => {
            let part = format!("an answer of {length:?} cut");
            return round.tally.note_wrong(told(&error, &part));
        }
    };
    let answer = Answer {
        status,
        content,
        says_close: false,
    };
    match asked.check(&answer) {
        Ok(()) => round.tally.right(1),
        Err(what) => round.tally.note_wrong(what),
    }
}
