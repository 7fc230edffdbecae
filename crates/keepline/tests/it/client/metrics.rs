//! What the recorder of the `metrics` facade is told agrees with what the Transport counts.

use std::collections::BTreeMap;

use keepline::{CloseReason, Transport};
use keepline_testkit::peer::{Peer, Script};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::support::{always, answer, fetch, get, head, ok, request, stats, until_closed};

/// A recorder for this thread, where all of a test runs.
struct Recorded(&'static DebuggingRecorder);

impl Recorded {
    fn new() -> Self {
        Self(Box::leak(Box::new(DebuggingRecorder::new())))
    }

    /// Name and the labels that matter, to the value: a count, a sum of gauge changes, or how often
    /// a histogram was told something.
    fn values(&self) -> BTreeMap<String, i64> {
        let snapshotter: Snapshotter = self.0.snapshotter();
        let mut values = BTreeMap::new();
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let labels = key.key().labels();
            assert!(
                labels.clone().any(|x| x.key() == "server.address"),
                "{key:?}"
            );
            let told: Vec<_> = labels
                .filter(|label| !label.key().starts_with("server.") && label.key() != "url.scheme")
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
            let value = match value {
                DebugValue::Counter(count) => i64::try_from(count).unwrap(),
                DebugValue::Gauge(sum) => sum.0 as i64,
                DebugValue::Histogram(records) => i64::try_from(records.len()).unwrap(),
            };
            values.insert(format!("{}{{{}}}", key.key().name(), told.join(",")), value);
        }
        values
    }
}

#[tokio::test]
async fn connections_requests_and_reasons_are_told_by_the_names_of_open_telemetry() {
    let recorded = Recorded::new();
    let _guard = metrics::set_default_local_recorder(recorded.0);
    let peer = Peer::start(always(ok("x")));
    let transport = Transport::default();
    fetch(&transport, &peer).await.unwrap();
    fetch(&transport, &peer).await.unwrap();
    let open = |state| {
        format!(
            "http.client.open_connections{{network.protocol.version=1.1,http.connection.state={state}}}"
        )
    };
    let values = recorded.values();
    assert_eq!(
        (values[&open("active")], values[&open("idle")]),
        (0, 1),
        "{values:#?}"
    );
    transport.shutdown().await;
    // A snapshot tells what has changed since the last.
    let after = recorded.values();
    assert_eq!(
        (after[&open("active")], after[&open("idle")]),
        (0, -1),
        "{after:#?}"
    );
    for (name, was, is) in [
        (
            "keepline.client.connections.opened{keepline.open.reason=first}",
            1,
            0,
        ),
        (
            "keepline.client.acquisitions{keepline.connection.reused=false}",
            1,
            0,
        ),
        (
            "keepline.client.acquisitions{keepline.connection.reused=true}",
            1,
            0,
        ),
        ("keepline.client.acquire.duration{}", 2, 0),
        (
            "http.client.request.duration{http.request.method=GET,http.response.status_code=200}",
            2,
            0,
        ),
        (
            "http.client.connection.duration{network.protocol.version=1.1}",
            0,
            1,
        ),
    ] {
        assert_eq!(
            (values[name], after[name]),
            (was, is),
            "{name}: {values:#?} {after:#?}"
        );
    }
    let closed = "keepline.client.connections.closed{keepline.close.reason=shutdown}";
    assert_eq!((values.get(closed), after.get(closed)), (None, Some(&1)));
}

#[tokio::test]
async fn failures_are_told_by_their_kind_and_gauges_return_to_zero() {
    let recorded = Recorded::new();
    let _guard = metrics::set_default_local_recorder(recorded.0);
    // The first connection dies under its second request, which is sent again.
    let peer = Peer::start_each([answer(ok("x")).expect_head().reset(), always(ok("y"))]);
    let transport = Transport::default();
    fetch(&transport, &peer).await.unwrap();
    fetch(&transport, &peer).await.unwrap();
    let refused = get("http://127.0.0.1:1/");
    transport.send(refused).await.unwrap_err();
    let unknown = request("BREW", &peer.url("/"), "");
    let response = transport.send(unknown).await.unwrap();
    // The Transport goes while this connection is in use: it is closed by its reader.
    let lost = stats(&transport);
    drop((transport, response));
    let values = recorded.values();
    for (name, value) in [
        ("keepline.client.retries{}", 1),
        (
            "keepline.client.connections.closed{keepline.close.reason=peer-closed}",
            1,
        ),
        (
            "keepline.client.connections.opened{keepline.open.reason=peer-closed}",
            1,
        ),
        ("keepline.client.dial.failures{error.type=connect}", 1),
        (
            "http.client.request.duration{http.request.method=GET,error.type=connect}",
            1,
        ),
        (
            "http.client.request.duration{http.request.method=_OTHER,http.response.status_code=200}",
            1,
        ),
    ] {
        assert_eq!(
            values.get(name),
            Some(&value),
            "{name}: {values:#?}\n{lost:?}"
        );
    }
    let (mut opened, mut closed) = (0, 0);
    for (name, value) in &values {
        if name.starts_with("http.client.open_connections") {
            assert_eq!(*value, 0, "{name}");
        }
        opened += value * i64::from(name.starts_with("keepline.client.connections.opened"));
        closed += value * i64::from(name.starts_with("keepline.client.connections.closed"));
    }
    assert_eq!((opened, closed), (2, 2), "{values:#?}");
}

#[tokio::test]
async fn a_request_that_is_dropped_is_told_as_cancelled() {
    let recorded = Recorded::new();
    let _guard = metrics::set_default_local_recorder(recorded.0);
    let peer = Peer::start(Script::new().expect_head().hold());
    let transport = Transport::default();
    {
        let mut pending = std::pin::pin!(head(&transport, &peer));
        while transport.stats().busy == 0 {
            assert!(super::support::is_pending(&mut pending).await);
            tokio::task::yield_now().await;
        }
        assert!(super::support::is_pending(&mut pending).await);
    }
    until_closed(&transport, CloseReason::Cancelled, 1).await;
    let cancelled = "http.client.request.duration{http.request.method=GET,error.type=cancelled}";
    assert_eq!(recorded.values().get(cancelled), Some(&1));
}
