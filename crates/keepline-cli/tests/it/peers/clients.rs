//! Other people's clients against `keepline serve`: they compare what comes back, byte by byte, and
//! their connections are counted.

use std::path::PathBuf;

use keepline_testkit::{ScratchDir, certs, peers};
use tokio::process::Command;

use super::{build, source};
use crate::binary::{Counted, Ran, Served, finish};

/// A server with TLS, and the file of who vouches for it.
async fn https() -> (Served, PathBuf, ScratchDir) {
    let scratch = ScratchDir::new("https");
    let (cert, key) = certs::server().write_to(&scratch);
    let authority = scratch.write("authority.pem", &certs::authority().pem);
    let [cert, key] = [&cert, &key].map(|path| path.to_str().expect("it is ASCII"));
    let server = Served::start(&["--tls-cert", cert, "--tls-key", key]).await;
    (server, authority, scratch)
}

/// Runs a client that prints how many connections it used, and counts them in the kernel too.
async fn runs(server: &Served, command: Command, connections: u64) {
    let counted = Counted::start(server.port);
    let ran = all_well(command).await;
    assert_eq!(ran.stdout.trim(), connections.to_string(), "{ran:?}");
    counted.assert(connections).await;
}

async fn all_well(command: Command) -> Ran {
    let ran = finish(command).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    ran
}

#[tokio::test]
async fn the_libraries_of_python() {
    let Some(python) = peers::require("python3-clients") else {
        return;
    };
    for (library, connections) in [
        ("requests", 1),
        ("httpx", 1),
        ("aiohttp", 4),
        ("by-hand", 1),
    ] {
        let server = Served::start(&[]).await;
        let mut command = Command::new(&python);
        command
            .arg(source("clients.py"))
            .args([library, &server.url("")]);
        runs(&server, command, connections).await;
    }
    for library in ["requests", "httpx", "httpx-http2"] {
        let (server, authority, _scratch) = https().await;
        let mut command = Command::new(&python);
        command
            .arg(source("clients.py"))
            .args([library, &server.url("")]);
        command.arg(authority);
        runs(&server, command, 1).await;
    }
}

#[tokio::test]
async fn the_fetch_of_node() {
    let Some(node) = peers::require("node") else {
        return;
    };
    let server = Served::start(&[]).await;
    let mut command = Command::new(node);
    command.arg(source("clients.js")).arg(server.url(""));
    let ran = all_well(command).await;
    // Its fetch takes turns with two connections, whoever serves it; newer ones keep to one.
    assert!(["1", "2"].contains(&ran.stdout.trim()), "{ran:?}");
}

#[tokio::test]
async fn the_client_of_go_in_both_versions() {
    let Some(go) = peers::require("go") else {
        return;
    };
    let scratch = ScratchDir::new("asker");
    let asker = build(&go, "asker.go", &scratch).await;
    let server = Served::start(&[]).await;
    let mut command = Command::new(&asker);
    command.arg(server.url(""));
    runs(&server, command, 1).await;
    let (server, authority, _scratch) = https().await;
    let mut command = Command::new(&asker);
    command.arg(server.url("")).arg(authority);
    runs(&server, command, 1).await;
}

#[tokio::test]
async fn curl_in_both_versions() {
    let Some(curl) = peers::require("curl") else {
        return;
    };
    let (https, authority, _scratch) = https().await;
    let http = Served::start(&[]).await;
    let authority = authority.to_str().expect("it is ASCII");
    for (server, flags, version) in [
        (&http, &["--http1.1"][..], "1.1"),
        (&http, &["--http2-prior-knowledge"], "2"),
        (&https, &["--http1.1", "--cacert", authority], "1.1"),
        (&https, &["--http2", "--cacert", authority], "2"),
    ] {
        let counted = Counted::start(server.port);
        let mut command = Command::new(&curl);
        command.args([
            "-s",
            "--noproxy",
            "*",
            "-w",
            "<%{http_version} %{num_connects}>",
        ]);
        command.args(flags);
        let upload = "u".repeat(10_000);
        command.args(["-d", &upload]);
        // Its version 7.88 cannot reuse a connection of prior knowledge, whoever serves it.
        let reuses = !flags.contains(&"--http2-prior-knowledge");
        let paths = ["/echo", "/lines/2", "/status/403"];
        let paths = &paths[..if reuses { 3 } else { 1 }];
        command.args(paths.iter().map(|path| server.url(path)));
        let ran = all_well(command).await;
        let lines = format!("line {:017} keepline\nline {:017} keepline\n", 1, 2);
        let (first, further) = (format!("<{version} 1>"), format!("<{version} 0>"));
        let mut expected = format!("{upload}{first}");
        if reuses {
            expected += &format!("{lines}{further}403 Forbidden\n{further}");
        }
        assert_eq!(ran.stdout, expected, "{flags:?}");
        counted.assert(1).await;
    }
}

#[tokio::test]
async fn h2load_in_both_versions() {
    let Some(h2load) = peers::require("h2load") else {
        return;
    };
    let (https, _, _scratch) = https().await;
    let http = Served::start(&["--workers", "2"]).await;
    for (server, flags) in [
        (&http, &["--h1", "-m", "1"][..]),
        // Eight requests pipelined.
        (&http, &["--h1", "-m", "8"]),
        (&http, &["-m", "10"]),
        (&https, &["-m", "10"]),
    ] {
        let counted = Counted::start(server.port);
        let mut command = Command::new(&h2load);
        command.args(["-n", "2000", "-c", "8"]).args(flags);
        command.arg(server.url("/bytes/1000"));
        let ran = all_well(command).await;
        for told in [
            "2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout",
            "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx",
            "(2000000) data",
        ] {
            assert!(ran.stdout.contains(told), "{flags:?}: {ran:?}");
        }
        counted.assert(8).await;
    }
}
