//! QUIT under load: what has begun is finished.

use std::time::Duration;

use keepline_testkit::{peers, until};

use super::asker::{Askers, Outcome};
use super::origin::Origin;
use super::start;
use crate::nginx::gateway::Subject;
use crate::nginx::say;

const CLIENTS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_finishes_what_it_has_begun() {
    if let Some(nginx) = peers::require("nginx131") {
        finishes(&Subject::Nginx(nginx)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keepline_finishes_what_it_has_begun() {
    finishes(&Subject::Keepline).await;
}

/// Slow enough that nearly all clients wait for an answer at any moment.
async fn finishes(subject: &Subject) {
    let origin = Origin::start(Duration::from_millis(100));
    let upstream = format!("server {};", origin.addr());
    let (mut gateway, port) = start(subject, 2, &upstream).await;
    let mut askers = Askers::start(CLIENTS, port.addr(), &["GET", "POST"]);
    until("every client to have asked", || {
        (origin.requests() >= 2 * CLIENTS as u64).then_some(())
    })
    .await;
    gateway.process.signal("QUIT");
    let status = gateway.exited().await;
    assert!(status.success(), "{status}");
    let failures = askers.stop().await;
    say(&format!(
        "stop: {} answered of {} that the backend got, on {} connections of clients",
        askers.answered(),
        origin.requests(),
        askers.connections()
    ));
    for failure in &failures {
        // A request can cross the end of an idle connection; an answer that began can't.
        let has_begun = !matches!(failure.outcome, Outcome::NoConnection | Outcome::Unanswered);
        assert!(!has_begun, "{failure:?}");
    }
    assert_eq!(askers.answered(), origin.requests(), "{failures:?}");
}
