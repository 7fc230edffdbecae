//! `keepline serve` under everything at once: requests of all kinds, slow readers and writers, clients
//! that leave or send garbage, pipelines, TLS and HTTP/2; for seconds, or for as many minutes as
//! `./dev soak server MINUTES` says.
//!
//! The load comes in rounds, and between them there is none. So flat is a fact and no trend to be
//! guessed: after each round the servers have as many files open as before the first, and after the
//! last one little more memory than after the first, which warms them up.

mod asked;
mod loads;
mod rude;
mod tally;
mod typed;
pub(crate) mod wire;

use std::sync::Arc;
use std::time::Duration;

use keepline_testkit::process_facts::{open_files, resident_bytes};
use keepline_testkit::{ScratchDir, certs, until};
use tokio::time::Instant;

use self::loads::Round;
use self::tally::Tally;
use crate::binary::{Served, run};
use crate::long::{say, told};

/// What a server may hold after the last round more than after the warm-up: what its allocator kept
/// of the busiest moment, which is another in each round. A leak of 100 bytes an answer would need
/// a minute to get there.
const GROWTH: u64 = 8 << 20;
/// How long the servers let a connection be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Rounds that warm up, at most.
const WARM_UP: usize = 3;

/// A server, and what it was like before the load.
struct Subject {
    server: Served,
    files: usize,
    /// After each round, at rest.
    resident: Vec<u64>,
}

impl Subject {
    async fn start(name: &str, tls: &[&str]) -> Self {
        // Connections end for all reasons that there are.
        let idle = format!("{}s", IDLE_TIMEOUT.as_secs());
        let short = ["--workers", "2", "--idle-timeout", &idle, "--max-age", "9s"];
        let args = [&short[..], &["--max-requests", "1000"], tls].concat();
        let server = Served::start(&args).await;
        let warm = run(&["get", "-k", "-n", "8", "-c", "4", &server.url("/")]).await;
        assert_eq!(warm.code(), 0, "{warm:?}");
        let files = settled(&server, 0).await;
        say(&format!("{name}: {files} files before"));
        Self {
            server,
            files,
            resident: Vec::new(),
        }
    }

    /// Notes what it is like when the clients of a round have gone.
    async fn rest(&mut self) -> String {
        let files = settled(&self.server, self.files).await;
        assert_eq!(files, self.files, "as many files as before");
        let resident = resident_bytes(self.server.process.id()).expect("it runs");
        self.resident.push(resident);
        format!("{:.1} MiB", resident as f64 / f64::from(1 << 20))
    }

    fn assert_flat(&self) {
        let (warm_up, later) = self.resident.split_at(WARM_UP.min(self.resident.len() / 2));
        let before = warm_up.iter().max().expect("there are rounds");
        let after = later.last().expect("there are rounds");
        assert!(*after <= before + GROWTH, "{:?}", self.resident);
    }

    async fn assert_adds_up(&self) {
        let stats = run(&["get", "-k", &self.server.url("/stats")]).await;
        let stats = &stats.json()[0];
        let closed = stats["closed"].as_object().expect("reasons");
        let closed: u64 = closed.values().filter_map(serde_json::Value::as_u64).sum();
        let (opened, open) = (stats["opened"].as_u64(), stats["open"].as_u64());
        assert_eq!(opened, open.map(|open| open + closed), "{stats}");
        say(&format!("{stats}"));
    }
}

/// Open files once all connections are gone: `wanted`, or (0) as many as do not change.
async fn settled(server: &Served, wanted: usize) -> usize {
    let pid = server.process.id();
    let is_alone = async || {
        let port = server.port;
        until("connections to be gone", move || {
            let sockets = keepline_testkit::sockets::Sockets::on_port(port);
            let established = sockets.in_state(keepline_testkit::sockets::State::Established);
            (established.count() == 0).then_some(())
        })
        .await;
    };
    is_alone().await;
    let mut last = usize::MAX;
    until(format!("{wanted} open files"), || {
        let files = open_files(pid).ok()?;
        let is_settled = files == wanted || (wanted == 0 && files == last);
        last = files;
        is_settled.then_some(files)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stays_as_it_was_under_everything_at_once() {
    let seconds: u64 = told("KEEPLINE_SOAK_SERVER", 3);
    // At least one to warm up and one to compare; of ten seconds each where there is time.
    let rounds = (seconds / 10).max(3);
    let length = Duration::from_secs(seconds) / u32::try_from(rounds).expect("some hours");
    let scratch = ScratchDir::new("soak");
    let (cert, key) = certs::server().write_to(&scratch);
    let [cert, key] = [&cert, &key].map(|path| path.to_str().expect("it is ASCII"));
    let mut plain = Subject::start("plain", &[]).await;
    let mut tls = Subject::start("TLS", &["--tls-cert", cert, "--tls-key", key]).await;
    let tally = Arc::new(Tally::default());
    for number in 1..=rounds {
        let round = Round {
            number,
            plain: plain.server.port,
            tls: tls.server.port,
            ends: Instant::now() + length,
            tally: Arc::clone(&tally),
        };
        round.play().await;
        let memory = (plain.rest().await, tls.rest().await);
        let (plain, tls) = memory;
        say(&format!(
            "round {number} of {rounds}: {tally}; at rest {plain}, TLS {tls}"
        ));
        assert_eq!(tally.wrong(), Vec::<String>::new());
    }
    for subject in [&plain, &tls] {
        subject.assert_flat();
        subject.assert_adds_up().await;
    }
    for subject in [&mut plain, &mut tls] {
        subject.server.process.signal("TERM");
        assert_eq!(subject.server.process.exited().await.code(), Some(0));
    }
}
