//! hyper 1 as most programs use it: HTTP/1, keep-alive, a task for each connection.
//!
//! hyper arms its head timeout (30 s by default) only when it is given a timer, which is the
//! difference between a server that a slow client can hold open for ever and one that it cannot:
//! `--timer` gives it one. `--pipeline-flush` makes it answer a pipelined batch in one write, which
//! it does not do by default.

use std::convert::Infallible;

use bench_common::Serve;
use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let serve = Serve::from_args(&["timer", "pipeline-flush"])?;
    let body = Bytes::from(bench_common::body(serve.body_bytes));
    let mut http = http1::Builder::new();
    if serve.has("timer") {
        http.timer(TokioTimer::new());
    }
    http.pipeline_flush(serve.has("pipeline-flush"));

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(serve.listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let body = body.clone();
            let answer = service_fn(move |_: Request<Incoming>| {
                std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(body.clone()))))
            });
            let connection = http.serve_connection(TokioIo::new(stream), answer);
            // A client that goes away is none of the server's business here; the load reports it.
            tokio::spawn(async move { drop(connection.await) });
        }
    })
}
