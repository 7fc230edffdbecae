//! reqwest without TLS and without system proxies: its plainest and fastest configuration.

use std::process::ExitCode;
use std::sync::Arc;

use bench_common::{Dials, ExpectedBody, Load, Recorder};
use bytes::Bytes;
use reqwest::{Client, Url};

/// What the workers share.
struct Work {
    load: Load,
    client: Client,
    urls: Vec<Url>,
    content: Bytes,
    expected: ExpectedBody,
    recorder: Recorder,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let load = Load::from_args_unpipelined()?;
    let urls: Result<Vec<Url>, _> = load.urls().iter().map(|url| url.parse()).collect();
    let dials = Dials::default();
    let client = Client::builder()
        .no_proxy()
        .connector_layer(dials.layer())
        .build()?;
    let work = Arc::new(Work {
        client,
        urls: urls?,
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
        // Its tasks see that their connections are idle.
        tokio::task::yield_now().await;
    });
    work.load.hold_if_asked(dials.count())?;
    Ok(work.recorder.finish(dials.count()).report())
}

async fn make_requests(work: Arc<Work>, worker: usize) {
    let work = &*work;
    let target = |turn| &work.urls[work.load.origin_of(worker, turn)];
    work.recorder
        .repeat(|turn| exchange(work, target(turn)))
        .await;
}

async fn exchange(work: &Work, url: &Url) -> Result<(), String> {
    let request = if work.content.is_empty() {
        work.client.get(url.clone())
    } else {
        work.client.post(url.clone()).body(work.content.clone())
    };
    let sent = request.send().await;
    let mut response = sent.map_err(|error| format!("{error:?}"))?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status()));
    }
    let mut expected = work.expected.restarted();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| format!("{error:?}"))?
    {
        expected.piece(&piece)?;
    }
    expected.end()
}
