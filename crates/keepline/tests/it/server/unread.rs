//! Request bodies that nobody reads: drained where that saves the connection, else a close that
//! lets the answer arrive.

use super::*;

/// Sends a request with a body of `size` bytes that is dropped unread, all of it before reading
/// anything; says whether the answer said close and whether the connection served another.
async fn unread(size: usize, chunked: bool, close: bool) -> (bool, bool) {
    let (ours, theirs) = duplex(4096);
    let _ended = server().serve_connection(keepline::net::Stream::new(theirs), service_fn(routes));
    let mut client = RawClient::over(ours);
    let body = "b".repeat(size);
    let close = if close { "Connection: close\r\n" } else { "" };
    let request = if chunked {
        format!("Transfer-Encoding: chunked\r\n{close}\r\n{size:x}\r\n{body}\r\n0\r\n\r\n")
    } else {
        format!("Content-Length: {size}\r\n{close}\r\n{body}")
    };
    client
        .send(format!("POST /unread HTTP/1.1\r\nHost: a\r\n{request}"))
        .await;
    let answer = answer(&mut client).await;
    assert_eq!(answer.content, "unread");
    let sent = client
        .try_send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let _ = client.half_close().await;
    let is_served = sent.is_ok() && rest(&mut client).await.ends_with("/next");
    (answer.says_close(), is_served)
}

/// Go's HandlerBodyClose and its neighbours, with the differences that are ours: what is known to
/// be too much says close, and what turns out to be too much closes.
#[tokio::test(start_paused = true)]
async fn which_bodies_are_drained() {
    const KIB: usize = 1024;
    for (size, chunked, close, expected) in [
        (1, false, false, (false, true)),
        (20 * KIB, false, false, (false, true)),
        (20 * KIB, true, false, (false, true)),
        (20 * KIB, false, true, (true, false)),
        (20 * KIB, true, true, (true, false)),
        (256 * KIB, false, false, (false, true)),
        // One byte more than the limit, of which some came with the head, unread like the rest.
        (300 * KIB, false, false, (true, false)),
        (1024 * KIB, false, false, (true, false)),
        (1024 * KIB, true, false, (false, false)),
        (1024 * KIB, false, true, (true, false)),
        (1024 * KIB, true, true, (true, false)),
    ] {
        let found = unread(size, chunked, close).await;
        assert_eq!(found, expected, "{size} chunked: {chunked} close: {close}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_drained_if_so_set() {
    let server = builder()
        .drain(0, std::time::Duration::ZERO)
        .build()
        .unwrap();
    let (mut client, ended) = client_of(&server, service_fn(routes));
    client
        .send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
        .await;
    assert!(answer(&mut client).await.says_close());
    client.half_close().await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::NotDrained);
}

#[tokio::test(start_paused = true)]
async fn a_broken_rest_closes_and_is_never_taken_for_a_request() {
    let (mut client, ended) = client();
    client
        .send("POST /unread HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n")
        .await;
    assert_eq!(answer(&mut client).await.content, "unread");
    client
        .send("abcGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    client.half_close().await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::ProtocolError);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_its_upload_is_gone() {
    let (mut client, ended) = client();
    client
        .send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nxx")
        .await;
    assert_eq!(answer(&mut client).await.content, "unread");
    client.half_close().await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn partly_read_bodies_are_drained_too() {
    async fn first_piece(request: Request<Body>) -> Result<Response<Body>, keepline::BoxError> {
        let mut body = request.into_body();
        let first = body.frame().await.ok_or("no content")??;
        let first = first.into_data().map_err(|_| "no data")?;
        Ok(Response::new(first.slice(..2).into()))
    }
    let (mut client, _ended) = client_of(&server(), service_fn(first_piece));
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\nab")
        .await;
    assert_eq!(answer(&mut client).await.content, "ab");
    client.send("c".repeat(199_998)).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nde")
        .await;
    assert_eq!(answer(&mut client).await.content, "de");
}

/// Neither side may wait for the other: the client writes all before it reads, and neither its
/// upload nor our answer fits the buffers between.
#[tokio::test(start_paused = true)]
async fn a_large_answer_to_a_large_unread_upload_does_not_deadlock() {
    async fn large(_: Request<Body>) -> Result<Response<Body>, Infallible> {
        Ok(Response::new(Body::new(Frames {
            frames: (0..100)
                .map(|_| Frame::data(vec![b'r'; 10_000].into()))
                .collect(),
            fails: false,
        })))
    }
    let (ours, theirs) = duplex(4096);
    let _ended = server().serve_connection(keepline::net::Stream::new(theirs), service_fn(large));
    let mut client = RawClient::over(ours);
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
        .await;
    client.send(vec![b'u'; 5_000_000]).await;
    assert_eq!(answer(&mut client).await.content.len(), 1_000_000);
}
