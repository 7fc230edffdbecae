//! Servers that end connections, or stop to answer, for reasons that are no limits of theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keepline_testkit::{head_length, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::probe;
use crate::binary::{Served, run};

/// What a server answers to a head, given how many it had before.
type Answering = fn(usize, &str) -> &'static str;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// Answers each head; what is no head yet is the beginning of the next. Closes behind an answer that
/// says so, and when the server ends.
async fn converse(
    mut stream: TcpStream,
    answering: Answering,
    heads: Arc<AtomicUsize>,
    mut ended: watch::Receiver<bool>,
) {
    let mut unread = Vec::new();
    loop {
        let read = tokio::select! {
            read = stream.read_buf(&mut unread) => read.unwrap_or(0),
            _ = ended.wait_for(|ended| *ended) => 0,
        };
        if read == 0 {
            return;
        }
        while let Some(length) = head_length(&unread) {
            let head: Vec<_> = unread.drain(..length).collect();
            let count = heads.fetch_add(1, Ordering::Relaxed);
            let answer = answering(count, &String::from_utf8_lossy(&head));
            let sent = stream.write_all(answer.as_bytes()).await;
            if sent.is_err() || answer.contains("Connection: close") {
                return;
            }
        }
    }
}

/// A server of this kind, which is there until its task is dropped.
struct Answers {
    url: String,
    heads: Arc<AtomicUsize>,
    end: watch::Sender<bool>,
    _serving: JoinSet<()>,
}

impl Answers {
    async fn start(answering: Answering) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
        let heads = Arc::new(AtomicUsize::new(0));
        let (end, ended) = watch::channel(false);
        let mut serving = JoinSet::new();
        let counted = Arc::clone(&heads);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let heads = Arc::clone(&counted);
                connections.spawn(converse(stream, answering, heads, ended.clone()));
            }
        });
        Self {
            url,
            heads,
            end,
            _serving: serving,
        }
    }
}

#[track_caller]
fn assert_verdict(result: &Value, part: &str) {
    let verdict = result["advice"]["verdict"].as_str().unwrap_or_default();
    assert!(verdict.contains(part), "{part:?} is missing: {result}");
}

#[tokio::test]
async fn a_server_that_limits_the_rate_is_not_said_to_limit_connections() {
    let server = Answers::start(|count, _| match count {
        0..40 => OK,
        _ => "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
    });
    let server = server.await;
    let result = probe(&server.url, &["--budget", "6s"]).await;
    for unknown in ["requests_per_connection", "idle_timeout", "max_age_seconds"] {
        assert_eq!(result[unknown], Value::Null, "{result}");
    }
    assert_eq!(result["turned_to"], 429, "{result}");
    assert_eq!(result["closes_on"], json!([]), "{result}");
    assert_verdict(&result, "429 (Too Many Requests) later");
    // Told once, it does not go on with the row.
    let asked = server.heads.load(Ordering::Relaxed);
    assert!(asked < 100, "{asked}");
}

#[tokio::test]
async fn a_proxy_that_answers_for_a_server_is_told_from_it() {
    let server = Answers::start(
        |_, _| "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\nServer: gateway\r\n\r\nno",
    );
    let server = server.await;
    let result = probe(&server.url, &["--requests", "20", "--budget", "5s"]).await;
    assert_eq!(result["status"], 503, "{result}");
    assert_verdict(&result, "It answers 503 (Service Unavailable): if a proxy");
}

/// It leaves the content where it is, and takes that for the next request.
#[tokio::test]
async fn a_server_that_takes_content_for_a_request_breaks_the_connection() {
    let server = Answers::start(|_, head| match head.split(' ').next() {
        Some("GET") => OK,
        Some("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        Some("POST") => "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 2\r\n\r\nno",
        _ => "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
    });
    let server = server.await;
    let result = probe(&server.url, &["--requests", "20", "--budget", "5s"]).await;
    let breaks = result["breaks_on"].as_array().expect("a list");
    assert!(breaks.contains(&"post-unread".into()), "{result}");
    assert_verdict(&result, "After a POST with a body of 48 KiB the connection");
}

/// Ends all connections at once, as a restart does: the idle ones and the busy one.
#[tokio::test]
async fn a_restart_is_no_idle_timeout() {
    let server = Answers::start(|_, _| OK).await;
    let restarting = async {
        // The quick questions are about this many, and then there are idle connections.
        within("idle connections", async {
            while server.heads.load(Ordering::Relaxed) < 65 {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        sleep(Duration::from_millis(2500)).await;
        server.end.send_replace(true);
    };
    let args = ["--requests", "20", "--budget", "20s"];
    let (result, ()) = tokio::join!(probe(&server.url, &args), restarting);
    assert_eq!(result["interrupted"], true, "{result}");
    assert_eq!(result["idle_timeout"], Value::Null, "{result}");
    assert_verdict(&result, "measure again");
}

/// Behind one address, and not equally patient.
#[tokio::test]
async fn of_two_servers_the_less_patient_one_is_told_and_that_there_is_another() {
    let servers = [
        Served::start(&["--idle-timeout", "400ms"]).await,
        Served::start(&[]).await,
    ];
    let ports = servers.each_ref().map(|server| server.port);
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port is free");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    let mut dividing = JoinSet::new();
    dividing.spawn(async move {
        let mut ways = JoinSet::new();
        for port in ports.into_iter().cycle() {
            let (mut near, _) = listener.accept().await.expect("it listens");
            let far = TcpStream::connect(("127.0.0.1", port)).await;
            let mut far = far.expect("it listens");
            ways.spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let result = probe(&url, &["--requests", "20", "--budget", "8s"]).await;
    let seconds = result["idle_timeout"]["seconds"].as_f64();
    assert!(
        seconds.is_some_and(|seconds| (seconds - 0.4).abs() < 0.05),
        "{result}"
    );
    assert_verdict(&result, "there may be several servers");
}

#[tokio::test]
async fn an_answer_that_never_ends_and_one_that_never_comes_cost_no_more_than_the_budget() {
    let endless = Answers::start(|_, _| "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhi").await;
    let silent = Answers::start(|_, _| "").await;
    for url in [&endless.url, &silent.url] {
        let ran = run(&["probe", "--budget", "5s", url]).await;
        assert_eq!(ran.code(), 1, "{ran:?}");
        // An answer would be waited for for ten seconds otherwise, and another reason told.
        assert!(ran.stderr.contains("within the budget"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_promise_that_was_not_tried_to_the_end_is_not_said_to_hold() {
    let server = Served::start(&["--keep-alive-header", "on"]).await;
    let args = ["probe", "--requests", "20", "--budget", "5s"];
    let url = server.url("/");
    let ran = run(&[&args[..], &[&url]].concat()).await;
    assert!(
        ran.stdout.contains("for as long as it was tried"),
        "{ran:?}"
    );
}
