//! Bodies both ways: lengths, chunks, trailers, back-pressure, other tasks.

use std::time::Duration;

use keepline_testkit::Gate;
use tokio::sync::mpsc;

use super::*;

#[tokio::test(start_paused = true)]
async fn request_bodies_arrive_however_they_are_framed_and_split() {
    let large = "0123456789".repeat(30_000);
    let length = format!("Content-Length: {}\r\n\r\n{large}", large.len());
    let chunked = format!(
        "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    for (rest, expected) in [
        ("Content-Length: 5\r\n\r\nhello", "hello"),
        ("Content-Length: 0\r\n\r\n", ""),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        (
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
            "hello!",
        ),
        (&length, &*large),
        (&chunked, &*large),
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{rest}");
        for piece in [request.len(), 1000, 1] {
            if request.len() / piece > 10_000 {
                continue;
            }
            let (mut client, _ended) = client();
            client.dribble(&request, piece).await;
            assert_eq!(answer(&mut client).await.content, expected);
            assert_persists(&mut client).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_of_a_request_reach_the_service() {
    async fn trailers(request: Request<Body>) -> Result<Response<Body>, keepline::BoxError> {
        let collected = request.into_body().collect().await?;
        let sum = collected
            .trailers()
            .and_then(|trailers| trailers.get("x-sum"))
            .cloned();
        let content = collected.to_bytes();
        Ok(Response::new(format!("{content:?} {sum:?}").into()))
    }
    for content in ["", "2\r\nhi\r\n"] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{content}0\r\nX-Sum: 9\r\n\r\n"
        );
        for piece in [request.len(), 1] {
            let (mut client, _ended) = client_of(&server(), service_fn(trailers));
            client.dribble(&request, piece).await;
            let expected = format!(
                "b\"{}\" Some(\"9\")",
                if content.is_empty() { "" } else { "hi" }
            );
            assert_eq!(answer(&mut client).await.content, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_length_is_told_to_the_service_as_it_shrinks() {
    async fn hints(request: Request<Body>) -> Result<Response<Body>, keepline::BoxError> {
        let mut body = request.into_body();
        let mut hints = vec![body.size_hint().exact()];
        while let Some(frame) = body.frame().await {
            frame?;
            hints.push(body.size_hint().exact());
        }
        Ok(Response::new(
            format!("{hints:?} {}", body.is_end_stream()).into(),
        ))
    }
    let (mut client, _ended) = client_of(&server(), service_fn(hints));
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
        .await;
    tokio::task::yield_now().await;
    client.send("ab").await;
    tokio::task::yield_now().await;
    client.send("cd").await;
    assert_eq!(
        answer(&mut client).await.content,
        "[Some(4), Some(2), Some(0)] true"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_that_nobody_asked_for() {
    let (pieces, mut asked) = mpsc::unbounded_channel();
    let gate = Gate::new("reading");
    let service = {
        let gate = gate.clone();
        service_fn(move |request: Request<Body>| {
            let (gate, pieces) = (gate.clone(), pieces.clone());
            async move {
                gate.opened().await;
                let mut body = request.into_body();
                while let Some(Ok(frame)) = body.frame().await {
                    let _ = pieces.send(frame.into_data().map_or(0, |data| data.len()));
                }
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        })
    };
    let (ours, theirs) = duplex(1000);
    let _ended = server().serve_connection(keepline::net::Stream::new(theirs), service);
    let mut client = RawClient::over(ours);
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        .await;
    // The pipe takes 1000 bytes, the connection reads a bounded amount ahead: most has to wait.
    let chunk = [b'z'; 1000];
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_secs(1), client.try_send(chunk))
        .await
        .is_ok()
    {
        sent += chunk.len();
    }
    assert!((1000..40_000).contains(&sent), "{sent}");
    assert!(asked.try_recv().is_err());
    gate.open();
}

#[tokio::test(start_paused = true)]
async fn a_body_can_be_read_by_another_task_while_the_answer_is_on_its_way() {
    let (done, mut content) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Body>| {
        let done = done.clone();
        async move {
            tokio::spawn(async move {
                let _ = done.send(request.into_body().bytes(usize::MAX).await);
            });
            Ok::<_, Infallible>(Response::new(Body::from("accepted")))
        }
    });
    let (mut client, _ended) = client_of(&server(), service);
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab")
        .await;
    assert_eq!(answer(&mut client).await.content, "accepted");
    client.send("cd").await;
    tokio::task::yield_now().await;
    client.send("ef").await;
    assert_eq!(content.recv().await.unwrap().unwrap(), "abcdef");
    // The connection goes on once that task is through.
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n!")
        .await;
    assert_eq!(answer(&mut client).await.content, "accepted");
    assert_eq!(content.recv().await.unwrap().unwrap(), "!");
}

#[tokio::test(start_paused = true)]
async fn a_body_can_be_echoed_while_it_arrives() {
    async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        Ok(Response::new(request.into_body()))
    }
    let (mut client, _ended) = client_of(&server(), service_fn(echo));
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        .await;
    assert!(client.read_head().await.contains("content-length: 9\r\n"));
    for piece in ["one", "two", "six"] {
        client.send(piece).await;
        assert_eq!(client.read_exactly(3).await, piece.as_bytes());
    }
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer(&mut client).await.content, "");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_or_breaks_the_framing_fails_for_its_reader() {
    for (body, error) in [
        ("Content-Length: 5\r\n\r\nhell", "closed"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhell", "closed"),
        ("Transfer-Encoding: chunked\r\n\r\nx\r\n", "chunk-size"),
        (
            "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            "does not end with CRLF",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n1\nab\r\n",
            "LF instead of CRLF",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n",
            "malformed",
        ),
    ] {
        let (mut client, ended) = client();
        client
            .send(format!("POST /echo HTTP/1.1\r\nHost: a\r\n{body}"))
            .await;
        client.half_close().await;
        let answers = rest(&mut client).await;
        let (head, content) = answers.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("connection: close"), "{head}");
        assert!(
            content.starts_with("failed: ") && content.contains(error),
            "{content}"
        );
        let reason = ended.await.unwrap();
        let is_closed = reason == CloseReason::PeerClosed;
        assert!(
            is_closed || reason == CloseReason::ProtocolError,
            "{reason}"
        );
        assert_eq!(is_closed, error == "closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_body_that_fails_is_cut_short_so_that_it_shows() {
    let (mut client, ended) = client();
    client.send("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (answer, _) = client.read_to_end().await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.ends_with("6\r\nbroken\r\n"), "{answer}");
    assert_eq!(ended.await.unwrap(), CloseReason::LocalAskedClose);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_contradicts_itself_is_our_error() {
    async fn contradicts(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let mut response = Response::new(Body::new(Frames::new(["five!"])));
        let (name, value) = match request.uri().path() {
            "/both" => ("content-length, transfer-encoding", ""),
            "/coding" => ("transfer-encoding", "gzip"),
            "/short" => ("content-length", "9"),
            _ => ("content-length", "4"),
        };
        if value.is_empty() {
            response.headers_mut().insert("content-length", 5.into());
            response
                .headers_mut()
                .insert("transfer-encoding", "chunked".parse().unwrap());
        } else {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        Ok(response)
    }
    for (path, expected) in [
        ("/both", "500"),
        ("/coding", "500"),
        // The head is out when these show; what was declared is never exceeded.
        ("/short", "200 five!"),
        ("/long", "200 "),
    ] {
        let (mut client, ended) = client_of(&server(), service_fn(contradicts));
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = rest(&mut client).await;
        let (head, content) = answer.split_once("\r\n\r\n").expect("a head");
        let found = format!("{} {content}", &head[9..12]);
        assert!(found.starts_with(expected), "{path}: {found}");
        assert!(content.len() < 100);
        drop(client);
        assert_eq!(ended.await.unwrap(), CloseReason::LocalAskedClose, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn methods_are_case_sensitive() {
    let (mut client, _ended) = client();
    for method in ["get", "head", "X-Y"] {
        let request = format!("{method} /method HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(ask(&mut client, &request).await.content, method);
    }
    let post = "POST /method HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(ask(&mut client, post).await.content, Method::POST.as_str());
}
