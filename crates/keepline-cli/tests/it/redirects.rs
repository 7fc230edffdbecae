//! `keepline get -L`.

use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::sockets::ReservedPort;
use serde_json::json;

use crate::binary::run;

fn there_and_there() -> Peer {
    let redirect =
        |to: &str| format!("HTTP/1.1 302 F\r\nlocation: {to}\r\ncontent-length: 3\r\n\r\nabc");
    let script = [
        redirect("/b"),
        redirect("c"),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthere".to_owned(),
    ];
    Peer::start(
        script
            .into_iter()
            .fold(Script::new(), |script, answer| {
                script.expect_head().send(answer)
            })
            .hold(),
    )
}

#[tokio::test]
async fn redirects_are_followed_on_one_connection_and_told() {
    let peer = there_and_there();
    let ran = run(&["get", "-L", "--trace", &peer.url("/a")]).await;
    assert_eq!((ran.code(), ran.stdout.as_str()), (0, "there"), "{ran:?}");
    for path in ["/a", "/b"] {
        let line = format!("#1 redirected by {}: 302", peer.url(path));
        assert!(ran.stderr.contains(&line), "{ran:?}");
    }
    assert_eq!(peer.accepted(), 1);

    let peer = there_and_there();
    let ran = run(&["get", "-L", "--json", &peer.url("/a")]).await;
    let first: serde_json::Value =
        serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    let hop = |path| json!({"url": peer.url(path), "status": 302});
    assert_eq!(first["redirects"], json!([hop("/a"), hop("/b")]));
    assert_eq!(ran.summary()["connections_opened"], 1);
}

#[tokio::test]
async fn without_it_the_redirect_is_the_answer_and_a_circle_ends() {
    let peer = there_and_there();
    let ran = run(&["get", &peer.url("/a")]).await;
    assert_eq!((ran.code(), ran.stdout.as_str()), (0, "abc"), "{ran:?}");

    let circle = "HTTP/1.1 302 F\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
    let peer = Peer::start(Script::new().repeat_forever(Script::new().expect_head().send(circle)));
    let ran = run(&["get", "-L", &peer.url("/")]).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr.contains("stopped after 10 redirects"), "{ran:?}");
}

/// The server at the end of the way is blamed, not the one at its beginning.
#[tokio::test]
async fn where_redirects_lead_is_blamed_for_what_is_wrong_there() {
    let closed = ReservedPort::new().expect("a port is free");
    let nowhere = format!("http://127.0.0.1:{}/x", closed.port());
    let redirect = format!("HTTP/1.1 302 F\r\nlocation: {nowhere}\r\ncontent-length: 0\r\n\r\n");
    let peer = Peer::start(Script::new().expect_head().send(redirect).hold());
    let ran = run(&["get", "-L", &peer.url("/")]).await;
    assert_eq!(ran.code(), 1);
    for said in [
        format!("redirected to {nowhere}"),
        format!("nothing listens at 127.0.0.1:{}", closed.port()),
    ] {
        assert!(ran.stderr.contains(&said), "{said}: {ran:?}");
    }
}
