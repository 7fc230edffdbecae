//! Decoding takes nothing away from reuse.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, RANGE};
use keepline::{Client, CloseReason, ErrorKind, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::within;

use super::{client, values};
use crate::client::support::{closed, ok, piece, stats, until_closed, until_idle};

/// "Hello, coded World!" by gzip, brotli and zstd.
const CODED: [(&str, &[u8]); 3] = [
    ("gzip", include_bytes!("hello.gz")),
    ("br", include_bytes!("hello.br")),
    ("zstd", include_bytes!("hello.zst")),
];
const TEXT: &str = "Hello, coded World!";

fn response(coding: &str, framing: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\n{framing}\r\n\r\n");
    [head.as_bytes(), content].concat()
}

fn with_length(coding: &str, content: &[u8]) -> Vec<u8> {
    response(
        coding,
        &format!("content-length: {}", content.len()),
        content,
    )
}

fn in_chunks(coding: &str, content: &[u8]) -> Vec<u8> {
    let (first, second) = content.split_at(content.len() / 2);
    let mut chunked = Vec::new();
    for part in [first, second, b""] {
        chunked.extend(format!("{:x}\r\n", part.len()).bytes());
        chunked.extend(part);
        chunked.extend(b"\r\n");
    }
    response(coding, "transfer-encoding: chunked", &chunked)
}

#[tokio::test]
async fn all_codings_and_framings_are_read_to_their_end_on_one_connection() {
    let mut script = Script::new();
    for (coding, content) in CODED {
        for coded in [with_length(coding, content), in_chunks(coding, content)] {
            script = script.expect_head().send_split_each(coded, 7);
        }
    }
    let peer = Peer::start(script.hold());
    let (client, transport) = client();
    for exchange in 1..=6 {
        let response = client.get(peer.url("/")).send().await.unwrap();
        for gone in [CONTENT_ENCODING, CONTENT_LENGTH] {
            assert!(!response.headers().contains_key(gone));
        }
        let text = within("a body", response.into_body().text(100))
            .await
            .unwrap();
        assert_eq!(text, TEXT, "exchange {exchange}");
        // Given back before the end was told, so nothing is waited for.
        assert_eq!(stats(&transport).idle, 1, "exchange {exchange}");
    }
    let asked = values(&peer.heads(0)[0], "accept-encoding").join(",");
    for (coding, _) in CODED {
        assert!(asked.contains(coding), "{asked}");
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn codings_are_known_by_their_names_in_any_case() {
    for (name, (_, content)) in [
        ("GZIP", CODED[0]),
        ("x-GZip", CODED[0]),
        ("Br", CODED[1]),
        ("ZSTD", CODED[2]),
    ] {
        let peer = Peer::start(
            Script::new()
                .expect_head()
                .send(with_length(name, content))
                .hold(),
        );
        let (client, _) = client();
        let response = client.get(peer.url("/")).send().await.unwrap();
        assert!(!response.headers().contains_key(CONTENT_ENCODING), "{name}");
        assert_eq!(
            response.into_body().text(100).await.unwrap(),
            TEXT,
            "{name}"
        );
    }
    // What is none of them is handed over as it came.
    let peer = Peer::start(
        Script::new()
            .expect_head()
            .send(with_length("Secret", b"coded"))
            .hold(),
    );
    let (client, _) = client();
    let response = client.get(peer.url("/")).send().await.unwrap();
    assert_eq!(response.headers()[CONTENT_ENCODING], "Secret");
    assert_eq!(response.into_body().text(100).await.unwrap(), "coded");
}

#[tokio::test]
async fn a_decoded_body_that_is_dropped_is_drained_as_any_other() {
    let (_, gzip) = CODED[0];
    let peer = Peer::start(
        Script::new()
            .expect_head()
            .send(in_chunks("gzip", gzip))
            .expect_head()
            .send(with_length("gzip", gzip))
            .expect_head()
            .send(ok("plain"))
            .hold(),
    );
    let (client, transport) = client();
    drop(client.get(peer.url("/")).send().await.unwrap());
    until_idle(&transport, 1).await;
    let mut begun = client.get(peer.url("/")).send().await.unwrap().into_body();
    assert!(!piece(&mut begun).await.is_empty());
    drop(begun);
    until_idle(&transport, 1).await;
    let plain = client.get(peer.url("/")).send().await.unwrap();
    assert_eq!(plain.into_body().text(10).await.unwrap(), "plain");
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn what_the_program_asks_for_itself_is_left_as_it_is() {
    let (_, gzip) = CODED[0];
    let script = Script::new().repeat(
        4,
        Script::new().expect_head().send(with_length("gzip", gzip)),
    );
    let peer = Peer::start(script.hold());
    let (client, transport) = client();
    let off = Client::builder()
        .transport(transport.clone())
        .decompress(false)
        .build()
        .unwrap();
    for (what, request, asked) in [
        (
            "a coding",
            client.get(peer.url("/")).header(ACCEPT_ENCODING, "gzip"),
            1,
        ),
        (
            "a range",
            client.get(peer.url("/")).header(RANGE, "bytes=0-"),
            0,
        ),
        ("nothing", off.get(peer.url("/")), 0),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip", "{what}");
        assert_eq!(
            response.into_body().bytes(1000).await.unwrap(),
            gzip,
            "{what}"
        );
        let heads = peer.heads(0);
        let last = heads.last().unwrap();
        assert_eq!(values(last, "accept-encoding").len(), asked, "{what}");
    }
}

#[tokio::test]
async fn head_keeps_the_length_of_the_coded_form() {
    let peer = Peer::start(
        Script::new()
            .expect_head()
            .send("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 77\r\n\r\n")
            .expect_head()
            .send(ok("x"))
            .hold(),
    );
    let (client, _) = client();
    let response = client.head(peer.url("/")).send().await.unwrap();
    assert_eq!(response.headers()[CONTENT_LENGTH], "77");
    assert_eq!(response.into_body().bytes(1).await.unwrap().len(), 0);
    client.get(peer.url("/")).send().await.unwrap();
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn broken_codings_are_errors_of_the_content() {
    let (_, gzip) = CODED[0];
    let cut = &gzip[..gzip.len() - 9];
    for (what, response) in [
        ("cut short", with_length("gzip", cut)),
        ("no gzip", with_length("gzip", b"plain text")),
    ] {
        let peer = Peer::start(Script::new().expect_head().send(response).hold());
        let (client, _) = client();
        let response = client.get(peer.url("/")).send().await.unwrap();
        let error = within(what, response.into_body().text(100))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Content, "{what}: {error}");
    }
    // The end of the connection is still the end of the connection.
    let half = response(
        "gzip",
        &format!("content-length: {}", gzip.len()),
        &gzip[..12],
    );
    let peer = Peer::start(Script::new().expect_head().send(half).close());
    let transport = Transport::default();
    let client = Client::builder()
        .transport(transport.clone())
        .build()
        .unwrap();
    let response = client.get(peer.url("/")).send().await.unwrap();
    let error = response.into_body().text(100).await.unwrap_err();
    assert!(error.is_closed_early(), "{error:?}");
    until_closed(&transport, CloseReason::PeerClosed, 1).await;
    assert_eq!(closed(&transport).len(), 1);
}
