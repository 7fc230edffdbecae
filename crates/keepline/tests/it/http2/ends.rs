//! How sessions end: GOAWAY, shutdown, and the end of a runtime or of the Transport.

use std::sync::Arc;

use h2::server::Builder;
use keepline::{CloseReason, OpenReason};
use keepline_testkit::{Gate, until, within};
use tokio::sync::Notify;

use super::support::{Server, echo_path, get, prior};
use crate::client::support::{closed, info, opened, stats, until_closed};

#[tokio::test]
async fn after_goaway_what_is_open_finishes_and_what_comes_goes_elsewhere() {
    let (gate, leave) = (Gate::new("go on"), Arc::new(Notify::new()));
    let (held, leaving) = (gate.clone(), Arc::clone(&leave));
    let server = Server::start(Builder::new(), move |number, mut session| {
        let (held, leaving) = (held.clone(), Arc::clone(&leaving));
        async move {
            loop {
                tokio::select! {
                    next = session.accept() => match next {
                        Some(Ok((request, respond))) => {
                            let held = held.clone();
                            tokio::spawn(async move {
                                if number == 1 {
                                    held.opened().await;
                                }
                                echo_path(request, respond).await;
                            });
                        }
                        _ => return,
                    },
                    () = leaving.notified(), if number == 1 => session.graceful_shutdown(),
                }
            }
        }
    })
    .await;
    let transport = prior().build().unwrap();
    let first = tokio::spawn({
        let (transport, url) = (transport.clone(), server.url());
        async move { transport.send(get(&url)).await }
    });
    until("the first to be under way", || {
        (stats(&transport).acquired == 1).then_some(())
    })
    .await;
    leave.notify_one();
    // As soon as the client knows of it, a request opens another connection.
    let second = loop {
        let response = tokio::time::timeout(
            std::time::Duration::from_millis(200),
            transport.send(get(&server.url())),
        )
        .await;
        if let Ok(response) = response {
            break response.unwrap();
        }
    };
    assert_eq!(info(&second).id, 2);
    assert_eq!(info(&second).open_reason, OpenReason::AllBusy);
    gate.open();
    let first = within("the first answer", first).await.unwrap().unwrap();
    assert_eq!(first.into_body().text(10).await.unwrap(), "/");
    until_closed(&transport, CloseReason::PeerAskedClose, 1).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_streams_and_lets_none_begin() {
    let gate = Gate::new("go on");
    let held = gate.clone();
    let server = Server::answering(Builder::new(), move |request, respond| {
        let held = held.clone();
        async move {
            held.opened().await;
            echo_path(request, respond).await;
        }
    })
    .await;
    let transport = prior().build().unwrap();
    let first = tokio::spawn({
        let (transport, url) = (transport.clone(), server.url());
        async move { transport.send(get(&url)).await?.into_body().text(10).await }
    });
    until("the request to be under way", || {
        (stats(&transport).acquired == 1).then_some(())
    })
    .await;
    let mut shutdown = std::pin::pin!(transport.shutdown());
    assert!(crate::client::support::is_pending(&mut shutdown).await);
    let refused = within("a refusal", transport.send(get(&server.url()))).await;
    assert_eq!(refused.unwrap_err().kind(), keepline::ErrorKind::Shutdown);
    gate.open();
    assert_eq!(first.await.unwrap().unwrap(), "/");
    within("the shutdown", shutdown).await;
    assert_eq!(closed(&transport), [(CloseReason::Shutdown, 1)]);
    assert_eq!(stats(&transport).open(), 0);
}

#[tokio::test]
async fn idle_sessions_are_closed_on_demand_and_with_their_transport() {
    let gone = Arc::new(Notify::new());
    let told = Arc::clone(&gone);
    let server = Server::start(Builder::new(), move |_, mut session| {
        let told = Arc::clone(&told);
        async move {
            while let Some(Ok((request, respond))) = session.accept().await {
                echo_path(request, respond).await;
            }
            told.notify_one();
        }
    })
    .await;
    let transport = prior().build().unwrap();
    transport
        .send(get(&server.url()))
        .await
        .unwrap()
        .into_body()
        .text(10)
        .await
        .unwrap();
    transport.close_idle();
    until_closed(&transport, CloseReason::Shutdown, 1).await;
    within("the server to see it", gone.notified()).await;
    transport
        .send(get(&server.url()))
        .await
        .unwrap()
        .into_body()
        .text(10)
        .await
        .unwrap();
    assert_eq!(opened(&transport).iter().map(|x| x.1).sum::<u64>(), 2);
    drop(transport);
    within("the server to see it", gone.notified()).await;
}

#[test]
fn a_session_dies_with_its_runtime_and_the_next_request_opens_another() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let (servers, one, other) = (runtime(), runtime(), runtime());
    let server = servers.block_on(Server::answering(Builder::new(), echo_path));
    let transport = prior().build().unwrap();
    let ask = || async {
        let response = transport.send(get(&server.url())).await.unwrap();
        let connection = info(&response).id;
        response.into_body().text(10).await.unwrap();
        connection
    };
    assert_eq!(
        (one.block_on(ask()), other.block_on(ask())),
        (1, 1),
        "it is shared"
    );
    drop(one);
    assert_eq!(stats(&transport).open(), 0);
    assert_eq!(closed(&transport), [(CloseReason::Shutdown, 1)]);
    assert_eq!(other.block_on(ask()), 2);
    servers.block_on(async { drop(server) });
}

/// On other threads the next attempt is made before the session's task has seen the GOAWAY: found by
/// a soak, in which all four attempts met the session that was leaving.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_for_a_session_that_leaves() {
    use keepline::net::{self, BindOptions};
    use keepline::server::{Http2, Server as OurServer, service_fn};
    let listener = net::bind(([127, 0, 0, 1], 0).into(), BindOptions::default()).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = OurServer::builder()
        .http2(Http2::default())
        .max_requests(Some(10))
        .build()
        .unwrap();
    let handle = server.handle();
    let service = service_fn(|_: http::Request<keepline::Body>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(keepline::Body::from("here")))
    });
    let serving = tokio::spawn(server.serve(listener, service));
    let transport = prior().build().unwrap();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (transport, url) = (transport.clone(), url.clone());
        clients.spawn(async move {
            for _ in 0..250 {
                let response = transport.send(get(&url)).await.unwrap();
                assert_eq!(response.into_body().text(10).await.unwrap(), "here");
            }
        });
    }
    clients.join_all().await;
    transport.shutdown().await;
    handle.shutdown();
    within("the end of serving", serving)
        .await
        .unwrap()
        .unwrap();
}
