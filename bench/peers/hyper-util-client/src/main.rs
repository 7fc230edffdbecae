//! hyper-util's legacy client, which reqwest and most Rust programs pool connections with.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use bench_common::{CountDials, Dials, ExpectedBody, Load, Recorder};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower_layer::Layer;

type Pooled = Client<CountDials<HttpConnector>, Empty<Bytes>>;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let load = Load::from_args_unpipelined()?;
    let uri: Uri = load.url.parse()?;
    let dials = Dials::default();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Pooled =
        Client::builder(TokioExecutor::new()).build(dials.layer().layer(connector));
    let expected = ExpectedBody::of_length(load.body_bytes);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let recorder = runtime.block_on(async {
        let recorder = Arc::new(Recorder::start(load.amount));
        let workers: Vec<_> = (0..load.connections)
            .map(|_| {
                let (client, uri) = (client.clone(), uri.clone());
                let (expected, recorder) = (expected.clone(), recorder.clone());
                tokio::spawn(async move { work(&client, &uri, &expected, &recorder).await })
            })
            .collect();
        for worker in workers {
            worker.await.expect("a worker does not panic");
        }
        recorder
    });
    Ok(recorder.finish(dials.count()).report())
}

async fn work(client: &Pooled, uri: &Uri, expected: &ExpectedBody, recorder: &Recorder) {
    let mut now = Instant::now();
    while recorder.may_start(1, now) {
        let started = now;
        let outcome = exchange(client, uri, expected.restarted()).await;
        now = Instant::now();
        match outcome {
            Ok(()) => recorder.succeeded(1, now - started),
            Err(failure) => recorder.failed(failure),
        }
    }
}

async fn exchange(client: &Pooled, uri: &Uri, mut expected: ExpectedBody) -> Result<(), String> {
    let request = Request::get(uri.clone())
        .body(Empty::new())
        .expect("the request is valid");
    let response = client
        .request(request)
        .await
        .map_err(|error| format!("{error:?}"))?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status()));
    }
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("{error:?}"))?;
        if let Some(data) = frame.data_ref() {
            expected.piece(data)?;
        }
    }
    expected.end()
}
