//! `keepline watch`, checked against `ss` on scripted traffic.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{Process, RawClient, peers, until};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::binary::{KEEPLINE, Served, run};

/// `keepline watch --json` that runs beside the test.
struct Watching {
    process: Process,
    /// The table of /proc is no snapshot: on a busy machine it may miss a socket once.
    is_exact: bool,
}

impl Watching {
    /// Starts it and waits for its first line: what is done then, it sees.
    async fn start(args: &[&str]) -> Self {
        let mut command = Command::new(KEEPLINE);
        command
            .args(["watch", "--json", "--every", "100ms"])
            .args(args);
        let watching = Self {
            process: Process::spawn(command),
            is_exact: !args.contains(&"--proc"),
        };
        until("the first look", || {
            (!watching.lines().is_empty()).then_some(())
        })
        .await;
        watching
    }

    fn lines(&self) -> Vec<Value> {
        let output = self.process.output();
        let whole = output.rfind('\n').map_or("", |end| &output[..end]);
        whole
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    /// The sum of a counter of one side over all looks.
    fn sum(&self, side: &str, counter: &str) -> u64 {
        let lines = self.lines();
        lines
            .iter()
            .filter_map(|line| line[side][counter].as_u64())
            .sum()
    }

    /// Waits until a counter has come to `expected`, and looks twice more that it stays there.
    async fn counts(&self, side: &str, counter: &str, expected: u64) {
        until(
            format!("{counter} on the {side} side to be {expected}"),
            || (self.sum(side, counter) >= expected).then_some(()),
        )
        .await;
        let seen = self.lines().len();
        until("two more looks", || {
            (self.lines().len() >= seen + 2).then_some(())
        })
        .await;
        let sum = self.sum(side, counter);
        let is_right = if self.is_exact {
            sum == expected
        } else {
            sum >= expected
        };
        assert!(is_right, "{counter} on the {side} side: {:?}", self.lines());
    }

    fn last(&self) -> Value {
        self.lines().pop().expect("there is one")
    }
}

/// The states of the sockets on one side of a port, as `ss` counts them.
fn counted_by_ss(side: &str, port: u16) -> BTreeMap<String, u64> {
    let filter = if side == "server" { "sport" } else { "dport" };
    let output = Command::new("ss")
        .args(["-Htan", &format!("( {filter} = :{port} )")])
        .output()
        .expect("ss can be started");
    let mut counts = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let state = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_lowercase();
        if state != "listen" {
            *counts.entry(state).or_default() += 1;
        }
    }
    counts
}

fn states(line: &Value, side: &str) -> BTreeMap<String, u64> {
    serde_json::from_value(line[side]["states"].clone()).expect("they are counts")
}

/// Waits until both agree: `ss` looks at another moment.
async fn agrees_with_ss(watching: &Watching, port: u16) {
    for side in ["server", "client"] {
        until(format!("ss to see the same on the {side} side"), || {
            let last = watching.last();
            let both = (states(&last, side), counted_by_ss(side, port));
            (both.0 == both.1).then_some(())
        })
        .await;
    }
}

fn answer() -> Script {
    Script::new()
        .expect_head()
        .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn what_it_counts_is_what_happened_and_what_ss_sees() {
    counts_are_right(&[]).await;
}

#[tokio::test]
async fn from_proc_it_counts_the_same() {
    counts_are_right(&["--proc"]).await;
}

async fn counts_are_right(how: &[&str]) {
    if peers::require("ss").is_none() {
        return;
    }
    // The first three are closed by the server after their answer, the others are held.
    let scripts = (0..20).map(|number| match number {
        0..3 => answer().close(),
        _ => answer().hold(),
    });
    let peer = Peer::start_each(scripts);
    let port = peer.addr().port();
    let (watched, by_netlink) = (port.to_string(), how.is_empty());
    let args = [&["--port", &watched], how].concat();
    let watching = Watching::start(&args).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = RawClient::connect(peer.addr()).await;
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        client.read_head().await;
        clients.push(client);
    }
    for side in ["server", "client"] {
        watching.counts(side, "new", 10).await;
    }
    agrees_with_ss(&watching, port).await;
    assert_eq!(states(&watching.last(), "server")["estab"], 7);

    // Those that the server has closed first: TIME-WAIT is there.
    for mut client in clients.drain(..3) {
        client.read_to_end().await;
        client.close();
    }
    watching.counts("server", "time_wait_made", 3).await;
    agrees_with_ss(&watching, port).await;
    // Now the client closes two first, and resets one, which leaves nothing behind.
    clients.pop().expect("there are more").reset();
    clients.drain(..2).for_each(RawClient::close);
    watching.counts("client", "time_wait_made", 2).await;
    watching.counts("server", "closed", 6).await;
    watching.counts("client", "closed", 6).await;
    if by_netlink {
        assert_eq!(watching.sum("server", "time_wait_made"), 3);
    }
    agrees_with_ss(&watching, port).await;

    let expected = BTreeMap::from([("estab".to_owned(), 4), ("time-wait".to_owned(), 2)]);
    let last = until("a look that sees six ends of the clients", || {
        Some(watching.last()).filter(|last| states(last, "client") == expected)
    })
    .await;
    let source = if by_netlink { "netlink" } else { "proc" };
    assert_eq!(
        (&last["source"], &last["exact"]),
        (&json!(source), &json!(by_netlink))
    );
    assert_eq!(last["client"]["idle"].is_object(), by_netlink, "{last}");
    // Four that are open, two that are remembered.
    assert_eq!(last["ports"]["used"], 6, "{last}");
    let ages = last["client"]["age"]
        .as_object()
        .expect("it is a histogram");
    assert_eq!(ages.values().filter_map(Value::as_u64).sum::<u64>(), 4);
}

/// Who dials a server that does not accept is not let in, and dials again after a second, and again:
/// the kernel's own retransmits, of which it counts each.
#[tokio::test]
async fn segments_that_are_sent_again_are_counted_on_the_side_that_sends_them() {
    if peers::require("ss").is_none() {
        return;
    }
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("a port is free");
    let addr = socket.local_addr().expect("it is bound");
    let _full = socket.listen(1).expect("it can listen");
    let watching = Watching::start(&["--port", &addr.port().to_string()]).await;
    let mut dialling = JoinSet::new();
    for _ in 0..4 {
        dialling.spawn(TcpStream::connect(addr));
    }
    until("the same retransmits as ss sees", || {
        let (seen, told) = (
            watching.sum("client", "retransmits"),
            retransmits_by_ss(addr.port()),
        );
        (seen > 0 && seen == told).then_some(())
    })
    .await;
    assert_eq!(watching.sum("server", "retransmits"), 0);
    let last = watching.last();
    assert!(states(&last, "client")["syn-sent"] > 0, "{last}");
    // What is not open yet is not idle.
    assert_eq!(last["client"]["idle"][">=10m"], 0, "{last}");
}

/// Of the clients' ends: `retrans:NOW/ALL`.
fn retransmits_by_ss(port: u16) -> u64 {
    let output = Command::new("ss")
        .args(["-Htani", &format!("( dport = :{port} )")])
        .output()
        .expect("ss can be started");
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("retrans:")?.split_once('/'))
        .filter_map(|(_, all)| all.parse::<u64>().ok())
        .sum()
}

/// Connections that come and go faster than it looks.
#[tokio::test]
async fn connections_between_two_looks_are_counted_too() {
    let server = Served::start(&["--max-requests", "1"]).await;
    let watching = Watching::start(&["--port", &server.port.to_string()]).await;
    assert_eq!(run(&["get", "-n", "200", &server.url("/")]).await.code(), 0);
    for side in ["server", "client"] {
        watching.counts(side, "new", 200).await;
        watching.counts(side, "closed", 200).await;
    }
    // Whether one side waits after the end of a connection, or both as they closed at the same time,
    // or none as one was reset, is the kernel's to say: it remembers them for a minute.
    for side in ["server", "client"] {
        let remembered = states(&watching.last(), side).remove("time-wait");
        let made = watching.sum(side, "time_wait_made");
        assert_eq!(made, remembered.unwrap_or_default(), "on the {side} side");
    }
    if peers::require("ss").is_some() {
        agrees_with_ss(&watching, server.port).await;
    }
}

#[tokio::test]
async fn a_process_is_watched_on_both_of_its_sides() {
    let server = Served::start(&[]).await;
    let watching = Watching::start(&["--pid", &server.process.id().to_string()]).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(RawClient::connect(SocketAddr::from(([127, 0, 0, 1], server.port))).await);
    }
    watching.counts("server", "new", 4).await;
    // The clients are ours, and not those of the process.
    assert_eq!(watching.sum("client", "new"), 0);
    let own = Watching::start(&["--pid", &std::process::id().to_string()]).await;
    clients.push(RawClient::connect(SocketAddr::from(([127, 0, 0, 1], server.port))).await);
    until("the client to be seen", || {
        (own.sum("client", "new") >= 1).then_some(())
    })
    .await;
    drop(clients);
    watching.counts("server", "closed", 5).await;
}

#[tokio::test]
async fn a_server_of_keepline_says_how_much_is_reused_and_why_connections_close() {
    let server = Served::start(&["--max-requests", "10"]).await;
    let status = server.url("/stats");
    let port = server.port.to_string();
    let watching = Watching::start(&["--port", &port, "--status", &status]).await;
    assert_eq!(run(&["get", "-n", "100", &server.url("/")]).await.code(), 0);
    until("the closes to be told", || {
        let lines = watching.lines();
        let told = lines
            .iter()
            .filter_map(|line| line["status"]["closed"]["max-requests"].as_u64());
        (told.sum::<u64>() >= 10).then_some(())
    })
    .await;
    let lines = watching.lines();
    let ratios = lines
        .iter()
        .filter_map(|line| line["status"]["reuse_ratio"].as_f64());
    assert!(
        ratios.clone().any(|ratio| (0.5..1.0).contains(&ratio)),
        "{lines:?}"
    );
    let stats = run(&["get", &status]).await.json().remove(0);
    assert!(stats["requests"].as_u64() >= Some(100), "{stats}");
}

#[tokio::test]
async fn it_ends_when_told_and_says_why_it_cannot_look() {
    let server = Served::start(&[]).await;
    let port = server.port.to_string();
    let args = [
        "watch", "--port", &port, "--every", "100ms", "--for", "300ms",
    ];
    let ran = run(&args).await;
    // Looks for which a busy machine is too late are left out.
    let looks = ran.stdout.lines().count();
    assert!(ran.code() == 0 && (1..=3).contains(&looks), "{ran:?}");
    assert!(
        ran.stdout.starts_with("server side: none, +0 -0 a second"),
        "{ran:?}"
    );
    let ran = run(&["watch", "--pid", "4294967295"]).await;
    assert_eq!((ran.code(), ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("does it run"), "{ran:?}");
    for args in [
        &["watch"][..],
        &["watch", "--port", "0"],
        &["watch", "--port", "1", "--pid", "1"],
    ] {
        assert_eq!(run(args).await.code(), 2, "{args:?}");
    }
}
