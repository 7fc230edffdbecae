//! Servers that end connections in other ways than they should, or not at all.

use std::time::Duration;

use keepline_testkit::head_length;
use keepline_testkit::sockets::ReservedPort;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::probe;
use crate::binary::{Served, run};
use crate::faults::Faulty;
use crate::relay::relay;

async fn close_of(script: &str) -> Value {
    let server = Faulty::start(&[script, "--after", "400ms"]).await;
    probe(&server.url, &["--requests", "20", "--budget", "8s"]).await
}

#[tokio::test]
async fn how_idle_connections_end_is_told() {
    let (rst, said, stray) = tokio::join!(
        close_of("idle-rst"),
        close_of("idle-408"),
        close_of("stray-bytes")
    );
    assert_eq!(rst["idle_timeout"]["close"], "rst", "{rst}");
    assert_eq!(said["idle_timeout"]["close"], "408", "{said}");
    assert_eq!(stray["idle_timeout"]["close"], "stray-bytes", "{stray}");
    for result in [rst, said, stray] {
        let seconds = result["idle_timeout"]["seconds"].as_f64();
        assert!(
            seconds.is_some_and(|seconds| (seconds - 0.4).abs() < 0.02),
            "{result}"
        );
    }
}

#[tokio::test]
async fn a_promise_that_is_not_held_is_found_out() {
    let result = close_of("lying-keep-alive").await;
    assert_eq!(result["keep_alive"]["told_timeout"], 60.0, "{result}");
    assert_eq!(result["keep_alive"]["truthful"], false, "{result}");
    let verdict = result["advice"]["verdict"].as_str();
    assert!(
        verdict.is_some_and(|verdict| verdict.contains("more than it holds")),
        "{result}"
    );
}

#[tokio::test]
async fn a_limit_that_is_not_told_is_exact_and_warned_of() {
    let server = Faulty::start(&["close-every-n", "--at", "5"]).await;
    let result = probe(&server.url, &["--budget", "5s"]).await;
    assert_eq!(result["requests_per_connection"], 5, "{result}");
    assert_eq!(result["says_close_at_limit"], false, "{result}");
    let verdict = result["advice"]["verdict"].as_str();
    assert!(
        verdict.is_some_and(|verdict| verdict.contains("at most 4")),
        "{result}"
    );
}

/// A name may have an address that nobody serves: `localhost` has two where there is IPv6.
#[tokio::test]
async fn a_name_with_several_addresses_is_asked_where_somebody_listens() {
    let server = Served::start(&["--idle-timeout", "300ms"]).await;
    let url = format!("http://localhost:{}/", server.port);
    let result = probe(&url, &["--requests", "10", "--budget", "6s"]).await;
    assert_eq!(result["idle_timeout"]["close"], "fin", "{result}");
}

/// Over a way that takes time, requests meet the close.
#[tokio::test]
async fn requests_that_are_lost_around_the_edge_are_counted() {
    let server = Served::start(&["--idle-timeout", "600ms"]).await;
    let (near, far) = (ReservedPort::new().expect("a port is free"), server.port);
    let _relay = relay(&near, ([127, 0, 0, 1], far).into()).await;
    let url = format!("http://{}/", near.addr());
    let result = probe(&url, &["--requests", "10", "--budget", "20s"]).await;
    let race = &result["race"];
    assert!(race["lost"].as_u64() >= Some(1), "{result}");
    let verdict = result["advice"]["verdict"].as_str();
    assert!(
        verdict.is_some_and(|verdict| verdict.contains("were lost")),
        "{result}"
    );
}

/// Forgets a connection that has been idle for `patience`: nothing is answered, nothing closed.
async fn forget(stream: TcpStream, patience: Duration) {
    let (mut stream, mut unread) = (stream, Vec::new());
    let mut first = true;
    loop {
        let is_idle = !first && unread.is_empty();
        let idle = async { stream.read_buf(&mut unread).await.unwrap_or(0) };
        let read = match is_idle {
            false => Ok(idle.await),
            true => timeout(patience, idle).await,
        };
        match read {
            Ok(0) => return,
            Err(_) => break,
            Ok(_) => first = false,
        }
        while let Some(length) = head_length(&unread) {
            unread.drain(..length);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
    let mut scrap = [0; 4096];
    while stream.read(&mut scrap).await.is_ok_and(|read| read > 0) {}
}

#[tokio::test]
async fn a_server_that_forgets_without_a_word_is_found_between_two_waits() {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    let patience = Duration::from_millis(1200);
    let server = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(forget(stream, patience));
        }
    });
    let result = probe(&url, &["--requests", "20", "--budget", "25s"]).await;
    server.abort();
    let idle = &result["idle_timeout"];
    assert_eq!(idle["close"], "silent", "{result}");
    let (low, high) = (idle["low"].as_f64(), idle["high"].as_f64());
    assert!(low.is_some_and(|low| low <= 1.25), "{result}");
    assert!(
        high.is_some_and(|high| (1.15..2.5).contains(&high)),
        "{result}"
    );
}

#[tokio::test]
async fn a_server_that_is_patient_is_alive_at_the_end_of_the_budget() {
    let server = Served::start(&[]).await;
    let result = probe(&server.url("/"), &["--requests", "50", "--budget", "6s"]).await;
    assert_eq!(result["idle_timeout"], Value::Null, "{result}");
    let alive = result["alive_after_seconds"].as_f64();
    assert!(alive.is_some_and(|alive| alive > 1.5), "{result}");
    assert!(
        result["took_seconds"]
            .as_f64()
            .is_some_and(|took| took < 7.0),
        "{result}"
    );
}

#[tokio::test]
async fn what_cannot_be_asked_is_a_failure_with_a_reason() {
    let ran = run(&["probe", "http://127.0.0.1:1/"]).await;
    assert_eq!((ran.code(), ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("no connection"), "{ran:?}");
    let server = Faulty::start(&["cl-te"]).await;
    let ran = run(&["probe", &server.url]).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr.contains("is not HTTP/1.1"), "{ran:?}");
    for args in [
        &["probe"][..],
        &["probe", "nonsense"],
        &["probe", "--budget", "1s", "http://x/"],
    ] {
        assert_ne!(run(args).await.code(), 0, "{args:?}");
    }
    // An address that nobody has: it is refused before it is asked.
    let args = ["probe", "--requests", "1000", "http://192.0.2.1/"];
    let ran = run(&args).await;
    assert_eq!(ran.code(), 2, "{ran:?}");
    assert!(ran.stderr.contains("--yes"), "{ran:?}");
}
