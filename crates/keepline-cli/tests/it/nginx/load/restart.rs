//! One of two backends is killed and started again, over and over, under load.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use keepline_testkit::{peers, until};
use tokio::time::sleep;

use super::asker::{Askers, Failure, Outcome};
use super::origin::Origin;
use super::{ENOUGH, duration, start};
use crate::nginx::gateway::Subject;
use crate::nginx::say;

/// How long it is down, and how long up.
const PAUSE: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_fails_no_idempotent_request_and_no_post_that_it_could_have_sent_again() {
    if let Some(nginx) = peers::require("nginx131") {
        survives(&Subject::Nginx(nginx)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keepline_fails_no_idempotent_request_and_no_post_that_it_could_have_sent_again() {
    survives(&Subject::Keepline).await;
}

async fn survives(subject: &Subject) {
    let steady = Origin::start(Duration::from_millis(1));
    let mut restarting = Origin::start(Duration::from_millis(1));
    // Its failures must not disable it: the point is to use it again.
    let upstream = format!(
        "server {}; server {} max_fails=0;",
        steady.addr(),
        restarting.addr()
    );
    let (gateway, port) = start(subject, 2, &upstream).await;
    let mut askers = Askers::start(32, port.addr(), &["GET", "PUT", "POST", "DELETE"]);
    let began = Instant::now();
    let mut restarts = 0;
    while began.elapsed() < duration() || askers.answered() < ENOUGH {
        sleep(PAUSE).await;
        restarting.kill().await;
        sleep(PAUSE).await;
        restarting.start_again();
        restarts += 1;
    }
    let answered = askers.answered();
    let failures = askers.stop().await;
    say(&format!(
        "restart: {answered} answered over {restarts} restarts, {} of them by the restarted; {} POSTs failed",
        restarting.requests(),
        failures.len()
    ));
    let log = until("the log of all failures", || {
        let log = attempts(&gateway.log("access.log"));
        let is_there = |failure: &Failure| log.contains_key(&failure.token);
        failures.iter().all(is_there).then_some(log)
    })
    .await;
    for failure in &failures {
        assert_eq!(failure.method, "POST", "{failure:?} could be sent again");
        assert!(
            matches!(failure.outcome, Outcome::Refused(_)),
            "{failure:?}"
        );
        // What was never sent to the server that failed can't have been carried out there.
        let sent = &log[&failure.token];
        assert_ne!(
            sent.last().map(String::as_str),
            Some("0"),
            "{failure:?}: {sent:?}"
        );
    }
}

/// How many bytes each attempt of a request has sent, by token.
fn attempts(log: &str) -> HashMap<u64, Vec<String>> {
    let of_line = |line: &str| {
        let token = line.split(' ').next()?.parse().ok()?;
        let sent = line.rsplit_once('[')?.1.trim_end_matches(']');
        let sent = sent.split([',', ':']).map(|bytes| bytes.trim().to_owned());
        Some((token, sent.collect()))
    };
    log.lines().filter_map(of_line).collect()
}
