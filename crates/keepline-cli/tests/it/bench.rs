//! `keepline bench`: what it counts, as the kernel and the server count it.

use std::process::Command;
use std::time::Duration;

use keepline_faults::{Fault, FaultServer, Plan};
use keepline_testkit::Process;
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::sockets::{Sockets, State};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::binary::{Counted, KEEPLINE, Ran, Served, run};

/// The line of details, and the summary.
fn told(ran: &Ran) -> [Value; 2] {
    let lines = ran.json();
    <[Value; 2]>::try_from(lines).expect("two lines")
}

#[tokio::test]
async fn requests_are_counted_and_each_connection_is_used() {
    let server = Served::start(&[]).await;
    for (args, connections) in [
        (&["-c", "7"][..], 7),
        (&["-c", "3", "--pipeline", "8"], 3),
        (&["-c", "5", "-t", "2"], 5),
    ] {
        let counted = Counted::start(server.port);
        let url = server.url("/delay/2");
        let fixed = ["bench", "--json", "-n", "1000", &url];
        let args: Vec<&str> = fixed.iter().chain(args).copied().collect();
        let ran = run(&args).await;
        assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""), "{ran:?}");
        let [details, summary] = told(&ran);
        assert_eq!(summary["requests"], 1000, "{args:?}");
        assert_eq!(
            (&summary["ok"], &summary["failed"]),
            (&json!(1000), &json!(0))
        );
        assert_eq!(
            summary["connections_opened"], connections,
            "{args:?}: {summary}"
        );
        assert_eq!(summary["closed"], json!({"shutdown": connections}));
        let ratio = summary["reuse_ratio"].as_f64().expect("a number");
        assert!((ratio - (1.0 - f64::from(connections) / 1000.0)).abs() < 1e-9);
        assert_eq!(details["answers"], json!({"HTTP/1.1 200": 1000}));
        let mean = details["requests_per_connection"]
            .as_f64()
            .expect("it is one");
        assert!((mean - 1000.0 / f64::from(connections)).abs() < 1e-9);
        assert!(
            details["most_requests_on_a_connection"]
                .as_f64()
                .expect("it is one")
                >= mean
        );
        // Only what was opened has handshakes, and of those only the ones that there were.
        let times = |phase: &str| details["phases"][phase]["times"].clone();
        assert_eq!(
            [times("wait"), times("first_byte"), times("body")],
            [1000; 3]
        );
        assert_eq!(times("tls"), 0);
        assert!(times("connect").as_i64().expect("a number") <= i64::from(connections));
        // No answer is faster than the server's delay.
        let p50 = summary["latency_us"]["p50"].as_u64().expect("a number");
        assert!(p50 >= 2000, "{summary}");
        assert_eq!(details["percentiles_us"]["50"], p50);
        assert_eq!(
            (&details["failures"], &details["missed"]),
            (&json!({}), &json!(0))
        );
        counted
            .assert(u64::try_from(connections).expect("it is small"))
            .await;
    }
}

#[tokio::test]
async fn a_run_has_its_time_and_people_see_percentiles() {
    let server = Served::start(&[]).await;
    let started = std::time::Instant::now();
    let ran = run(&["bench", "-d", "300ms", "-c", "2", &server.url("/")]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(started.elapsed().as_millis() >= 300);
    for expected in [
        " ok, 0 failed",
        "opened   2 connections: ",
        "rate ",
        "99.9%",
        "█",
        "carried  ",
        "HTTP/1.1 200",
        "first byte ",
        "tls             0      -",
        " on a reused connection had no handshake",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {ran:?}");
    }
}

/// With a rate, as many requests start as are due, and latencies count from when they were.
#[tokio::test]
async fn a_rate_is_kept_and_waiting_counts() {
    let server = Served::start(&[]).await;
    let ran = run(&[
        "bench",
        "--json",
        "-r",
        "500",
        "-n",
        "200",
        &server.url("/"),
    ])
    .await;
    let [details, summary] = told(&ran);
    assert_eq!((ran.code(), &summary["ok"]), (0, &json!(200)), "{ran:?}");
    // 199 intervals of 2 ms: they are not shorter.
    assert!(
        details["seconds"].as_f64().expect("a number") >= 0.397,
        "{details}"
    );
    // One connection, 20 ms each, a request every 5 ms: the fortieth has waited for 39 × 15 ms.
    let args = [
        "bench",
        "--json",
        "-c",
        "1",
        "-r",
        "200",
        "-n",
        "40",
        &server.url("/delay/20"),
    ];
    let ran = run(&args).await;
    let [_, summary] = told(&ran);
    let max = summary["latency_us"]["max"].as_u64().expect("a number");
    assert!(max >= 39 * 15_000, "{summary}");
    // And where the time is over before they can start, they are missed.
    let args = [
        "bench",
        "--json",
        "-c",
        "1",
        "-r",
        "200",
        "-d",
        "400ms",
        &server.url("/delay/20"),
    ];
    let ran = run(&args).await;
    let [details, summary] = told(&ran);
    assert!(
        details["missed"].as_u64().expect("a number") >= 40,
        "{details}"
    );
    assert!(
        summary["requests"].as_u64().expect("a number") <= 22,
        "{summary}"
    );
    assert!(ran.stderr.contains("could not start in time"), "{ran:?}");
}

#[tokio::test]
async fn content_method_and_fields_are_sent() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    let script = Script::new().repeat(2, Script::new().expect_head().read_exactly(4).send(ok));
    let peer = Peer::start(script.hold());
    let url = peer.url("/x?y");
    let args = [
        "bench", "--json", "-n", "2", "-c", "1", "--data", "data", "-X", "PUT", "-H", "a: b", &url,
    ];
    let ran = run(&args).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    let head = &peer.heads(0)[0];
    assert!(head.starts_with("PUT /x?y HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains("a: b\r\n") && head.contains("content-length: 4\r\n"),
        "{head}"
    );
    assert_eq!(told(&ran)[0]["content_bytes"], 4);
}

/// Failures are counted by kind, each kind is explained once, and the run goes on.
#[tokio::test]
async fn failures_are_counted_and_explained() {
    let server = Served::start(&[]).await;
    let url = server.url("/status/503");
    let ran = run(&["bench", "--json", "--fail", "-n", "50", "-c", "2", &url]).await;
    let [details, summary] = told(&ran);
    assert_eq!(ran.code(), 1);
    assert_eq!(
        (&summary["ok"], &summary["failed"]),
        (&json!(0), &json!(50))
    );
    assert_eq!(details["failures"], json!({"status 503": 50}));
    assert_eq!(details["answers"], json!({"HTTP/1.1 503": 50}));
    assert_eq!(
        summary["latency_us"],
        json!({"p50": null, "p99": null, "max": null})
    );
    assert_eq!(ran.stderr.matches("503 Service").count(), 1, "{ran:?}");

    let slow = server.url("/delay/60000");
    let ran = run(&[
        "bench",
        "--json",
        "-n",
        "6",
        "-c",
        "3",
        "--timeout",
        "50ms",
        &slow,
    ])
    .await;
    let [details, summary] = told(&ran);
    assert_eq!((ran.code(), &summary["failed"]), (1, &json!(6)), "{ran:?}");
    assert_eq!(details["failures"], json!({"timed out": 6}));
    assert_eq!(summary["closed"], json!({"cancelled": 6}));

    let refused = keepline_testkit::sockets::ReservedPort::new().unwrap();
    let url = format!("http://{}/", refused.addr());
    let ran = run(&["bench", "--json", "-n", "5", "-c", "2", &url]).await;
    assert_eq!(
        (ran.code(), &told(&ran)[0]["failures"]),
        (1, &json!({"refused": 5}))
    );
}

/// A server that never answers, and no timeout: the first interrupt starts no further request, the
/// second waits for none.
#[tokio::test]
async fn a_second_interrupt_drops_what_is_in_progress() {
    let peer = Peer::start_each((0..2).map(|_| Script::new().expect_head().hold()));
    let url = format!("http://{}/", peer.addr());
    let mut command = Command::new(KEEPLINE);
    command.args(["bench", "--json", "-c", "2", "--timeout", "0", &url]);
    let mut bench = Process::spawn(command);
    let open = Sockets::to_port(peer.addr().port()).in_state(State::Established);
    open.until(2).await;
    // Two that come at once are one to the kernel, so until it has heard two.
    let status = loop {
        bench.signal("INT");
        let soon = timeout(Duration::from_millis(50), bench.exited());
        if let Ok(status) = soon.await {
            break status;
        }
    };
    assert_eq!(status.code(), Some(1), "{}", bench.output());
    let output = bench.output();
    assert!(output.contains("broken off"), "{output}");
    assert!(output.contains(r#""connections_opened":2"#), "{output}");
}

/// Each phase is where the time went: a slow head is not a slow body.
#[tokio::test]
async fn a_slow_head_and_a_slow_body_are_told_apart() {
    let server = Served::start(&[]).await;
    // A byte of the content each 10 ms, from the first request on.
    let plan = Plan::new(Fault::SlowBody)
        .at(1)
        .every(Duration::from_millis(10));
    let faulty = FaultServer::start(plan).await.expect("a port is free");
    for (url, slow, quick) in [
        (server.url("/delay/60"), "first_byte", "body"),
        (faulty.url("/"), "body", "first_byte"),
    ] {
        let ran = run(&["bench", "--json", "-n", "3", "-c", "1", &url]).await;
        let phases = told(&ran)[0]["phases"].clone();
        let least = |phase: &str| phases[phase]["percentiles_us"]["50"].as_u64();
        assert!(least(slow).expect("a number") >= 59_000, "{phases}");
        assert!(least(quick) < least(slow), "{phases}");
    }
}

/// Over TLS the handshakes are those of the connections that were opened.
#[tokio::test]
async fn handshakes_of_tls_are_counted_once_for_each_connection() {
    let server = Served::start(&["--tls-self-signed"]).await;
    let url = format!("https://127.0.0.1:{}/", server.port);
    let args = ["bench", "--json", "-k", "--http1", "-n", "40", "-c", "4"];
    let ran = run(&[&args[..], &[&url]].concat()).await;
    let [details, summary] = told(&ran);
    assert_eq!((ran.code(), &summary["ok"]), (0, &json!(40)), "{ran:?}");
    assert_eq!(summary["connections_opened"], 4);
    assert_eq!(details["phases"]["tls"]["times"], 4, "{details}");
    assert!(details["phases"]["tls"]["percentiles_us"]["50"].as_u64() > Some(0));
}

#[tokio::test]
async fn wrong_usage_is_status_2() {
    for args in [
        &["bench"][..],
        &["bench", "-c", "0", "http://localhost/"],
        &["bench", "-n", "1", "-d", "1s", "http://localhost/"],
        &["bench", "-c", "1", "-t", "2", "http://localhost/"],
        &["bench", "-r", "0", "http://localhost/"],
        &["bench", "--http1", "--http2", "http://localhost/"],
        &["bench", "--http2", "--pipeline", "2", "http://localhost/"],
        &["bench", "--streams", "2", "http://localhost/"],
    ] {
        assert_eq!(run(args).await.code(), 2, "{args:?}");
    }
    let ran = run(&["bench", "localhost"]).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr.contains("it has no scheme"), "{ran:?}");
}
