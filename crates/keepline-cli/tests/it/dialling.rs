//! How `get` opens connections: name servers, names that move, local addresses, TCP keep-alive.

use std::net::SocketAddr;
use std::process::Command;

use keepline_testkit::dns::{Answer, NameServer};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{Link, Process, peers, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::binary::{KEEPLINE, finish, run};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn always() -> Script {
    Script::new().repeat_forever(Script::new().expect_head().send(OK))
}

fn at(last: u8) -> Answer {
    Answer::Addresses(vec![[127, 0, 0, last].into()])
}

#[tokio::test]
async fn a_name_server_is_asked_and_a_name_that_moves_is_followed() {
    let names = NameServer::start(1, at(1));
    let first = Peer::start(always());
    let port = first.addr().port();
    // Nobody else has a reason to listen on this port of the other address.
    let second = Peer::listen(SocketAddr::from(([127, 0, 0, 2], port)), [always()]);
    let mut command = Command::new(KEEPLINE);
    command.args(["get", "--json", "-n", "1000000", "-i", "10ms"]);
    command.args(["--dns-server", &names.addr().to_string()]);
    command.args(["--follow-dns", "1m", &format!("http://app.test:{port}/")]);
    let asking = Process::spawn(command);
    first.heads_received(0, 1).await;
    names.set(at(2));
    second.heads_received(0, 3).await;
    let told = asking.output();
    let rows: Vec<&str> = told.lines().filter(|line| line.ends_with('}')).collect();
    assert!(rows.iter().all(|row| row.contains("\"ok\":true")), "{told}");
    assert!(told.contains("\"opened\":\"dns-changed\""), "{told}");
    assert_eq!((first.accepted(), second.accepted()), (1, 1));
}

#[tokio::test]
async fn a_name_server_that_knows_nothing_is_told() {
    let names = NameServer::start(1, Answer::NoSuchName);
    let server = names.addr().to_string();
    let ran = run(&["get", "--dns-server", &server, "http://app.test/"]).await;
    assert_eq!(ran.code(), 1);
    assert!(
        ran.stderr.contains("no address is known for 'app.test'"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn the_local_address_is_the_one_that_was_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let asking =
        tokio::spawn(async move { run(&["get", "--local-address", "127.0.0.3", &url]).await });
    let (mut near, from) = within("a connection", listener.accept()).await.unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.3");
    let _ = near.read(&mut [0; 4096]).await.unwrap();
    near.write_all(OK.as_bytes()).await.unwrap();
    assert_eq!(asking.await.unwrap().stdout, "ok");
}

/// As `ss` sees the timer of the socket.
#[tokio::test]
async fn tcp_keep_alive_is_set_as_asked() {
    let Some(ss) = peers::require("ss") else {
        return;
    };
    for (flag, expected) in [("1h", Some("timer:(keepalive,59min")), ("0", None)] {
        let peer = Peer::start(Script::new().expect_head().hold());
        let mut command = Command::new(KEEPLINE);
        command.args(["get", "--tcp-keep-alive", flag, &peer.url("/")]);
        let _asking = Process::spawn(command);
        peer.heads_received(0, 1).await;
        let timers = || {
            let filter = format!("dport = :{}", peer.addr().port());
            let told = Command::new(&ss).args(["-tnoH", &filter]).output().unwrap();
            String::from_utf8(told.stdout).unwrap()
        };
        // The request has been acknowledged: no other timer runs.
        until("the timers of an idle socket", || {
            let timers = timers();
            assert!(timers.contains("ESTAB"), "{timers}");
            let is_so = match expected {
                Some(timer) => timers.contains(timer),
                None => !timers.contains("timer:"),
            };
            is_so.then_some(())
        })
        .await;
    }
}

/// A peer that vanishes while an answer is awaited: TCP keep-alive notices, and the user timeout says
/// when it is enough. With the default of either this would take minutes.
#[tokio::test]
async fn a_peer_that_vanishes_is_given_up_in_time() {
    let Some(link) = Link::require() else { return };
    let peer = Peer::accept_from(link.listen_there(), [Script::new().expect_head().hold()]);
    let mut command = link.command_here(KEEPLINE);
    command.args([
        "get",
        "--tcp-keep-alive",
        "1s",
        "--tcp-user-timeout",
        "1500ms",
    ]);
    command.args(["--timeout", "0", &peer.url("/")]);
    let asking = tokio::spawn(finish(command.into()));
    peer.heads_received(0, 1).await;
    link.fall_silent();
    let ran = asking.await.unwrap();
    assert_eq!(ran.code(), 1, "{ran:?}");
    for said in [
        "acknowledged nothing",
        "--tcp-user-timeout",
        "81 bytes sent",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    }
}
