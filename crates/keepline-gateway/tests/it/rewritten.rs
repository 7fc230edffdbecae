//! What answers of upstreams have rewritten on their way.

use std::net::SocketAddr;

use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::sockets::ReservedPort;

use crate::support::Running;

/// The head that a client gets for an answer with this field line, with this in the location `/l/`; in both `@` is the
/// upstream.
async fn head(line: &str, location: &str) -> String {
    let port = ReservedPort::new().expect("a port is free").port();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let own = |text: &str| text.replace('@', &addr.to_string());
    let answer = format!(
        "HTTP/1.1 302 Found\r\n{}\r\nContent-Length: 0\r\n\r\n",
        own(line)
    );
    let _peer = Peer::listen(addr, [Script::new().expect_head().send(answer).hold()]);
    let http = format!(
        "server {{ listen 1; location /l/ {{ {} }} }}",
        own(location)
    );
    let running = Running::of_text(&http);
    let mut client = running.connect().await;
    client.send("GET /l/ HTTP/1.1\r\nHost: front\r\n\r\n").await;
    let head = client.read_head().await;
    let port = format!(":{}", running.addr.port());
    head.replace(&addr.to_string(), "@").replace(&port, ":PORT")
}

#[track_caller]
fn assert_has(head: &str, line: &str) {
    assert!(head.lines().any(|known| known == line), "{line} in {head}");
}

#[tokio::test]
async fn redirects_of_the_upstream_lead_to_the_gateway() {
    for (location, from, to) in [
        (
            "proxy_pass http://@/app/;",
            "http://@/app/x",
            "http://front:PORT/l/x",
        ),
        ("proxy_pass http://@;", "http://@/x", "http://front:PORT/x"),
        ("proxy_pass http://@;", "http://other/x", "http://other/x"),
        ("proxy_pass http://@;", "/x", "/x"),
        (
            "proxy_pass http://@; proxy_redirect off;",
            "http://@/x",
            "http://@/x",
        ),
        (
            "proxy_pass http://@; proxy_redirect ~^http://[^/]+/(?<page>.*)$ https://$host/$page?$1;",
            "http://@/x",
            "https://front/x?x",
        ),
        (
            "proxy_pass http://@; absolute_redirect off;",
            "http://@/x",
            "/x",
        ),
    ] {
        let line = |url: &str| format!("Location: {url}");
        assert_has(&head(&line(from), location).await, &line(to));
    }
}

#[tokio::test]
async fn refresh_is_a_redirect_too() {
    let head = head(
        "Refresh: 5; url=/a/x",
        "proxy_pass http://@; proxy_redirect /a/ /b/;",
    )
    .await;
    assert_has(&head, "Refresh: 5; url=/b/x");
}

#[tokio::test]
async fn cookies_have_the_domain_the_path_and_the_flags_of_the_gateway() {
    for (rules, from, to) in [
        (
            "proxy_cookie_domain back.test $host;",
            "a=b; Domain=.BACK.test; Path=/",
            "a=b; Domain=front; Path=/",
        ),
        (
            "proxy_cookie_domain back.test front;",
            "a=b;Domain=other",
            "a=b;Domain=other",
        ),
        (
            "proxy_cookie_path /app/ /;",
            "a=b; Path=/app/x; Secure",
            "a=b; Path=/x; Secure",
        ),
        (
            "proxy_cookie_path ~^/(.+)/ /$1-;",
            "a=b; path=/x/y",
            "a=b; path=/x-",
        ),
        (
            "proxy_cookie_flags a secure httponly samesite=lax;",
            "a=b",
            "a=b; Secure; HttpOnly; SameSite=Lax",
        ),
        (
            "proxy_cookie_flags ~ nosecure nosamesite;",
            "a=b; secure; SameSite=None; Path=/",
            "a=b; Path=/",
        ),
        ("proxy_cookie_flags other secure;", "a=b", "a=b"),
    ] {
        let head = head(
            &format!("Set-Cookie: {from}"),
            &format!("proxy_pass http://@; {rules}"),
        )
        .await;
        assert_has(&head, &format!("Set-Cookie: {to}"));
    }
}
