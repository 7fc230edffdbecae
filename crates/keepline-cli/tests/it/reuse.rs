//! The two classic programs: an answer read to its end, and one dropped after five lines.
//!
//! Each row counts connections three times: in the pool's summary, in the rows of the requests, and
//! in the kernel.

use std::collections::HashSet;

use keepline_testkit::{ScratchDir, certs};
use serde_json::{Value, json};

use crate::binary::{Counted, Ran, Served, run};

/// A server that is asked, and what a client has to be told to ask it.
pub(crate) struct Origin<'a> {
    pub(crate) port: u16,
    /// Of an answer of many lines, more than one read takes.
    pub(crate) url: String,
    pub(crate) flags: &'a [&'a str],
}

impl Origin<'_> {
    /// Runs `keepline get --json` with these arguments, and counts in the kernel as well.
    pub(crate) async fn get(&self, args: &[&str], connections: u64) -> Ran {
        let counted = Counted::start(self.port);
        let mut line = vec!["get", "--json", "--http1"];
        line.extend(self.flags);
        line.extend(args);
        line.push(&self.url);
        let ran = run(&line).await;
        assert_eq!(ran.code(), 0, "{ran:?}");
        assert_eq!(ran.stderr, "");
        let summary = ran.summary();
        assert_eq!(summary["connections_opened"], connections, "{summary}");
        assert_eq!(distinct_connections(&ran), connections);
        counted.assert(connections).await;
        ran
    }

    /// The three rows that differ only in what becomes of the answer.
    pub(crate) async fn classics(&self) {
        let read = self.get(&["-n", "101", "-i", "5ms"], 1).await.summary();
        assert_eq!(read["opened"], json!({"first": 1}));
        assert_eq!(read["closed"], json!({"shutdown": 1}));
        let ratio = read["reuse_ratio"].as_f64().expect("it is a number");
        assert!((ratio - 100.0 / 101.0).abs() < 1e-9, "{read}");

        let dropped = [
            "-n",
            "101",
            "-i",
            "5ms",
            "--read-lines",
            "5",
            "--drain",
            "0",
        ];
        let dropped = self.get(&dropped, 101).await.summary();
        assert_eq!(dropped["opened"], json!({"first": 1, "not-drained": 100}));
        assert_eq!(dropped["closed"], json!({"not-drained": 101}));
        assert_eq!(dropped["reuse_ratio"], 0.0);

        // Patient, because what is tested is that the rest is read, not how fast a busy machine is.
        let drained = [
            "-n",
            "101",
            "-i",
            "5ms",
            "--read-lines",
            "5",
            "--drain-time",
            "5s",
        ];
        let drained = self.get(&drained, 1).await.summary();
        assert_eq!(drained["opened"], json!({"first": 1}));
        assert_eq!(drained["closed"], json!({"shutdown": 1}));
    }

    /// The server says close with every tenth answer.
    pub(crate) async fn asked_to_close(&self) {
        let summary = self.get(&["-n", "101"], 11).await.summary();
        assert_eq!(
            summary["opened"],
            json!({"first": 1, "peer-asked-close": 10})
        );
        assert_eq!(
            summary["closed"],
            json!({"peer-asked-close": 10, "shutdown": 1})
        );
    }

    /// The server's idle timeout is shorter than the pause between requests.
    pub(crate) async fn outlived(&self, pause: &str) -> Value {
        let summary = self.get(&["-n", "4", "-i", pause], 4).await.summary();
        assert_eq!(summary["failed"], 0);
        assert_eq!(summary["opened"]["first"], 1);
        summary
    }
}

/// Connections that the requests' own lines name.
fn distinct_connections(ran: &Ran) -> u64 {
    let lines = ran.json();
    let ids: HashSet<_> = lines
        .iter()
        .filter_map(|line| line["connection"]["id"].as_u64())
        .collect();
    ids.len() as u64
}

#[tokio::test]
async fn over_http() {
    let server = Served::start(&[]).await;
    let origin = Origin {
        port: server.port,
        url: server.url("/lines/4000"),
        flags: &[],
    };
    origin.classics().await;
}

#[tokio::test]
async fn over_https() {
    let scratch = ScratchDir::new("https");
    let (cert, key) = certs::server().write_to(&scratch);
    let authority = scratch.write("authority.pem", &certs::authority().pem);
    let paths = [&cert, &key, &authority].map(|path| path.to_str().expect("it is ASCII"));
    let server = Served::start(&["--tls-cert", paths[0], "--tls-key", paths[1]]).await;
    let origin = Origin {
        port: server.port,
        url: server.url("/lines/4000"),
        flags: &["--cacert", paths[2]],
    };
    origin.classics().await;
}

#[tokio::test]
async fn chunked_answers_too() {
    let server = Served::start(&[]).await;
    let origin = Origin {
        port: server.port,
        url: server.url("/chunked/128000"),
        flags: &[],
    };
    let summary = origin.get(&["-n", "101"], 1).await.summary();
    assert_eq!(summary["opened"], json!({"first": 1}));
}

#[tokio::test]
async fn a_server_that_asks_to_close() {
    let server = Served::start(&["--max-requests", "10"]).await;
    let origin = Origin {
        port: server.port,
        url: server.url("/lines/10"),
        flags: &[],
    };
    origin.asked_to_close().await;
}

#[tokio::test]
async fn a_server_that_waits_less_than_the_client() {
    let server = Served::start(&["--idle-timeout", "50ms"]).await;
    let origin = Origin {
        port: server.port,
        url: server.url("/"),
        flags: &[],
    };
    let summary = origin.outlived("400ms").await;
    assert_eq!(summary["opened"], json!({"first": 1, "peer-closed": 3}));
}

/// The limits of the client: what each does to 20 requests, five at a time where that matters.
#[tokio::test]
async fn a_client_with_limits() {
    let server = Served::start(&[]).await;
    let origin = Origin {
        port: server.port,
        url: server.url("/lines/10"),
        flags: &[],
    };
    let summary = origin
        .get(&["-n", "20", "--max-requests", "5"], 4)
        .await
        .summary();
    assert_eq!(summary["opened"], json!({"first": 1, "max-requests": 3}));
    let summary = origin
        .get(&["-n", "4", "-i", "300ms", "--max-lifetime", "250ms"], 4)
        .await
        .summary();
    assert_eq!(summary["opened"], json!({"first": 1, "lifetime": 3}));
    let flags = ["-n", "20", "-c", "5", "--max-conns-per-host", "1"];
    let summary = origin.get(&flags, 1).await.summary();
    assert_eq!(summary["opened"], json!({"first": 1}));
}

/// A Unix socket, whatever the host of the URL.
#[tokio::test]
async fn a_unix_socket() {
    let scratch = ScratchDir::new("unix");
    let path = scratch.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let peer = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut client = keepline_testkit::RawClient::over(stream);
        for _ in 0..2 {
            assert!(client.read_head().await.contains("host: docker"));
            client
                .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
                .await;
        }
    });
    let path = path.to_str().unwrap();
    let args = [
        "get",
        "--json",
        "-n",
        "2",
        "--unix",
        path,
        "http://docker/info",
    ];
    let summary = run(&args).await.summary();
    assert_eq!(
        (&summary["ok"], &summary["connections_opened"]),
        (&json!(2), &json!(1))
    );
    peer.await.unwrap();
}

#[tokio::test]
async fn a_client_that_waits_less_than_the_server() {
    let server = Served::start(&[]).await;
    let origin = Origin {
        port: server.port,
        url: server.url("/"),
        flags: &[],
    };
    let args = ["-n", "3", "-i", "400ms", "--idle-timeout", "50ms"];
    let summary = origin.get(&args, 3).await.summary();
    assert_eq!(summary["opened"], json!({"first": 1, "idle-timeout": 2}));
    assert_eq!(summary["closed"], json!({"idle-timeout": 2, "shutdown": 1}));
}

#[tokio::test]
async fn requests_in_flight_have_a_connection_each() {
    let server = Served::start(&[]).await;
    let origin = Origin {
        port: server.port,
        url: server.url("/delay/20"),
        flags: &[],
    };
    let summary = origin.get(&["-n", "40", "-c", "8"], 8).await.summary();
    assert_eq!(summary["opened"], json!({"first": 1, "all-busy": 7}));
    assert_eq!(summary["closed"], json!({"shutdown": 8}));
}

#[tokio::test]
async fn no_more_are_kept_than_may_be() {
    let server = Served::start(&[]).await;
    let url = server.url("/delay/20");
    let args = [
        "get",
        "--json",
        "-n",
        "16",
        "-c",
        "8",
        "-i",
        "50ms",
        "--max-idle",
        "2",
        &url,
    ];
    let summary = run(&args).await.summary();
    assert_eq!(summary["failed"], 0);
    assert!(
        summary["closed"]["idle-limit"].as_u64() >= Some(6),
        "{summary}"
    );
    let closed = summary["closed"].as_object().expect("it is an object");
    let closed: u64 = closed.values().filter_map(Value::as_u64).sum();
    assert_eq!(summary["connections_opened"], closed);
}

/// With `--pipeline`, C requests in flight share ⌈C/DEPTH⌉ connections, as the kernel counts them.
#[tokio::test]
async fn requests_that_are_pipelined_share_few_connections() {
    let server = Served::start(&[]).await;
    for (in_flight, depth, connections) in [("32", "16", 2_u32), ("20", "8", 3), ("4", "1", 4)] {
        let counted = Counted::start(server.port);
        let url = server.url("/delay/5");
        let args = [
            "get",
            "--json",
            "-n",
            "200",
            "-c",
            in_flight,
            "--pipeline",
            depth,
            &url,
        ];
        let ran = run(&args).await;
        assert_eq!(ran.code(), 0, "{ran:?}");
        let summary = ran.summary();
        assert_eq!(
            (&summary["ok"], &summary["retries"]),
            (&json!(200), &json!(0))
        );
        assert_eq!(
            summary["connections_opened"], connections,
            "-c {in_flight}: {summary}"
        );
        assert_eq!(summary["closed"], json!({"shutdown": connections}));
        let ratio = summary["reuse_ratio"].as_f64().expect("it is a number");
        assert!((ratio - (1.0 - f64::from(connections) / 200.0)).abs() < 1e-9);
        counted.assert(connections.into()).await;
    }
}
