//! Bad input of every kind: one clear message, whose fault it is, and exit status 1.

use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Link, ScratchDir, certs};

use crate::binary::{KEEPLINE, Ran, Served, finish, run};

/// Runs `get` and expects it to fail with all of these in what it says.
pub(crate) async fn fails(args: &[&str], expected: &[&str]) -> Ran {
    let mut line = vec!["get"];
    line.extend(args);
    let ran = run(&line).await;
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    assert!(ran.stderr.contains("\nfault: "), "{ran:?}");
    for part in expected {
        assert!(ran.stderr.contains(part), "{part:?} is missing: {ran:?}");
    }
    ran
}

#[tokio::test]
async fn what_is_no_url() {
    fails(
        &["localhost:8080/"],
        &["it has no scheme", "write http://localhost:8080/"],
    )
    .await;
    fails(&["ftp://localhost/"], &["'ftp' is neither http nor https"]).await;
    fails(&["http://a b/"], &["the character ' '", "%20"]).await;
    fails(
        &["http://localhost:99999/"],
        &["port is not a number from 1 to 65535"],
    )
    .await;
}

#[tokio::test]
async fn a_host_that_nobody_knows() {
    let expected = [
        "could not be resolved",
        "'no-such-host.invalid'",
        "is it spelt right?",
    ];
    fails(&["http://no-such-host.invalid/"], &expected).await;
}

#[tokio::test]
async fn a_port_that_refuses() {
    let reserved = ReservedPort::new().expect("a port is free");
    let url = format!("http://{}/", reserved.addr());
    let expected = ["nothing listens at", "is the server running"];
    fails(&[&url], &expected).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted() {
    let server = Served::start(&["--tls-self-signed"]).await;
    fails(
        &[&server.url("/")],
        &["TLS handshake failed", "-k accepts any", "--cacert"],
    )
    .await;
    assert_eq!(
        run(&["get", "-k", &server.url("/")]).await.stdout,
        "Hello, World!"
    );
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let scratch = ScratchDir::new("name");
    let (cert, key) = certs::wrong_name().write_to(&scratch);
    let authority = scratch.write("authority.pem", &certs::authority().pem);
    let paths = [&cert, &key, &authority].map(|path| path.to_str().expect("it is ASCII"));
    let server = Served::start(&["--tls-cert", paths[0], "--tls-key", paths[1]]).await;
    fails(
        &["--cacert", paths[2], &server.url("/")],
        &["TLS handshake failed"],
    )
    .await;
}

#[tokio::test]
async fn https_where_http_is_spoken() {
    let answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let peer = Peer::start(Script::new().read_exactly(1).send(answer).close());
    let url = peer.url("/").replace("http:", "https:");
    fails(&[&url], &["does not speak TLS", "try http://"]).await;
}

/// Answers that break the protocol, each with what is said of it.
#[tokio::test]
async fn a_server_that_breaks_the_protocol() {
    let head = "HTTP/1.1 200 OK\r\n";
    for (answer, expected) in [
        (
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            "not an HTTP/1.x status line",
        ),
        (format!("{head}a b: c\r\n\r\n"), "a field line is malformed"),
        (
            format!("{head}content-length: 2\r\ncontent-length: 3\r\n\r\nabc"),
            "Content-Length fields differ",
        ),
        (
            format!("{head}content-length: -2\r\n\r\nab"),
            "Content-Length is not a decimal number",
        ),
        (
            format!("{head}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            "both Content-Length and Transfer-Encoding",
        ),
        (
            format!("{head}transfer-encoding: chunked\r\n\r\nx\r\n"),
            "chunk-size line is malformed",
        ),
        (
            format!("{head}transfer-encoding: chunked\r\n\r\n1\r\nabc"),
            "a chunk does not end with CRLF",
        ),
        (
            format!("{head}x: {}", "y".repeat(1 << 20)),
            "head is too large",
        ),
    ] {
        let peer = Peer::start(Script::new().expect_head().send(answer).hold());
        let ran = fails(&[&peer.url("/")], &["the server's", expected]).await;
        counts_are_told(&ran);
    }
}

#[tokio::test]
async fn a_server_that_closes_too_early() {
    for (answer, expected) in [
        ("", "closed without an answer"),
        ("HTTP/1.1 200 OK\r\ncont", "closed after 21 bytes of a head"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
            "closed with 7 bytes of the body missing",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
            "closed with 2 bytes of the body missing",
        ),
    ] {
        let peer = Peer::start(Script::new().expect_head().send(answer).close());
        let ran = fails(
            &[&peer.url("/")],
            &["closed the connection before the end", expected],
        )
        .await;
        counts_are_told(&ran);
    }
}

#[tokio::test]
async fn a_server_that_says_nothing() {
    let peer = Peer::start(Script::new().expect_head().hold());
    let expected = [
        "no whole answer in 100ms: timed out waiting for the response head",
        "--timeout",
    ];
    fails(&["--timeout", "100ms", &peer.url("/")], &expected).await;
    let expected = [
        "no whole answer in 100ms: timed out waiting for the body",
        "--timeout",
    ];
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
    let peer = Peer::start(Script::new().expect_head().send(head).hold());
    fails(&["--timeout", "100ms", &peer.url("/")], &expected).await;
}

/// Which connection it was, and how many bytes went and came.
fn counts_are_told(ran: &Ran) {
    assert!(
        ran.stderr.contains("connection 1 (new, opened: first"),
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains("bytes sent") && ran.stderr.contains("received"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_are_never_an_answer() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let stray = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstale";
    let twice = Script::new()
        .expect_head()
        .send(format!("{answer}{stray}"))
        .hold();
    let once = Script::new().expect_head().send(answer).hold();
    let peer = Peer::start_each([twice, once]);
    let ran = run(&["get", "--json", "-n", "2", &peer.url("/")]).await;
    let summary = ran.summary();
    assert_eq!(summary["ok"], 2, "{ran:?}");
    assert_eq!(summary["opened"]["unsolicited-bytes"], 1, "{summary}");
    assert!(
        ran.json().iter().take(2).all(|line| line["bytes"] == 2),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_run_goes_on_after_a_failure() {
    let reserved = ReservedPort::new().expect("a port is free");
    let refused = format!("http://{}/", reserved.addr());
    let server = Served::start(&[]).await;
    let ran = run(&[
        "get",
        "--json",
        "-n",
        "6",
        &server.url("/"),
        &refused,
        "nonsense",
    ])
    .await;
    assert_eq!(ran.code(), 1);
    let summary = ran.summary();
    assert_eq!((&summary["ok"], &summary["failed"]), (&2.into(), &4.into()));
    assert_eq!(summary["connections_opened"], 1);
}

#[tokio::test]
async fn a_status_fails_only_if_asked_to() {
    let server = Served::start(&[]).await;
    let url = server.url("/status/404");
    assert_eq!(run(&["get", &url]).await.code(), 0);
    let ran = fails(&["--fail", &url], &["404 Not Found", "--fail"]).await;
    assert_eq!(ran.stdout, "404 Not Found\n");
    assert_eq!(run(&["get", "--fail", &server.url("/")]).await.code(), 0);
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let server = Served::start(&[]).await;
    let address = format!("127.0.0.1:{}", server.port);
    for workers in ["1", "2"] {
        let ran = run(&["serve", "--listen", &address, "--workers", workers]).await;
        assert_eq!(ran.code(), 1);
        assert!(
            ran.stderr.contains("another process serves this port"),
            "{ran:?}"
        );
        assert!(ran.stderr.contains("port 0"), "{ran:?}");
    }
}

/// What a request was doing when its time was over is told, not only that it was.
#[tokio::test]
async fn a_time_that_is_over_is_told_with_the_phase_it_ended_in() {
    let silent = Peer::start(Script::new().hold());
    let plain = silent.url("/");
    let secure = plain.replace("http:", "https:");
    let proxy = silent.url("");
    // Nobody accepts: what the kernel does not take stays with the client.
    let deaf_listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf = format!("http://{}/", deaf_listener.local_addr().unwrap());
    let upload = "x".repeat(16 << 20);
    let scratch = ScratchDir::new("upload");
    let upload = format!("@{}", scratch.write("upload", upload).display());
    let silent_names = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let names = silent_names.local_addr().unwrap().to_string();
    let phases: [(&[&str], &str, &str); 6] = [
        (&[&plain], "waiting for the response head", "too slow"),
        (&["-d", &upload, &deaf], "writing", "did not take the whole"),
        (&["-k", &secure], "in the TLS handshake", "too slow"),
        (
            &["-k", "-x", &proxy, "https://origin.test/"],
            "waiting for the proxy",
            "the proxy's: it opened no tunnel",
        ),
        (
            &["--dns-server", &names, "http://origin.test/"],
            "resolving the name",
            "the resolver's",
        ),
        (
            &["--http2", &plain],
            "waiting for the response head",
            "too slow",
        ),
    ];
    for (args, phase, fault) in phases {
        let args = [&["--timeout", "300ms"], args].concat();
        let said = format!("no whole answer in 300ms: timed out {phase}");
        fails(&args, &[&said, fault, "--timeout"]).await;
    }
}

/// Nobody is there, and nobody says so.
#[tokio::test]
async fn a_time_that_is_over_before_a_connection_says_so() {
    let Some(link) = Link::require() else {
        return;
    };
    let url = format!("http://{}/", link.listen_there().local_addr().unwrap());
    link.fall_silent();
    let mut command = link.command_here(KEEPLINE);
    command.args(["get", "--timeout", "300ms", &url]);
    let ran = finish(command.into()).await;
    assert_eq!(ran.code(), 1);
    for said in ["in 300ms: timed out connecting", "nothing answers there"] {
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    }
}
