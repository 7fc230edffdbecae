//! What goes to which output, in which form, and the exit status.

use std::process::Stdio;

use keepline_testkit::{ScratchDir, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::binary::{KEEPLINE, Served, run};

#[tokio::test]
async fn one_request_is_its_body() {
    let server = Served::start(&[]).await;
    let ran = run(&["get", &server.url("/")]).await;
    assert_eq!(
        (ran.code(), ran.stdout.as_str(), ran.stderr.as_str()),
        (0, "Hello, World!", "")
    );
    let ran = run(&["get", "--read-lines", "2", &server.url("/lines/1000")]).await;
    assert_eq!(ran.stdout.lines().count(), 2);
    assert_eq!(ran.stdout.len(), 64);
    let ran = run(&["get", "-X", "HEAD", "-v", &server.url("/bytes/100")]).await;
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("< content-length: 100\n"), "{ran:?}");
}

#[tokio::test]
async fn a_body_can_go_to_a_file() {
    let server = Served::start(&[]).await;
    let scratch = ScratchDir::new("output");
    let file = scratch.write("body", "what was there");
    let path = file.to_str().expect("it is ASCII");
    // A request that is never answered leaves what was there.
    assert_eq!(
        run(&["get", "-o", path, "http://127.0.0.1:1/"])
            .await
            .code(),
        1
    );
    assert_eq!(
        std::fs::read(&file).expect("it is there"),
        b"what was there"
    );
    let ran = run(&["get", "-o", path, &server.url("/")]).await;
    assert_eq!((ran.code(), ran.stdout.as_str()), (0, ""));
    assert_eq!(std::fs::read(&file).expect("it is there"), b"Hello, World!");
    let ran = run(&["get", "-o", "/no/such/dir/x", &server.url("/")]).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr.contains("No such file"), "{ran:?}");
}

#[tokio::test]
async fn several_requests_are_a_row_each_and_a_summary() {
    let server = Served::start(&[]).await;
    let ran = run(&["get", "-n", "3", &server.url("/")]).await;
    let lines: Vec<_> = ran.stdout.lines().collect();
    let [
        heading,
        rows @ ..,
        empty,
        requests,
        opened,
        closed,
        reuse,
        latency,
    ] = &lines[..]
    else {
        panic!("{ran:?}");
    };
    assert!(heading.starts_with("#  status  connection  reused"));
    let words: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(words[0][..5], ["1", "200", "1", "no", "first"]);
    assert_eq!(words[1][..4], ["2", "200", "1", "yes"]);
    assert_eq!(words[2][..4], ["3", "200", "1", "yes"]);
    assert_eq!(*empty, "");
    assert!(requests.starts_with("3 requests in "), "{ran:?}");
    assert!(requests.ends_with(": 3 ok, 0 failed, 0 retried"), "{ran:?}");
    assert_eq!(*opened, "opened   1 connection: 1 first");
    assert_eq!(*closed, "closed   1 connection: 1 shutdown");
    assert_eq!(
        *reuse,
        "reuse    2 of 3 requests on a connection that had carried one before"
    );
    assert!(latency.starts_with("latency  p50 "), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}'), "no colours in a pipe");
}

#[tokio::test]
async fn json_is_a_line_each_and_the_summary_last() {
    let server = Served::start(&[]).await;
    let ran = run(&["get", "--json", "-n", "3", &server.url("/bytes/7")]).await;
    let lines = ran.json();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[1]["request"], 2);
    assert_eq!(lines[1]["status"], 200);
    assert_eq!(lines[1]["bytes"], 7);
    assert_eq!(lines[1]["connection"]["reused"], true);
    assert_eq!(lines[1]["connection"]["exchange"], 2);
    let keys: Vec<_> = lines[3]
        .as_object()
        .expect("it is an object")
        .keys()
        .collect();
    let contract = [
        "requests",
        "ok",
        "failed",
        "connections_opened",
        "reuse_ratio",
        "opened",
        "closed",
        "retries",
        "latency_us",
    ];
    assert_eq!(keys, contract);
    // Also a single request.
    assert_eq!(
        run(&["get", "--json", &server.url("/")]).await.json().len(),
        2
    );
}

#[tokio::test]
async fn heads_and_events_are_told_on_standard_error() {
    let server = Served::start(&[]).await;
    let url = server.url("/echo");
    let ran = run(&["get", "-v", "--trace", "-d", "a=b", "-H", "x-test: 1", &url]).await;
    assert_eq!(ran.stdout, "a=b");
    for part in [
        "> POST /echo HTTP/1.1\n",
        "> x-test: 1\n",
        "> content-type: application/x-www-form-urlencoded\n",
        "> content-length: 3\n",
        "< HTTP/1.1 200 OK\n",
        "< content-length: 3\n",
        "#1 opened connection 1 to 127.0.0.1:",
        "#1 answered 200",
        "closed a connection: shutdown\n",
    ] {
        assert!(ran.stderr.contains(part), "{part:?} is missing: {ran:?}");
    }
    let ran = run(&["get", "--trace", "-n", "2", &server.url("/")]).await;
    assert!(ran.stderr.contains("#2 reused connection 1"), "{ran:?}");
}

#[tokio::test]
async fn content_is_read_from_a_file() {
    let server = Served::start(&[]).await;
    let scratch = ScratchDir::new("data");
    let data = scratch.write("data", vec![b'x'; 100_000]);
    let data = format!("@{}", data.display());
    let ran = run(&["get", "-X", "PUT", "-d", &data, &server.url("/echo")]).await;
    assert_eq!(ran.stdout.len(), 100_000);
    let ran = run(&["get", "-d", "@/no/such/file", &server.url("/echo")]).await;
    assert_eq!(ran.code(), 1);
    assert!(
        ran.stderr.contains("/no/such/file: No such file"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let server = Served::start(&[]).await;
    for args in [["get", "-n", "100000"], ["get", "--max-idle", "1"]] {
        let mut get = Command::new(KEEPLINE)
            .args(args)
            .arg(server.url("/lines/10000000"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it can be started");
        let stdout = get.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        within("a line", lines.next_line())
            .await
            .expect("there is one");
        drop(lines);
        let ended = within("the end", get.wait_with_output())
            .await
            .expect("it ends");
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    }
}

#[tokio::test]
async fn help_has_examples_and_wrong_usage_is_status_2() {
    for args in [
        &["--help"][..],
        &["get", "--help"],
        &["serve", "--help"],
        &["demo", "--help"],
        &["faults", "--help"],
        &["probe", "--help"],
        &["chain", "--help"],
        &["watch", "--help"],
    ] {
        let ran = run(args).await;
        assert_eq!(ran.code(), 0);
        assert!(ran.stdout.contains("Examples:"), "{ran:?}");
    }
    assert_eq!(run(&["--version"]).await.code(), 0);
    for args in [
        &[][..],
        &["nonsense"],
        &["get"],
        &["get", "-n", "0", "http://localhost/"],
        &["get", "-c", "0", "http://localhost/"],
        &["get", "-i", "5", "http://localhost/"],
        &["get", "-H", "nonsense", "http://localhost/"],
        &["get", "--drain", "lots", "http://localhost/"],
        &["get", "-n", "2", "-o", "x", "http://localhost/"],
        &["get", "--http1", "--http2", "http://localhost/"],
        &["serve", "--listen", "nonsense"],
        &["serve", "--tls-cert", "x"],
        &["demo", "--requests", "0"],
    ] {
        let ran = run(args).await;
        assert_eq!(ran.code(), 2, "{args:?}: {ran:?}");
        assert_eq!(ran.stdout, "");
        assert!(!ran.stderr.is_empty());
    }
}
