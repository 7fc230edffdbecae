//! Answers that wait for their clients: in memory, in a file, or at the upstream.

use std::path::Path;

use keepline_gateway::config::{Keepalive, Scope};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{Gate, ScratchDir};

use crate::support::{Running, before_with, config, field, proxied, server, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// More than the kernel holds on the way to a client that reads nothing.
const LARGE: usize = 16 << 20;

/// More than the kernel holds on the way from an upstream to such a client.
const HUGE: usize = 40 << 20;

fn content(length: usize) -> Vec<u8> {
    let line = |n: usize| format!("{n:015}\n").into_bytes();
    (0..length / 16).flat_map(line).collect()
}

fn answer(fields: &str, declared: usize, content: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {declared}\r\n\r\n");
    [head.as_bytes(), content].concat()
}

/// Before a server whose connections are closed after one answer, as soon as that has come whole.
fn before_once(peer: &Peer, change: impl FnOnce(&mut Scope)) -> Running {
    let mut backend = upstream(&[peer.addr()]);
    backend.keepalive = Some(Keepalive {
        requests: 1,
        is_local: false,
        ..Keepalive::default()
    });
    Running::start(&config(server(vec![proxied("/", change)]), vec![backend]))
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn an_answer_is_taken_off_the_upstream_before_its_client_reads_it() {
    let dir = ScratchDir::new("proxy");
    let content = content(LARGE);
    let chunked = [
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{LARGE:x}\r\n").as_bytes(),
        &content,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    for answer in [answer("", LARGE, &content), chunked] {
        let peer = Peer::start(Script::new().expect_head().send(answer).hold());
        let path = dir.path().to_owned();
        let gateway = before_once(&peer, |scope| scope.proxy.temp_path = path);
        let mut client = gateway.connect().await;
        client.send(GET).await;
        peer.connection_closed(0).await;
        assert_eq!(files(dir.path()), 1);
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        if field(&head, "content-length").is_some() {
            assert!(client.read_exactly(LARGE).await == content);
        } else {
            let mut read = Vec::new();
            loop {
                let mut size = Vec::new();
                while !size.ends_with(b"\r\n") {
                    size.extend(client.read_exactly(1).await);
                }
                let size = std::str::from_utf8(&size).unwrap().trim();
                let size = usize::from_str_radix(size, 16).unwrap();
                let piece = client.read_exactly(size + 2).await;
                if size == 0 {
                    break;
                }
                read.extend_from_slice(&piece[..size]);
            }
            assert!(read == content);
        }
        drop(gateway);
        assert_eq!(files(dir.path()), 0);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_held_stays_with_the_upstream() {
    let content = content(HUGE);
    for (fields, change) in [
        (
            "",
            (|scope| scope.proxy.buffering = false) as fn(&mut Scope),
        ),
        ("X-Accel-Buffering: no\r\n", |_| {}),
        ("", |scope| scope.proxy.max_temp_file_size = 0),
        // It says yes, and is not asked.
        ("X-Accel-Buffering: yes\r\n", |scope| {
            scope.proxy.buffering = false;
            scope.proxy.ignore_headers = vec!["x-accel-buffering".into()];
        }),
    ] {
        let sent = Gate::new("all is sent");
        let script = Script::new()
            .expect_head()
            .send(answer(fields, HUGE, &content));
        let peer = Peer::start(script.open(&sent).hold());
        let gateway = before_with(&[peer.addr()], change);
        let mut client = gateway.connect().await;
        client.send(GET).await;
        let head = client.read_head().await;
        assert_eq!(field(&head, "x-accel-buffering"), None, "{head}");
        let first = client.read_exactly(1 << 20).await;
        assert!(!sent.is_open(), "{fields}");
        let rest = client.read_exactly(HUGE - first.len()).await;
        assert!([first, rest].concat() == content);
    }
}

#[tokio::test]
async fn the_upstream_may_ask_that_its_answer_is_held() {
    let content = content(LARGE);
    let answer = answer("X-Accel-Buffering: yes\r\n", LARGE, &content);
    let peer = Peer::start(Script::new().expect_head().send(answer).hold());
    let dir = ScratchDir::new("proxy");
    let path = dir.path().to_owned();
    let gateway = before_once(&peer, |scope| {
        scope.proxy.temp_path = path;
        scope.proxy.buffering = false;
    });
    let mut client = gateway.connect().await;
    client.send(GET).await;
    peer.connection_closed(0).await;
    client.read_head().await;
    assert!(client.read_exactly(LARGE).await == content);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_passed_on_as_far_as_it_came_and_no_further() {
    let dir = ScratchDir::new("proxy");
    let content = content(LARGE);
    let script = Script::new()
        .expect_head()
        .send(answer("", LARGE + 1, &content));
    let peer = Peer::start(script.close());
    let path = dir.path().to_owned();
    let gateway = before_with(&[peer.addr()], |scope| scope.proxy.temp_path = path);
    let mut client = gateway.connect().await;
    client.send(GET).await;
    peer.connection_closed(0).await;
    client.read_head().await;
    let (read, _) = client.read_to_end().await;
    assert!(read == content, "{} of {LARGE}", read.len());
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_file_and_the_upstream() {
    let dir = ScratchDir::new("proxy");
    let held = Gate::new("the upstream holds the rest");
    let script = Script::new()
        .expect_head()
        .send(answer("", LARGE + 1, &content(LARGE)))
        .open(&held);
    let peer = Peer::start(script.hold());
    let path = dir.path().to_owned();
    let gateway = before_with(&[peer.addr()], |scope| scope.proxy.temp_path = path);
    let mut client = gateway.connect().await;
    client.send(GET).await;
    client.read_head().await;
    held.opened().await;
    client.reset();
    peer.connection_closed(0).await;
    drop(gateway);
    assert_eq!(files(dir.path()), 0);
}

#[tokio::test]
async fn where_no_file_can_be_written_the_upstream_waits_and_the_answer_is_whole() {
    let dir = ScratchDir::new("proxy");
    let content = content(LARGE);
    let script = Script::new()
        .expect_head()
        .send(answer("", LARGE, &content));
    let peer = Peer::start(script.hold());
    let path = dir.path().join("missing");
    let gateway = before_with(&[peer.addr()], |scope| scope.proxy.temp_path = path);
    let mut client = gateway.connect().await;
    client.send(GET).await;
    client.read_head().await;
    assert!(client.read_exactly(LARGE).await == content);
}

#[tokio::test]
async fn with_proxy_ignore_client_abort_an_answer_is_read_to_its_end_for_nobody() {
    let gone = Gate::new("the client has gone");
    let rest = Gate::new("the rest is sent");
    let script = Script::new()
        .expect_head()
        .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
        .wait_for(&gone)
        .send("56789")
        .open(&rest);
    let peer = Peer::start(script.hold());
    let gateway = before_once(&peer, |scope| scope.proxy.ignore_client_abort = true);
    let mut client = gateway.connect().await;
    client.send(GET).await;
    client.read_head().await;
    client.read_exactly(5).await;
    client.reset();
    gone.open();
    peer.connection_closed(0).await;
    assert!(rest.is_open());
}

#[tokio::test]
async fn a_file_of_ours_that_cannot_be_read_is_not_the_fault_of_a_server() {
    let dir = ScratchDir::new("body");
    let ready = Gate::new("the request has come");
    let cut = Gate::new("its file is cut short");
    let body = "x".repeat(200_000);
    let first = Script::new()
        .expect_head()
        .read_exactly(body.len())
        .open(&ready)
        .wait_for(&cut)
        .send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let first = Peer::start(first.hold());
    let second = Peer::start_each([
        Script::new().expect_head().hold(),
        Script::new().expect_head().send(OK).hold(),
    ]);
    let path = dir.path().to_owned();
    let gateway = before_with(&[first.addr(), second.addr()], |scope| {
        scope.client.body_temp_path = path;
        scope.client.body_buffer_size = 1024;
        let causes = scope.proxy.next_upstream;
        scope.proxy.next_upstream = causes.with(keepline_gateway::config::Cause::Http503);
    });
    let mut client = gateway.connect().await;
    let length = body.len();
    let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    client.send(head + &body).await;
    ready.opened().await;
    let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap();
    std::fs::write(file.unwrap().path(), "").unwrap();
    cut.open();
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    // The first has failed; the second has not, and is asked.
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[tokio::test]
async fn answers_without_content_and_small_ones_make_no_file() {
    let dir = ScratchDir::new("proxy");
    let not_modified = "HTTP/1.1 304 Not Modified\r\nContent-Length: 9999999\r\n\r\n";
    let head_only = "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n";
    let script = Script::new()
        .expect_head()
        .send(not_modified)
        .expect_head()
        .send(head_only)
        .expect_head()
        .send("HTTP/1.1 204 No Content\r\n\r\n")
        .expect_head()
        .send(OK);
    let peer = Peer::start(script.hold());
    let path = dir.path().to_owned();
    let gateway = before_with(&[peer.addr()], |scope| scope.proxy.temp_path = path);
    let mut client = gateway.connect().await;
    for (method, status) in [("GET", 304), ("HEAD", 200), ("GET", 204), ("GET", 200)] {
        client
            .send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let head = client.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    assert_eq!(client.read_exactly(2).await, b"ok");
    assert_eq!(peer.accepted(), 1);
    assert_eq!(files(dir.path()), 0);
}
