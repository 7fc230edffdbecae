//! How many upstream connections a load needs.

use std::process::Command;
use std::time::Duration;

use keepline_testkit::peers;

use super::origin::Origin;
use super::{duration, start};
use crate::nginx::gateway::Subject;
use crate::nginx::say;

/// Connections of the clients, so at most that many requests at a time.
const CLIENTS: u64 = 64;
/// Each waits for a dial that another request left over, but not if that takes long.
const AT_MOST: u64 = 70;

/// One worker has one pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_of_nginx_opens_a_connection_for_each_client() {
    if let Some(nginx) = peers::require("nginx131") {
        opens_few(&Subject::Nginx(nginx), 1).await;
    }
}

/// As many workers as one likes, and still one pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_of_keepline_open_a_connection_for_each_client() {
    opens_few(&Subject::Keepline, 4).await;
}

async fn opens_few(subject: &Subject, workers: usize) {
    let Some(wrk) = peers::require("wrk") else {
        return;
    };
    let origin = Origin::start(Duration::ZERO);
    let upstream = format!("server {};", origin.addr());
    let (_gateway, port) = start(subject, workers, &upstream).await;
    let mut command = Command::new(wrk);
    let seconds = duration().as_secs().to_string();
    command.args(["-t", "2", "-c", &CLIENTS.to_string(), "-d", &seconds]);
    command.arg(format!("http://{}/", port.addr()));
    let output = tokio::process::Command::from(command).output();
    let ran = output.await.expect("wrk can be started");
    let ran = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.contains("requests in"), "{ran}");
    assert!(
        !ran.contains("Non-2xx") && !ran.contains("Socket errors"),
        "{ran}"
    );

    let (opened, requests) = (origin.connections(), origin.requests());
    say(&format!(
        "reuse: {requests} requests on {opened} upstream connections"
    ));
    assert!(
        opened <= AT_MOST,
        "{opened} connections for {requests} requests"
    );
    // What is 99.9 % when there are enough requests for it to be.
    assert!(requests > 10 * AT_MOST, "only {requests} requests:\n{ran}");
}
