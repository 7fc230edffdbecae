//! `keepline serve` on the wire.

use std::net::SocketAddr;

use keepline_testkit::{RawClient, ScratchDir, until, within};
use serde_json::Value;

use crate::binary::{Served, run};

async fn connect(server: &Served) -> RawClient<tokio::net::TcpStream> {
    RawClient::connect(SocketAddr::from(([127, 0, 0, 1], server.port))).await
}

async fn get_json(url: &str) -> Vec<Value> {
    run(&["get", url]).await.json()
}

#[tokio::test]
async fn a_connection_knows_itself() {
    let server = Served::start(&[]).await;
    let mut client = connect(&server).await;
    for number in 1..=3 {
        client
            .send("GET /connection HTTP/1.1\r\nhost: x\r\n\r\n")
            .await;
        let head = client.read_head().await;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.parse().ok())
            .expect("the length is told");
        let body: Value = serde_json::from_slice(&client.read_exactly(length).await).expect("JSON");
        assert_eq!((&body["id"], &body["request"]), (&1.into(), &number.into()));
        assert!(body["age_seconds"].as_f64().is_some_and(|age| age < 10.0));
    }
    let other = get_json(&server.url("/connection")).await;
    assert_eq!(
        (&other[0]["id"], &other[0]["request"]),
        (&2.into(), &1.into())
    );
}

#[tokio::test]
async fn what_is_malformed_is_refused() {
    let server = Served::start(&[]).await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\na b: c\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut client = connect(&server).await;
        client.send(request).await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{request:?}: {head}");
        assert!(head.contains("connection: close\r\n"), "{head}");
    }
}

#[tokio::test]
async fn an_upload_that_nobody_reads_gets_its_answer() {
    let server = Served::start(&[]).await;
    let scratch = ScratchDir::new("upload");
    let upload = scratch.write("upload", vec![b'x'; 17 << 20]);
    let data = format!("@{}", upload.display());
    for (path, status) in [("/status/403", 403), ("/echo", 413)] {
        let url = server.url(path);
        let ran = run(&["get", "--json", "-d", &data, &url]).await;
        assert_eq!(ran.json()[0]["status"], status, "{ran:?}");
    }
}

#[tokio::test]
async fn files_come_from_the_root() {
    let scratch = ScratchDir::new("root");
    scratch.write("index.html", "<p>here");
    let root = scratch.path().to_str().expect("it is ASCII");
    let server = Served::start(&["--root", root]).await;
    assert_eq!(run(&["get", &server.url("/")]).await.stdout, "<p>here");
    assert_eq!(run(&["get", &server.url("/bytes/2")]).await.stdout, "..");
    let ran = run(&["get", "-v", "-X", "HEAD", &server.url("/index.html")]).await;
    assert!(
        ran.stderr.contains("< content-type: text/html\n"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("< last-modified: "), "{ran:?}");
    let ran = run(&["serve", "--root", "/no/such/dir"]).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr.contains("/no/such/dir: No such file"), "{ran:?}");
}

#[tokio::test]
async fn clients_are_told_how_long_they_may_be_idle_if_wanted() {
    let told = Served::start(&["--keep-alive-header", "on", "--idle-timeout", "10s"]).await;
    let ran = run(&["get", "-v", &told.url("/")]).await;
    assert!(ran.stderr.contains("< keep-alive: timeout=9\n"), "{ran:?}");
    let untold = Served::start(&[]).await;
    let ran = run(&["get", "-v", &untold.url("/")]).await;
    assert!(!ran.stderr.contains("keep-alive"), "{ran:?}");
}

/// The names of the threads of a process that serve.
fn workers(process: u32) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("keepline-"))
        .count()
}

#[tokio::test]
async fn there_is_a_worker_for_each_core_unless_told() {
    let cores = std::thread::available_parallelism().expect("it is known");
    for (args, wanted) in [(&[][..], cores.get()), (&["--workers", "3"], 3)] {
        let server = Served::start(args).await;
        // A thread names itself once it runs.
        until(format!("{wanted} workers"), || {
            (workers(server.process.id()) == wanted).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn limits_and_counts_are_those_of_all_workers() {
    let server = Served::start(&["--workers", "4", "--max-connections", "5"]).await;
    let mut clients = Vec::new();
    for _ in 0..12 {
        let mut client = connect(&server).await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        client.read_head().await;
        client.read_exactly(13).await;
        clients.push(client);
    }
    let last = clients.last_mut().expect("there are some");
    // Another worker closes what it was told to a moment later.
    let counts = within("five connections", async {
        loop {
            last.send("GET /stats HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let head = last.read_head().await;
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.parse().ok());
            let content = last.read_exactly(length.expect("a length")).await;
            let stats: Value = serde_json::from_slice(&content).expect("JSON");
            if stats["open"] == 5 {
                break stats;
            }
        }
    });
    let counts = counts.await;
    assert_eq!(counts["opened"], 12);
    assert_eq!(counts["closed"]["idle-limit"], 7);
}

#[tokio::test]
async fn workers_share_the_port() {
    let server = Served::start(&["--workers", "3"]).await;
    let ran = run(&["get", "--json", "-n", "60", "-c", "12", &server.url("/")]).await;
    assert_eq!(ran.summary()["ok"], 60);
}

#[tokio::test]
async fn a_signal_lets_requests_finish() {
    for signal in ["TERM", "INT"] {
        let mut server = Served::start(&["--workers", "1"]).await;
        let mut busy = connect(&server).await;
        let mut idle = connect(&server).await;
        idle.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        idle.read_head().await;
        busy.send("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nfi")
            .await;
        // One that is asked later has been answered: so the request above has been read.
        run(&["get", &server.url("/")]).await;
        server.process.signal(signal);
        within("the idle connection to close", idle.read_to_end()).await;
        busy.send("sh").await;
        let head = busy.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("connection: close\r\n"), "{head}");
        assert_eq!(busy.read_exactly(4).await, b"fish");
        busy.close();
        assert_eq!(server.process.exited().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut server = Served::start(&["--workers", "1"]).await;
    let mut busy = connect(&server).await;
    busy.send("GET /delay/600000 HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    run(&["get", &server.url("/")]).await;
    server.process.signal("TERM");
    until("the note", || {
        server
            .process
            .output()
            .contains("shutting down")
            .then_some(())
    })
    .await;
    server.process.signal("TERM");
    assert_eq!(server.process.exited().await.code(), Some(1));
}

/// The lines that the server has written, once there are `count`.
async fn log_lines(server: &Served, count: usize) -> Vec<String> {
    until(format!("{count} lines"), || {
        let output = server.process.output();
        let (whole, _) = output.rsplit_once('\n')?;
        let lines: Vec<_> = whole.lines().skip(1).map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

#[tokio::test]
async fn requests_are_logged_in_the_form_that_is_wanted() {
    let server = Served::start(&["--access-log", "json", "--max-requests", "2"]).await;
    run(&["get", "-n", "3", &server.url("/bytes/5?x")]).await;
    let lines = log_lines(&server, 3).await;
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    for (line, (connection, request, close)) in lines.iter().zip([
        (1, 1, Value::Null),
        (1, 2, "max-requests".into()),
        (2, 1, Value::Null),
    ]) {
        assert_eq!(line["connection"], connection, "{line}");
        assert_eq!(
            (&line["request"], &line["close"]),
            (&request.into(), &close)
        );
        assert_eq!(
            (&line["status"], &line["content_sent"]),
            (&200.into(), &5.into())
        );
        assert_eq!(
            (&line["method"], &line["target"]),
            (&"GET".into(), &"/bytes/5?x".into())
        );
        assert_eq!(line["protocol"], "HTTP/1.1");
    }
    for (form, tail) in [("common", ""), ("combined", " \"-\" \"me \\x22\"")] {
        let server = Served::start(&["--access-log", form]).await;
        run(&["get", "-H", "user-agent: me \"", &server.url("/status/404")]).await;
        let mut client = connect(&server).await;
        client.send("\x1b[2J\r\n\r\n").await;
        client.read_to_end().await;
        let lines = log_lines(&server, 2).await;
        assert!(lines[0].starts_with("127.0.0.1 - - ["), "{lines:?}");
        let end = format!(" +0000] \"GET /status/404 HTTP/1.1\" 404 14{tail}");
        assert!(lines[0].ends_with(&end), "{lines:?}");
        assert!(lines[1].contains(" +0000] \"-\" 400 "), "{lines:?}");
    }
}
