//! HUP after HUP under load: nobody notices.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::asker::Askers;
use super::origin::Origin;
use super::{ENOUGH, duration, start};
use crate::nginx::gateway::Subject;
use crate::nginx::say;

const CLIENTS: usize = 32;

/// Nginx closes idle connections when it reloads, so its clients may lose a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_under_load_fails_no_request_and_closes_no_connection() {
    let origin = Origin::start(Duration::from_millis(1));
    let upstream = format!("server {};", origin.addr());
    let (gateway, port) = start(&Subject::Keepline, 2, &upstream).await;
    let mut askers = Askers::start(CLIENTS, port.addr(), &["GET", "POST"]);
    let began = Instant::now();
    let mut reloads = 0;
    while began.elapsed() < duration() || askers.answered() < ENOUGH {
        sleep(between(duration())).await;
        gateway.process.signal("HUP");
        reloads += 1;
    }
    let failures = askers.stop().await;
    let (answered, opened) = (askers.answered(), origin.connections());
    say(&format!(
        "reload: {answered} answered over {reloads} reloads, on {} connections of clients and \
        {opened} to the backend",
        askers.connections()
    ));
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(
        askers.connections(),
        CLIENTS as u64,
        "clients had to connect again"
    );
    // The upstream did not change, and so its pool stays.
    assert!(
        opened <= CLIENTS as u64,
        "{opened} connections to the backend"
    );
}

/// Once a second, or often enough in a short run.
fn between(duration: Duration) -> Duration {
    (duration / 8).min(Duration::from_secs(1))
}
