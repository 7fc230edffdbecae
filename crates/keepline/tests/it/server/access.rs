//! What is told of each exchange, to a hook and to `tracing`.

use keepline::server::{AccessFormat, AccessRecord, Http2};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

use super::*;

type Lines = mpsc::UnboundedReceiver<String>;

/// A server that tells its exchanges: what does not depend on the time.
fn told(builder: ServerBuilder) -> (Server, Lines) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let hook = move |record: &AccessRecord<'_>| {
        let text = |value: Option<&[u8]>| {
            value.map_or_else(|| "-".to_owned(), |text| text.escape_ascii().to_string())
        };
        let line = format!(
            "{}.{} {} {} {} {}{}{}",
            record.info.connection(),
            record.info.number(),
            record.method.map_or("-", Method::as_str),
            text(record.target),
            record.status.map_or(0, |status| status.as_u16()),
            record.content_sent,
            if record.is_complete { "" } else { " cut" },
            record.close.map_or(String::new(), |why| format!(" {why}")),
        );
        let _ = sender.send(line);
    };
    (builder.on_exchange(hook).build().unwrap(), receiver)
}

fn all(mut lines: Lines) -> Vec<String> {
    std::iter::from_fn(|| lines.try_recv().ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_exchange_is_told_with_what_became_of_its_connection() {
    let close = "GET /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (request, expected) in [
        (close, "1.1 GET /c 200 2 peer-asked-close"),
        (
            "GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
            "1.1 GET /close 200 6 local-asked-close",
        ),
        (
            "HEAD /a?b HTTP/1.0\r\n\r\n",
            "1.1 HEAD /a?b 200 0 not-persistent",
        ),
        // As framed: 3 + 2 lines of chunk framing and the end.
        (
            "GET /trailers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "1.1 GET /trailers 200 25 peer-asked-close",
        ),
        // What no service gets to see.
        ("garbage\r\n\r\n", "1.1 - - 400 47 protocol-error"),
        ("GET / HTTP/1.1\r\n", "1.1 - - 408 59 timeout"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n",
            "1.1 GET / 417 58 local-asked-close",
        ),
        (
            "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n",
            "1.1 GET /panic 500 46 local-asked-close",
        ),
        (
            "GET /broken HTTP/1.1\r\nHost: a\r\n\r\n",
            "1.1 GET /broken 200 11 cut local-asked-close",
        ),
    ] {
        let (server, lines) = told(builder());
        let (mut client, ended) = client_of(&server, service_fn(routes));
        client.send(request).await;
        client.read_to_end().await;
        drop(client);
        ended.await.unwrap();
        assert_eq!(all(lines), [expected], "{request:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_numbered_and_only_the_last_says_why_the_connection_closed() {
    let (server, lines) = told(builder().max_requests(Some(3)));
    let (mut client, ended) = client_of(&server, service_fn(routes));
    client
        .send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3))
        .await;
    client.half_close().await;
    rest(&mut client).await;
    ended.await.unwrap();
    assert_eq!(
        all(lines),
        [
            "1.1 GET /x 200 2",
            "1.2 GET /x 200 2",
            "1.3 GET /x 200 2 max-requests"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answer_is_told_with_what_it_took() {
    let (server, lines) = told(builder());
    let (ours, theirs) = duplex(4096);
    let large = service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::from(vec![b'x'; 1 << 20])))
    });
    let ended = server.serve_connection(keepline::net::Stream::new(theirs), large);
    let mut client = RawClient::over(ours);
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.read_head().await;
    assert_eq!(ended.await.unwrap(), CloseReason::Timeout);
    let took = 4096 - head.len();
    let mut lines = all(lines);
    let line = lines.pop().unwrap();
    let sent = line.split(' ').nth(4).unwrap().parse::<usize>().unwrap();
    // The pipe was filled, perhaps once more when the head was read.
    assert!((took..=took + 4096).contains(&sent), "{line}");
    assert!(line.ends_with(" cut timeout"), "{line}");
    assert!(lines.is_empty());
}

#[tokio::test]
async fn exchanges_of_http2_are_told_by_their_stream() {
    let (server, mut lines) = told(builder().http2(Http2::default()));
    let (ours, theirs) = duplex(1 << 20);
    let stream = keepline::net::Stream::new(theirs);
    let _ended = server.serve_connection(stream, service_fn(routes));
    let (sender, driving) = h2::client::handshake(ours).await.unwrap();
    let _driving = tokio::spawn(driving);
    let mut sender = sender.ready().await.unwrap();
    for (number, (path, expected)) in [
        ("/stream", "GET /stream 200 15"),
        ("/broken", "GET /broken 200 6 cut"),
        ("/fail", "GET /fail 500 46"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = Request::get(format!("http://a.example{path}"));
        let (response, _) = sender
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        if let Ok(response) = response.await {
            let mut body = response.into_body();
            while let Some(Ok(piece)) = body.data().await {
                body.flow_control().release_capacity(piece.len()).unwrap();
            }
        }
        let line = lines.recv().await.unwrap();
        assert_eq!(line, format!("1.{} {expected}", number + 1));
    }
}

/// Keeps the messages of the access log.
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "keepline::access"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Message<'a>(&'a Mutex<Vec<String>>);
        impl Visit for Message<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                assert_eq!(field.name(), "message");
                self.0.lock().unwrap().push(format!("{value:?}"));
            }
        }
        event.record(&mut Message(&self.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn an_access_log_is_lines_for_tracing() {
    let lines = Arc::default();
    // See client::logs: with a single one, another test's thread may decide that nobody listens.
    let _second = tracing::Dispatch::new(Log(Arc::default()));
    let _guard = tracing::subscriber::set_default(Log(Arc::clone(&lines)));
    let log = Some(AccessFormat::Combined);
    let server = builder().access_log(log).build().unwrap();
    let (mut client, _) = client_of(&server, service_fn(routes));
    let forged = "x\" 200 0\t\\";
    let head = format!("Host: a\r\nReferer: http://b/\r\nUser-Agent: {forged}\r\n\r\n");
    ask(&mut client, &format!("GET /a\"b HTTP/1.1\r\n{head}")).await;
    let lines = lines.lock().unwrap();
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert!(line.starts_with("- - - ["), "{line}");
    let rest = " \"GET /a\\x22b HTTP/1.1\" 200 4 \"http://b/\" \"x\\x22 200 0\\x09\\x5C\"";
    assert!(line.ends_with(rest), "{line}");
}
