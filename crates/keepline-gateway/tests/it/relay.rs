//! What is passed on beyond plain requests: other protocols, content that waits in files, clients that go
//! away.

use std::time::Duration;

use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{Gate, ScratchDir};

use keepline_gateway::config::{Template, Variable};

use crate::support::{Running, before, before_with, field};

fn template(text: &str) -> Template {
    Template::parse(text, Variable::built_in).unwrap()
}

#[tokio::test]
async fn after_101_bytes_pass_both_ways() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nearly";
    let script = Script::new()
        .expect_head()
        .send(switch)
        .expect("hello")
        .send("world");
    let peer = Peer::start(script.close());
    let gateway = before_with(&[peer.addr()], |scope| {
        scope.proxy.set_headers = vec![
            ("Upgrade".into(), template("$http_upgrade")),
            ("Connection".into(), template("upgrade")),
        ];
    });
    let mut client = gateway.connect().await;
    let head = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhel";
    client.send(head).await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("echo"));
    assert_eq!(client.read_exactly(5).await, b"early");
    client.send("lo").await;
    let (rest, _) = client.read_to_end().await;
    assert_eq!(rest, b"world");
}

#[tokio::test]
async fn large_content_waits_in_a_file_that_is_removed() {
    let dir = ScratchDir::new("body");
    let seen = Gate::new("the request has arrived");
    let length = 300_000;
    let body: String = (0..length)
        .map(|n| char::from(b'a' + (n % 26) as u8))
        .collect();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let script = Script::new()
        .expect_head()
        .expect(&body)
        .wait_for(&seen)
        .send(answer);
    let peer = Peer::start(script.hold());
    let path = dir.path().to_owned();
    let gateway = before_with(&[peer.addr()], |scope| {
        scope.client.body_temp_path = path;
        scope.client.body_buffer_size = 1024;
    });
    let mut client = gateway.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head).await;
    client
        .send(format!("{length:x}\r\n{body}\r\n0\r\n\r\n"))
        .await;
    peer.heads_received(0, 1).await;
    assert_eq!(field(&peer.heads(0)[0], "content-length"), Some("300000"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    seen.open();
    assert!(client.read_head().await.starts_with("HTTP/1.1 200"));
    drop(gateway);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn content_beyond_the_limit_is_413_however_it_is_framed() {
    let peer = Peer::start(Script::new().hold());
    let gateway = before_with(&[peer.addr()], |scope| {
        scope.client.max_body_size = Some(10);
    });
    for framed in [
        "Content-Length: 11\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
    ] {
        let mut client = gateway.connect().await;
        client
            .send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framed}"))
            .await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        assert_eq!(field(&head, "connection"), Some("close"));
    }
    assert_eq!(peer.accepted(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_work_upstream() {
    let peer = Peer::start(Script::new().expect_head().hold());
    let gateway = before(&[peer.addr()]);
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    peer.heads_received(0, 1).await;
    client.half_close().await;
    peer.connection_closed(0).await;
    let (answer, _) = client.read_to_end().await;
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn what_is_no_request_never_reaches_an_upstream() {
    let peer = Peer::start(Script::new().hold());
    let gateway = before(&[peer.addr()]);
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    for (request, status, text) in [
        ("nonsense\r\n\r\n", "400", "400 Bad Request"),
        ("GET / HTTP/1.1\r\n\r\n", "400", "400 Bad Request"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "400",
            "400 Bad Request",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
            "400 Bad Request",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "501",
            "501 Not Implemented",
        ),
        (&long, "400", "Request Header Or Cookie Too Large"),
        (
            "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
            "405",
            "405 Not Allowed",
        ),
    ] {
        let mut client = gateway.connect().await;
        client.send(request).await;
        let head = client.read_head().await;
        assert_eq!(
            head.split(' ').nth(1),
            Some(status),
            "{request:.80}: {head}"
        );
        let length = field(&head, "content-length").unwrap().parse().unwrap();
        let page = String::from_utf8(client.read_exactly(length).await).unwrap();
        assert!(page.contains(text), "{request:.80}: {page}");
    }
    assert_eq!(peer.accepted(), 0);
}

#[tokio::test]
async fn trailers_and_early_hints_pass_where_they_are_asked_for() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                  HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                  2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n";
    let peer = Peer::start(Script::new().repeat_forever(Script::new().expect_head().send(answer)));
    for passes in [true, false] {
        let gateway = before_with(&[peer.addr()], |scope| {
            scope.proxy.pass_trailers = passes;
            let hint = if passes { "1" } else { "0" };
            scope.client.early_hints.0 = vec![Template::literal(hint)];
        });
        let mut client = gateway.connect().await;
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await;
        let (answer, _) = client.read_to_end().await;
        let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
        assert_eq!(answer.starts_with("http/1.1 103 "), passes, "{answer}");
        assert_eq!(answer.contains("link: </a>"), passes, "{answer}");
        assert_eq!(answer.contains("x-sum: 1"), passes, "{answer}");
        assert!(answer.contains("2\r\nok\r\n0\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_whose_head_is_too_large_is_502() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(5000)
    );
    let peer = Peer::start(Script::new().expect_head().send(answer).hold());
    let gateway = before(&[peer.addr()]);
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 502 "));
    peer.connection_closed(0).await;
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_passed_on_cut_short() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let peer = Peer::start(Script::new().expect_head().send(answer).close());
        let gateway = before(&[peer.addr()]);
        let mut client = gateway.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let (rest, _) = client.read_to_end().await;
        let rest = String::from_utf8(rest).unwrap();
        assert!(
            rest.contains("half") && !rest.contains("0\r\n\r\n"),
            "{rest}"
        );
    }
}

#[tokio::test]
async fn streamed_content_beyond_the_limit_is_413_and_goes_no_further() {
    let peer = Peer::start(Script::new().expect_head().hold());
    let gateway = before_with(&[peer.addr()], |scope| {
        scope.client.max_body_size = Some(10);
        scope.proxy.request_buffering = false;
    });
    let mut client = gateway.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}8\r\n01234567\r\n")).await;
    peer.heads_received(0, 1).await;
    client.send("8\r\n89abcdef\r\n0\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    peer.connection_closed(0).await;
    let sent = String::from_utf8(peer.received(0)).unwrap();
    assert!(!sent.contains("89abcdef"), "{sent}");
}

#[tokio::test]
async fn a_request_that_cannot_be_asked_says_nothing_against_the_servers() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let script = || Script::new().repeat_forever(Script::new().expect_head().send(answer));
    let peers = [Peer::start(script()), Peer::start(script())];
    let servers = [peers[0].addr(), peers[1].addr()];
    let gateway = before_with(&servers, |scope| {
        scope.proxy.set_headers = vec![("Host".into(), template("$http_to"))];
    });
    // No Host has a space in it.
    for (to, status) in [("a b", "400"), ("a", "200"), ("a", "200")] {
        let mut client = gateway.connect().await;
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nTo: {to}\r\n\r\n");
        client.send(request.as_str()).await;
        let head = client.read_head().await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{request}: {head}");
    }
}

#[tokio::test]
async fn held_content_goes_along_to_where_an_error_page_leads() {
    let dir = ScratchDir::new("moved");
    for buffer in [1024, 2] {
        let refuses = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
        let first = Peer::start(
            Script::new()
                .expect_head()
                .expect("hello")
                .send(refuses)
                .hold(),
        );
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let second = Peer::start(
            Script::new()
                .expect_head()
                .expect("hello")
                .send(answer)
                .hold(),
        );
        let gateway = moved(
            &first,
            &second,
            &format!(
                "client_body_buffer_size {buffer}; client_body_temp_path {};",
                dir.path().display()
            ),
        );
        let mut client = gateway.connect().await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
        client.send(format!("{head}hello")).await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(field(&second.heads(0)[0], "content-length"), Some("5"));
    }
}

#[tokio::test]
async fn what_is_left_of_streamed_content_goes_nowhere_else() {
    let refuses = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    let first = Peer::start(
        Script::new()
            .expect_head()
            .expect("hello")
            .send(refuses)
            .hold(),
    );
    let second = Peer::start(Script::new().hold());
    let gateway = moved(&first, &second, "proxy_request_buffering off;");
    let mut client = gateway.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    client.send(format!("{head}hello")).await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(second.accepted(), 0);
}

#[tokio::test]
async fn a_client_that_is_slow_to_send_is_not_the_servers_timeout() {
    let peer = Peer::start(Script::new().expect_head().hold());
    let gateway = before_with(&[peer.addr()], |scope| {
        scope.proxy.request_buffering = false;
        scope.proxy.send_timeout = Duration::from_millis(20);
        scope.client.body_timeout = Duration::from_millis(200);
    });
    let mut client = gateway.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    client.send(format!("{head}hello")).await;
    // It is closed without a word for what it has not sent, not told 504.
    let (answer, _) = client.read_to_end().await;
    assert_eq!(String::from_utf8_lossy(&answer), "");
    peer.connection_closed(0).await;
}

#[tokio::test]
async fn content_that_one_location_throws_away_does_not_reach_the_next_in_part() {
    let refuses = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    let first = Peer::start(Script::new().expect_head().send(refuses).hold());
    let second = Peer::start(Script::new().hold());
    let gateway = Running::of_text(&format!(
        "server {{ listen 127.0.0.1:1; proxy_intercept_errors on; error_page 503 = @other;
            proxy_request_buffering off;
            location / {{ proxy_pass_request_body off; proxy_pass http://{}; }}
            location @other {{ proxy_pass http://{}; }} }}",
        first.addr(),
        second.addr()
    ));
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        .await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(second.accepted(), 0);
}

/// Before `first`, whose 503 leads to `second`.
fn moved(first: &Peer, second: &Peer, settings: &str) -> Running {
    Running::of_text(&format!(
        "server {{ listen 127.0.0.1:1; proxy_intercept_errors on; error_page 503 = @other; {settings}
            location / {{ proxy_pass http://{}; }}
            location @other {{ proxy_pass http://{}; }} }}",
        first.addr(),
        second.addr()
    ))
}
