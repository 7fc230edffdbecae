//! Services that others wrote, as they are: an axum router, and stacks of tower layers.

use std::collections::HashMap;
use std::future::pending;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Extension, Path, Query, State};
use axum::routing::{any, get, post};
use keepline::net::{self, BindOptions};
use keepline::server::RequestInfo;
use keepline::upgrade::OnUpgrade;
use keepline_testkit::{Gate, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use super::*;

/// A client of a service with any body, in memory.
fn client_of_any<S, B>(server: &Server, service: S) -> (Client, JoinHandle<CloseReason>)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<keepline::BoxError> + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<keepline::BoxError>,
{
    let (ours, theirs) = duplex(1024 * 1024);
    let stream = net::Stream::new(theirs);
    (
        RawClient::over(ours),
        server.serve_connection(stream, service),
    )
}

/// Routes with what extractors there are, and a gate that one of them waits for.
fn router(gate: Gate) -> axum::Router {
    axum::Router::new()
        .route(
            "/items/{id}",
            get(
                |Path(id): Path<u32>,
                 Query(query): Query<HashMap<String, u32>>,
                 State(name): State<&'static str>| async move {
                    format!("{name} {id}, page {}", query["page"])
                },
            ),
        )
        .route(
            "/length",
            post(|content: Bytes| async move { content.len().to_string() }),
        )
        .route("/copy", post(|body: axum::body::Body| async { body }))
        .route(
            "/nth",
            get(|Extension(info): Extension<RequestInfo>| async move { info.number().to_string() }),
        )
        .route(
            "/wait",
            get(async move || {
                gate.opened().await;
                "waited"
            }),
        )
        .route("/shout", any(shout))
        .route(
            "/panic",
            get(async || -> &'static str { panic!("as it was asked to") }),
        )
        .layer(DefaultBodyLimit::max(1000))
        .with_state("item")
}

/// Agrees to speak another protocol, which answers in capitals.
async fn shout(mut request: axum::extract::Request) -> Response<axum::body::Body> {
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    tokio::spawn(async move {
        let mut connection = on_upgrade.expect("it was asked for").await.expect("agreed");
        let mut text = String::new();
        connection.read_to_string(&mut text).await.expect("text");
        let text = text.to_uppercase();
        connection
            .write_all(text.as_bytes())
            .await
            .expect("a reader");
        connection.shutdown().await.expect("an end");
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", "shout")
        .body(axum::body::Body::empty())
        .expect("it is valid")
}

#[tokio::test(start_paused = true)]
async fn an_axum_router_answers_on_one_connection() {
    let (mut client, ended) = client_of_any(&server(), router(Gate::new("an answer")));
    let copied = "x".repeat(100_000);
    for (request, status, content) in [
        (
            "GET /items/7?page=2 HTTP/1.1\r\nHost: a\r\n\r\n",
            200,
            "item 7, page 2",
        ),
        // Its own refusals: a path that is no number, a query that is missing.
        ("GET /nope HTTP/1.1\r\nHost: a\r\n\r\n", 404, ""),
        ("GET /length HTTP/1.1\r\nHost: a\r\n\r\n", 405, ""),
        (
            "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345",
            200,
            "5",
        ),
        (
            "POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            200,
            "5",
        ),
        ("GET /nth HTTP/1.1\r\nHost: a\r\n\r\n", 200, "6"),
        (
            &format!("POST /copy HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{copied}"),
            200,
            &copied,
        ),
        ("GET /nth HTTP/1.1\r\nHost: a\r\n\r\n", 200, "8"),
    ] {
        let answer = ask(&mut client, request).await;
        assert_eq!(answer.status(), status, "{request:.40}");
        assert!(
            answer.content == content,
            "{request:.40}: {:.80}",
            answer.content
        );
    }
    // HEAD of a route of GET, by axum itself.
    client
        .send("HEAD /items/7?page=2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let head = client.read_head().await;
    assert!(head.contains("content-length: 14\r\n"), "{head}");
    // Its limit on bodies, beyond which nobody reads.
    let upload = "y".repeat(2000);
    let request =
        format!("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n{upload}");
    assert_eq!(ask(&mut client, &request).await.status(), 413);
    let panics = ask(&mut client, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((panics.status(), panics.says_close()), (500, true));
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::LocalAskedClose);
}

#[tokio::test(start_paused = true)]
async fn an_axum_handler_takes_a_connection_over() {
    let (mut client, ended) = client_of_any(&server(), router(Gate::new("an answer")));
    client
        .send("GET /shout HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\nearly, ")
        .await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(ended.await.unwrap(), CloseReason::Upgraded);
    client.send("late").await;
    client.half_close().await;
    assert_eq!(rest(&mut client).await, "EARLY, LATE");
}

#[tokio::test]
async fn an_axum_router_finishes_what_it_has_begun_at_a_shutdown() {
    let gate = Gate::new("an answer");
    let listener = net::bind(([127, 0, 0, 1], 0).into(), BindOptions::default()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = server();
    let (handle, stop) = (server.handle(), Gate::new("an answer"));
    let serving = tokio::spawn({
        let (stop, router) = (stop.clone(), router(gate.clone()));
        server.serve_with_shutdown(listener, router, async move { stop.opened().await })
    });
    let mut busy = RawClient::connect(address).await;
    let mut idle = RawClient::connect(address).await;
    busy.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(
        ask(&mut idle, "GET /nth HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .content,
        "1"
    );
    stop.open();
    rest(&mut idle).await;
    assert_eq!(handle.stats().open, 1);
    gate.open();
    let answer = answer(&mut busy).await;
    assert_eq!(
        (answer.content.as_str(), answer.says_close()),
        ("waited", true)
    );
    drop(busy);
    within("the end of serving", serving)
        .await
        .unwrap()
        .unwrap();
}

/// Whatever the layers, the connection persists and answers stay in their order.
#[tokio::test(start_paused = true)]
async fn a_stack_of_tower_layers_is_a_service() {
    async fn inner<B: HttpBody<Data: Send, Error: Debug> + Unpin>(
        request: Request<B>,
    ) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        Ok(match path.as_str() {
            "/never" => pending().await,
            "/text" => Response::new("so it goes, ".repeat(1000).into()),
            _ => match request.into_body().collect().await {
                Ok(content) => Response::new(content.to_bytes().len().to_string().into()),
                Err(error) => Response::new(format!("{error:?}").into()),
            },
        })
    }
    let timeout = Duration::from_secs(3);
    let stack = ServiceBuilder::new()
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            timeout,
        ))
        .layer(RequestBodyLimitLayer::new(1000))
        .concurrency_limit(8)
        .service_fn(inner);
    let (mut client, _ended) = client_of_any(&server(), stack);
    let plain = ask(&mut client, "GET /text HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(plain.content.len(), 12_000);
    client
        .send("GET /text HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        .await;
    let head = client.read_head().await;
    assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
    let mut size = usize::MAX;
    while size > 0 {
        let line = read_line(&mut client).await;
        size = usize::from_str_radix(&line, 16).unwrap();
        client.read_exactly(size + 2).await;
    }
    let started = tokio::time::Instant::now();
    let late = ask(&mut client, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((late.status(), started.elapsed()), (504, timeout));
    for (length, status) in [(1000, 200), (1001, 413)] {
        let content = "z".repeat(length);
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{content}");
        assert_eq!(ask(&mut client, &request).await.status(), status);
    }
    assert_persists_empty(&mut client).await;
}

async fn assert_persists_empty(client: &mut Client) {
    let again = ask(client, "GET /again HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((again.status(), again.content.as_str()), (200, "0"));
}

/// `poll_ready` is asked before each call, and waited for.
#[tokio::test(start_paused = true)]
async fn a_limit_of_concurrency_holds_over_all_connections() {
    let gate = Gate::new("an answer");
    let stack = ServiceBuilder::new().concurrency_limit(1).service_fn({
        let gate = gate.clone();
        move |request: Request<Body>| {
            let gate = gate.clone();
            async move {
                gate.opened().await;
                Ok::<_, Infallible>(Response::new(Body::from(request.uri().path().to_owned())))
            }
        }
    });
    let server = server();
    let (mut first, _) = client_of_any(&server, stack.clone());
    let (mut second, _) = client_of_any(&server, stack);
    first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    second.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    gate.open();
    assert_eq!(answer(&mut first).await.content, "/1");
    assert_eq!(answer(&mut second).await.content, "/2");
}

/// An error of a layer is answered with 500, and closes.
#[tokio::test(start_paused = true)]
async fn a_layer_that_fails_fails_its_exchange_alone() {
    let stack = ServiceBuilder::new()
        .timeout(Duration::from_secs(1))
        .service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
    let server = server();
    let (mut client, ended) = client_of_any(&server, stack);
    let failed = ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((failed.status(), failed.says_close()), (500, true));
    drop(client);
    assert_eq!(ended.await.unwrap(), CloseReason::LocalAskedClose);
}
