//! Many requests over real sockets to a server that does anything a server may do, at random: each
//! request gets its own answer or an error, never another's, and in the end nothing is left.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body::Body as _;
use keepline::net::Stream;
use keepline::{Error, Transport};
use keepline_testkit::sockets::{Sockets, State};
use keepline_testkit::stream::duplex;
use keepline_testkit::within;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::support::{exchange, get, ok};
use super::leaves_nothing;

/// Numbers that look random, the same in each run.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % below
    }
}

/// One connection of the server: answers with the path that was asked for, in some form, in some
/// pieces, after some time; or ends it.
async fn serve<S>(mut tcp: S, mut random: Random, talks_nonsense: bool, slowest: u64)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut unread = Vec::new();
    for _ in 0..random.below(60) {
        // The client may go at any time.
        let Some(head) = next_head(&mut tcp, &mut unread).await else {
            return;
        };
        let token = head.split(' ').nth(1).expect("a target").to_owned();
        let is_last = random.below(40) == 0;
        let close = if is_last { "connection: close\r\n" } else { "" };
        let answer = match random.below(6) {
            0 => format!(
                "HTTP/1.1 200 OK\r\n{close}transfer-encoding: chunked\r\n\r\n{:x}\r\n{token}\r\n0\r\n\r\n",
                token.len()
            ),
            1 => format!("HTTP/1.1 103 Early Hints\r\n\r\n{}", ok(&token)),
            2 => {
                let padded = format!("{token:>width$}", width = 50_000);
                ok(&padded)
            }
            _ => format!(
                "HTTP/1.1 200 OK\r\n{close}content-length: {}\r\n\r\n{token}",
                token.len()
            ),
        };
        if random.below(25) == 0 {
            tokio::time::sleep(Duration::from_millis(random.below(slowest))).await;
        }
        // Now and then it dies within an answer, or breaks the protocol.
        let cut = match random.below(60) {
            0 => random.below(answer.len() as u64) as usize,
            _ => answer.len(),
        };
        let pieces = match random.below(3) {
            0 => 1 + random.below(100) as usize,
            _ => answer.len(),
        };
        for piece in answer.as_bytes()[..cut].chunks(pieces.max(answer.len() / 50 + 1)) {
            if tcp.write_all(piece).await.is_err() {
                return;
            }
            if random.below(200) == 0 {
                tokio::time::sleep(Duration::from_millis(random.below(slowest))).await;
            }
        }
        if cut < answer.len() || (is_last && answer.contains("close")) {
            return;
        }
        if talks_nonsense && random.below(200) == 0 {
            let _ = tcp.write_all(b"nonsense\r\n\r\n").await;
            return;
        }
    }
}

/// The next head, if the client sends one.
async fn next_head(tcp: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(length) = keepline_testkit::head_length(unread) {
            let head: Vec<u8> = unread.drain(..length).collect();
            return Some(String::from_utf8(head).unwrap());
        }
        if tcp.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_ever_somebody_elses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        for seed in 1.. {
            let (tcp, _) = listener.accept().await.unwrap();
            // A server that does so once is not pipelined to any more.
            tokio::spawn(serve(tcp, Random(seed), seed % 40 == 39, 5));
        }
    });
    let mut pipelined = 0;
    for round in 0..10 {
        pipelined += ask_often(addr, round).await;
    }
    assert!(pipelined > 1000, "{pipelined} pipelined of 8,000");
    server.abort();
    Sockets::to_port(addr.port())
        .in_state(State::Established)
        .until(0)
        .await;
}

/// Forty workers with twenty requests each, on a new Transport. Answers how many were pipelined.
async fn ask_often(addr: SocketAddr, round: u64) -> u64 {
    let transport = Transport::builder()
        .pipeline(8)
        .max_connections_per_key(6)
        .build()
        .unwrap();
    let workers: Vec<_> = (0..40)
        .map(|worker| tokio::spawn(ask(transport.clone(), addr, round * 100 + worker)))
        .collect();
    let mut answered = 0;
    for worker in workers {
        answered += within("a worker", worker).await.unwrap();
    }
    assert!(answered > 500, "{answered} of 800");
    let stats = super::super::support::stats(&transport);
    leaves_nothing(&transport).await;
    stats.pipelined
}

/// One worker, who sometimes gives up. Answers how many requests were answered.
async fn ask(transport: Transport, addr: SocketAddr, worker: u64) -> u64 {
    let mut random = Random(1000 + worker);
    let mut answered = 0;
    for number in 0..20 {
        let token = format!("/{worker}-{number}");
        let answer = exchange(&transport, get(&format!("http://{addr}{token}")));
        let outcome: Option<Result<_, Error>> = match random.below(10) {
            0 => {
                let time = Duration::from_micros(random.below(3000));
                tokio::time::timeout(time, answer).await.ok()
            }
            _ => Some(within("an answer", answer).await),
        };
        if let Some(Ok((text, _))) = outcome {
            assert_eq!(text.trim_start(), token);
            answered += 1;
        }
    }
    answered
}

/// Schedules at random where time is paused, so that all waits come about: answers of up to three
/// seconds, requests that give up meanwhile, readers that stop, and few connections.
#[test]
fn whatever_the_schedule_each_gets_its_own_answer_and_nobody_waits_for_ever() {
    for seed in 0..60 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(one_schedule(seed));
    }
}

async fn one_schedule(seed: u64) {
    let accepted = AtomicU64::new(0);
    let transport = Transport::builder()
        .connector(move |_| {
            let (near, far) = duplex(1 << 16);
            let number = accepted.fetch_add(1, Ordering::Relaxed);
            let random = Random(seed * 1000 + number);
            tokio::spawn(serve(far, random, number % 10 == 9, 3000));
            async move { Ok(Stream::new(near)) }
        })
        .pipeline(1 + 1 + seed as usize % 7)
        .max_connections_per_key(1 + seed as usize % 5)
        .retry(!seed.is_multiple_of(4))
        .build()
        .unwrap();
    let mut random = Random(seed);
    let mut asked = Vec::new();
    for number in 0..60 {
        let own = Random(random.below(1 << 30));
        asked.push(tokio::spawn(one_request(transport.clone(), number, own)));
        if random.below(4) == 0 {
            tokio::time::sleep(Duration::from_millis(random.below(1500))).await;
        }
    }
    // In all, an hour of a time that passes when nothing else happens.
    let all = async {
        for asked in asked {
            asked.await.unwrap();
        }
    };
    let is_over = tokio::time::timeout(Duration::from_secs(3600), all).await;
    assert!(is_over.is_ok(), "schedule {seed}: somebody waits for ever");
    let shutdown = tokio::time::timeout(Duration::from_secs(3600), transport.shutdown());
    assert!(shutdown.await.is_ok(), "schedule {seed}");
    let stats = super::super::support::stats(&transport);
    assert_eq!(
        (stats.open(), stats.dialling, stats.waiting),
        (0, 0, 0),
        "schedule {seed}"
    );
}

async fn one_request(transport: Transport, number: u64, mut random: Random) {
    let token = format!("/{number}");
    let mut request = get(&format!("http://a{token}"));
    if random.below(5) == 0 {
        *request.method_mut() = http::Method::DELETE;
    }
    let (stops, pause, drops) = (random.below(6), random.below(2000), random.below(8));
    let whole = async {
        let mut body = transport.send(request).await?.into_body();
        if stops == 0 {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        if drops == 0 {
            let first = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            drop((first, body));
            return Ok(None);
        }
        Ok::<_, Error>(Some(body.text(1 << 20).await?))
    };
    let patience = match random.below(5) {
        0 => Duration::from_millis(random.below(4000)),
        _ => Duration::from_secs(3000),
    };
    // That there is an answer in the end is what is looked at; which errors there are is up to the
    // server, which cuts and lies.
    match tokio::time::timeout(patience, whole).await {
        Ok(Ok(Some(text))) => assert_eq!(text.trim_start(), token),
        Ok(Ok(None) | Err(_)) => {}
        Err(_) => assert!(patience.as_secs() < 3000, "{token} waits for ever"),
    }
}
