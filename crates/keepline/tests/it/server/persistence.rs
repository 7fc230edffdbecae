//! Which connections persist: the matrix of versions, Connection fields and framings.

use super::*;

/// Asks twice; says whether the second was answered, and the Connection field of the first.
async fn persists(request: &str) -> (bool, Option<String>, CloseReason) {
    let (mut client, ended) = client();
    client.send(request).await;
    let head = client.read_head().await;
    let first = Answer {
        content: String::new(),
        head,
    };
    let connection = first.field("connection").map(str::to_owned);
    assert!(first.head.matches("close").count() <= 1, "{}", first.head);
    let _ = client
        .try_send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    client.half_close().await;
    let rest = rest(&mut client).await;
    let reason = ended.await.expect("no panic");
    (rest.ends_with("/second"), connection, reason)
}

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn versions_and_connection_fields() {
    use CloseReason::{LocalAskedClose, NotPersistent, PeerAskedClose, PeerClosed};
    let (close, keep) = (Some("close"), Some("keep-alive"));
    for (request, expected, connection, reason) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, None, PeerClosed),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
            true,
            None,
            PeerClosed,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n",
            false,
            close,
            PeerAskedClose,
        ),
        ("GET / HTTP/1.0\r\n\r\n", false, close, NotPersistent),
        (
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            true,
            keep,
            PeerClosed,
        ),
        (
            "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            true,
            keep,
            PeerClosed,
        ),
        // Of unknown length: HTTP/1.0 has no chunks, so the end of the connection is its end.
        (
            "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            false,
            close,
            NotPersistent,
        ),
        (
            "GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
            false,
            close,
            LocalAskedClose,
        ),
        (
            "GET /close HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            false,
            close,
            LocalAskedClose,
        ),
        (
            "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
            true,
            None,
            PeerClosed,
        ),
        (
            "GET /empty HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            true,
            keep,
            PeerClosed,
        ),
    ] {
        let found = persists(request).await;
        let expected = (expected, connection.map(str::to_owned), reason);
        assert_eq!(found, expected, "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_request_of_a_connection_is_answered_with_close() {
    let server = builder().max_requests(Some(3)).build().unwrap();
    let (mut client, ended) = client_of(&server, service_fn(routes));
    for number in 1..=3 {
        let answer = ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(answer.says_close(), number == 3);
    }
    assert_eq!(rest(&mut client).await, "");
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::MaxRequests);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_closed_with_its_next_answer() {
    let age = std::time::Duration::from_secs(60);
    let server = builder().max_age(Some(age), age / 10).build().unwrap();
    let (mut client, ended) = client_of(&server, service_fn(routes));
    for _ in 0..2 {
        assert_persists(&mut client).await;
        tokio::time::advance(age * 4 / 10).await;
    }
    tokio::time::advance(age / 5).await;
    let last = ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(last.says_close());
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::Lifetime);
}

#[tokio::test(start_paused = true)]
async fn keep_alive_is_told_only_where_it_is_true() {
    let second = std::time::Duration::from_secs(1);
    let server = builder()
        .keep_alive_header(Some(second))
        .max_requests(Some(5))
        .build()
        .unwrap();
    let (mut client, _ended) = client_of(&server, service_fn(routes));
    for (request, told) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some("timeout=74")),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            Some("timeout=74"),
        ),
        (
            "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
            Some("timeout=74"),
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            None,
        ),
    ] {
        let answer = ask(&mut client, request).await;
        assert_eq!(answer.field("keep-alive"), told, "{request}");
    }
    for last in [
        "GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ] {
        let (mut client, _ended) = client_of(&server, service_fn(routes));
        client.send(last).await;
        assert!(!client.read_head().await.contains("keep-alive"), "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn whole_answers_byte_by_byte() {
    for (request, expected) in [
        (
            "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n/hello",
        ),
        (
            "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n",
        ),
        (
            "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
             5\r\none, \r\n5\r\ntwo, \r\n5\r\nthree\r\n0\r\n\r\n",
        ),
        (
            "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ),
        (
            "GET /stream HTTP/1.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\none, two, three",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "GET /trailers HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwith \r\n0\r\nx-sum: 7\r\n\r\n",
        ),
    ] {
        for piece in [request.len(), 1, 7] {
            let (mut client, _ended) = client();
            client.dribble(request, piece).await;
            client.half_close().await;
            assert_eq!(rest(&mut client).await, expected, "{request}");
        }
    }
}

/// RFC 9112 §2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at
/// least one empty line (CRLF) received prior to the request-line."
#[tokio::test(start_paused = true)]
async fn empty_lines_between_requests_are_ignored_whenever_they_come() {
    let (mut client, _ended) = client();
    let get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    for pieces in [
        &["\r\n"][..],
        &["\r", "\n"],
        &["\r\n\r", "\n"],
        &["\r\n", "\r\n", "\r\n"],
    ] {
        for piece in pieces {
            client.send(piece).await;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(ask(&mut client, get).await.content, "/x", "{pieces:?}");
        // From a warm connection and from one at rest.
        assert_eq!(ask(&mut client, get).await.content, "/x", "{pieces:?}");
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn options_asterisk_reaches_the_service_if_so_set() {
    let server = builder().answer_options_asterisk(false).build().unwrap();
    let (mut client, _ended) = client_of(&server, service_fn(routes));
    let answer = ask(&mut client, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.content, "*");
}

#[tokio::test(start_paused = true)]
async fn no_body_statuses_keep_the_connection() {
    async fn bodiless(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let status: u16 = request.uri().path()[1..].parse().expect("a status");
        let mut response = Response::new(Body::from("never sent"));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        Ok(response)
    }
    for version in ["1.1\r\nHost: a", "1.0\r\nConnection: keep-alive"] {
        let (mut client, _ended) = client_of(&server(), service_fn(bodiless));
        for status in [204, 304, 204] {
            client
                .send(format!("GET /{status} HTTP/{version}\r\n\r\n"))
                .await;
            let head = client.read_head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(!head.contains("chunked"), "{head}");
        }
        client.half_close().await;
        assert_eq!(rest(&mut client).await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn targets_become_uris() {
    async fn target(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let host = request
            .headers()
            .get("host")
            .map(|host| host.to_str().unwrap_or("?"));
        let text = format!(
            "{} {:?} {}",
            request.uri(),
            request.uri().authority(),
            host.unwrap_or("none")
        );
        Ok(Response::new(text.into()))
    }
    for (request, expected) in [
        (
            "GET /a?b=%20 HTTP/1.1\r\nHost: x\r\n\r\n",
            "/a?b=%20 None x",
        ),
        ("GET //a/b HTTP/1.1\r\nHost: x\r\n\r\n", "//a/b None x"),
        (
            "GET http://y:8/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "http://y:8/a Some(y:8) y:8",
        ),
        ("GET http://y/a HTTP/1.0\r\n\r\n", "http://y/a Some(y) y"),
    ] {
        let (mut client, _ended) = client_of(&server(), service_fn(target));
        assert_eq!(ask(&mut client, request).await.content, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_know_their_connection() {
    use keepline::server::RequestInfo;
    async fn info(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let text = request.extensions().get::<RequestInfo>().map_or_else(
            || "none".to_owned(),
            |info| {
                let age = info.age().as_secs();
                format!(
                    "{} {} {age} {} {}",
                    info.connection(),
                    info.number(),
                    info.peer(),
                    info.is_tls()
                )
            },
        );
        Ok(Response::new(text.into()))
    }
    let server = server();
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut first, _ended) = client_of(&server, service_fn(info));
    let (mut second, _ended) = client_of(&server, service_fn(info));
    assert_eq!(ask(&mut first, get).await.content, "1 1 0 unknown false");
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    assert_eq!(ask(&mut first, get).await.content, "1 2 5 unknown false");
    assert_eq!(ask(&mut second, get).await.content, "2 1 5 unknown false");
    let without = builder().request_info(false).build().unwrap();
    let (mut client, _ended) = client_of(&without, service_fn(info));
    assert_eq!(ask(&mut client, get).await.content, "none");
}

#[tokio::test(start_paused = true)]
async fn what_the_head_alone_answers_never_reaches_the_service() {
    async fn service(_: Request<Body>) -> Result<Response<Body>, Infallible> {
        Ok(Response::new("by the service".into()))
    }
    let server = Server::builder().answer_first(|head| {
        let plain = http::HeaderValue::from_static("text/plain");
        let ok = Bytes::from_static(b"ok");
        (head.target() == b"/healthz")
            .then(|| keepline::server::ReadyAnswer::new(StatusCode::OK, plain, ok))
    });
    let server = server.build().unwrap();
    let (mut client, ended) = client_of(&server, service_fn(service));
    for (request, content) in [
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "ok"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "by the service"),
        // Content that nobody reads is drained.
        (
            "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "ok",
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "ok",
        ),
    ] {
        let answer = ask(&mut client, request).await;
        assert_eq!(
            (answer.status(), &*answer.content),
            (200, content),
            "{request}"
        );
        if content == "ok" {
            assert_eq!(answer.field("content-type"), Some("text/plain"));
        }
        assert!(answer.field("date").is_some());
    }
    assert_eq!(ended.await.expect("no panic"), CloseReason::PeerAskedClose);
    assert_eq!(server.handle().stats().requests, 4);
}

#[tokio::test(start_paused = true)]
async fn date_is_added_unless_given() {
    async fn dated(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let mut response = Response::new(Body::empty());
        if request.uri().path() == "/given" {
            response
                .headers_mut()
                .insert("date", http::HeaderValue::from_static("today"));
        }
        Ok(response)
    }
    let server = Server::builder().build().unwrap();
    let (mut client, _ended) = client_of(&server, service_fn(dated));
    let own = ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(own.field("date").is_some_and(|date| date.ends_with(" GMT")));
    let given = ask(&mut client, "GET /given HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(given.head.matches("date: ").count(), 1);
    assert_eq!(given.field("date"), Some("today"));
}
