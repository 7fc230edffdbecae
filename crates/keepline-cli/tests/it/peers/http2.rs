//! Servers that speak HTTP/2, asked by our client: nghttpd, nginx, Go and Caddy.

use std::path::PathBuf;
use std::process::Command;

use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Process, ScratchDir, certs, peers};
use serde_json::{Value, json};

use super::build;
use crate::binary::{Counted, Ran, run};

/// Asks, and checks what holds of every run: all is well, and the kernel counts as the pool does.
pub(super) async fn get(
    port: u16,
    args: &[&str],
    connections: std::ops::RangeInclusive<u64>,
) -> Ran {
    let counted = Counted::start(port);
    let ran = run(&[&["get", "--json"], args].concat()).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    let summary = ran.summary();
    let opened = summary["connections_opened"].as_u64().expect("a number");
    assert!(connections.contains(&opened), "{summary}");
    counted.assert(opened).await;
    ran
}

/// Runs it with one connection, whose end is waited for: a later count would meet it else.
pub(super) async fn run_counted(port: u16, args: &[&str]) -> Ran {
    let counted = Counted::start(port);
    let ran = run(args).await;
    counted.assert(1).await;
    ran
}

/// The versions of the answers, those of neighbours that are alike once.
pub(super) fn versions(ran: &Ran) -> Vec<Value> {
    let mut versions: Vec<Value> = ran
        .json()
        .iter()
        .map(|line| line["version"].clone())
        .collect();
    versions.retain(|version| !version.is_null());
    versions.dedup();
    versions
}

pub(super) struct Site {
    pub(super) scratch: ScratchDir,
    pub(super) authority: String,
}

impl Site {
    /// A directory with a certificate, its key, and `lines`.
    pub(super) fn new(name: &str) -> Self {
        let scratch = ScratchDir::new(name);
        let _ = certs::server().write_to(&scratch);
        let authority = scratch.write("authority.pem", &certs::authority().pem);
        scratch.write("lines", "a line of thirty-two characters\n".repeat(4000));
        let authority = authority.to_str().expect("it is ASCII").to_owned();
        Self { scratch, authority }
    }

    pub(super) fn path(&self, name: &str) -> String {
        let path = self.scratch.path().join(name);
        path.to_str().expect("it is ASCII").to_owned()
    }
}

#[tokio::test]
async fn nghttpd_with_and_without_tls_and_with_few_streams() {
    let Some(nghttpd) = peers::require("nghttpd") else {
        return;
    };
    let site = Site::new("nghttpd");
    let [plain, tls] = [(); 2].map(|()| ReservedPort::new().expect("a port is free"));
    let start = async |port: &ReservedPort, args: &[&str]| {
        let mut command = Command::new(&nghttpd);
        command.args(["-a", "127.0.0.1", "-m", "10", "-d", &site.path("")]);
        command.args(args);
        Process::serve(command, port.port()).await
    };
    let (one, other) = (plain.port().to_string(), tls.port().to_string());
    let _plain = start(&plain, &["--no-tls", &one]).await;
    let _tls = start(
        &tls,
        &[&other, &site.path("key.pem"), &site.path("cert.pem")],
    )
    .await;

    let url = format!("http://{}/lines", plain.addr());
    let sequential = get(plain.port(), &["--http2", "-n", "50", &url], 1..=1).await;
    assert_eq!(versions(&sequential), ["HTTP/2"]);
    assert_eq!(sequential.summary()["opened"], json!({"first": 1}));
    // Ten streams at a time in a connection, two hundred requests at once.
    let many = [
        "--http2",
        "-n",
        "200",
        "-c",
        "200",
        "--max-conns-per-host",
        "3",
        &url,
    ];
    get(plain.port(), &many, 1..=3).await;

    let url = format!("https://{}/lines", tls.addr());
    let agreed = ["-n", "50", "--cacert", &site.authority, &url];
    assert_eq!(versions(&get(tls.port(), &agreed, 1..=1).await), ["HTTP/2"]);
}

/// As many connections as were asked for, with as many streams on each as were asked for, whether
/// HTTP/2 is known beforehand or agreed on.
#[tokio::test]
async fn a_load_of_streams_has_the_connections_that_were_asked_for() {
    let Some(nghttpd) = peers::require("nghttpd") else {
        return;
    };
    let site = Site::new("nghttpd-bench");
    let [plain, tls] = [(); 2].map(|()| ReservedPort::new().expect("a port is free"));
    let start = async |port: &ReservedPort, args: &[&str]| {
        let mut command = Command::new(&nghttpd);
        command.args(["-a", "127.0.0.1", "-m", "10", "-d", &site.path("")]);
        command.args(args);
        Process::serve(command, port.port()).await
    };
    let (one, other) = (plain.port().to_string(), tls.port().to_string());
    let _plain = start(&plain, &["--no-tls", &one]).await;
    let keys = [site.path("key.pem"), site.path("cert.pem")];
    let _tls = start(&tls, &[&other, &keys[0], &keys[1]]).await;

    let prior = format!("http://{}/lines", plain.addr());
    let agreed = format!("https://{}/lines", tls.addr());
    for (port, how, handshakes) in [
        (plain.port(), &["--http2", &prior][..], 0),
        (tls.port(), &["--cacert", &site.authority, &agreed], 3),
    ] {
        let counted = Counted::start(port);
        let load = ["bench", "--json", "-n", "300", "-c", "3", "--streams", "8"];
        let args: Vec<&str> = load.iter().chain(how).copied().collect();
        let ran = run(&args).await;
        assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""), "{ran:?}");
        let details = &ran.json()[0];
        assert_eq!(details["answers"], json!({"HTTP/2.0 200": 300}));
        assert_eq!(details["content_bytes"], 300 * 4000 * 32);
        assert_eq!(details["phases"]["tls"]["times"], handshakes, "{details}");
        assert_eq!(details["phases"]["body"]["times"], 300);
        assert_eq!(ran.summary()["connections_opened"], 3);
        counted.assert(3).await;
    }
}

#[tokio::test]
async fn nginx_which_says_goaway_after_so_many_requests() {
    let Some(nginx) = peers::require("nginx131") else {
        return;
    };
    let site = Site::new("nginx-h2");
    let [tls, plain] = [(); 2].map(|()| ReservedPort::new().expect("a port is free"));
    let conf = format!(
        "daemon off; error_log stderr; pid {0}/pid; worker_processes 1; events {{}}\n\
        http {{ access_log off; client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0};\n\
        uwsgi_temp_path {0}; scgi_temp_path {0};\n\
        http2 on; keepalive_requests 20; http2_max_concurrent_streams 5;\n\
        server {{ listen {1} ssl; listen {2}; root {0}; ssl_certificate {0}/cert.pem;\n\
        ssl_certificate_key {0}/key.pem; }} }}\n",
        site.path("").trim_end_matches('/'),
        tls.addr(),
        plain.addr()
    );
    let conf = site.scratch.write("nginx.conf", conf);
    let mut command = Command::new(nginx);
    command
        .arg("-p")
        .arg(site.scratch.path())
        .arg("-c")
        .arg(conf);
    let _nginx = Process::serve(command, plain.port()).await;

    let url = format!("https://{}/lines", tls.addr());
    let args = ["-n", "100", "--cacert", &site.authority, &url];
    let ran = get(tls.port(), &args, 5..=6).await;
    assert_eq!(versions(&ran), ["HTTP/2"]);
    let summary = ran.summary();
    assert_eq!(
        summary["opened"]["peer-asked-close"].as_u64(),
        summary["closed"]["peer-asked-close"].as_u64(),
        "{summary}"
    );
    let many = ["-n", "200", "-c", "50", "--cacert", &site.authority, &url];
    get(tls.port(), &many, 10..=60).await;
    let http1 = ["--http1", "-n", "20", "--cacert", &site.authority, &url];
    assert_eq!(
        versions(&get(tls.port(), &http1, 1..=2).await),
        ["HTTP/1.1"]
    );
    let prior = format!("http://{}/lines", plain.addr());
    assert_eq!(
        versions(&get(plain.port(), &["--http2", "-n", "10", &prior], 1..=1).await),
        ["HTTP/2"]
    );
}

#[tokio::test]
async fn a_server_of_go_with_http2() {
    let Some(go) = peers::require("go") else {
        return;
    };
    let site = Site::new("go-h2");
    let server = build(&go, "http2.go", &site.scratch).await;
    let port = ReservedPort::new().expect("a port is free");
    let mut command = Command::new(server);
    command.args([
        port.addr().to_string(),
        site.path("cert.pem"),
        site.path("key.pem"),
    ]);
    let _go = Process::serve(command, port.port()).await;
    let url = |path: &str| format!("https://{}{path}", port.addr());
    let args = [
        "-n",
        "100",
        "-c",
        "20",
        "--cacert",
        &site.authority,
        &url("/"),
    ];
    assert_eq!(versions(&get(port.port(), &args, 1..=1).await), ["HTTP/2"]);
    // What is sent comes back, and an answer that is dropped costs nothing but its stream.
    let content = "x".repeat(100_000);
    let echo = url("/echo");
    let args = ["get", "--cacert", &site.authority, "-d", &content, &echo];
    let echoed = run_counted(port.port(), &args).await;
    assert!(echoed.stdout == content, "{}", echoed.stdout.len());
    let dropped = [
        "-n",
        "20",
        "--read-lines",
        "5",
        "--drain",
        "0",
        "--cacert",
        &site.authority,
        &url("/"),
    ];
    get(port.port(), &dropped, 1..=1).await;
}

#[tokio::test]
async fn caddy_in_all_versions() {
    let Some(caddy) = peers::require("caddy") else {
        return;
    };
    let site = Site::new("caddy");
    let [plain, tls] = [(); 2].map(|()| ReservedPort::new().expect("a port is free"));
    let _caddy = Process::serve(caddy_of(caddy, &site, &plain, &tls), tls.port()).await;
    let (http, https) = (
        format!("http://{}/lines", plain.addr()),
        format!("https://localhost:{}/lines", tls.port()),
    );
    for (port, args, version) in [
        (plain.port(), vec!["-n", "20", &*http], "HTTP/1.1"),
        (plain.port(), vec!["--http2", "-n", "20", &*http], "HTTP/2"),
        (
            tls.port(),
            vec!["--http1", "-n", "20", "--cacert", &*site.authority, &*https],
            "HTTP/1.1",
        ),
        (
            tls.port(),
            vec![
                "-n",
                "50",
                "-c",
                "10",
                "--cacert",
                &*site.authority,
                &*https,
            ],
            "HTTP/2",
        ),
    ] {
        assert_eq!(
            versions(&get(port, &args, 1..=1).await),
            [version],
            "{args:?}"
        );
    }
    let early = [
        "-n",
        "20",
        "--read-lines",
        "5",
        "--http1",
        "--drain",
        "0",
        &http,
    ];
    get(plain.port(), &early, 20..=20).await;
}

/// Serves the site without TLS on one port, and with it on the other.
fn caddy_of(caddy: PathBuf, site: &Site, plain: &ReservedPort, tls: &ReservedPort) -> Command {
    let (cert, key) = (site.path("cert.pem"), site.path("key.pem"));
    let conf = json!({
        "admin": {"disabled": true},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {
            "http": {"servers": {
                "plain": {"listen": [plain.addr().to_string()], "protocols": ["h1", "h2c"],
                    "automatic_https": {"disable": true},
                    "routes": [{"handle": [{"handler": "file_server", "root": site.path("")}]}]},
                "tls": {"listen": [tls.addr().to_string()], "protocols": ["h1", "h2"],
                    "automatic_https": {"disable": true},
                    "tls_connection_policies": [{}],
                    "routes": [{"handle": [{"handler": "file_server", "root": site.path("")}]}]},
            }},
            "tls": {"certificates": {"load_files": [{"certificate": cert, "key": key}]}},
        },
    });
    let conf = site.scratch.write("caddy.json", conf.to_string());
    let mut command = Command::new(caddy);
    command.arg("run").arg("--config").arg(conf);
    command
        .env("XDG_DATA_HOME", site.path(""))
        .env("XDG_CONFIG_HOME", site.path(""))
        .env("HOME", site.path(""));
    command
}
