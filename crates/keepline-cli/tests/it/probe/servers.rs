//! Real servers, all at the same time, so that the whole takes as long as the most patient of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Process, ScratchDir, certs, peers};
use serde_json::Value;

use super::{assert_idle_timeout, probe};
use crate::binary::Served;
use crate::peers::build;

/// A server of another project that runs.
struct Running {
    _process: Process,
    port: ReservedPort,
    _scratch: ScratchDir,
}

impl Running {
    /// Starts a program that gets the text of `conf`, a file beside this one, with its port and its
    /// directory in it.
    async fn configured(program: &str, conf: &str, args: &[&str]) -> Option<Self> {
        Self::configured_by(program, conf, args, |text| text).await
    }

    /// The same, with more replaced in the text.
    async fn configured_by(
        program: &str,
        conf: &str,
        args: &[&str],
        replace: impl FnOnce(String) -> String,
    ) -> Option<Self> {
        let program = peers::require(program)?;
        let (scratch, port) = new(conf);
        let text = std::fs::read_to_string(source(conf)).expect("it is committed");
        let dir = scratch.path().to_str().expect("it is ASCII");
        let text = text
            .replace("PORT", &port.port().to_string())
            .replace("DIR", dir);
        let _ = certs::server().write_to(&scratch);
        let conf = scratch.write(conf, replace(text));
        std::fs::create_dir(scratch.path().join("www")).expect("it can be made");
        scratch.write("www/index.html", "Hello, World!");
        let mut command = Command::new(program);
        command.current_dir(dir).args(args).arg(conf);
        let process = Process::serve(command, port.port()).await;
        Some(Self {
            _process: process,
            port,
            _scratch: scratch,
        })
    }

    /// Starts a program with these arguments, PORT being replaced.
    async fn told(program: PathBuf, args: &[&str]) -> Self {
        let (scratch, port) = new("server");
        let number = port.port().to_string();
        let args = args.iter().map(|arg| arg.replace("PORT", &number));
        let mut command = Command::new(program);
        command.current_dir(source("")).args(args);
        // What Python compiles belongs to nobody's source tree.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Process::serve(command, port.port()).await;
        Self {
            _process: process,
            port,
            _scratch: scratch,
        }
    }

    async fn probe(&self, args: &[&str]) -> Value {
        probe(&format!("http://{}/", self.port.addr()), args).await
    }
}

fn new(purpose: &str) -> (ScratchDir, ReservedPort) {
    let port = ReservedPort::new().expect("a port is free");
    (ScratchDir::new(purpose), port)
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/probe")
        .join(name)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn nginx() {
    let Some(nginx) = Running::configured("nginx131", "nginx.conf", &["-c"]).await else {
        return;
    };
    let result = nginx.probe(&[]).await;
    assert_idle_timeout(&result, s(3));
    assert_eq!(result["requests_per_connection"], 7, "{result}");
    assert_eq!(result["says_close_at_limit"], true, "{result}");
    assert_eq!(result["pipelining"], "ordered", "{result}");
    assert_eq!(result["http10"]["plain"], "closes", "{result}");
    assert_eq!(result["http10"]["keep_alive"], "persists", "{result}");
    let closes_on: Vec<_> = result["closes_on"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    assert_eq!(closes_on, ["400", "http10", "connection-close"], "{result}");
}

async fn haproxy() {
    let args = ["-db", "-f"];
    let Some(haproxy) = Running::configured("haproxy", "haproxy.cfg", &args).await else {
        return;
    };
    let result = haproxy.probe(&["--requests", "300"]).await;
    assert_idle_timeout(&result, Duration::from_millis(1500));
    assert_eq!(result["requests_per_connection"], Value::Null, "{result}");
}

async fn httpd() {
    let args = ["-DFOREGROUND", "-f"];
    let Some(httpd) = Running::configured("apache2", "httpd.conf", &args).await else {
        return;
    };
    let result = httpd.probe(&[]).await;
    assert_idle_timeout(&result, s(5));
    // The limit is of requests after the first: `max=100` on the first answer says so too.
    assert_eq!(result["requests_per_connection"], 101, "{result}");
    let told = &result["keep_alive"];
    assert_eq!(
        (&told["told_timeout"], &told["told_max"]),
        (&5.0.into(), &100.into())
    );
    assert_eq!(told["truthful"], true, "{result}");
}

async fn go() {
    let Some(go) = peers::require("go") else {
        return;
    };
    let scratch = ScratchDir::new("go");
    let program = build(&go, "server.go", &scratch).await;
    let result = Running::told(program, &["PORT", "2000"]).await;
    let result = result.probe(&["--requests", "100"]).await;
    assert_idle_timeout(&result, s(2));
    assert_eq!(result["requests_tried"], 100, "{result}");
}

async fn node() {
    let Some(node) = peers::require("node") else {
        return;
    };
    let node = Running::told(node, &["server.js", "PORT"]).await;
    let result = node.probe(&["--requests", "300"]).await;
    // It tells 5 s, its documented default. Since 20 it waits a buffer of a second longer, so that
    // clients that keep to what it tells are never too late.
    let longer = result["idle_timeout"]["seconds"].as_f64() > Some(5.5);
    assert_idle_timeout(&result, s(if longer { 6 } else { 5 }));
    assert_eq!(result["keep_alive"]["told_timeout"], 5.0, "{result}");
    assert_eq!(result["keep_alive"]["truthful"], true, "{result}");
}

async fn gunicorn() {
    let Some(gunicorn) = peers::require("gunicorn") else {
        return;
    };
    let args = "-k gthread --threads 4 --keep-alive 2 -b 127.0.0.1:PORT app:app";
    let gunicorn = Running::told(gunicorn, &args.split(' ').collect::<Vec<_>>()).await;
    assert_idle_timeout(&gunicorn.probe(&["--requests", "100"]).await, s(2));
}

async fn uvicorn() {
    let Some(uvicorn) = peers::require("uvicorn") else {
        return;
    };
    let args = "--host 127.0.0.1 --port PORT --no-access-log asgi:app";
    let uvicorn = Running::told(uvicorn, &args.split(' ').collect::<Vec<_>>()).await;
    let result = uvicorn.probe(&["--requests", "100"]).await;
    assert_idle_timeout(&result, s(5));
    assert_eq!(result["http10"]["keep_alive"], "closes", "{result}");
}

/// Our own, told to wait for so long.
async fn keepline(timeout: &str, expected: Duration) -> Value {
    let server = Served::start(&["--idle-timeout", timeout]).await;
    let result = probe(&server.url("/"), &["--requests", "100"]).await;
    assert_idle_timeout(&result, expected);
    result
}

#[tokio::test]
async fn the_idle_timeouts_and_limits_of_real_servers_are_measured() {
    // Built first: a compiler beside it is no machine to measure milliseconds on.
    go().await;
    tokio::join!(
        nginx(),
        haproxy(),
        httpd(),
        node(),
        gunicorn(),
        uvicorn(),
        keepline("1s", s(1)),
        keepline("10s", s(10)),
    );
}

#[tokio::test]
async fn a_timeout_of_a_quarter_of_a_second_is_measured_to_20_milliseconds() {
    let result = keepline("250ms", Duration::from_millis(250)).await;
    let safe = result["advice"]["client_idle_timeout_seconds"].as_f64();
    assert!(
        safe.is_some_and(|safe| safe > 0.0 && safe < 0.2),
        "{result}"
    );
}

/// The commonest timeout of balancers. It waits, and costs the machine nothing meanwhile.
#[tokio::test]
async fn a_timeout_of_60_seconds_takes_no_more_than_80_in_all() {
    let result = keepline("60s", s(60)).await;
    let took = result["took_seconds"].as_f64();
    assert!(took.is_some_and(|took| took <= 80.0), "{result}");
    assert_eq!(
        result["advice"]["client_idle_timeout_seconds"], 54.0,
        "{result}"
    );
}

#[tokio::test]
async fn the_age_that_a_server_lets_connections_reach_is_told_from_idle_timeout_and_requests() {
    let args = ["--idle-timeout", "3s", "--max-age", "2s"];
    let server = Served::start(&args).await;
    let result = probe(&server.url("/"), &["--requests", "100"]).await;
    let age = result["max_age_seconds"].as_f64();
    // Up to a tenth earlier, and seen with the next request.
    assert!(age.is_some_and(|age| (1.7..2.5).contains(&age)), "{result}");
}

#[tokio::test]
async fn over_tls_limits_and_resumption_are_seen() {
    let args = [
        "--tls-self-signed",
        "--idle-timeout",
        "300ms",
        "--max-requests",
        "9",
    ];
    let server = Served::start(&args).await;
    let result = probe(&server.url("/"), &["-k"]).await;
    assert_idle_timeout(&result, Duration::from_millis(300));
    assert_eq!(result["requests_per_connection"], 9, "{result}");
    assert_eq!(result["tls"]["resumes"], true, "{result}");
}

/// nginx with and without h2, with sessions and without.
#[tokio::test]
async fn what_is_agreed_on_by_tls_is_told() {
    for (h2, tickets) in [("on", "on"), ("off", "off")] {
        let Some(nginx) = Running::configured_by("nginx131", "tls.conf", &["-c"], |text| {
            text.replace("H2", h2).replace("TICKETS", tickets)
        })
        .await
        else {
            return;
        };
        let url = format!("https://{}/", nginx.port.addr());
        let result = probe(&url, &["-k", "--requests", "20", "--budget", "8s"]).await;
        assert_eq!(result["tls"]["h2"], h2 == "on", "{result}");
        assert_eq!(result["tls"]["resumes"], tickets == "on", "{result}");
    }
}
