//! Each fault by its bytes and by how the connection ends.

use std::time::{Duration, Instant};

use keepline_faults::{End as ServerEnd, EventKind, Fault, FaultServer, Plan};
use keepline_testkit::{End, RawClient, within};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const ORDINARY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!";
/// Nothing is waited for so long unless the server does what it should not.
const MOMENT: Duration = Duration::from_millis(20);

async fn start(plan: Plan) -> (FaultServer, RawClient) {
    let server = FaultServer::start(plan).await.expect("a port is free");
    let client = RawClient::connect(server.addr()).await;
    (server, client)
}

/// One request, and all that comes until the server ends the connection.
async fn all_of(plan: Plan) -> (String, End) {
    let (_server, mut client) = start(plan).await;
    client.send(REQUEST).await;
    let (bytes, end) = client.read_to_end().await;
    (String::from_utf8(bytes).expect("it is ASCII"), end)
}

async fn expect(client: &mut RawClient, text: &str) {
    let read = client.read_exactly(text.len()).await;
    assert_eq!(String::from_utf8_lossy(&read), text);
}

/// How the server says the connection ended.
async fn ended(server: &mut FaultServer) -> ServerEnd {
    within("the end of the connection", async {
        loop {
            if let EventKind::Ended(end) = server.event().await.expect("it runs").kind {
                return end;
            }
        }
    })
    .await
}

#[tokio::test]
async fn faults_that_end_the_connection_say_these_bytes_and_end_it_so() {
    let farewell = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let promise = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nKeep-Alive: timeout=60, max=1000\r\n\r\nHello, World!";
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n";
    for (fault, bytes, end) in [
        (Fault::IdleFin, ORDINARY.to_owned(), End::Fin),
        (Fault::IdleRst, ORDINARY.to_owned(), End::Reset),
        (Fault::Idle408, format!("{ORDINARY}{farewell}"), End::Fin),
        (
            Fault::FinMidHead,
            "HTTP/1.1 200 OK\r\nContent-Len".to_owned(),
            End::Fin,
        ),
        (Fault::FinMidBody, format!("{head}Hello"), End::Fin),
        (Fault::RstMidBody, format!("{head}Hello"), End::Reset),
        (Fault::LyingKeepAlive, promise.to_owned(), End::Fin),
    ] {
        let plan = Plan::new(fault).after(MOMENT);
        assert_eq!(all_of(plan).await, (bytes, end), "{fault}");
    }
    let plan = Plan::new(Fault::CloseEveryN).at(1);
    assert_eq!(all_of(plan).await, (ORDINARY.to_owned(), End::Fin));
    let plan = Plan::new(Fault::HalfClose);
    assert_eq!(all_of(plan).await, (ORDINARY.to_owned(), End::Fin));
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_time_that_was_planned_and_no_earlier() {
    let after = Duration::from_millis(150);
    let (_server, mut client) = start(Plan::new(Fault::IdleFin).after(after)).await;
    client.send(REQUEST).await;
    expect(&mut client, ORDINARY).await;
    let idle = Instant::now();
    client.read_to_end().await;
    // The server's clock started when it had sent; ours a little later.
    assert!(idle.elapsed() >= after - Duration::from_millis(30));
}

#[tokio::test]
async fn stray_bytes_are_a_whole_response_and_the_connection_goes_on() {
    let (_server, mut client) = start(Plan::new(Fault::StrayBytes).after(MOMENT)).await;
    client.send(REQUEST).await;
    expect(&mut client, ORDINARY).await;
    expect(
        &mut client,
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nFOREIGN",
    )
    .await;
    client.send(REQUEST).await;
    expect(&mut client, ORDINARY).await;
}

#[tokio::test]
async fn lies_about_the_length_are_sent_with_the_answer() {
    let (_server, mut client) = start(Plan::new(Fault::LyingLength)).await;
    client.send(REQUEST).await;
    expect(&mut client, ORDINARY).await;
    expect(
        &mut client,
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nFOREIGN",
    )
    .await;
    let (_server, mut client) = start(Plan::new(Fault::ClTe)).await;
    client.send(REQUEST).await;
    expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn what_is_slow_takes_its_time_for_each_byte() {
    let every = Duration::from_millis(2);
    for (fault, slow_bytes) in [
        (Fault::SlowHead, 39),
        (Fault::SlowBody, 13),
        (Fault::SplitBytes, 52),
    ] {
        let (_server, mut client) = start(Plan::new(fault).every(every)).await;
        for _ in 0..2 {
            let started = Instant::now();
            client.send(REQUEST).await;
            expect(&mut client, ORDINARY).await;
            assert!(started.elapsed() >= every * (slow_bytes - 2), "{fault}");
        }
    }
}

#[tokio::test]
async fn what_is_endless_goes_on_until_the_client_leaves() {
    for (fault, begin, line) in [
        (
            Fault::Endless1xx,
            "",
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
        ),
        (
            Fault::EndlessHead,
            "HTTP/1.1 200 OK\r\n",
            "X-Fill: 0123456789abcdef0123456789abcdef0123456789abcdef\r\n",
        ),
    ] {
        let (mut server, mut client) = start(Plan::new(fault)).await;
        client.send(REQUEST).await;
        expect(&mut client, begin).await;
        expect(&mut client, &line.repeat(1000)).await;
        client.close();
        assert!(matches!(
            ended(&mut server).await,
            ServerEnd::ClientReset | ServerEnd::ClientClosed
        ));
    }
}

#[tokio::test]
async fn every_third_answer_is_the_last_of_its_connection() {
    let (mut server, mut client) = start(Plan::new(Fault::CloseEveryN)).await;
    for _ in 0..3 {
        client.send(REQUEST).await;
        expect(&mut client, ORDINARY).await;
    }
    assert_eq!(client.read_to_end().await, (Vec::new(), End::Fin));
    assert_eq!(ended(&mut server).await, ServerEnd::Closed);
}

#[tokio::test]
async fn a_server_that_never_closes_does_not_even_if_the_client_does() {
    let (mut server, mut client) = start(Plan::new(Fault::NeverClose)).await;
    client.send(REQUEST).await;
    let head = client.read_head().await;
    assert!(head.contains("Connection: close\r\n"), "{head}");
    expect(&mut client, "Hello, World!").await;
    client.half_close().await;
    let end = tokio::time::timeout(Duration::from_millis(100), client.read_to_end()).await;
    assert!(end.is_err(), "{end:?}");
    let end = tokio::time::timeout(MOMENT, ended(&mut server)).await;
    assert!(end.is_err(), "{end:?}");
}

#[tokio::test]
async fn after_a_half_close_requests_are_read_and_not_answered() {
    let (mut server, mut client) = start(Plan::new(Fault::HalfClose)).await;
    client.send(REQUEST).await;
    expect(&mut client, ORDINARY).await;
    assert_eq!(client.read_to_end().await, (Vec::new(), End::Fin));
    // A server that had closed would answer the first of these with a reset.
    client.send(REQUEST).await;
    client.send(REQUEST).await;
    client.half_close().await;
    assert_eq!(ended(&mut server).await, ServerEnd::ClientClosed);
}
