//! What the peer says it has not processed is sent again; what it may have, is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, SendResponse};
use keepline::{ErrorKind, Fault};
use keepline_testkit::within;

use super::support::{Server, prior, say};
use crate::client::support::{fed_body, info, request, stats};

/// Resets the first `times` requests for this reason, and counts them all.
async fn resetting(reason: Reason, times: u32) -> (Server, Arc<AtomicU32>) {
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    let server = Server::answering(
        Builder::new(),
        move |_, mut respond: SendResponse<Bytes>| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                if number < times {
                    respond.send_reset(reason);
                } else {
                    say(respond, "at last");
                }
            }
        },
    )
    .await;
    (server, seen)
}

#[tokio::test]
async fn refused_streams_are_sent_again_whatever_the_method() {
    for method in ["GET", "POST"] {
        let (server, seen) = resetting(Reason::REFUSED_STREAM, 2).await;
        let transport = prior().build().unwrap();
        let asked = request(
            method,
            &server.url(),
            if method == "POST" { "content" } else { "" },
        );
        let response = within("an answer", transport.send(asked)).await.unwrap();
        assert_eq!(info(&response).retries, 2, "{method}");
        assert_eq!(response.into_body().text(10).await.unwrap(), "at last");
        assert_eq!(
            (seen.load(Ordering::Relaxed), stats(&transport).retries),
            (3, 2)
        );
    }
}

#[tokio::test]
async fn a_server_that_refuses_for_ever_is_asked_four_times() {
    let (server, seen) = resetting(Reason::REFUSED_STREAM, u32::MAX).await;
    let transport = prior().build().unwrap();
    let error = within(
        "an error",
        transport.send(request("GET", &server.url(), "")),
    )
    .await
    .unwrap_err();
    assert_eq!(
        (error.kind(), error.fault()),
        (ErrorKind::Http2, Fault::Remote),
        "{error}"
    );
    assert!(error.connection().is_some());
    assert_eq!(seen.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn other_resets_and_retries_switched_off_are_errors_at_once() {
    for (reason, retries) in [
        (Reason::INTERNAL_ERROR, true),
        (Reason::CANCEL, true),
        (Reason::ENHANCE_YOUR_CALM, true),
        (Reason::REFUSED_STREAM, false),
    ] {
        let (server, seen) = resetting(reason, 1).await;
        let transport = prior().retry(retries).build().unwrap();
        let error = transport
            .send(request("GET", &server.url(), ""))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Http2, "{reason:?}: {error}");
        assert_eq!(seen.load(Ordering::Relaxed), 1, "{reason:?}");
        // The session is none the worse for it.
        let response = transport
            .send(request("GET", &server.url(), ""))
            .await
            .unwrap();
        assert_eq!(info(&response).id, 1);
    }
}

#[tokio::test]
async fn a_stream_that_was_begun_to_be_sent_cannot_be_sent_again() {
    let (server, seen) = resetting(Reason::REFUSED_STREAM, 1).await;
    let transport = prior().build().unwrap();
    let (feed, body) = fed_body();
    let asked = request("POST", &server.url(), body);
    let error = within("an error", transport.send(asked)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Http2, "{error}");
    assert_eq!(seen.load(Ordering::Relaxed), 1);
    drop(feed);
}
