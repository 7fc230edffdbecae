//! A server that answers "Hello, World!", on one thread.
//!
//! ```sh
//! cargo run --release --example server -- 127.0.0.1:8080
//! ```
//!
//! With a second argument `raw` the answer is given on the raw exchange, below `http::Request`.
//! Ctrl-C stops it gracefully.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use keepline::server::{Exchange, Handler, Server, service_fn};
use keepline::{Body, Error, net};
use keepline_proto::BodyLength;

const HELLO: &str = "Hello, World!";

#[derive(Clone)]
struct Hello;

impl Handler for Hello {
    async fn handle(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        exchange.send_head(StatusCode::OK, [], BodyLength::Known(HELLO.len() as u64))?;
        exchange.send_piece(Bytes::from_static(HELLO.as_bytes()))?;
        exchange.send_end(None)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments
        .next()
        .as_deref()
        .unwrap_or("127.0.0.1:8080")
        .parse()?;
    let is_raw = arguments.next().as_deref() == Some("raw");

    net::raise_open_files_limit()?;
    let server = Server::builder().build()?;
    let listener = net::bind(address, net::BindOptions::default())?;
    let handle = server.handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.shutdown();
        }
    });
    if is_raw {
        server.serve_raw(listener, Hello).await?;
    } else {
        let hello = service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::from(HELLO)))
        });
        server.serve(listener, hello).await?;
    }
    #[expect(clippy::print_stdout, reason = "an example that tells what it did")]
    {
        println!("{:?}", server.stats());
    }
    Ok(())
}
