//! The gateway under load: how many connections it needs, and what its users see when a backend
//! restarts, when it is told to reload, and when it is told to stop.
//!
//! Each test runs for two seconds, or for `KEEPLINE_SOAK` seconds: `./dev soak [SECONDS]`.

mod asker;
mod origin;
mod reload;
mod restart;
mod reuse;
mod stop;

use std::time::Duration;

use keepline_testkit::sockets::ReservedPort;

use super::conf::Parts;
use super::gateway::{Gateway, Subject};
use super::told;

/// Answers that a run goes on for, however long they take: with fewer it says little.
const ENOUGH: u64 = 500;

fn duration() -> Duration {
    Duration::from_secs(told("KEEPLINE_SOAK", 2))
}

/// A gateway with nothing in its way: connections are never closed for their number of requests.
async fn start(subject: &Subject, workers: usize, upstream: &str) -> (Gateway, ReservedPort) {
    let port = ReservedPort::new().expect("a port is free");
    let parts = Parts {
        main: format!("worker_processes {workers};\n"),
        http: format!(
            "log_format attempts '$http_x_token $status $request_method \
            [$upstream_addr] [$upstream_status] [$upstream_bytes_sent]';\n\
            access_log logs/access.log attempts;\n\
            keepalive_requests 1000000000;\n\
            upstream origin {{ {upstream} keepalive 128; keepalive_requests 1000000000; }}\n\
            server {{ listen {}; location / {{ proxy_pass http://origin; }} }}\n",
            port.addr()
        ),
    };
    let gateway = subject.start(&[&parts], port.port()).await;
    (gateway, port)
}
