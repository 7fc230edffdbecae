//! Ends that nobody planned: handlers that fail or panic, clients that leave.

use keepline_testkit::Gate;
use keepline_testkit::stream::{Fault, Faulty};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_or_panics_answers_500_and_closes() {
    for path in ["/fail", "/panic"] {
        let server = server();
        let (mut client, ended) = client_of(&server, service_fn(routes));
        assert_persists(&mut client).await;
        let answer = ask(
            &mut client,
            &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        )
        .await;
        assert_eq!((answer.status(), answer.says_close()), (500, true));
        assert!(
            !answer.content.contains("out of order"),
            "{}",
            answer.content
        );
        client.half_close().await;
        assert_eq!(rest(&mut client).await, "");
        assert_eq!(ended.await.unwrap(), CloseReason::LocalAskedClose);
        // Nobody else minds.
        let (mut other, _ended) = client_of(&server, service_fn(routes));
        assert_persists(&mut other).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_response_body_cuts_it_short() {
    struct Panics(bool);
    impl HttpBody for Panics {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            assert!(!std::mem::replace(&mut self.0, true), "as planned");
            Poll::Ready(Some(Ok(Frame::data("begun".into()))))
        }
    }
    let service = service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::new(Panics(false))))
    });
    let (mut client, ended) = client_of(&server(), service);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = rest(&mut client).await;
    assert!(answer.ends_with("\r\n\r\n5\r\nbegun\r\n"), "{answer}");
    assert_eq!(ended.await.unwrap(), CloseReason::LocalAskedClose);
}

/// Something that opens a gate when it is dropped.
struct OnDrop(Gate);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A service that never answers, and gates for its start and for the drop of its future.
fn stuck() -> (
    impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static,
    Gate,
    Gate,
) {
    let (started, dropped) = (Gate::new("the start"), Gate::new("the drop"));
    let gates = (started.clone(), dropped.clone());
    let service = service_fn(move |_: Request<Body>| {
        let (started, dropped) = gates.clone();
        async move {
            let _on_drop = OnDrop(dropped);
            started.open();
            std::future::pending().await
        }
    });
    (service, started, dropped)
}

#[tokio::test]
async fn a_reset_cancels_the_handler_and_a_fin_does_not() {
    let (service, started, dropped) = stuck();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = server();
    tokio::spawn(server.serve(listener, service));
    let mut client = RawClient::connect(address).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    started.opened().await;
    client.half_close().await;
    // The FIN has been seen once the kernel has acknowledged it; give the task its turn.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!dropped.is_open());
    client.close();

    let (service, started, dropped) = stuck();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = self::server();
    tokio::spawn(server.serve(listener, service));
    let mut client = RawClient::connect(address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    started.opened().await;
    client.reset();
    dropped.opened().await;
    keepline_testkit::until("the count of the reset connection", || {
        (server.stats().closed.of(CloseReason::IoError) == 1).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_fin_cancels_the_handler_if_so_set() {
    let (service, started, dropped) = stuck();
    let server = builder().cancel_on_half_close(true).build().unwrap();
    let (mut client, ended) = client_of(&server, service);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    started.opened().await;
    client.half_close().await;
    dropped.opened().await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn requests_that_came_whole_before_a_fin_are_answered() {
    let service = service_fn(|request: Request<Body>| async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        routes(request).await
    });
    let (mut client, ended) = client_of(&server(), service);
    client
        .send(
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
             POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nwhole\
             GET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    client.half_close().await;
    for expected in ["/1", "whole", "/3"] {
        assert_eq!(answer(&mut client).await.content, expected);
    }
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_arrive_while_a_handler_works_are_kept_for_later() {
    let service = service_fn(|request: Request<Body>| async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        routes(request).await
    });
    let (mut client, _ended) = client_of(&server(), service);
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::task::yield_now().await;
    client.send("GET /2 HTT").await;
    tokio::task::yield_now().await;
    client.send("P/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer(&mut client).await.content, "/1");
    assert_eq!(answer(&mut client).await.content, "/2");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_while_it_is_idle_is_forgotten() {
    let (ours, theirs) = duplex(4096);
    let get = "GET /again HTTP/1.1\r\nHost: a\r\n\r\n";
    let faulty =
        Faulty::new(theirs).reads_after(get.len(), Fault::Error(io::ErrorKind::ConnectionReset));
    let ended = server().serve_connection(keepline::net::Stream::new(faulty), service_fn(routes));
    let mut client = RawClient::over(ours);
    assert_persists(&mut client).await;
    assert_eq!(ended.await.unwrap(), CloseReason::IoError);
}
