//! hyper-util's legacy client, which reqwest and most Rust programs pool connections with.

use std::process::ExitCode;
use std::sync::Arc;

use bench_common::{CountDials, Dials, ExpectedBody, Load, Recorder};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower_layer::Layer;

/// What the workers share.
struct Work {
    load: Load,
    client: Pooled,
    uris: Vec<Uri>,
    content: Bytes,
    expected: ExpectedBody,
    recorder: Recorder,
}

type Pooled = Client<CountDials<HttpConnector>, Full<Bytes>>;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let load = Load::from_args_unpipelined()?;
    let uris: Result<Vec<Uri>, _> = load.urls().iter().map(|url| url.parse()).collect();
    let dials = Dials::default();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Pooled =
        Client::builder(TokioExecutor::new()).build(dials.layer().layer(connector));
    let work = Arc::new(Work {
        client,
        uris: uris?,
        content: Bytes::from(bench_common::body(load.post_bytes)),
        expected: ExpectedBody::of_length(load.body_bytes),
        recorder: Recorder::start(load.amount),
        load,
    });

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let workers: Vec<_> = (0..work.load.connections)
            .map(|worker| tokio::spawn(make_requests(Arc::clone(&work), worker)))
            .collect();
        for worker in workers {
            worker.await.expect("a worker does not panic");
        }
        // Their tasks see that their connections are idle.
        tokio::task::yield_now().await;
    });
    work.load.hold_if_asked(dials.count())?;
    Ok(work.recorder.finish(dials.count()).report())
}

async fn make_requests(work: Arc<Work>, worker: usize) {
    let work = &*work;
    let target = |turn| &work.uris[work.load.origin_of(worker, turn)];
    work.recorder
        .repeat(|turn| exchange(work, target(turn)))
        .await;
}

async fn exchange(work: &Work, uri: &Uri) -> Result<(), String> {
    let request = if work.content.is_empty() {
        Request::get(uri.clone()).body(Full::default())
    } else {
        Request::post(uri.clone()).body(Full::new(work.content.clone()))
    };
    let response = work
        .client
        .request(request.expect("the request is valid"))
        .await
        .map_err(|error| format!("{error:?}"))?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status()));
    }
    let mut expected = work.expected.restarted();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("{error:?}"))?;
        if let Some(data) = frame.data_ref() {
            expected.piece(data)?;
        }
    }
    expected.end()
}
