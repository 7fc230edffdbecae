//! What is no request is refused with the status that says why, readably, and the connection
//! closes without losing the answer.

use super::*;

/// Sends `request` and more; answers status, text and reason.
async fn refused(server: &Server, request: impl AsRef<[u8]>) -> (u16, String, CloseReason) {
    let (mut client, ended) = client_of(server, service_fn(routes));
    client.send(request.as_ref()).await;
    let request = String::from_utf8_lossy(request.as_ref());
    let answer = answer(&mut client).await;
    assert!(answer.says_close(), "{request:?}: {}", answer.head);
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    // Whatever else comes is thrown away, not answered, and does not reset the connection.
    let _ = client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(rest(&mut client).await, "", "{request:?}");
    drop(client);
    let reason = ended.await.unwrap();
    (answer.status(), answer.content, reason)
}

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn the_table_of_malformed_requests() {
    let server = server();
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (status, request) in [
        // Request lines.
        (400, "GET /\r\nHost: a\r\n\r\n".to_owned()),
        (400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (400, "G@T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.x\r\nHost: a\r\n\r\n".to_owned()),
        (400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (400, "\u{16}\u{3}\u{1}".to_owned()),
        (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned()),
        (505, "GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned()),
        (
            400,
            "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        ),
        // Host.
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        ),
        (400, "GET / HTTP/1.1\r\nHost: {a}\r\n\r\n".to_owned()),
        // Field lines.
        (
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n".to_owned(),
        ),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_owned()),
        (
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX: \u{1}\r\n\r\n".to_owned(),
        ),
        (400, "GET / HTTP/1.1\nHost: a\n\n".to_owned()),
        // Framing.
        (
            400,
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n{chunked}\r\n"),
        ),
        (400, format!("POST / HTTP/1.0\r\nHost: a\r\n{chunked}\r\n")),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                .to_owned(),
        ),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n".to_owned(),
        ),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n".to_owned(),
        ),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n".to_owned(),
        ),
        (
            501,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: fugazi\r\n\r\n".to_owned(),
        ),
        (
            501,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(),
        ),
        (
            400,
            format!("POST / HTTP/1.1\r\nHost: a\r\n{chunked}{chunked}\r\n"),
        ),
        // Sizes.
        (
            414,
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000)),
        ),
        (
            431,
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "x".repeat(70_000)
            ),
        ),
        (
            431,
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: 1\r\n".repeat(257)
            ),
        ),
    ] {
        let (found, text, reason) = refused(&server, &request).await;
        let start: String = request.chars().take(80).collect();
        assert_eq!(found, status, "{start:?}");
        assert!(
            text.starts_with(&format!("{status} ")) && text.ends_with('\n'),
            "{text:?}"
        );
        assert_eq!(reason, CloseReason::ProtocolError, "{start:?}");
    }
}

/// The checks of Go's server, with the status of each and the words that say what is wrong. Where ours
/// is stricter the row says so.
#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn each_check_has_its_status_and_says_what_is_wrong() {
    let server = server();
    let rows: &[(u16, &str, &[u8])] = &[
        (505, "version is not supported", b"GET / HTTP/0.9\r\n\r\n"),
        (
            505,
            "version is not supported",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ),
        (
            400,
            "request line is malformed",
            b"GET / http/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            400,
            "request line is malformed",
            b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            400,
            "field line is malformed",
            b"GET / HTTP/1.1\r\nHost: a\x06b\r\n\r\n",
        ),
        (
            400,
            "Host is malformed",
            b"GET / HTTP/1.1\r\nHost: a\xffb\r\n\r\n",
        ),
        (
            400,
            "Host is malformed",
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        ),
        (
            400,
            "field line is malformed",
            b"GET / HTTP/1.1\r\nHost: a\r\nX\xff: 1\r\n\r\n",
        ),
        (
            400,
            "field line is malformed",
            b"GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n",
        ),
        (
            400,
            "field line is malformed",
            b"GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
        ),
        (
            400,
            "field line is malformed",
            b"GET / HTTP/1.1\r\nHost: a\r\nX\t: 1\r\n\r\n",
        ),
        (
            400,
            "field line is malformed",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        ),
        (
            400,
            "field line is malformed",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
        ),
        (
            400,
            "field line is malformed",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        ),
        (
            400,
            "Content-Length is not a decimal",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        ),
        (
            400,
            "Content-Length is not a decimal",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        ),
        (
            400,
            "Content-Length is not a decimal",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        ),
        (
            400,
            "both Content-Length and Transfer-Encoding",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            501,
            "transfer coding is not supported",
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
        ),
        (
            417,
            "only 100-continue",
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: a-pony\r\nContent-Length: 1\r\n\r\n",
        ),
    ];
    for (status, words, request) in rows {
        let (found, text, _) = refused(&server, request).await;
        let request = String::from_utf8_lossy(request);
        assert_eq!(found, *status, "{request:?}");
        assert!(text.contains(words), "{request:?}: {text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_only_unusual_is_served() {
    for request in [
        "GET /x HTTP/1.1\r\nHost:\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: [::1%25en0]:80\r\n\r\n".to_owned(),
        "GET /x HTTP/1.0\r\n\r\n".to_owned(),
        "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        // Of no meaning without content, nor to HTTP/1.0.
        "GET /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n".to_owned(),
        "GET /x HTTP/1.0\r\nExpect: 100-continue\r\n\r\n".to_owned(),
        "\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a b\tc \u{e4}\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!(
            "GET /x HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: 1\r\n".repeat(255)
        ),
    ] {
        let (mut client, _ended) = client();
        assert_eq!(
            ask(&mut client, &request).await.content,
            "/x",
            "{request:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_breaks_off_is_told_so() {
    let (mut client, ended) = client();
    client.send("GET / HTTP/1.1\r\nHos").await;
    client.half_close().await;
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn requests_before_a_malformed_one_are_answered() {
    let (mut client, ended) = client();
    client
        .send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\x01\x02")
        .await;
    assert_eq!(answer(&mut client).await.content, "/1");
    assert_eq!(answer(&mut client).await.content, "/2");
    assert_eq!(answer(&mut client).await.status(), 400);
    assert_eq!(rest(&mut client).await, "");
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::ProtocolError);
}

#[tokio::test(start_paused = true)]
async fn limits_are_those_that_were_set() {
    let mut config = keepline_proto::Config::default();
    config.limits.head = 100;
    config.bare_lf = true;
    let server = builder().protocol(config).build().unwrap();
    let long = format!("GET /{} HTTP/1.1\nHost: a\n\n", "x".repeat(100));
    assert_eq!(refused(&server, &long).await.0, 414);
    let (mut client, _ended) = client_of(&server, service_fn(routes));
    assert_eq!(
        ask(&mut client, "GET /short HTTP/1.1\nHost: a\n\n")
            .await
            .content,
        "/short"
    );
}
