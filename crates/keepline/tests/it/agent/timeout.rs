//! The total timeout covers whatever a request waits for.

use std::time::Duration;

use keepline::{Client, ErrorKind, Phase, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::within;

use super::redirect;
use crate::client::support::{answer, ok, stats, until_idle};

const SHORT: Duration = Duration::from_millis(200);

fn hurried() -> (Client, Transport) {
    let transport = Transport::default();
    let client = Client::builder()
        .transport(transport.clone())
        .timeout(SHORT);
    (client.build().unwrap(), transport)
}

#[tokio::test]
async fn a_request_ends_in_time_wherever_it_hangs() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    for (where_it_hangs, script, said) in [
        (
            "the head",
            Script::new().expect_head().hold(),
            "timed out: waiting for the response head",
        ),
        (
            "the body",
            answer(half).hold(),
            "timed out: waiting for the body",
        ),
        (
            "after a redirect",
            answer(redirect(302, "/x", "")).expect_head().hold(),
            "timed out: waiting for the response head",
        ),
    ] {
        let peer = Peer::start(script);
        let (client, transport) = hurried();
        let whole = async {
            let response = client.get(peer.url("/")).send().await?;
            response.into_body().text(100).await
        };
        let error = within(where_it_hangs, whole).await.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Timeout(Phase::Request),
            "{where_it_hangs}"
        );
        assert_eq!(error.to_string(), said, "{where_it_hangs}");
        keepline_testkit::until("the connection is closed", || {
            (stats(&transport).open() == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_timeout_that_passes_after_the_end_is_harmless() {
    let peer = Peer::start(answer(ok("whole")).expect_head().send(ok("again")).hold());
    let (client, transport) = hurried();
    let response = client.get(peer.url("/")).send().await.unwrap();
    let text = response.into_body().text(100).await.unwrap();
    assert_eq!(text, "whole");
    until_idle(&transport, 1).await;
    let late = client.get(peer.url("/")).send().await.unwrap();
    tokio::time::pause();
    tokio::time::advance(SHORT * 2).await;
    assert_eq!(late.into_body().text(100).await.unwrap(), "again");
    assert_eq!(peer.accepted(), 1);
}
