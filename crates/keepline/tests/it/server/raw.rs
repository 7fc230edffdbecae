//! The raw exchange: the layer that a gateway stands on.

use http::StatusCode;
use keepline::server::{Exchange, Handler};
use keepline::{Error, ErrorKind};
use keepline_proto::{BodyLength, Field};

use super::*;

/// A handler made of a function over the exchange's path.
#[derive(Clone)]
struct Raw;

impl Handler for Raw {
    async fn handle(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        let target = exchange.head().target().to_vec();
        match &*target {
            b"/echo" => echo(exchange).await,
            b"/hints" => {
                let link = Field::new(b"Link", b"</style>")?;
                exchange.send_interim(StatusCode::PROCESSING, [])?;
                exchange.send_interim(StatusCode::EARLY_HINTS, [link])?;
                exchange.send_head(StatusCode::OK, [], BodyLength::Known(0))?;
                exchange.send_end(None)
            }
            b"/nothing" => Ok(()),
            b"/half" => {
                exchange.send_head(StatusCode::OK, [], BodyLength::Known(4))?;
                exchange.send_piece("ha".into())
            }
            b"/twice" => {
                exchange.send_head(StatusCode::OK, [], BodyLength::Known(2))?;
                let again = exchange.send_head(StatusCode::OK, [], BodyLength::Known(2));
                assert!(matches!(
                    again.map_err(|error| error.kind()),
                    Err(ErrorKind::Misuse(_))
                ));
                exchange.send_piece("ok".into())?;
                assert!(exchange.send_piece("more".into()).is_err());
                exchange.send_end(None)
            }
            b"/waits" => {
                let wait = tokio::time::sleep(std::time::Duration::from_secs(60));
                exchange.watch(wait).await?;
                exchange.send_head(StatusCode::NO_CONTENT, [], BodyLength::Known(0))?;
                exchange.send_end(None)
            }
            // Never mind the room: nothing may overtake anything.
            b"/careless" => {
                exchange.send_head(StatusCode::OK, [], BodyLength::Unknown)?;
                for letter in [b'a', b'b', b'c'] {
                    exchange.send_piece(vec![letter; 100_000].into())?;
                    exchange.send_piece(vec![letter; 10].into())?;
                }
                exchange.send_end(None)
            }
            _ => {
                let fields = exchange.head().fields().clone();
                let ours = Field::new(b"X-Ours", b"1")?;
                let fields = fields
                    .iter()
                    .filter(|field| field.is("x-theirs"))
                    .chain([ours]);
                exchange.send_head(StatusCode::OK, fields, BodyLength::Known(0))?;
                exchange.send_end(None)
            }
        }
    }
}

/// Sends each piece back as it comes.
async fn echo(exchange: &mut Exchange<'_>) -> Result<(), Error> {
    exchange.send_head(StatusCode::OK, [], BodyLength::Unknown)?;
    while let Some(piece) = exchange.piece().await? {
        exchange.ready().await?;
        exchange.send_piece(piece)?;
        exchange.flush().await?;
    }
    let trailers = exchange.take_trailers();
    let trailers = trailers
        .map(|trailers| trailers.to_header_map())
        .transpose()?;
    exchange.send_end(trailers.as_ref())
}

fn raw_client(server: &Server) -> (Client, JoinHandle<CloseReason>) {
    let (ours, theirs) = duplex(1024 * 1024);
    let stream = keepline::net::Stream::new(theirs);
    (
        RawClient::over(ours),
        server.serve_connection_raw(stream, Raw),
    )
}

#[tokio::test(start_paused = true)]
async fn fields_pass_as_they_are() {
    let (mut client, _ended) = raw_client(&server());
    let answer = ask(
        &mut client,
        "GET / HTTP/1.1\r\nHost: a\r\nX-Theirs: A b\r\n\r\n",
    )
    .await;
    assert_eq!(
        answer.head,
        "HTTP/1.1 200 OK\r\nX-Theirs: A b\r\nX-Ours: 1\r\ncontent-length: 0\r\n\r\n"
    );
}

#[tokio::test(start_paused = true)]
async fn pieces_and_trailers_pass_as_they_come() {
    let (mut client, _ended) = raw_client(&server());
    client
        .send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await;
    client.read_head().await;
    assert_eq!(client.read_exactly(8).await, b"3\r\none\r\n");
    client.send("3\r\ntwo\r\n0\r\nX-Sum: 2\r\n\r\n").await;
    let expected = b"3\r\ntwo\r\n0\r\nx-sum: 2\r\n\r\n";
    assert_eq!(client.read_exactly(expected.len()).await, expected);
}

#[tokio::test(start_paused = true)]
async fn interim_heads_come_before_the_final_one() {
    let (mut client, _ended) = raw_client(&server());
    client.send("GET /hints HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let processing = client.read_head().await;
    assert_eq!(processing, "HTTP/1.1 102 Processing\r\n\r\n");
    assert_eq!(
        client.read_head().await,
        "HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\n"
    );
    assert_eq!(answer(&mut client).await.status(), 200);
    client.send("GET /hints HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer(&mut client).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_forgets_something_is_noticed() {
    let (mut client, ended) = raw_client(&server());
    let answer = ask(&mut client, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status(), answer.says_close()), (500, true));
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::LocalAskedClose);

    let (mut client, ended) = raw_client(&server());
    client.send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(rest(&mut client).await.ends_with("\r\n\r\nha"));
    assert_eq!(ended.await.unwrap(), CloseReason::LocalAskedClose);
}

#[tokio::test(start_paused = true)]
async fn wrong_calls_are_errors_and_harm_nothing() {
    let (mut client, _ended) = raw_client(&server());
    for _ in 0..2 {
        assert_eq!(
            ask(&mut client, "GET /twice HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .content,
            "ok"
        );
    }
    let careless = ask(&mut client, "GET /careless HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .content;
    let expected: String = ["a", "b", "c"]
        .map(|letter| letter.repeat(100_010))
        .concat();
    assert!(careless == expected);
}

#[tokio::test(start_paused = true)]
async fn earlier_answers_leave_while_a_handler_watches() {
    let (mut client, _ended) = raw_client(&server());
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /waits HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let start = tokio::time::Instant::now();
    assert_eq!(answer(&mut client).await.status(), 200);
    assert_eq!(start.elapsed(), std::time::Duration::ZERO);
    assert_eq!(answer(&mut client).await.status(), 204);
}
