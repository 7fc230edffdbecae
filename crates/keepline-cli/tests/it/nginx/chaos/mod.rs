//! Chaos: backends that fail at the worst moment and clients that misbehave, all at once, and never
//! a response for another request.
//!
//! Each request has a token that no other has. The backend echoes it and fills the content with it,
//! so that each byte of each answer tells whose it is; the request's content is checked by the
//! backend in the same way. What may come back follows from the token and the fault in the path
//! (`plan`), so a run needs no record and a million requests no memory.
//!
//! One thing is left out, because no gateway can tell: a backend that sends a response nobody asked
//! for *after* it was handed the next request. What is there when a response ends is another matter,
//! and a part of this.
//!
//! `KEEPLINE_CHAOS=1000000` asks for so many answers, `KEEPLINE_CHAOS_SEED` repeats a run as far as
//! time allows: `./dev chaos [REQUESTS]`.

mod backend;
mod client;
mod plan;
mod smuggled;
mod tally;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use keepline_testkit::peers;
use keepline_testkit::sockets::ReservedPort;
use tokio::task::JoinSet;

use self::plan::Fault;
use self::tally::Tally;
use super::conf::Parts;
use super::gateway::Subject;
use super::{say, told};
use crate::dice::Dice;

/// How many answers a run asks for unless it is told otherwise.
const REQUESTS: u64 = 3_000;
const CLIENTS: u64 = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_never_gives_an_answer_to_another_request() {
    if let Some(nginx) = peers::require("nginx131") {
        // It passes what is no response on as if it were HTTP/0.9, but keeps the client's
        // connection: where that answer ends nobody can tell.
        run(Subject::Nginx(nginx), Some(Fault::NoStatusLine)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keepline_never_gives_an_answer_to_another_request() {
    run(Subject::Keepline, None).await;
}

async fn run(subject: Subject, left_out: Option<Fault>) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let requests = told("KEEPLINE_CHAOS", REQUESTS);
    let seed = told("KEEPLINE_CHAOS_SEED", now);
    let tally = Arc::new(Tally::new(requests, left_out));
    let backend = backend::listen(Arc::clone(&tally)).await;
    let port = ReservedPort::new().expect("a port is free");
    let gateway = subject.start(&[&parts(&port, &backend)], port.port()).await;

    let began = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (tally, addr) = (Arc::clone(&tally), port.addr());
        let dice = Dice::new(seed.wrapping_mul(CLIENTS).wrapping_add(number));
        clients.spawn(async move { client::ask(addr, &tally, dice, requests).await });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("a client does not panic");
    }
    say(&report(&tally, seed, began.elapsed()));
    let wrongs = tally.all_wrongs();
    assert!(wrongs.is_empty(), "seed {seed}:\n{wrongs}");
    let log = gateway.error_log();
    let alert = log.lines().find(|line| line.contains("[alert]"));
    assert_eq!(alert, None, "the gateway found a bug in itself");
}

fn parts(port: &ReservedPort, backend: &impl Display) -> Parts {
    Parts {
        main: "worker_processes 2;\n".to_owned(),
        http: format!(
            "access_log off;\n\
            proxy_read_timeout 1s;\n\
            client_max_body_size 0;\n\
            lingering_timeout 1s;\n\
            upstream pool {{ server {backend}; keepalive 64; }}\n\
            server {{\n\
            listen {};\n\
            location /buffered/ {{ proxy_pass http://pool; }}\n\
            location /unbuffered/ {{\n\
            proxy_buffering off; proxy_request_buffering off; proxy_pass http://pool;\n\
            }}\n}}\n",
            port.addr()
        ),
    }
}

fn report(tally: &Tally, seed: u64, took: Duration) -> String {
    let counted = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "chaos, seed {seed}: {} answers in {:.1} s: {} whole, {} cut, {} refused; \
        {} requests without one; the backend saw {} requests on {} connections",
        counted(&tally.checked),
        took.as_secs_f64(),
        counted(&tally.whole),
        counted(&tally.cut),
        counted(&tally.refused),
        counted(&tally.unanswered),
        counted(&tally.upstream_requests),
        counted(&tally.upstream_connections),
    )
}
