//! reqwest without TLS and without system proxies: its plainest and fastest configuration.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use bench_common::{Dials, ExpectedBody, Load, Recorder};
use reqwest::{Client, Url};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let load = Load::from_args_unpipelined()?;
    let url: Url = load.url.parse()?;
    let dials = Dials::default();
    let client = Client::builder()
        .no_proxy()
        .connector_layer(dials.layer())
        .build()?;
    let expected = ExpectedBody::of_length(load.body_bytes);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let recorder = runtime.block_on(async {
        let recorder = Arc::new(Recorder::start(load.amount));
        let workers: Vec<_> = (0..load.connections)
            .map(|_| {
                let (client, url) = (client.clone(), url.clone());
                let (expected, recorder) = (expected.clone(), recorder.clone());
                tokio::spawn(async move { work(&client, &url, &expected, &recorder).await })
            })
            .collect();
        for worker in workers {
            worker.await.expect("a worker does not panic");
        }
        recorder
    });
    Ok(recorder.finish(dials.count()).report())
}

async fn work(client: &Client, url: &Url, expected: &ExpectedBody, recorder: &Recorder) {
    let mut now = Instant::now();
    while recorder.may_start(1, now) {
        let started = now;
        let outcome = exchange(client, url, expected.restarted()).await;
        now = Instant::now();
        match outcome {
            Ok(()) => recorder.succeeded(1, now - started),
            Err(failure) => recorder.failed(failure),
        }
    }
}

async fn exchange(client: &Client, url: &Url, mut expected: ExpectedBody) -> Result<(), String> {
    let sent = client.get(url.clone()).send().await;
    let mut response = sent.map_err(|error| format!("{error:?}"))?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status()));
    }
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| format!("{error:?}"))?
    {
        expected.piece(&piece)?;
    }
    expected.end()
}
