//! From the pid file to the last request.

use std::fs;
use std::process::Command;

use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{End, Gate, Process, RawClient, until};

use super::{Proxy, command, get, prefix};
use crate::binary::finish;

const HELLO: &str = "server { listen 127.0.0.1:@port; location / { return 200 hello; } }";

#[tokio::test]
async fn when_the_pid_file_is_there_every_socket_listens_and_the_logs_exist() {
    let proxy = Proxy::start(HELLO).await;
    let pid = fs::read_to_string(proxy.pid_file()).unwrap();
    assert_eq!(pid, format!("{}\n", proxy.process.id()));
    assert_eq!(get(&mut proxy.connect().await, "/").await, "hello");
    assert!(proxy.prefix.path().join("logs/error.log").exists());
    assert!(proxy.prefix.path().join("client_body_temp").is_dir());
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_there_is_no_pid_file() {
    let proxy = Proxy::start(HELLO).await;
    let (other, _) = prefix(&super::foreground(HELLO));
    super::write(&other, proxy.port, &super::foreground(HELLO));
    let ran = finish(command(&other).into()).await;
    assert_eq!(ran.code(), 1);
    let expected = format!("keepline: [emerg] bind() to {} failed", proxy.addr());
    assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
    assert!(!other.path().join("logs/nginx.pid").exists());
    let log = fs::read_to_string(other.path().join("logs/error.log")).unwrap();
    assert!(
        log.contains("[emerg]") && log.contains("bind() to"),
        "{log}"
    );
}

/// A gateway in front of a backend that answers when the gate opens, with a request that waits for it.
async fn waiting() -> (Proxy, Gate, Peer, RawClient<tokio::net::TcpStream>) {
    let gate = Gate::new("the backend answers");
    let script = Script::new()
        .expect_head()
        .wait_for(&gate)
        .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        .hold();
    let backend = Peer::start(script);
    let http = format!(
        "server {{ listen 127.0.0.1:@port; location / {{ proxy_pass http://{}; }} }}",
        backend.addr()
    );
    let proxy = Proxy::start(&http).await;
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    backend.heads_received(0, 1).await;
    (proxy, gate, backend, client)
}

#[tokio::test]
async fn quit_lets_requests_finish_and_removes_the_pid_file() {
    let (mut proxy, gate, _backend, mut client) = waiting().await;
    proxy.process.signal("QUIT");
    proxy.logged("shutting down").await;
    gate.open();
    let head = client.read_head().await.to_ascii_lowercase();
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(client.read_exactly(4).await, b"done");
    assert_eq!(proxy.process.exited().await.code(), Some(0));
    assert!(!proxy.pid_file().exists());
    assert!(
        proxy.error_log().contains("[notice]"),
        "{}",
        proxy.error_log()
    );
    assert!(
        !proxy.error_log().contains("[alert]"),
        "{}",
        proxy.error_log()
    );
}

#[tokio::test]
async fn quit_does_not_wait_for_idle_connections() {
    let mut proxy = Proxy::start(HELLO).await;
    let mut client = proxy.connect().await;
    get(&mut client, "/").await;
    proxy.process.signal("QUIT");
    assert_eq!(proxy.process.exited().await.code(), Some(0));
    assert_eq!(client.read_to_end().await, (Vec::new(), End::Fin));
}

#[tokio::test]
async fn term_ends_at_once_also_after_quit() {
    for signals in [&["TERM"][..], &["INT"], &["QUIT", "TERM"]] {
        let (mut proxy, _gate, _backend, _client) = waiting().await;
        for signal in signals {
            proxy.process.signal(signal);
        }
        assert_eq!(proxy.process.exited().await.code(), Some(0), "{signals:?}");
        assert!(!proxy.pid_file().exists());
    }
}

#[tokio::test]
async fn a_graceful_end_that_takes_too_long_is_cut_short() {
    let gate = Gate::new("never");
    let backend = Peer::start(Script::new().expect_head().wait_for(&gate).hold());
    let (prefix, port) = prefix(&format!(
        "worker_shutdown_timeout 50ms; {}",
        super::foreground(&format!(
            "server {{ listen 127.0.0.1:@port; location / {{ proxy_pass http://{}; }} }}",
            backend.addr()
        ))
    ));
    let process = Process::spawn(command(&prefix));
    let mut proxy = Proxy {
        process,
        prefix,
        port,
    };
    proxy.is_ready().await;
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    backend.heads_received(0, 1).await;
    proxy.process.signal("QUIT");
    assert_eq!(proxy.process.exited().await.code(), Some(0));
}

#[tokio::test]
async fn a_connection_survives_a_reload_and_its_next_request_finds_the_new_configuration() {
    let proxy = Proxy::start(HELLO).await;
    let mut client = proxy.connect().await;
    assert_eq!(get(&mut client, "/").await, "hello");
    proxy.reconfigure(&HELLO.replace("hello", "again"));
    proxy.logged("the new configuration is in force").await;
    assert_eq!(get(&mut client, "/").await, "again");
    assert_eq!(get(&mut proxy.connect().await, "/").await, "again");
}

#[tokio::test]
async fn a_request_in_progress_ends_under_the_configuration_that_it_began_under() {
    let (proxy, gate, _backend, mut client) = waiting().await;
    proxy.reconfigure(HELLO);
    proxy.logged("the new configuration is in force").await;
    assert_eq!(get(&mut proxy.connect().await, "/").await, "hello");
    gate.open();
    client.read_head().await;
    assert_eq!(client.read_exactly(4).await, b"done");
    assert_eq!(get(&mut client, "/").await, "hello");
}

#[tokio::test]
async fn a_reload_keeps_the_connections_of_upstreams_that_did_not_change() {
    let answer = Script::new()
        .expect_head()
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let backend = Peer::start(Script::new().repeat_forever(answer));
    let http = |extra: &str| {
        format!(
            "upstream b {{ server {}; keepalive 4; }} server {{ listen 127.0.0.1:@port; \
             location / {{ proxy_pass http://b; {extra} }} }}",
            backend.addr()
        )
    };
    let proxy = Proxy::start(&http("")).await;
    let mut client = proxy.connect().await;
    assert_eq!(get(&mut client, "/").await, "ok");
    proxy.reconfigure(&http("add_header X y;"));
    proxy.logged("the new configuration is in force").await;
    assert_eq!(get(&mut client, "/").await, "ok");
    assert_eq!(backend.accepted(), 1);
}

#[tokio::test]
async fn a_bad_new_configuration_leaves_the_old_one_running() {
    let mut proxy = Proxy::start(HELLO).await;
    proxy.reconfigure("server { listne 1; }");
    proxy
        .logged("the configuration that was in force stays")
        .await;
    assert!(
        proxy.error_log().contains("[emerg]"),
        "{}",
        proxy.error_log()
    );
    assert!(proxy.error_log().contains("unknown directive \"listne\""));
    assert_eq!(get(&mut proxy.connect().await, "/").await, "hello");
    // Nor does one that can be read but not be put in force.
    let taken = Peer::start(Script::new().hold());
    let address = taken.addr();
    proxy.reconfigure(&format!("server {{ listen {address}; }} {HELLO}"));
    proxy.logged(&format!("bind() to {address} failed")).await;
    assert_eq!(get(&mut proxy.connect().await, "/").await, "hello");
    proxy.process.signal("QUIT");
    assert_eq!(proxy.process.exited().await.code(), Some(0));
}

#[tokio::test]
async fn the_logs_are_opened_anew() {
    let proxy = Proxy::start(HELLO).await;
    let log = proxy.prefix.path().join("logs/error.log");
    fs::rename(&log, log.with_extension("1")).unwrap();
    proxy.process.signal("USR1");
    until("the new error log", || log.exists().then_some(())).await;
    // The binary is not replaced, which is said in the new log.
    proxy.process.signal("USR2");
    proxy
        .logged("the binary is not replaced while it runs")
        .await;
    assert_eq!(get(&mut proxy.connect().await, "/").await, "hello");
}

#[tokio::test]
async fn logs_tell_the_time_of_the_zone() {
    // In POSIX form, so that no database of zones is needed: five and a half hours ahead.
    let http = "log_format t '$time_local $time_iso8601'; access_log logs/access.log t; \
        server { listen 127.0.0.1:@port; return 200 hello; }";
    let (prefix, port) = prefix(&super::foreground(http));
    let mut command = command(&prefix);
    command.env("TZ", "IST-5:30");
    let proxy = Proxy {
        process: Process::spawn(command),
        prefix,
        port,
    };
    proxy.is_ready().await;
    get(&mut proxy.connect().await, "/").await;
    let line = until("a line in the log", || {
        Some(proxy.log("access.log")).filter(|log| log.ends_with('\n'))
    })
    .await;
    assert!(line.contains(" +0530 "), "{line}");
    assert!(line.ends_with("+05:30\n"), "{line}");
    // The hour of the error log is that of the access log.
    let hour = &line[12..14];
    let minute = &line[15..17];
    proxy.logged("nginx/").await;
    let error = proxy.error_log();
    let at = error.split(' ').nth(1).expect("a time").to_owned();
    let minutes = |hour: &str, minute: &str| {
        hour.parse::<i64>().unwrap() * 60 + minute.parse::<i64>().unwrap()
    };
    let apart = minutes(hour, minute) - minutes(&at[..2], &at[3..5]);
    // A minute, an hour or a day may have passed between them.
    assert!(apart.rem_euclid(24 * 60) < 30, "{line}{error}");
}

#[tokio::test]
async fn in_the_background_it_is_ready_when_the_command_has_ended() {
    let (prefix, port) = prefix(&format!("events {{}} http {{ {HELLO} }}"));
    let ran = finish(command(&prefix).into()).await;
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    let pid = fs::read_to_string(prefix.path().join("logs/nginx.pid")).unwrap();
    let address = ([127, 0, 0, 1], port).into();
    assert_eq!(
        get(&mut RawClient::connect(address).await, "/").await,
        "hello"
    );
    // A second one cannot have the port, and says so.
    let second = finish(command(&prefix).into()).await;
    assert_eq!(second.code(), 1, "{}", second.stderr);
    assert!(second.stderr.contains("bind() to"), "{}", second.stderr);
    let mut quit = command(&prefix);
    quit.args(["-s", "quit"]);
    let ran = finish(quit.into()).await;
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    until("the process in the background to end", || {
        let running = Command::new("kill").args(["-0", pid.trim()]).output();
        (!running.unwrap().status.success()).then_some(())
    })
    .await;
    assert!(!prefix.path().join("logs/nginx.pid").exists());
}
