//! keepline's server with a service, as `hyper-server` is made: HTTP/1, keep-alive, a task for each
//! connection. Its deadlines are the defaults, so that it is not faster for lack of them.

use bench_common::Serve;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use keepline::net::{self, BindOptions};
use keepline::server::{Server, service_fn};
use keepline::{Body, Error};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let serve = Serve::from_args(&[])?;
    let content = Bytes::from(bench_common::body(serve.body_bytes));
    let asked = serve.post_bytes;
    net::raise_open_files_limit()?;
    let service = service_fn(move |request: Request<Body>| {
        let content = content.clone();
        async move {
            if asked > 0 && length(request.into_body()).await? != asked {
                let mut refusal = Response::new(Body::empty());
                *refusal.status_mut() = StatusCode::BAD_REQUEST;
                return Ok(refusal);
            }
            Ok::<_, Error>(Response::new(Body::from(content)))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = net::bind(serve.listen, BindOptions::default())?;
        server(&serve)?.serve(listener, service).await?;
        Ok(())
    })
}

async fn length(mut body: Body) -> Result<usize, Error> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(length)
}

#[cfg(feature = "tls")]
fn server(serve: &Serve) -> Result<Server, Box<dyn std::error::Error>> {
    let builder = Server::builder();
    let builder = match &serve.tls {
        Some((cert, key)) => builder.tls(keepline::tls::ServerTls::from_pem_files(cert, key)?),
        None => builder,
    };
    Ok(builder.build()?)
}

#[cfg(not(feature = "tls"))]
fn server(serve: &Serve) -> Result<Server, Box<dyn std::error::Error>> {
    if serve.tls.is_some() {
        return Err("built without TLS".into());
    }
    Ok(Server::builder().build()?)
}
