//! Graceful shutdown: who is closed, who is answered, and when `serve` ends.

use std::time::Duration;

use keepline_testkit::Gate;
use tokio::time::Instant;

use super::*;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// A service that answers when the gate is open.
fn waiting(
    gate: &Gate,
) -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = keepline::BoxError,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    let gate = gate.clone();
    service_fn(move |request: Request<Body>| {
        let gate = gate.clone();
        async move {
            gate.opened().await;
            routes(request).await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn idle_connections_close_at_once() {
    let server = server();
    let (mut client, ended) = client_of(&server, service_fn(routes));
    assert_persists(&mut client).await;
    let start = Instant::now();
    server.handle().shutdown();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::Shutdown);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn requests_in_progress_are_answered_with_close() {
    let server = server();
    let gate = Gate::new("the answer");
    let (mut client, ended) = client_of(&server, waiting(&gate));
    client.send(GET).await;
    tokio::task::yield_now().await;
    server.handle().shutdown();
    tokio::time::sleep(Duration::from_secs(100)).await;
    gate.open();
    let answer = answer(&mut client).await;
    assert_eq!((&*answer.content, answer.says_close()), ("/x", true));
    assert_eq!(rest(&mut client).await, "");
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::Shutdown);
}

/// Go's #65802, #36819, #23829: there such a request is cut without an answer.
#[tokio::test(start_paused = true)]
async fn a_half_received_head_is_served() {
    let server = server();
    for first in [true, false] {
        let (mut client, _ended) = client_of(&server, service_fn(routes));
        if !first {
            continue;
        }
        client.send(&GET[..5]).await;
        tokio::task::yield_now().await;
        server.handle().shutdown();
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.send(&GET[5..]).await;
        let answer = answer(&mut client).await;
        assert_eq!((&*answer.content, answer.says_close()), ("/x", true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_received_head_on_a_used_connection_is_served() {
    let server = server();
    let (mut client, _ended) = client_of(&server, service_fn(routes));
    assert_persists(&mut client).await;
    client.send(&GET[..5]).await;
    tokio::task::yield_now().await;
    server.handle().shutdown();
    tokio::task::yield_now().await;
    client.send(&GET[5..]).await;
    let answer = answer(&mut client).await;
    assert_eq!((&*answer.content, answer.says_close()), ("/x", true));
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_may_still_send_its_first_request_for_a_while() {
    let server = server();
    let (mut speaks, _ended) = client_of(&server, service_fn(routes));
    let (mut silent, ended) = client_of(&server, service_fn(routes));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    server.handle().shutdown();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(ask(&mut speaks, GET).await.says_close());
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::Shutdown);
    assert_eq!(start.elapsed(), Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_pipeline_is_not_answered() {
    let server = server();
    let gate = Gate::new("the answers");
    let (mut client, _ended) = client_of(&server, waiting(&gate));
    client.send(GET.repeat(3)).await;
    tokio::task::yield_now().await;
    server.handle().shutdown();
    gate.open();
    assert!(answer(&mut client).await.says_close());
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn serve_ends_with_its_last_connection_and_the_port_is_free() {
    let server = server();
    let gate = Gate::new("the answer");
    let listener = keepline::net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Gate::new("stop");
    let signal = stop.opened();
    let serving = tokio::spawn(server.serve_with_shutdown(listener, waiting(&gate), signal));
    let mut busy = RawClient::connect(address).await;
    busy.send(GET).await;
    let stats = server.clone();
    keepline_testkit::until("the request", || {
        (stats.stats().requests == 1).then_some(())
    })
    .await;
    stop.open();
    keepline_testkit::until("the port to be free", || {
        std::net::TcpListener::bind(address).ok()
    })
    .await;
    assert!(!serving.is_finished());
    gate.open();
    assert_eq!(answer(&mut busy).await.content, "/x");
    assert_eq!(rest(&mut busy).await, "");
    drop(busy);
    serving.await.unwrap().unwrap();
    assert_eq!(server.stats().open, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_at_the_limit_is_dropped() {
    let server = builder()
        .shutdown_timeout(Some(Duration::from_secs(7)))
        .build()
        .unwrap();
    let listener = keepline::net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(listener, service_fn(routes)));
    // Of the same server, though not of that listener: the limit is the server's.
    let (mut client, ended) = client_of(&server, waiting(&Gate::new("never")));
    client.send(GET).await;
    tokio::task::yield_now().await;
    handle.shutdown();
    serving.await.unwrap().unwrap();
    assert!(!ended.is_finished());
    handle.abort();
    assert_eq!(ended.await.unwrap(), CloseReason::Shutdown);
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn a_stuck_handler_does_not_outlive_the_limit() {
    let server = builder()
        .shutdown_timeout(Some(Duration::from_millis(1)))
        .build()
        .unwrap();
    let listener = keepline::net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    let address = listener.local_addr().unwrap();
    let gate = Gate::new("never");
    let serving = tokio::spawn(server.serve(listener, waiting(&gate)));
    let mut client = RawClient::connect(address).await;
    client.send(GET).await;
    keepline_testkit::until("the request", || {
        (server.stats().requests == 1).then_some(())
    })
    .await;
    server.handle().shutdown();
    keepline_testkit::within("the end of serve", serving)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(server.stats().closed.of(CloseReason::Shutdown), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_held_for_the_time_that_was_set() {
    let seconds = Duration::from_secs;
    let server = builder().min_idle(seconds(5)).build().unwrap();
    let (mut asks, ended) = client_of(&server, service_fn(routes));
    let (mut silent, silent_ended) = client_of(&server, service_fn(routes));
    assert_persists(&mut asks).await;
    assert_persists(&mut silent).await;
    let start = Instant::now();
    tokio::time::sleep(seconds(2)).await;
    server.handle().shutdown();
    tokio::time::sleep(seconds(1)).await;
    // It was on its way when the server was told to stop.
    let answer = ask(&mut asks, GET).await;
    assert_eq!((&*answer.content, answer.says_close()), ("/x", true));
    drop(asks);
    assert_eq!(ended.await.unwrap(), CloseReason::Shutdown);
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(start.elapsed(), seconds(5));
    assert_eq!(silent_ended.await.unwrap(), CloseReason::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn idle_closes_are_spread_over_time_where_that_is_set() {
    let spread = Duration::from_secs(20);
    let server = builder().shutdown_spread(spread).build().unwrap();
    let mut closing = Vec::new();
    for _ in 0..50 {
        let (mut client, _ended) = client_of(&server, service_fn(routes));
        assert_persists(&mut client).await;
        closing.push(client);
    }
    let start = Instant::now();
    server.handle().shutdown();
    let mut times = tokio::task::JoinSet::new();
    for mut client in closing {
        times.spawn(async move {
            assert_eq!(rest(&mut client).await, "");
            start.elapsed()
        });
    }
    let times = times.join_all().await;
    assert!(
        times
            .iter()
            .all(|&time| time <= spread + Duration::from_millis(2))
    );
    let early = times.iter().filter(|&&time| time < spread / 2).count();
    assert!((5..=45).contains(&early), "{early} of 50 in the first half");
}

#[tokio::test]
async fn a_server_that_was_shut_down_serves_nothing_more() {
    let server = server();
    let listen =
        || keepline::net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    server.handle().shutdown();
    server.handle().shutdown();
    let listener = listen();
    let address = listener.local_addr().unwrap();
    server.serve(listener, service_fn(routes)).await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    server.handle().abort();
    server.serve(listen(), service_fn(routes)).await.unwrap();
    assert_eq!(server.stats().open, 0);
}

#[tokio::test]
async fn one_server_serves_several_listeners_and_ends_them_together() {
    let server = server();
    let mut serving = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let listener =
            keepline::net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
        let address = listener.local_addr().unwrap();
        serving.push(tokio::spawn(server.serve(listener, service_fn(routes))));
        let mut client = RawClient::connect(address).await;
        assert_eq!(ask(&mut client, GET).await.content, "/x");
        clients.push(client);
    }
    assert_eq!(server.stats().open, 3);
    server.handle().shutdown();
    for mut client in clients {
        assert_eq!(rest(&mut client).await, "");
    }
    for serve in serving {
        serve.await.unwrap().unwrap();
    }
    assert_eq!((server.stats().open, server.stats().requests), (0, 3));
}
