//! HAProxy, Node, Go and uvicorn, each in all the versions it speaks, with and without TLS: the
//! content is what it should be, and one connection carries all requests.

use std::process::Command;

use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Process, peers};
use serde_json::json;

use super::http2::{Site, get, run_counted, versions};
use super::{build, source};

/// Many lines, as each of these servers answers.
const LINES: u64 = 128_000;

fn port() -> ReservedPort {
    ReservedPort::new().expect("a port is free")
}

/// A way to ask a server, and the version that comes of it.
struct Way<'a> {
    port: &'a ReservedPort,
    scheme: &'a str,
    flags: &'a [&'a str],
    version: &'a str,
}

impl Way<'_> {
    /// One after the other, several at once, and with content: all on one connection for HTTP/2.
    async fn check(&self, site: &Site, bytes: u64, echoes: bool) {
        let url = format!("{}://{}/lines", self.scheme, self.port.addr());
        let flags = [self.flags, &["--cacert", &site.authority]].concat();
        let with = |more: &[&str]| [&flags[..], more].concat().join("\n");
        let args = with(&["-n", "20", &url]);
        let args: Vec<_> = args.lines().collect();
        let ran = get(self.port.port(), &args, 1..=1).await;
        assert_eq!(versions(&ran), [self.version], "{url}");
        assert_eq!(ran.summary()["opened"], json!({"first": 1}));
        let rows = ran.json();
        assert!(
            rows[..20].iter().all(|row| row["bytes"] == bytes),
            "{ran:?}"
        );
        let most = if self.version == "HTTP/2" { 1 } else { 5 };
        let args = with(&["-n", "50", "-c", "5", &url]);
        let args: Vec<_> = args.lines().collect();
        get(self.port.port(), &args, 1..=most).await;
        if echoes {
            let content = "0123456789".repeat(10_000);
            let args = [&["get"], &flags[..], &["-d", &content, &url]].concat();
            let ran = run_counted(self.port.port(), &args).await;
            assert!(
                ran.stdout == content,
                "{url}: {} {}",
                ran.stdout.len(),
                ran.stderr
            );
        }
    }
}

/// HTTP/1.1, and HTTP/2 where there is no `None`: over TLS by ALPN and as asked for.
fn ways<'a>(
    tls: &'a ReservedPort,
    plain: &'a ReservedPort,
    http2: Option<&'a ReservedPort>,
) -> Vec<Way<'a>> {
    let way = |port, scheme, flags, version| Way {
        port,
        scheme,
        flags,
        version,
    };
    let mut ways = vec![
        way(plain, "http", &[][..], "HTTP/1.1"),
        way(tls, "https", &["--http1"][..], "HTTP/1.1"),
    ];
    match http2 {
        None => ways.push(way(tls, "https", &[], "HTTP/1.1")),
        Some(port) => ways.extend([
            way(tls, "https", &[], "HTTP/2"),
            way(port, "http", &["--http2"], "HTTP/2"),
        ]),
    }
    ways
}

#[tokio::test]
async fn haproxy_in_all_versions() {
    let Some(haproxy) = peers::require("haproxy") else {
        return;
    };
    let site = Site::new("haproxy");
    let [tls, plain, http2] = [port(), port(), port()];
    let both = ["cert.pem", "key.pem"]
        .map(|name| std::fs::read_to_string(site.path(name)).expect("the site has written it"));
    site.scratch.write("both.pem", both.concat());
    // What it answers itself has to fit in one of its buffers.
    let few = "a line of thirty-two characters\n".repeat(100);
    site.scratch.write("few", &few);
    let conf = format!(
        "global\n  maxconn 100\ndefaults\n  mode http\n  timeout client 30s\n  timeout http-keep-alive 30s\n\
        frontend all\n  bind {} ssl crt {} alpn h2,http/1.1\n  bind {}\n  bind {} proto h2\n  \
        http-request return status 200 content-type text/plain file {}\n",
        tls.addr(),
        site.path("both.pem"),
        plain.addr(),
        http2.addr(),
        site.path("few"),
    );
    let conf = site.scratch.write("haproxy.cfg", conf);
    let mut command = Command::new(haproxy);
    command.arg("-db").arg("-f").arg(conf);
    let _haproxy = Process::serve(command, http2.port()).await;
    for way in ways(&tls, &plain, Some(&http2)) {
        way.check(&site, few.len() as u64, false).await;
    }
}

#[tokio::test]
async fn node_in_all_versions() {
    let Some(node) = peers::require("node") else {
        return;
    };
    let site = Site::new("node");
    let [tls, plain, http2] = [port(), port(), port()];
    let mut command = Command::new(node);
    command.arg(source("versions.js"));
    command.args([&tls, &http2, &plain].map(|port| port.port().to_string()));
    command.args([site.path("cert.pem"), site.path("key.pem")]);
    // The last that it listens on.
    let _node = Process::serve(command, tls.port()).await;
    for way in ways(&tls, &plain, Some(&http2)) {
        way.check(&site, LINES, true).await;
    }
}

/// With h11, which its own parser in C would else replace.
#[tokio::test]
async fn uvicorn_with_and_without_tls() {
    let Some(uvicorn) = peers::require("uvicorn") else {
        return;
    };
    let site = Site::new("uvicorn");
    let [tls, plain] = [port(), port()];
    let start = async |port: &ReservedPort, more: &[&str]| {
        let mut command = Command::new(&uvicorn);
        let directory = source("");
        command.arg("--app-dir").arg(directory);
        command.args(["--http", "h11", "--log-level", "error", "--port"]);
        command.arg(port.port().to_string()).args(more);
        command.arg("versions:app");
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Process::serve(command, port.port()).await
    };
    let (key, cert) = (site.path("key.pem"), site.path("cert.pem"));
    let _plain = start(&plain, &[]).await;
    let _tls = start(&tls, &["--ssl-keyfile", &key, "--ssl-certfile", &cert]).await;
    for way in ways(&tls, &plain, None) {
        way.check(&site, LINES, true).await;
    }
}

#[tokio::test]
async fn go_over_tls_in_both_versions() {
    let Some(go) = peers::require("go") else {
        return;
    };
    let site = Site::new("go-versions");
    let server = build(&go, "http2.go", &site.scratch).await;
    let tls = port();
    let mut command = Command::new(server);
    command.arg(tls.addr().to_string());
    command.args([site.path("cert.pem"), site.path("key.pem")]);
    let _go = Process::serve(command, tls.port()).await;
    for (flags, version) in [(&["--http1"][..], "HTTP/1.1"), (&[], "HTTP/2")] {
        let way = Way {
            port: &tls,
            scheme: "https",
            flags,
            version,
        };
        way.check(&site, LINES, false).await;
    }
}
