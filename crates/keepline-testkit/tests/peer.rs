//! The scripted peer against the scripted client: each of them is what shows that the other works.

use keepline_testkit::peer::{Ending, Peer, Script};
use keepline_testkit::sockets::{Sockets, State};
use keepline_testkit::stream::{Dribble, duplex};
use keepline_testkit::{End, Gate, RawClient};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn exchange() -> Script {
    Script::new().expect_head().send(ANSWER)
}

#[tokio::test]
async fn a_connection_carries_exchange_after_exchange_until_the_client_closes() {
    let peer = Peer::start(Script::new().repeat_forever(exchange()));
    let mut client = RawClient::connect(peer.addr()).await;
    for _ in 0..3 {
        client.send(REQUEST).await;
        assert!(client.read_head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(client.read_exactly(2).await, b"ok");
    }
    client.close();
    assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);
    assert_eq!(peer.accepted(), 1);
    assert_eq!(peer.heads(0), [REQUEST; 3]);
    assert_eq!(peer.received(0), REQUEST.repeat(3).into_bytes());
}

#[tokio::test]
async fn pipelined_heads_are_told_apart() {
    let peer = Peer::start(Script::new().repeat(2, exchange()).close());
    let mut client = RawClient::connect(peer.addr()).await;
    client.dribble(REQUEST.repeat(2), 7).await;
    let (answers, end) = client.read_to_end().await;
    assert_eq!((answers, end), (ANSWER.repeat(2).into_bytes(), End::Fin));
    assert_eq!(peer.connection_closed(0).await, Ending::PeerClosed);
}

#[tokio::test]
async fn each_connection_gets_its_script_and_the_last_script_all_that_follow() {
    let peer = Peer::start_each([Script::new().close(), Script::new().send("rest").close()]);
    for rest in ["", "rest", "rest"] {
        let mut client = RawClient::connect(peer.addr()).await;
        assert_eq!(client.read_to_end().await, (rest.into(), End::Fin));
    }
    peer.connections_accepted(3).await;
    assert_eq!(peer.accepted(), 3);
}

#[tokio::test]
async fn a_gate_stops_the_script_in_the_middle_of_an_answer() {
    let (asked, go_on) = (Gate::new("asked"), Gate::new("go on"));
    let (first, rest) = ANSWER.split_at(9);
    let script = Script::new()
        .expect_head()
        .send(first)
        .open(&asked)
        .wait_for(&go_on)
        .send(rest);
    let peer = Peer::start(script.close());
    let mut client = RawClient::connect(peer.addr()).await;
    client.send(REQUEST).await;
    asked.opened().await;
    assert_eq!(client.read_exactly(9).await, first.as_bytes());
    go_on.open();
    assert_eq!(client.read_to_end().await, (rest.into(), End::Fin));
}

#[tokio::test]
async fn both_sides_can_reset() {
    let peer = Peer::start_each([
        Script::new().expect("x").reset(),
        Script::new().expect("x").hold(),
    ]);
    let mut client = RawClient::connect(peer.addr()).await;
    client.send("x").await;
    assert_eq!(client.read_to_end().await, (vec![], End::Reset));
    assert_eq!(peer.connection_closed(0).await, Ending::PeerReset);

    let mut client = RawClient::connect(peer.addr()).await;
    client.send("x").await;
    peer.bytes_received(1, 1).await;
    client.reset();
    assert_eq!(peer.connection_closed(1).await, Ending::ClientReset);
}

#[tokio::test]
async fn a_half_closed_side_still_reads() {
    let peer = Peer::start_each([
        Script::new().fin().expect("late"),
        Script::new()
            .expect_head()
            .send("an answer after the client's FIN"),
    ]);
    let mut client = RawClient::connect(peer.addr()).await;
    assert_eq!(client.read_to_end().await, (vec![], End::Fin));
    client.send("late").await;
    client.close();
    assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);

    let mut client = RawClient::connect(peer.addr()).await;
    client.send(REQUEST).await;
    client.half_close().await;
    let (answer, end) = client.read_to_end().await;
    assert_eq!(
        (answer, end),
        (b"an answer after the client's FIN".into(), End::Fin)
    );
}

#[tokio::test]
async fn an_answer_can_be_dribbled_and_a_body_read() {
    let script = Script::new()
        .expect_head()
        .read_exactly(5)
        .send_split_each(ANSWER, 1)
        .close();
    let peer = Peer::start(script);
    let mut client = RawClient::connect(peer.addr()).await;
    client.send(REQUEST).await;
    client.send("01234").await;
    assert_eq!(client.read_to_end().await.0, ANSWER.as_bytes());
    assert!(peer.received(0).ends_with(b"\r\n\r\n01234"));
}

/// A client that dials in advance, or gives an idle connection up, does nothing wrong.
#[tokio::test]
async fn a_client_may_close_before_the_first_byte_of_a_head() {
    let peer = Peer::start(Script::new().repeat_forever(exchange()));
    RawClient::connect(peer.addr()).await.close();
    assert_eq!(peer.connection_closed(0).await, Ending::ClientClosed);
    assert!(peer.heads(0).is_empty());
}

#[tokio::test]
async fn a_client_may_go_away_while_the_peer_sends() {
    let much = vec![b'x'; 16 << 20];
    let peer = Peer::start(Script::new().expect_head().send(much));
    let mut client = RawClient::connect(peer.addr()).await;
    client.send(REQUEST).await;
    client.read_exactly(1).await;
    client.close();
    assert_eq!(peer.connection_closed(0).await, Ending::ClientReset);
}

#[tokio::test]
#[should_panic(expected = "it had to expect \"abc\" but got \"abX\"")]
async fn unexpected_bytes_fail_the_test() {
    let peer = Peer::start(Script::new().expect("abc"));
    let mut client = RawClient::connect(peer.addr()).await;
    client.send("abX").await;
    peer.connection_closed(0).await;
}

#[tokio::test]
#[should_panic(
    expected = "the client closed where the script had to expect a head; received in \
                           all: \"GET / HT\""
)]
async fn half_a_head_fails_the_test_even_if_nobody_waits_for_the_peer() {
    let peer = Peer::start(exchange());
    let mut client = RawClient::connect(peer.addr()).await;
    client.send("GET / HT").await;
    client.half_close().await;
    client.read_to_end().await;
    drop(peer);
}

#[tokio::test]
async fn a_peer_that_stops_listening_keeps_its_connections() {
    let peer = Peer::start(Script::new().repeat_forever(exchange()));
    let mut client = RawClient::connect(peer.addr()).await;
    client.send(REQUEST).await;
    peer.heads_received(0, 1).await;
    peer.stop_listening().await;
    assert_eq!(
        Sockets::on_port(peer.addr().port())
            .in_state(State::Listening)
            .count(),
        0
    );
    client.read_head().await;
    client.send(REQUEST).await;
    peer.heads_received(0, 2).await;
}

#[tokio::test]
async fn dropping_a_peer_closes_its_connections() {
    let peer = Peer::start(Script::new().hold());
    let mut client = RawClient::connect(peer.addr()).await;
    peer.connections_accepted(1).await;
    drop(peer);
    assert_eq!(client.read_to_end().await, (vec![], End::Fin));
}

/// The peer is where a test's runtime can't hurt it, as other machines are.
#[test]
fn a_peer_outlives_the_runtime_of_its_client() {
    let peer = Peer::start(Script::new().hold());
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    for connection in 0..2 {
        let first = runtime();
        let client = first.block_on(RawClient::connect(peer.addr()));
        drop(first);
        drop(client);
        assert_eq!(
            runtime().block_on(peer.connection_closed(connection)),
            Ending::ClientClosed
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_raw_client_works_over_any_stream() {
    let (near, far) = duplex(64);
    let mut client = RawClient::over(Dribble::new(near, 1));
    let mut server = RawClient::over(far);
    client.send(REQUEST).await;
    assert_eq!(server.read_head().await, REQUEST);
    server.close();
    assert_eq!(client.read_to_end().await, (vec![], End::Fin));
}
