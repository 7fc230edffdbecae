//! Redirects as Go follows them, on the connection that the redirect came on.

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, REFERER};
use keepline::agent::Redirected;
use keepline::client::Target;
use keepline::{Body, Client, ErrorKind, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::within;

use super::{client, redirect, values};
use crate::client::support::{always, fed_body, info, ok, stats, until_idle};

/// Answers with these, one after the other, on one connection.
fn answers(responses: impl IntoIterator<Item = String>) -> Script {
    responses
        .into_iter()
        .fold(Script::new(), |script, response| {
            script.expect_head().send(response)
        })
        .hold()
}

fn first_lines(peer: &Peer) -> Vec<String> {
    let heads = peer.heads(0);
    heads
        .iter()
        .map(|head| head.lines().next().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn a_redirect_is_followed_on_the_connection_that_it_came_on() {
    // Bodies of all framings, one of them with nothing read of it, one longer than the head's packet.
    let long = "x".repeat(2000);
    let chunked =
        "HTTP/1.1 302 F\r\nlocation: /c\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let peer = Peer::start(answers([
        redirect(301, "/a?b#c", ""),
        redirect(302, "b", &long),
        chunked.to_owned(),
        ok("at last"),
    ]));
    let (client, transport) = client();
    let response = client.get(peer.url("/x/y")).send().await.unwrap();
    let told = response.extensions().get::<Redirected>().unwrap().clone();
    assert_eq!(info(&response).exchange_number, 4);
    assert_eq!(response.into_body().text(100).await.unwrap(), "at last");
    let asked = [
        "GET /x/y HTTP/1.1",
        "GET /a?b HTTP/1.1",
        "GET /b HTTP/1.1",
        "GET /c HTTP/1.1",
    ];
    assert_eq!(first_lines(&peer), asked);
    assert_eq!(told.uri.to_string(), peer.url("/c"));
    let hops: Vec<_> = told
        .hops
        .iter()
        .map(|x| (x.0.path(), x.1.as_u16()))
        .collect();
    assert_eq!(hops, [("/x/y", 301), ("/a", 302), ("/b", 302)]);
    assert_eq!((peer.accepted(), stats(&transport).opened.total()), (1, 1));
}

#[tokio::test]
async fn contents_are_dropped_or_sent_again_as_the_status_says() {
    let peer = Peer::start(
        Script::new()
            .expect_head()
            .expect("hello")
            .send(redirect(307, "/same", ""))
            .expect_head()
            .expect("hello")
            .send(redirect(303, "/get", ""))
            .expect_head()
            .send(redirect(308, "/still", ""))
            .expect_head()
            .send(ok("x"))
            .hold(),
    );
    let (client, _) = client();
    let request = client.post(peer.url("/")).body("hello");
    let response = within(
        "a response",
        request.header(CONTENT_TYPE, "text/plain").send(),
    );
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    let heads = peer.heads(0);
    let lines = first_lines(&peer);
    let asked = [
        "POST / HTTP/1.1",
        "POST /same HTTP/1.1",
        "GET /get HTTP/1.1",
        "GET /still HTTP/1.1",
    ];
    assert_eq!(lines, asked);
    for (head, kind, length) in [
        (&heads[1], vec!["text/plain"], vec!["5"]),
        (&heads[2], vec![], vec![]),
        (&heads[3], vec![], vec![]),
    ] {
        assert_eq!(values(head, "content-type"), kind, "{head}");
        assert_eq!(values(head, "content-length"), length, "{head}");
    }
}

#[tokio::test]
async fn content_that_cannot_be_made_again_leaves_the_redirect_to_the_asker() {
    let peer = Peer::start(
        Script::new()
            .expect_head()
            .send(redirect(307, "/there", "moved"))
            .hold(),
    );
    let (client, _) = client();
    let (feed, body) = fed_body();
    drop(feed);
    let response = client.post(peer.url("/")).body(body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(response.headers()["location"], "/there");
    assert!(response.extensions().get::<Redirected>().is_none());
    assert_eq!(response.into_body().text(10).await.unwrap(), "moved");
}

#[tokio::test]
async fn content_of_a_factory_is_made_for_each_hop() {
    let peer = Peer::start(
        Script::new()
            .expect_head()
            .expect("again")
            .send(redirect(308, "/there", ""))
            .expect_head()
            .expect("again")
            .send(ok("x"))
            .hold(),
    );
    let (client, _) = client();
    let body = Body::from_factory(|| "again".into());
    let request = client.put(peer.url("/")).body(body);
    let response = within("a response", request.send()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_redirect_without_a_location_is_the_response_and_a_bad_one_is_an_error() {
    let none = "HTTP/1.1 302 Found\r\ncontent-length: 4\r\n\r\nnone";
    let peer = Peer::start(answers([
        none.to_owned(),
        redirect(302, "ftp://elsewhere/", ""),
        redirect(302, "http://user@elsewhere/", ""),
        redirect(302, "/x", "not followed"),
    ]));
    let (client, transport) = client();
    let response = client.get(peer.url("/")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.into_body().text(10).await.unwrap(), "none");
    let error = client.get(peer.url("/")).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Redirect);
    assert!(error.connection().is_some(), "{error}");
    let error = client.get(peer.url("/")).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
    let off = Client::builder()
        .transport(transport)
        .redirects(0)
        .build()
        .unwrap();
    let response = off.get(peer.url("/")).send().await.unwrap();
    assert_eq!(response.into_body().text(20).await.unwrap(), "not followed");
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn after_ten_redirects_it_stops() {
    let peer = Peer::start(always(redirect(302, "/again", "")));
    let (client, transport) = client();
    let error = within("an error", client.get(peer.url("/")).send())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Redirect);
    assert!(
        error.to_string().contains("stopped after 10 redirects"),
        "{error}"
    );
    assert_eq!(peer.heads(0).len(), 11);
    // Nothing is broken by it.
    until_idle(&transport, 1).await;
}

#[tokio::test]
async fn credentials_and_hosts_stay_with_the_server_that_they_are_meant_for() {
    let other = Peer::start(answers([ok("x")]));
    let url = other.url("/other");
    let peer = Peer::start(answers([
        redirect(302, "/relative", ""),
        redirect(302, &url, ""),
    ]));
    let (client, _) = client();
    let response = client
        .get(peer.url("/"))
        .header(AUTHORIZATION, "Basic c2VjcmV0")
        .header("cookie", "a=b")
        .header("x-harmless", "stays")
        .header(HOST, "virtual.example")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let (heads, others) = (peer.heads(0), other.heads(0));
    for (head, secret, cookie, host) in [
        (
            &heads[0],
            vec!["Basic c2VjcmV0"],
            vec!["a=b"],
            "virtual.example".to_owned(),
        ),
        (
            &heads[1],
            vec!["Basic c2VjcmV0"],
            vec!["a=b"],
            "virtual.example".to_owned(),
        ),
        (&others[0], vec![], vec![], other.addr().to_string()),
    ] {
        assert_eq!(values(head, "authorization"), secret, "{head}");
        assert_eq!(values(head, "cookie"), cookie, "{head}");
        assert_eq!(values(head, "host"), [host], "{head}");
        assert_eq!(values(head, "x-harmless"), ["stays"], "{head}");
    }
}

#[tokio::test]
async fn credentials_that_were_dropped_stay_dropped() {
    // There and back again: the first server does not get them on its second request either.
    let home = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home_addr = home.local_addr().unwrap();
    drop(home);
    let away = Peer::start(answers([redirect(
        302,
        &format!("http://{home_addr}/back"),
        "",
    )]));
    let peer = Peer::listen(
        home_addr,
        [answers([redirect(302, &away.url("/away"), ""), ok("home")])],
    );
    let (client, _) = client();
    let request = client
        .get(peer.url("/"))
        .header(AUTHORIZATION, "Basic c2VjcmV0");
    request.send().await.unwrap();
    let heads = peer.heads(0);
    assert_eq!(values(&heads[0], "authorization").len(), 1);
    assert_eq!(values(&heads[1], "authorization").len(), 0, "{}", heads[1]);
}

#[tokio::test]
async fn the_referer_is_what_was_asked_before_unless_the_program_set_one() {
    for (set, second, third) in [(None, "/one", "/two"), (Some("http://mine/"), "", "")] {
        let peer = Peer::start(answers([
            redirect(302, "/two", ""),
            redirect(302, "/three", ""),
            ok("x"),
        ]));
        let (client, _) = client();
        let mut request = client.get(peer.url("/one"));
        if let Some(set) = set {
            request = request.header(REFERER, set);
        }
        request.send().await.unwrap();
        let heads = peer.heads(0);
        let expected = |path| set.map_or_else(|| peer.url(path), str::to_owned);
        assert_eq!(values(&heads[1], "referer"), [expected(second)]);
        assert_eq!(values(&heads[2], "referer"), [expected(third)]);
        assert_eq!(
            values(&heads[0], "referer").len(),
            usize::from(set.is_some())
        );
    }
}

#[tokio::test]
async fn a_target_holds_for_its_own_origin_and_for_no_other() {
    let other = Peer::start(answers([ok("elsewhere")]));
    let peer = Peer::start(answers([
        redirect(302, "/relative", ""),
        redirect(302, "http://backend.internal/absolute", ""),
        redirect(302, &other.url("/"), ""),
    ]));
    let (client, _) = client();
    let target = Target::builder(&"http://backend.internal".parse().unwrap())
        .address(peer.addr())
        .build()
        .unwrap();
    let response = client.get("/start").extension(target).send().await.unwrap();
    assert_eq!(response.into_body().text(100).await.unwrap(), "elsewhere");
    let asked = [
        "GET /start HTTP/1.1",
        "GET /relative HTTP/1.1",
        "GET /absolute HTTP/1.1",
    ];
    assert_eq!(first_lines(&peer), asked);
    for head in peer.heads(0) {
        assert_eq!(values(&head, "host"), ["backend.internal"], "{head}");
    }
}

#[tokio::test]
async fn layers_can_be_stacked_by_themselves() {
    use tower_layer::Layer;
    use tower_service::Service;
    let peer = Peer::start(answers([redirect(302, "/there", ""), ok("x")]));
    let mut stack = keepline::agent::TotalTimeoutLayer::new(None)
        .layer(keepline::agent::FollowRedirectsLayer::new(1).layer(Transport::default()));
    let request = crate::client::support::get(&peer.url("/"));
    let response = stack.call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}
