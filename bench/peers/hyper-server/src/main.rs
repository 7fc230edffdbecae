//! hyper 1 as most programs use it: HTTP/1, keep-alive, a task for each connection.
//!
//! hyper arms its head timeout (30 s by default) only when it is given a timer, which is the
//! difference between a server that a slow client can hold open for ever and one that it cannot:
//! `--timer` gives it one. `--pipeline-flush` makes it answer a pipelined batch in one write, which
//! it does not do by default.

#[cfg(feature = "tls")]
mod tls;

use bench_common::Serve;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// How each connection is served.
#[derive(Clone)]
struct Serving {
    http: http1::Builder,
    content: Bytes,
    /// The content that each request must have; 0: none is read.
    asked: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let serve = Serve::from_args(&["timer", "pipeline-flush"])?;
    let mut http = http1::Builder::new();
    if serve.has("timer") {
        http.timer(TokioTimer::new());
    }
    http.pipeline_flush(serve.has("pipeline-flush"));
    let serving = Serving {
        http,
        content: Bytes::from(bench_common::body(serve.body_bytes)),
        asked: serve.post_bytes,
    };

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(serve.listen).await?;
        match serve.tls {
            None => loop {
                let stream = accept(&listener).await?;
                tokio::spawn(serving.clone().connection(stream));
            },
            #[cfg(feature = "tls")]
            Some((cert, key)) => {
                let tls = tls::acceptor(&cert, &key)?;
                loop {
                    let (stream, serving) = (accept(&listener).await?, serving.clone());
                    let handshake = tls.accept(stream);
                    tokio::spawn(async move {
                        if let Ok(stream) = handshake.await {
                            serving.connection(stream).await;
                        }
                    });
                }
            }
            #[cfg(not(feature = "tls"))]
            Some(_) => Err("built without TLS".into()),
        }
    })
}

async fn accept(listener: &TcpListener) -> std::io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Serving {
    async fn connection(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Self {
            http,
            content,
            asked,
        } = self;
        let answer = service_fn(move |request: Request<Incoming>| {
            let content = content.clone();
            async move {
                if asked > 0 && length(request.into_body()).await? != asked {
                    let mut refusal = Response::new(Full::default());
                    *refusal.status_mut() = StatusCode::BAD_REQUEST;
                    return Ok(refusal);
                }
                Ok::<_, hyper::Error>(Response::new(Full::new(content)))
            }
        });
        // A client that goes away is none of the server's business here; the load reports it.
        drop(http.serve_connection(TokioIo::new(stream), answer).await);
    }
}

async fn length(mut body: Incoming) -> Result<usize, hyper::Error> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(length)
}
