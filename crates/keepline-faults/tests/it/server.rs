//! When faults come, and what is served well.

use std::time::Duration;

use keepline_faults::{End as ServerEnd, Event, EventKind, Fault, FaultServer, Plan};
use keepline_testkit::{End, RawClient, within};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const ORDINARY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!";

async fn answer(client: &mut RawClient) {
    let read = client.read_exactly(ORDINARY.len()).await;
    assert_eq!(String::from_utf8_lossy(&read), ORDINARY);
}

#[tokio::test]
async fn the_fault_comes_at_the_request_that_was_planned() {
    for fault in [
        Fault::FinMidBody,
        Fault::FinMidHead,
        Fault::RstMidBody,
        Fault::IdleFin,
    ] {
        let plan = Plan::new(fault).at(3).after(Duration::from_millis(1));
        let server = FaultServer::start(plan).await.expect("a port is free");
        let mut client = RawClient::connect(server.addr()).await;
        for _ in 0..2 {
            client.send(REQUEST).await;
            answer(&mut client).await;
        }
        client.send(REQUEST).await;
        client.read_to_end().await;
    }
}

#[tokio::test]
async fn connections_after_the_planned_ones_are_served_well() {
    let server = FaultServer::start(Plan::new(Fault::FinMidHead).times(2))
        .await
        .expect("a port is free");
    for connection in 0..4 {
        let mut client = RawClient::connect(server.addr()).await;
        client.send(REQUEST).await;
        if connection < 2 {
            assert_eq!(client.read_to_end().await.1, End::Fin);
        } else {
            answer(&mut client).await;
            client.send(REQUEST).await;
            answer(&mut client).await;
        }
    }
}

#[tokio::test]
async fn bodies_are_read_head_has_none_and_100_is_said_to_who_waits() {
    let plan = Plan::new(Fault::CloseEveryN).at(4);
    let server = FaultServer::start(plan).await.expect("a port is free");
    let mut client = RawClient::connect(server.addr()).await;
    client
        .send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .await;
    answer(&mut client).await;
    client.send("HEAD / HTTP/1.1\r\n\r\n").await;
    assert!(client.read_head().await.contains("Content-Length: 13"));
    client
        .send("PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await;
    assert_eq!(client.read_head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ab").await;
    answer(&mut client).await;
    client.send(REQUEST).await;
    assert_eq!(client.read_to_end().await, (ORDINARY.into(), End::Fin));
}

#[tokio::test]
async fn events_tell_what_happened_in_order() {
    let mut server = FaultServer::start(Plan::new(Fault::FinMidHead).at(2))
        .await
        .expect("a port is free");
    let mut client = RawClient::connect(server.addr()).await;
    let peer = client.local_addr();
    client.send([REQUEST, REQUEST].concat()).await;
    client.read_to_end().await;
    let request = |number| EventKind::Request {
        number,
        line: "GET / HTTP/1.1".to_owned(),
    };
    for kind in [
        EventKind::Opened { peer },
        request(1),
        request(2),
        EventKind::Fault,
        EventKind::Ended(ServerEnd::Closed),
    ] {
        let told = within("an event", server.event()).await;
        assert_eq!(
            told,
            Some(Event {
                connection: 1,
                kind
            })
        );
    }
}

#[tokio::test]
async fn what_is_no_request_ends_the_connection() {
    let mut server = FaultServer::start(Plan::new(Fault::SplitBytes))
        .await
        .expect("a port is free");
    let mut client = RawClient::connect(server.addr()).await;
    client.send(vec![b'x'; 70_000]).await;
    client.read_to_end().await;
    let ended = within("the end", async {
        loop {
            if let Some(Event {
                kind: EventKind::Ended(end),
                ..
            }) = server.event().await
            {
                return end;
            }
        }
    });
    assert_eq!(ended.await, ServerEnd::Unreadable);
}

#[tokio::test]
async fn dropping_the_server_closes_its_connections_and_its_port() {
    let server = FaultServer::start(Plan::new(Fault::NeverClose))
        .await
        .expect("a port is free");
    let addr = server.addr();
    let mut client = RawClient::connect(addr).await;
    client.send(REQUEST).await;
    client.read_head().await;
    drop(server);
    client.read_to_end().await;
    keepline_testkit::until("the port to be closed", || {
        std::net::TcpStream::connect(addr).err()
    })
    .await;
}
