//! Pipelined requests: in order, and flushed once per batch.

use keepline_testkit::Gate;

use super::*;

/// A client whose server's writes are counted.
fn counted<S>(service: S) -> (Client, JoinHandle<CloseReason>, Arc<Mutex<Vec<usize>>>)
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<keepline::BoxError> + 'static,
{
    let writes = Arc::default();
    let (ours, theirs) = duplex(1024 * 1024);
    let stream = Counted {
        stream: theirs,
        writes: Arc::clone(&writes),
    };
    let ended = server().serve_connection(keepline::net::Stream::new(stream), service);
    (RawClient::over(ours), ended, writes)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_in_one_write_are_answered_in_order_in_one_write() {
    let (mut client, _ended, writes) = counted(service_fn(routes));
    for round in 0..3 {
        let batch: String = (0..100)
            .map(|number| format!("GET /{round}-{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .collect();
        client.send(&batch).await;
        for number in 0..100 {
            assert_eq!(
                answer(&mut client).await.content,
                format!("/{round}-{number}")
            );
        }
        assert_eq!(writes.lock().unwrap().len(), round + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_request_is_answered_in_one_write() {
    let (mut client, _ended, writes) = counted(service_fn(routes));
    ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    ask(&mut client, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let upload = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(ask(&mut client, upload).await.content, "hi");
    assert_eq!(writes.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn answers_do_not_wait_for_a_request_that_is_not_whole() {
    let (mut client, _ended) = client();
    client
        .send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHo")
        .await;
    assert_eq!(answer(&mut client).await.content, "/1");
    client.send("st: a\r\n\r\n").await;
    assert_eq!(answer(&mut client).await.content, "/2");
}

#[tokio::test(start_paused = true)]
async fn answers_do_not_wait_for_a_slow_one_behind_them() {
    let gate = Gate::new("the slow answer");
    let service = {
        let gate = gate.clone();
        service_fn(move |request: Request<Body>| {
            let gate = gate.clone();
            async move {
                if request.uri().path() == "/slow" {
                    gate.opened().await;
                }
                routes(request).await
            }
        })
    };
    let (mut client, _ended, writes) = counted(service);
    client
        .send(
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n\
             GET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    assert_eq!(answer(&mut client).await.content, "/1");
    gate.open();
    assert_eq!(answer(&mut client).await.content, "/slow");
    assert_eq!(answer(&mut client).await.content, "/3");
    assert_eq!(writes.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn bodies_between_pipelined_requests_are_not_mixed_up() {
    let (mut client, _ended) = client();
    let large = "x".repeat(100_000);
    let batch = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none\
         POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n\r\nGET /never HTTP/1.1\r\nHost: a\
         POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1;x\r\no\r\n0\r\n\r\n\
         \r\n\
         POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{large}\
         GET /last HTTP/1.1\r\nHost: a\r\n\r\n"
    );
    client.send(&batch).await;
    for expected in ["one", "unread", "two", &large, "/last"] {
        assert_eq!(answer(&mut client).await.content, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn large_answers_do_not_gather_in_memory() {
    async fn large(_: Request<Body>) -> Result<Response<Body>, Infallible> {
        Ok(Response::new(Body::from("y".repeat(20_000))))
    }
    let (ours, theirs) = duplex(10_000);
    let _ended = server().serve_connection(keepline::net::Stream::new(theirs), service_fn(large));
    let mut client = RawClient::over(ours);
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200))
        .await;
    for _ in 0..200 {
        assert_eq!(answer(&mut client).await.content.len(), 20_000);
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_the_last_request_is_never_answered() {
    let (mut client, ended) = client();
    client
        .send(
            "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    let answers = rest(&mut client).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1);
    assert!(answers.ends_with("/1"));
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::PeerAskedClose);
}
