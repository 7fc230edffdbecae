//! The jar is asked and filled for each request that is sent, those of redirects among them.

use keepline::Client;
use keepline::agent::Jar;
use keepline_testkit::peer::{Peer, Script};

use super::values;
use crate::client::support::ok;

#[tokio::test]
async fn cookies_are_kept_per_hop_and_go_back_where_they_belong() {
    let set = "HTTP/1.1 302 Found\r\nset-cookie: id=7; path=/\r\nset-cookie: deep=1; path=/deep\r\n\
        location: /next\r\ncontent-length: 0\r\n\r\n";
    let cleared =
        "HTTP/1.1 200 OK\r\nset-cookie: id=; max-age=0; path=/\r\ncontent-length: 0\r\n\r\n";
    let script = [set.to_owned(), cleared.to_owned(), ok("x"), ok("y")]
        .into_iter()
        .fold(Script::new(), |script, response| {
            script.expect_head().send(response)
        });
    let peer = Peer::start(script.hold());
    let jar = Jar::new();
    let client = Client::builder().cookies(jar.clone()).build().unwrap();
    let get = |path: &str| client.get(peer.url(path));
    get("/").header("cookie", "own=1").send().await.unwrap();
    get("/deep/er").send().await.unwrap();
    get("/").send().await.unwrap();
    let heads = peer.heads(0);
    for (head, cookies) in [
        (&heads[0], vec!["own=1"]),
        (&heads[1], vec!["own=1; id=7"]),
        (&heads[2], vec!["deep=1"]),
        (&heads[3], vec![]),
    ] {
        assert_eq!(values(head, "cookie"), cookies, "{head}");
    }
    assert_eq!(jar.store().iter_unexpired().count(), 1);
}
