//! `keepline faults`, against our own client. What each script does on the wire is tested with the
//! crate keepline-faults.

use keepline_testkit::{Process, until};
use serde_json::{Value, json};

use crate::binary::{KEEPLINE, run};

/// `keepline faults --json` on a free port.
pub(crate) struct Faulty {
    process: Process,
    pub(crate) url: String,
}

impl Faulty {
    pub(crate) async fn start(args: &[&str]) -> Self {
        let mut command = std::process::Command::new(KEEPLINE);
        command
            .args(["faults", "--json", "--listen", "127.0.0.1:0", "--script"])
            .args(args);
        let process = Process::spawn(command);
        let url = until("the server to listen", || {
            let output = process.output();
            let (line, _) = output.split_once('\n')?;
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line["url"].as_str()?.to_owned())
        })
        .await;
        Self { process, url }
    }

    fn events(&self) -> Vec<Value> {
        let output = self.process.output();
        let lines = output.lines().skip(1);
        lines
            .map(|line| serde_json::from_str(line).expect("it is JSON"))
            .collect()
    }
}

#[tokio::test]
async fn a_client_meets_the_fault_and_each_event_is_told() {
    let server = Faulty::start(&["idle-fin", "--after", "20ms"]).await;
    let ran = run(&["get", "--json", "-n", "2", "-i", "300ms", &server.url]).await;
    let summary = ran.summary();
    assert_eq!(summary["opened"], json!({"first": 1, "peer-closed": 1}));
    let first = until("the first connection's events", || {
        let events = server.events();
        let mut first = events.into_iter().filter(|event| event["connection"] == 1);
        let first: Vec<_> = first.by_ref().collect();
        (first.last()?["event"] == "ended").then_some(first)
    })
    .await;
    let names: Vec<_> = first.iter().map(|event| &event["event"]).collect();
    assert_eq!(names, ["opened", "request", "fault", "ended"]);
    assert_eq!(first[1]["line"], "GET / HTTP/1.1");
    assert_eq!(first[3]["by"], "closed");
}

#[tokio::test]
async fn the_scripts_are_listed_and_others_refused() {
    let ran = run(&["faults", "--list"]).await;
    assert_eq!((ran.code(), ran.stdout.lines().count()), (0, 18));
    assert!(
        ran.stdout.contains("\nlying-keep-alive  promises"),
        "{ran:?}"
    );
    assert_eq!(run(&["faults", "--list", "--json"]).await.json().len(), 18);
    for args in [&["faults"][..], &["faults", "--script", "nonsense"]] {
        let ran = run(args).await;
        assert_eq!((ran.code(), ran.stdout.as_str()), (2, ""), "{ran:?}");
    }
}

#[tokio::test]
async fn a_signal_ends_it() {
    let mut server = Faulty::start(&["never-close"]).await;
    server.process.signal("TERM");
    assert_eq!(server.process.exited().await.code(), Some(0));
}
