//! What a small program of reqwest becomes: `docs/from-reqwest.md` shows both.
//!
//! ```sh
//! keepline serve --listen 127.0.0.1:8080 &
//! cargo run --example from_reqwest -- http://127.0.0.1:8080
//! ```

#![expect(clippy::print_stdout, reason = "it is a program for people to read")]

// The page shows what follows, and a test compares it.
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Response};
use http_body_util::BodyExt;
use keepline::{Body, Client, Transport};
use serde_json::Value;

const MOST: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args().nth(1).ok_or("usage: from_reqwest URL")?;
    let transport = Transport::builder()
        .connect_timeout(Duration::from_secs(2))
        .idle_timeout(Duration::from_secs(30))
        .max_idle_per_key(8)
        .build()?;
    let client = Client::builder()
        .transport(transport)
        .default_header(USER_AGENT, HeaderValue::from_static("mirror/1.0"))
        .timeout(Duration::from_secs(10))
        .build()?;

    // JSON, where a status of failure is an error.
    let response = successful(client.get(format!("{base}/headers")).send().await?)?;
    let seen: Value = response.into_body().json(MOST).await?;
    println!("the server saw {}", seen["headers"]["user-agent"]);

    // Content that is sent.
    let posting = client.post(format!("{base}/echo")).body("as it was");
    let echo = posting.send().await?.into_body().text(MOST).await?;
    println!("it answered {echo:?}");

    // Content as it comes.
    let response = client.get(format!("{base}/bytes/1000000")).send().await?;
    let (mut body, mut length) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        length += frame?.into_data().map_or(0, |piece| piece.len());
    }
    println!("it sent {length} bytes");

    // A time for one request, and what went wrong.
    let slow = client.get(format!("{base}/delay/5000")).send();
    match tokio::time::timeout(Duration::from_millis(100), slow).await {
        Err(_) => println!("it was too slow"),
        Ok(Err(error)) if error.is_connect() => println!("it is not there: {error}"),
        Ok(answer) => println!("it answered {}", answer?.status()),
    }

    // What reqwest does not tell.
    let stats = client.transport().stats();
    println!(
        "{} requests, {} connections",
        stats.acquired,
        stats.opened.total()
    );
    Ok(())
}

/// `error_for_status`.
fn successful(response: Response<Body>) -> Result<Response<Body>, String> {
    match response.status() {
        status if status.as_u16() < 400 => Ok(response),
        status => Err(format!("the server answered {status}")),
    }
}
