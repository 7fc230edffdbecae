//! What `keepline demo` counts.

use serde_json::Value;

use crate::binary::run;

#[tokio::test]
async fn the_programs_come_to_what_they_should() {
    let ran = run(&["demo", "--json", "--requests", "30"]).await;
    assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""));
    let lines = ran.json();
    let expected = [
        ("body-read", "http", 1, 0),
        ("body-dropped", "http", 30, 0),
        ("body-dropped-and-drained", "http", 1, 0),
        ("gateway", "http", 1, 0),
        ("gateway-no-reuse-by-client", "http", 30, 0),
        ("gateway-no-reuse-upstream", "http", 1, 0),
        ("reuse", "http", 1, 0),
        ("no-reuse", "http", 30, 0),
        ("reuse", "https", 1, 1),
        ("no-reuse", "https", 30, 30),
    ];
    assert_eq!(lines.len(), expected.len() + 1);
    for (line, (program, scheme, connections, handshakes)) in lines.iter().zip(expected) {
        assert_eq!(
            (&line["program"], &line["scheme"]),
            (&program.into(), &scheme.into())
        );
        assert_eq!(line["summary"]["connections_opened"], connections, "{line}");
        assert_eq!(line["tls_handshakes"], handshakes, "{line}");
        assert_kernel_agrees(&line["kernel"], connections);
    }
    let summary = &lines[expected.len()];
    assert_eq!(summary["requests"], 10 * 30);
    assert_eq!(summary["failed"], 0);
    assert_eq!(summary["connections_opened"], 126);
}

/// Where it tells everything.
fn assert_kernel_agrees(kernel: &Value, connections: u64) {
    if kernel["complete"] == true {
        assert_eq!(kernel["connections"], connections, "{kernel}");
        let segments = kernel["segments_sent"].as_u64().expect("it is a number");
        assert!(segments >= connections * 3, "{kernel}");
    }
}

#[tokio::test]
async fn people_see_tables() {
    let ran = run(&["demo", "--requests", "3"]).await;
    assert_eq!(ran.code(), 0);
    for part in [
        "reads each body to its end",
        "1 first, 2 not-drained",
        "the gateway dials each time            3                 1                  3",
        "TLS handshakes",
        "latency p99",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is missing: {ran:?}");
    }
}
