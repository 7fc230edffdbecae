//! What a client is asked for by its own methods.

use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Method};
use keepline::{Client, ErrorKind};
use keepline_testkit::peer::{Peer, Script};
use serde_json::{Value, json};

use super::{client, values};
use crate::client::support::{always, answer, ok};

#[tokio::test]
async fn each_method_asks_with_its_name() {
    let peer = Peer::start(always("HTTP/1.1 204 No Content\r\n\r\n"));
    let (client, _) = client();
    let url = peer.url("/");
    for (request, method) in [
        (client.get(&*url), Method::GET),
        (client.head(&*url), Method::HEAD),
        (client.post(&*url), Method::POST),
        (client.put(&*url), Method::PUT),
        (client.delete(&*url), Method::DELETE),
        (client.request(Method::PATCH, &*url), Method::PATCH),
    ] {
        assert_eq!(request.build().unwrap().method(), method);
    }
    client.delete(url).send().await.unwrap();
    assert!(peer.heads(0)[0].starts_with("DELETE / HTTP/1.1"));
}

#[tokio::test]
async fn json_goes_both_ways() {
    let reply = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";
    let peer = Peer::start(
        Script::new()
            .expect_head()
            .expect("{\"a\":[1,2]}")
            .send(reply)
            .repeat(1, answer(ok("no json")))
            .hold(),
    );
    let (client, _) = client();
    let request = client.post(peer.url("/")).json(&json!({"a": [1, 2]}));
    let response = request.send().await.unwrap();
    let reply: Value = response.into_body().json(100).await.unwrap();
    assert_eq!(reply, json!({"ok": true}));
    assert_eq!(
        values(&peer.heads(0)[0], "content-type"),
        ["application/json"]
    );
    let response = client.get(peer.url("/")).send().await.unwrap();
    let error = response.into_body().json::<Value>(100).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Content, "{error}");
}

#[tokio::test]
async fn default_fields_are_added_where_there_are_none() {
    let peer = Peer::start(always(ok("x")));
    let client = Client::builder()
        .default_header(USER_AGENT, HeaderValue::from_static("keepline"))
        .build()
        .unwrap();
    client.get(peer.url("/")).send().await.unwrap();
    client
        .get(peer.url("/"))
        .header(USER_AGENT, "mine")
        .send()
        .await
        .unwrap();
    let heads = peer.heads(0);
    assert_eq!(values(&heads[0], "user-agent"), ["keepline"]);
    assert_eq!(values(&heads[1], "user-agent"), ["mine"]);
}

#[tokio::test]
async fn mistakes_are_told_when_the_request_is_sent() {
    let (client, _) = client();
    for request in [
        client.get("http://exa mple/"),
        client.get("ftp://example/"),
        client.get("/no/host"),
        client.get("http://127.0.0.1/").header("bad name", "x"),
    ] {
        let error = request.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
    }
    assert!(Client::builder().timeout(Duration::ZERO).build().is_err());
}
