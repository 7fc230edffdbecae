//! Attacks on `keepline serve`, and the requests of others beside them.
//!
//! Each attack is many connections that do the same. What is claimed is structural: all of them are
//! closed by a limit, with its reason; whoever asks meanwhile is answered, and rightly; and the server's
//! memory stays within a bound. How long the others wait is a figure of a machine: `./dev attacks`
//! prints it, and no test depends on it.

mod http1;
mod http2;
mod others;

use std::time::Duration;

use keepline_testkit::process_facts::resident_bytes;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::others::Others;
use crate::binary::Served;
use crate::long::{say, told};
use crate::soak::wire::Wire;

/// What an attack may cost, in bytes. With 400 connections that is less than 100 KiB each, of which
/// a connection that sends or is sent something holds two buffers.
const MEMORY: u64 = 40 << 20;
/// An attacker that is not closed by then is not closed at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection of an attack, which ends when the server has ended it.
type Attacker = fn(u16) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

struct Attack {
    name: &'static str,
    connections: usize,
    /// Of the server, beyond [`LIMITS`].
    limits: &'static [&'static str],
    attacker: Attacker,
    /// Why the server closes the connections; none: it refuses what they ask, and they go.
    reasons: &'static [&'static str],
}

/// Short, so that attackers are closed soon.
const LIMITS: [&str; 8] = [
    "--head-timeout",
    "1s",
    "--body-timeout",
    "1s",
    "--write-timeout",
    "1s",
    "--idle-timeout",
    "1s",
];

macro_rules! attacker {
    ($attacker:path) => {
        |port| Box::pin($attacker(port))
    };
}

const ATTACKS: [Attack; 12] = [
    Attack {
        name: "slow loris",
        connections: 400,
        limits: &[],
        attacker: attacker!(http1::slow_loris),
        reasons: &["timeout"],
    },
    Attack {
        name: "slow read",
        connections: 200,
        limits: &[],
        attacker: attacker!(http1::slow_read),
        reasons: &["timeout"],
    },
    Attack {
        name: "silent post",
        connections: 400,
        limits: &[],
        attacker: attacker!(http1::silent_post),
        reasons: &["timeout"],
    },
    Attack {
        name: "slow post",
        connections: 400,
        limits: &["--body-progress", "100"],
        attacker: attacker!(http1::slow_post),
        reasons: &["timeout"],
    },
    Attack {
        name: "silent connections",
        connections: 400,
        limits: &[],
        attacker: attacker!(http1::say_nothing),
        reasons: &["timeout"],
    },
    Attack {
        name: "idle connections",
        connections: 400,
        limits: &["--max-connections", "100"],
        attacker: attacker!(http1::idle),
        reasons: &["idle-limit", "idle-timeout"],
    },
    Attack {
        name: "endless head",
        connections: 400,
        limits: &[],
        attacker: attacker!(http1::endless_head),
        reasons: &["protocol-error"],
    },
    Attack {
        name: "chunk extensions",
        connections: 400,
        limits: &[],
        attacker: attacker!(http1::chunk_extensions),
        reasons: &["protocol-error"],
    },
    Attack {
        name: "pipeline without reading",
        connections: 200,
        limits: &[],
        attacker: attacker!(http1::pipeline_without_reading),
        reasons: &["timeout"],
    },
    Attack {
        name: "endless CONTINUATION",
        connections: 100,
        limits: &[],
        attacker: attacker!(http2::endless_continuation),
        reasons: &["protocol-error"],
    },
    Attack {
        name: "HPACK bomb",
        connections: 100,
        limits: &[],
        attacker: attacker!(http2::hpack_bomb),
        reasons: &[],
    },
    Attack {
        name: "rapid reset",
        connections: 100,
        limits: &[],
        attacker: attacker!(http2::rapid_reset),
        reasons: &["protocol-error"],
    },
];

impl Attack {
    /// All its connections at once, again and again for `time`; how many there were.
    async fn play(&self, port: u16, time: Duration) -> usize {
        let ends = Instant::now() + time;
        let mut all = 0;
        loop {
            let mut attackers = JoinSet::new();
            for _ in 0..self.connections {
                attackers.spawn((self.attacker)(port));
            }
            all += self.connections;
            let ended = tokio::time::timeout(PATIENCE, async {
                while let Some(ended) = attackers.join_next().await {
                    ended.expect("no attacker panics");
                }
            });
            let left = || format!("{}: connections that nobody closes", self.name);
            ended.await.unwrap_or_else(|_| panic!("{}", left()));
            if Instant::now() >= ends {
                return all;
            }
        }
    }

    /// Why connections were closed, once all of the attack are counted.
    async fn closed(&self, port: u16, attackers: usize) -> Value {
        let attackers = u64::try_from(attackers).expect("not that many");
        let ends = Instant::now() + PATIENCE;
        loop {
            let closed = stats(port).await["closed"].clone();
            let counted = self
                .reasons
                .iter()
                .filter_map(|reason| closed[reason].as_u64());
            if self.reasons.is_empty() || counted.sum::<u64>() >= attackers {
                return closed;
            }
            assert!(Instant::now() < ends, "{}: {closed}", self.name);
        }
    }
}

async fn stats(port: u16) -> Value {
    let mut wire = Wire::connect(port).await.expect("it accepts");
    wire.send(b"GET /stats HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    let answer = wire.answer().await.expect("it answers");
    serde_json::from_slice(&answer.content).expect("JSON")
}

/// Plays an attack against a server of its own, for `time` or once.
async fn play(attack: Option<&Attack>, time: Duration) {
    let mut limits = LIMITS.to_vec();
    for pair in attack.map_or(&[][..], |attack| attack.limits).chunks(2) {
        limits.retain(|limit| *limit != pair[0]);
        limits.extend(pair);
    }
    // Values of flags that were replaced are left without their flag.
    let flags = limits.iter().enumerate();
    let args: Vec<_> = flags
        .filter(|(at, text)| {
            text.starts_with("--") || (*at > 0 && limits[at - 1].starts_with("--"))
        })
        .map(|(_, text)| *text)
        .collect();
    let server = Served::start(&args).await;
    let pid = server.process.id();
    stats(server.port).await;
    let before = resident_bytes(pid).expect("it runs");
    let others = Others::start(server.port, pid);
    let attackers = match attack {
        Some(attack) => attack.play(server.port, time).await,
        None => {
            tokio::time::sleep(time).await;
            0
        }
    };
    let seen = others.stop().await;
    let closed = match attack {
        Some(attack) => attack.closed(server.port, attackers).await,
        None => Value::Null,
    };
    let grown = seen.most_resident.saturating_sub(before);
    let name = attack.map_or("none", |attack| attack.name);
    say(&format!(
        "| {name} | {attackers} | {} | {} | {} | {:.1} | {closed} |",
        seen.answers,
        seen.percentile(50),
        seen.percentile(99),
        grown as f64 / f64::from(1 << 20)
    ));
    assert!(seen.answers > 0, "{name}: nobody else was answered");
    assert_eq!(seen.wrong, Vec::<String>::new(), "{name}");
    // Where connections are limited, one more than may be can meet a client before it has spoken.
    let may_refuse = attack.is_some_and(|attack| attack.reasons.contains(&"idle-limit"));
    assert!(
        may_refuse || seen.refused == 0,
        "{name}: {} refused",
        seen.refused
    );
    assert!(grown < MEMORY, "{name}: {grown} bytes more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_end_each_attack_and_others_are_answered_meanwhile() {
    let time = Duration::from_secs(told("KEEPLINE_ATTACKS", 0));
    say("| attack | connections | others' requests | p50 µs | p99 µs | MiB more | closed |");
    say("|---|--:|--:|--:|--:|--:|---|");
    if !time.is_zero() {
        play(None, time).await;
    }
    for attack in &ATTACKS {
        play(Some(attack), time).await;
    }
}
