//! docs/clients.md: what it says of keepline is so. (Of the others: `./dev clients` writes it anew.)

use std::path::Path;
use std::time::Duration;

use keepline_faults::{EventKind, Fault, FaultServer, Plan};
use serde_json::Value;

use crate::binary::run;

/// Three requests as `clients/run` makes them, and its words for what became of them.
async fn meet(fault: Fault, method: &'static str) -> (Fault, &'static str, String) {
    let at = match fault {
        Fault::IdleFin
        | Fault::IdleRst
        | Fault::Idle408
        | Fault::StrayBytes
        | Fault::LyingKeepAlive
        | Fault::CloseEveryN
        | Fault::NeverClose
        | Fault::HalfClose => 1,
        _ => 2,
    };
    let plan = Plan::new(fault)
        .at(at)
        .times(1)
        .every(Duration::from_millis(10));
    let mut server = FaultServer::start(plan).await.expect("a port is free");
    let url = server.url("/");
    let mut args = vec![
        "get",
        "--json",
        "-n",
        "3",
        "-i",
        "333ms",
        "--timeout",
        "2s",
        &url,
    ];
    if method == "POST" {
        args.extend(["-d", "hi"]);
    }
    let ran = run(&args).await;
    let mut requests = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, server.event()).await {
        if matches!(event.kind, EventKind::Request { .. }) {
            requests.push(event.connection);
        }
    }
    let outcomes: Vec<_> = ran.json().iter().take(3).map(outcome).collect();
    let on_first = requests
        .iter()
        .filter(|connection| **connection == 1)
        .count();
    let second = match outcomes[1] {
        "ok" if requests.len() > 3 => "sent again, ok",
        "ok" if on_first > 1 => "ok",
        "ok" => "new connection, ok",
        other => other,
    };
    let then = if outcomes[2] == "ok" {
        ""
    } else {
        "; then worse"
    };
    (fault, method, format!("{second}{then}"))
}

fn outcome(line: &Value) -> &'static str {
    match (line["ok"].as_bool(), line["bytes"].as_u64()) {
        (Some(true), Some(13)) => "ok",
        (Some(true), _) => "something else",
        _ => "fails",
    }
}

#[tokio::test]
async fn what_the_page_says_of_keepline_is_so() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/clients.md");
    let page = std::fs::read_to_string(path).expect("it is committed");
    let mut meeting = tokio::task::JoinSet::new();
    for fault in Fault::ALL {
        meeting.spawn(meet(fault, "GET"));
        meeting.spawn(meet(fault, "POST"));
    }
    for (fault, method, met) in meeting.join_all().await {
        let (_, table) = page
            .split_once(&format!("## {method}\n"))
            .expect("there is a table");
        let mut rows = table.lines().map(|line| line.split(" | "));
        let row = rows.find_map(|mut row| {
            let is_its = row.next()?.trim_start_matches("| ") == format!("`{fault}`");
            is_its.then(|| row.next()).flatten()
        });
        assert_eq!(
            row,
            Some(met.as_str()),
            "{method} {fault}: run ./dev clients"
        );
    }
}
