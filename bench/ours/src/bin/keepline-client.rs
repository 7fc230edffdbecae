//! keepline's Transport with http's types, as `hyper-util-client` is made; and pipelined.

use std::process::ExitCode;
use std::sync::Arc;

use bench_common::{ExpectedBody, Load, Recorder};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::BodyExt;
use keepline::{Body, Transport};

/// What the workers share.
struct Work {
    load: Load,
    transport: Transport,
    uris: Vec<Uri>,
    content: Bytes,
    expected: ExpectedBody,
    recorder: Recorder,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let load = Load::from_args()?;
    if load.close_every.is_some() {
        return Err("this client does not close by itself".into());
    }
    let uris: Result<Vec<Uri>, _> = load.urls().iter().map(|url| url.parse()).collect();
    // Nothing is closed for lack of room, as with the other clients.
    let mut builder = Transport::builder()
        .max_idle(load.connections * load.origins)
        .max_dials_per_key(load.connections);
    if load.pipeline > 1 {
        builder = builder
            .pipeline(load.pipeline)
            .max_connections_per_key(load.connections);
    }
    let work = Arc::new(Work {
        transport: builder.build()?,
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
        let in_flight = work.load.connections * work.load.pipeline;
        let workers: Vec<_> = (0..in_flight)
            .map(|worker| tokio::spawn(make_requests(Arc::clone(&work), worker)))
            .collect();
        for worker in workers {
            worker.await.expect("a worker does not panic");
        }
    });
    let opened = work.transport.stats().opened.total();
    work.load.hold_if_asked(opened)?;
    Ok(work.recorder.finish(opened).report())
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
        Request::get(uri.clone()).body(Body::empty())
    } else {
        Request::post(uri.clone()).body(Body::from(work.content.clone()))
    };
    let request = request.expect("the request is valid");
    let response = work
        .transport
        .send(request)
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
