//! `Expect`: who gets 100 (Continue), who gets 417, and what becomes of the connection.

use super::*;

/// What a client sees that sends a head and waits: the first head, then after its body the next.
async fn first_status(request: &str, body: &str) -> (u16, Option<u16>, bool) {
    let (mut client, _ended) = client();
    client.send(request).await;
    let first = Answer {
        head: client.read_head().await,
        content: String::new(),
    };
    if first.status() != 100 {
        return (first.status(), None, first.says_close());
    }
    client.send(body).await;
    let last = answer(&mut client).await;
    assert_eq!(last.content, "hello");
    (100, Some(last.status()), last.says_close())
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_continue() {
    let length = "Content-Length: 5\r\n";
    for (path, fields, body, expected) in [
        // Read: told.
        (
            "/echo",
            format!("Expect: 100-continue\r\n{length}"),
            "hello",
            (100, Some(200), false),
        ),
        (
            "/echo",
            format!("EXPECT: 100-Continue\r\n{length}"),
            "hello",
            (100, Some(200), false),
        ),
        (
            "/echo",
            "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            "5\r\nhello\r\n0\r\n\r\n",
            (100, Some(200), false),
        ),
        // Not read: not told, and not waited for.
        (
            "/unread",
            format!("Expect: 100-continue\r\n{length}"),
            "",
            (200, None, true),
        ),
        // Without a body there is nothing to continue.
        (
            "/echo",
            "Expect: 100-continue\r\nContent-Length: 0\r\n".to_owned(),
            "",
            (200, None, false),
        ),
        (
            "/echo",
            "Expect: 100-continue\r\n".to_owned(),
            "",
            (200, None, false),
        ),
        (
            "/unread",
            "Expect: 100-continue\r\nContent-Length: 0\r\n".to_owned(),
            "",
            (200, None, false),
        ),
        // Anything else cannot be met.
        (
            "/echo",
            format!("Expect: a-pony\r\n{length}"),
            "",
            (417, None, true),
        ),
        (
            "/echo",
            format!("Expect: 100-continue, a-pony\r\n{length}"),
            "",
            (417, None, true),
        ),
    ] {
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(first_status(&request, body).await, expected, "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn http_1_0_is_never_told_to_continue() {
    let (mut client, _ended) = client();
    client
        .send("POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    tokio::task::yield_now().await;
    client.send("hello").await;
    let answer = answer(&mut client).await;
    assert_eq!((answer.status(), &*answer.content), (200, "hello"));
}

#[tokio::test(start_paused = true)]
async fn who_sends_without_waiting_is_not_told_and_loses_nothing() {
    let request =
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
    let (mut client, _ended) = client();
    let answer = ask(&mut client, request).await;
    assert_eq!((answer.status(), &*answer.content), (200, "hello"));
    assert_persists(&mut client).await;
}

/// Go's issue 11549: the body that was not waited for is not taken for a request.
#[tokio::test(start_paused = true)]
async fn a_body_that_comes_after_the_final_answer_is_no_request() {
    let (mut client, ended) = client();
    let head =
        "POST /unread HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 30\r\n\r\n";
    let refused = ask(&mut client, head).await;
    assert_eq!((refused.status(), refused.says_close()), (200, true));
    client.send("GET /smuggled HTTP/1.1\r\nHost: a").await;
    client.send("\r\n\r\n").await;
    client.half_close().await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::NotDrained);
}

/// Go's ServerReadAfterWriteHeader100Continue: the reader is told, and does not hang.
#[tokio::test(start_paused = true)]
async fn a_body_cannot_be_asked_for_after_the_final_answer() {
    let (failed, mut failure) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Body>| {
        let failed = failed.clone();
        async move {
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                let _ = failed.send(request.into_body().bytes(10).await);
            });
            Ok::<_, Infallible>(Response::new(Body::from("early")))
        }
    });
    let (mut client, _ended) = client_of(&server(), service);
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    let early = answer(&mut client).await;
    assert_eq!((&*early.content, early.says_close()), ("early", true));
    assert!(failure.recv().await.unwrap().is_err());
    assert_eq!(rest(&mut client).await, "");
}
