//! Whoever has nothing to do with an attack: asks, checks, and takes the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keepline_testkit::process_facts::resident_bytes;
use tokio::task::JoinSet;

use crate::soak::wire::{Trouble, Wire};

/// Clients that ask again and again: half on a connection that persists, half on a new one each.
const CLIENTS: usize = 4;
/// Between two requests of a client: they are not a load of their own.
const PAUSE: Duration = Duration::from_millis(5);

/// They ask until they are stopped.
pub(super) struct Others {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Seen>,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) answers: usize,
    /// New connections that were closed without a word.
    pub(super) refused: usize,
    pub(super) wrong: Vec<String>,
    pub(super) most_resident: u64,
    micros: Vec<u128>,
}

impl Others {
    pub(super) fn start(port: u16, pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let stop = Arc::clone(&stop);
            clients.spawn(ask(port, pid, client, stop));
        }
        Self { stop, clients }
    }

    pub(super) async fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        while let Some(seen) = self.clients.join_next().await {
            let seen = seen.expect("no client panics");
            all.answers += seen.answers;
            all.refused += seen.refused;
            all.wrong.extend(seen.wrong);
            all.micros.extend(seen.micros);
            all.most_resident = all.most_resident.max(seen.most_resident);
        }
        all.micros.sort_unstable();
        all
    }
}

impl Seen {
    pub(super) fn percentile(&self, percent: usize) -> u128 {
        let at = self.micros.len() * percent / 100;
        self.micros.get(at).copied().unwrap_or(0)
    }
}

async fn ask(port: u16, pid: u32, client: usize, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut kept: Option<Wire> = None;
    let mut number = 0;
    // At least one each, however short the attack.
    while seen.wrong.is_empty() && (seen.answers == 0 || !stop.load(Ordering::Relaxed)) {
        number += 1;
        let token = format!("{client}-{number}");
        let started = Instant::now();
        let outcome = one(port, kept.take(), &token).await;
        match outcome {
            Ok(wire) => {
                seen.answers += 1;
                seen.micros.push(started.elapsed().as_micros());
                kept = Some(wire).filter(|_| client.is_multiple_of(2));
            }
            // It had been idle for longer than may be, or made room.
            Err(Trouble::Lost(_)) => {}
            Err(Trouble::Refused) => seen.refused += 1,
            Err(Trouble::Wrong(what)) => seen.wrong.push(what),
        }
        let resident = resident_bytes(pid).expect("it runs");
        seen.most_resident = seen.most_resident.max(resident);
        tokio::time::sleep(PAUSE).await;
    }
    seen
}

async fn one(port: u16, kept: Option<Wire>, token: &str) -> Result<Wire, Trouble> {
    let mut wire = match kept {
        Some(wire) => wire,
        None => Wire::connect(port).await?,
    };
    let request = format!("GET /headers HTTP/1.1\r\nhost: x\r\nx-token: {token}\r\n\r\n");
    wire.send(request.as_bytes()).await;
    let answer = wire.answer().await?;
    let content = String::from_utf8_lossy(&answer.content);
    if answer.status == 200 && content.contains(&format!("\"x-token\":\"{token}\"")) {
        return Ok(wire);
    }
    Err(Trouble::Wrong(format!("{}: {content}", answer.status)))
}
