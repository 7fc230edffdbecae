//! How many upstream connections a load needs.

use std::net::SocketAddr;
use std::path::Path;
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
    // Again where the machine was too busy for its figures to say anything.
    while origin.requests() < 10 * AT_MOST {
        load(&wrk, port.addr()).await;
    }
    let (opened, requests) = (origin.connections(), origin.requests());
    say(&format!(
        "reuse: {requests} requests on {opened} upstream connections"
    ));
    assert!(
        opened <= AT_MOST,
        "{opened} connections for {requests} requests"
    );
    let reused = 1.0 - opened as f64 / requests as f64;
    // Nine in ten already where there are few requests for the connections that there have to be.
    let expected = if requests > 1000 * AT_MOST {
        0.999
    } else {
        0.9
    };
    assert!(reused >= expected, "{opened} for {requests}");
}

async fn load(wrk: &Path, gateway: SocketAddr) {
    let seconds = duration().as_secs().to_string();
    let mut command = Command::new(wrk);
    command.args(["-t", "4", "-c", &CLIENTS.to_string(), "-d", &seconds]);
    command.arg(format!("http://{gateway}/"));
    let output = tokio::process::Command::from(command).output();
    let ran = output.await.expect("wrk can be started");
    let ran = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.contains("requests in"), "{ran}");
    assert!(
        !ran.contains("Non-2xx") && !ran.contains("Socket errors"),
        "{ran}"
    );
}
