//! The events of `tracing` carry the reasons.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use keepline::Transport;
use keepline_testkit::peer::Peer;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::support::{always, answer, fetch, ok};

/// Keeps each event of this crate as `message field=value …`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("keepline")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let told = format!("{}{}", line.message, line.fields);
        self.0.lock().unwrap().push(told);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn every_opening_closing_and_retry_is_logged_with_its_reason() {
    let log = Log::default();
    // With a single one, tracing asks the thread that comes first to a place whether it is wanted;
    // that may be one of another test, where nobody listens.
    let _second = tracing::Dispatch::new(Log::default());
    let _guard = tracing::subscriber::set_default(log.clone());
    let peer = Peer::start_each([answer(ok("x")).expect_head().reset(), always(ok("y"))]);
    let transport = Transport::default();
    fetch(&transport, &peer).await.unwrap();
    fetch(&transport, &peer).await.unwrap();
    transport.shutdown().await;
    let lines = log.0.lock().unwrap().clone();
    for (what, parts) in [
        ("opened", ["connection opened connection=1", "reason=first"]),
        (
            "closed",
            ["connection closed connection=1", "reason=peer-closed"],
        ),
        ("retried", ["exchange failed", "decision=Idempotent"]),
        (
            "opened again",
            ["connection opened connection=2", "reason=peer-closed"],
        ),
        (
            "closed at last",
            ["connection closed connection=2", "reason=shutdown"],
        ),
    ] {
        let is_told = |line: &String| parts.iter().all(|part| line.contains(part));
        assert!(lines.iter().any(is_told), "{what}: {lines:#?}");
    }
}
