//! The client against scripted peers.

mod reuse;

use keepline::{Body, ConnectionInfo, Error, Transport};
use keepline_testkit::peer::{Peer, Script};

/// A response with a body of this text and its Content-Length.
fn ok(text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// Answers every request on a connection with `response`.
fn always(response: impl AsRef<[u8]>) -> Script {
    Script::new().repeat_forever(Script::new().expect_head().send(response))
}

fn get(url: &str) -> http::Request<Body> {
    http::Request::get(url).body(Body::empty()).unwrap()
}

/// Sends GET and reads the whole body.
async fn fetch(transport: &Transport, peer: &Peer) -> Result<(String, ConnectionInfo), Error> {
    let response = transport.send(get(&peer.url("/"))).await?;
    let info = response
        .extensions()
        .get::<ConnectionInfo>()
        .unwrap()
        .clone();
    let body = response.into_body().bytes(1 << 20).await?;
    Ok((String::from_utf8(body.to_vec()).unwrap(), info))
}
