//! What a handler of the raw exchange decides about its connection, and what it is told.

use std::time::Duration;

use keepline::server::{Exchange, Handler, HangUp, LingerWhen, Refusal, Refused};
use keepline::{Error, net};
use keepline_proto::{BodyLength, Config, Field, RemoteError, StatusLine};
use keepline_testkit::End;
use tokio::time::Instant;

use super::*;

/// What a [`Gate`] has seen, for the access log of a test.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A handler that decides by path, as a gateway does by location.
#[derive(Debug, Clone, Default)]
struct Gate(Log);

impl Handler for Gate {
    async fn handle(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        let path = String::from_utf8_lossy(exchange.head().target()).into_owned();
        let mut terms = *exchange.terms();
        match &*path {
            "/short" => {
                terms.idle_timeout = Some(Duration::from_secs(5));
                terms.told_idle_seconds = Some(4);
            }
            "/never" => terms.idle_timeout = Some(Duration::ZERO),
            "/used-up" => exchange.close_after(CloseReason::MaxRequests),
            "/at-once" => {
                terms.linger.when = LingerWhen::Never;
                exchange.close_after(CloseReason::Lifetime);
            }
            "/fin" | "/reset" => {
                let is_fin = path == "/fin";
                exchange.hang_up(if is_fin { HangUp::Fin } else { HangUp::Reset });
                return Ok(());
            }
            "/minded" => terms.cancel_on_half_close = true,
            "/unread" => {
                terms.drain.timeout = Duration::from_secs(3);
                terms.drain.time = Duration::from_secs(10);
            }
            "/slow" => terms.body_timeout = Some(Duration::from_secs(100)),
            _ => {}
        }
        exchange.set_terms(&terms);
        if path == "/minded" || path == "/unminded" {
            let upstream = tokio::time::sleep(Duration::from_secs(3));
            if exchange.watch(upstream).await.is_err() {
                let gone = (exchange.is_half_closed(), exchange.is_gone());
                self.0.add(format!("499 {gone:?}"));
                exchange.hang_up(HangUp::Fin);
                return Ok(());
            }
        }
        let mut content = 0;
        while path != "/unread"
            && let Some(piece) = exchange.piece().await?
        {
            content += piece.len();
        }
        let line = StatusLine {
            status: StatusCode::OK,
            reason: Some(b"Fine"),
        };
        let server = Field::new(b"Server", b"gate")?;
        exchange.send_head(line, [server], BodyLength::Known(2))?;
        exchange.send_piece("ok".into())?;
        exchange.send_end(None)?;
        self.0.add(format!(
            "{path} {} {} {content} {} {}",
            exchange.info().number(),
            exchange.bytes_received(),
            exchange.bytes_sent(),
            if exchange.is_pipelined() { "p" } else { "." },
        ));
        Ok(())
    }

    async fn refuse(&mut self, refused: &mut Refused<'_>) -> Result<(), Error> {
        let head = String::from_utf8_lossy(refused.received());
        let line = head.lines().next().unwrap_or_default();
        self.0.add(format!(
            "{} {line:?} request {}",
            refused.why().status().as_u16(),
            refused.info().number()
        ));
        match refused.why() {
            Refusal::Malformed(RemoteError::HeadTooLarge) => {
                let status = StatusCode::from_u16(494).unwrap();
                refused.answer(status, [], "too large".into())
            }
            Refusal::Timeout => Ok(()),
            _ => refused.answer_plainly(),
        }
    }
}

fn gate(builder: ServerBuilder) -> (Client, JoinHandle<CloseReason>, Log) {
    let (ours, theirs) = duplex(1024 * 1024);
    let log = Log::default();
    let server = builder.build().unwrap();
    let stream = net::Stream::new(theirs);
    let ended = server.serve_connection_raw(stream, Gate(log.clone()));
    (RawClient::over(ours), ended, log)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn each_exchange_has_terms_of_its_own() {
    let (mut client, ended, _) = gate(builder());
    let told = ask(&mut client, &get("/short")).await;
    assert_eq!(told.field("keep-alive"), Some("timeout=4"));
    let untold = ask(&mut client, &get("/")).await;
    assert_eq!(untold.field("keep-alive"), None);
    tokio::time::advance(Duration::from_secs(60)).await;
    ask(&mut client, &get("/short")).await;
    let start = Instant::now();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(ended.await.unwrap(), CloseReason::IdleTimeout);
}

#[tokio::test(start_paused = true)]
async fn the_handler_says_why_the_connection_closes() {
    for (path, reason) in [
        ("/never", CloseReason::IdleTimeout),
        ("/used-up", CloseReason::MaxRequests),
        ("/at-once", CloseReason::Lifetime),
    ] {
        let (mut client, ended, _) = gate(builder());
        assert!(!ask(&mut client, &get("/")).await.says_close());
        assert!(ask(&mut client, &get(path)).await.says_close(), "{path}");
        assert_eq!(rest(&mut client).await, "");
        let start = Instant::now();
        if path != "/at-once" {
            drop(client);
        }
        assert_eq!(ended.await.unwrap(), reason);
        assert_eq!(start.elapsed(), Duration::ZERO, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_up_says_nothing_but_what_was_answered_before() {
    let (mut client, ended, _) = gate(builder());
    client
        .send(format!("{}{}{}", get("/"), get("/fin"), get("/")))
        .await;
    assert_eq!(answer(&mut client).await.content, "ok");
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::LocalAskedClose);
}

#[tokio::test]
async fn a_reset_is_seen_as_one() {
    let listener = net::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = server();
    tokio::spawn(server.serve_raw(listener, Gate::default()));
    for (path, end) in [("/reset", End::Reset), ("/fin", End::Fin)] {
        let mut client = RawClient::connect(address).await;
        client.send(get(path)).await;
        assert_eq!(client.read_to_end().await, (Vec::new(), end));
    }
}

#[tokio::test(start_paused = true)]
async fn keep_alive_is_told_to_everybody_by_option_and_the_phrase_is_the_handlers() {
    let config = Config {
        tells_keep_alive: true,
        ..Config::default()
    };
    let (mut client, _ended, _) = gate(builder().protocol(config));
    let answer = ask(&mut client, &get("/short")).await;
    assert_eq!(
        answer.head,
        "HTTP/1.1 200 Fine\r\nServer: gate\r\nkeep-alive: timeout=4\r\n\
         content-length: 2\r\nconnection: keep-alive\r\n\r\n"
    );
    let last = ask(&mut client, &get("/used-up")).await;
    assert!(last.says_close() && last.field("keep-alive").is_none());
}

#[tokio::test(start_paused = true)]
async fn bytes_and_pipelining_are_told_for_each_request() {
    let (mut client, _ended, log) = gate(builder());
    let post = "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let chunked =
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    client.send(format!("{}{post}{chunked}", get("/"))).await;
    let mut sent = 0;
    for _ in 0..3 {
        sent = answer(&mut client).await.head.len() + 2;
    }
    ask(&mut client, &get("/")).await;
    let expected = [
        format!("/ 1 {} 0 {sent} .", get("/").len()),
        format!("/slow 2 {} 5 {sent} p", post.len()),
        format!("/c 3 {} 3 {sent} p", chunked.len()),
        format!("/ 4 {} 0 {sent} .", get("/").len()),
    ];
    assert_eq!(log.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_half_close_is_minded_where_the_terms_say_so() {
    let (mut client, ended, log) = gate(builder());
    client.send(get("/minded")).await;
    client.half_close().await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
    assert_eq!(log.lines(), ["499 (true, true)"]);

    let (mut client, _ended, log) = gate(builder());
    client.send(get("/unminded")).await;
    client.half_close().await;
    assert_eq!(answer(&mut client).await.content, "ok");
    assert_eq!(log.lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_body_timeout_is_that_of_the_exchange() {
    let (mut client, _ended, _) = gate(builder());
    client
        .send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        .await;
    tokio::time::sleep(Duration::from_secs(99)).await;
    client.send("b").await;
    assert_eq!(answer(&mut client).await.content, "ok");
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        .await;
    let start = Instant::now();
    assert_eq!(answer(&mut client).await.status(), 408);
    assert_eq!(start.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn the_handler_answers_what_is_no_request() {
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n", "x".repeat(70_000));
    for (request, answered, logged) in [
        (
            "GET / HTTP/1.1\r\n\r\n",
            400,
            r#"400 "GET / HTTP/1.1" request 2"#,
        ),
        (
            "\u{16}\u{3}\r\n\r\n",
            400,
            "400 \"\\u{16}\\u{3}\" request 2",
        ),
        (
            "GET / HTTP/2.0\r\n\r\n",
            505,
            r#"505 "GET / HTTP/2.0" request 2"#,
        ),
        (&*long, 494, r#"431 "GET / HTTP/1.1" request 2"#),
        // Timed out: this handler says nothing then.
        ("GET / HTT", 0, r#"408 "GET / HTT" request 2"#),
    ] {
        let (mut client, ended, log) = gate(builder());
        ask(&mut client, &get("/")).await;
        client.send(request).await;
        if answered == 0 {
            assert_eq!(rest(&mut client).await, "");
            assert_eq!(ended.await.unwrap(), CloseReason::Timeout);
        } else {
            let answer = answer(&mut client).await;
            assert_eq!((answer.status(), answer.says_close()), (answered, true));
            assert_eq!(rest(&mut client).await, "");
            drop(client);
            assert_eq!(ended.await.unwrap(), CloseReason::ProtocolError);
        }
        assert_eq!(log.lines()[1..], [logged], "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_inside_a_head_is_told_of() {
    let (mut client, ended, log) = gate(builder());
    client.send("GET / HTT").await;
    client.half_close().await;
    assert_eq!(answer(&mut client).await.status(), 400);
    assert_eq!(ended.await.unwrap(), CloseReason::PeerClosed);
    assert_eq!(log.lines(), [r#"400 "GET / HTT" request 1"#]);
}

#[tokio::test(start_paused = true)]
async fn other_expectations_are_refused_or_ignored() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n";
    let (mut client, _ended, _) = gate(builder());
    assert_eq!(ask(&mut client, request).await.status(), 417);
    let (mut client, _ended, _) = gate(builder().refuse_expectations(false));
    assert_eq!(ask(&mut client, request).await.status(), 200);
}

/// The rest of a request that nobody read is waited for so long for each piece, and so long in all; then our
/// direction is closed.
#[tokio::test(start_paused = true)]
async fn an_unread_rest_has_time_for_each_piece_and_in_all() {
    for (length, pieces, is_saved, ends_after) in [
        // Each comes in time, and so does the last.
        (3, 2, true, 4),
        // The first does, but nothing follows it.
        (9, 1, false, 5),
        // Each comes in time, but all of them together don't.
        (9, 4, false, 10),
    ] {
        let (mut client, ended, _) = gate(builder());
        let start = Instant::now();
        let head = format!("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nb");
        let answer = ask(&mut client, &head).await;
        assert!(!answer.says_close());
        for _ in 0..pieces {
            tokio::time::advance(Duration::from_secs(2)).await;
            client.send("b").await;
        }
        if is_saved {
            ask(&mut client, &get("/")).await;
            assert_eq!(start.elapsed(), Duration::from_secs(ends_after));
            continue;
        }
        assert_eq!(rest(&mut client).await, "");
        assert_eq!(start.elapsed(), Duration::from_secs(ends_after));
        assert_eq!(ended.await.unwrap(), CloseReason::NotDrained);
    }
}
