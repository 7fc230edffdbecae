//! Other people's servers, asked by our client; and other people's clients, asking our server.
//!
//! Each needs a program that may not be installed; then the test says so and is skipped.

mod clients;
mod http2;
mod versions;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Process, ScratchDir, certs, peers};

use crate::binary::{Counted, Ran, Served, finish};
use crate::reuse::Origin;

/// A program beside this file.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/peers")
        .join(name)
}

/// A server that takes a port and an idle timeout, and answers with many lines everywhere.
struct Foreign {
    _process: Process,
    port: ReservedPort,
}

impl Foreign {
    async fn start(mut command: Command, idle_timeout: &str) -> Self {
        let port = ReservedPort::new().expect("a port is free");
        command.args([&port.port().to_string(), idle_timeout]);
        Self {
            _process: Process::serve(command, port.port()).await,
            port,
        }
    }

    fn origin(&self, path: &str) -> Origin<'static> {
        Origin {
            port: self.port.port(),
            url: format!("http://{}{path}", self.port.addr()),
            flags: &[],
        }
    }
}

/// All rows against a server that `command` starts. It waits for `idle_timeout`, in milliseconds,
/// which is less than `pause`.
async fn all_rows(command: impl Fn() -> Command, idle_timeout: &str, pause: &str) {
    let patient = Foreign::start(command(), "60000").await;
    patient.origin("/").classics().await;
    patient.origin("/tenth").asked_to_close().await;
    let impatient = Foreign::start(command(), idle_timeout).await;
    impatient.origin("/").outlived(pause).await;
}

#[tokio::test]
async fn a_server_of_go() {
    let Some(go) = peers::require("go") else {
        return;
    };
    let scratch = ScratchDir::new("go");
    let server = build(&go, "server.go", &scratch).await;
    all_rows(|| Command::new(&server), "100", "500ms").await;
}

#[tokio::test]
async fn a_server_of_python() {
    let Some(python) = peers::require("python3") else {
        return;
    };
    let command = || {
        let mut command = Command::new(&python);
        command.arg(source("server.py"));
        command
    };
    all_rows(command, "100", "500ms").await;
}

#[tokio::test]
async fn a_server_of_node() {
    let Some(node) = peers::require("node") else {
        return;
    };
    let command = || {
        let mut command = Command::new(&node);
        command.arg(source("server.js"));
        command
    };
    // Newer ones wait a second longer than they are told to.
    all_rows(command, "100", "1600ms").await;
}

#[tokio::test]
async fn nginx() {
    let Some(nginx) = peers::require("nginx") else {
        return;
    };
    let scratch = ScratchDir::new("nginx");
    let _ = certs::server().write_to(&scratch);
    let authority = scratch.write("authority.pem", &certs::authority().pem);
    scratch.write("lines", "a line of thirty-two characters\n".repeat(4000));
    let ports = ["PORT", "TENTH", "SHORT", "TLS"]
        .map(|name| (name, ReservedPort::new().expect("a port is free")));
    let mut conf = std::fs::read_to_string(source("nginx.conf")).expect("it is committed");
    for (name, port) in &ports {
        conf = conf.replace(&format!(":{name}"), &format!(":{}", port.port()));
    }
    let conf = conf.replace("DIR", scratch.path().to_str().expect("it is ASCII"));
    let conf = scratch.write("nginx.conf", conf);

    let mut command = Command::new(nginx);
    command.arg("-p").arg(scratch.path()).arg("-c").arg(conf);
    let _nginx = Process::serve(command, ports[3].1.port()).await;
    let origin = |place: usize, scheme: &str, flags| Origin {
        port: ports[place].1.port(),
        url: format!("{scheme}://{}/lines", ports[place].1.addr()),
        flags,
    };
    origin(0, "http", &[]).classics().await;
    origin(1, "http", &[]).asked_to_close().await;
    origin(2, "http", &[]).outlived("600ms").await;
    let flags = ["--cacert", authority.to_str().expect("it is ASCII")];
    origin(3, "https", &flags).classics().await;
}

/// A server that wants to know its clients.
#[tokio::test]
async fn openssl_with_client_certificates() {
    let Some(openssl) = peers::require("openssl") else {
        return;
    };
    let scratch = ScratchDir::new("openssl");
    let authority = scratch.write("authority.pem", &certs::authority().pem);
    let (cert, key) = certs::server().write_to(&scratch);
    let client = certs::client();
    let both = format!("{}{}", client.cert.pem, client.key_pem);
    let [both, shown, its_key] = [
        ("both.pem", &both),
        ("shown.pem", &client.cert.pem),
        ("its-key.pem", &client.key_pem),
    ]
    .map(|(name, pem)| scratch.write(name, pem));
    let port = ReservedPort::new().expect("a port is free");
    let mut command = Command::new(openssl);
    command.args([
        "s_server",
        "-www",
        "-quiet",
        "-Verify",
        "1",
        "-verify_return_error",
    ]);
    command.args(["-accept", &port.addr().to_string()]);
    command.arg("-CAfile").arg(&authority);
    command.arg("-cert").arg(&cert).arg("-key").arg(&key);
    let _server = Process::serve(command, port.port()).await;
    let url = format!("https://{}/", port.addr());
    let path = |path: &PathBuf| path.to_str().expect("it is ASCII").to_owned();
    let get = async |flags: &[String]| {
        let mut line = vec!["get", "--cacert"];
        let authority = path(&authority);
        line.push(&authority);
        line.extend(flags.iter().map(String::as_str));
        line.push(&url);
        crate::binary::run(&line).await
    };
    let unknown = get(&[]).await;
    assert_eq!(unknown.code(), 1, "{unknown:?}");
    assert!(unknown.stderr.contains("--cert FILE"), "{unknown:?}");
    let cert = "--cert".to_owned();
    let split = [
        cert.clone(),
        path(&shown),
        "--key".to_owned(),
        path(&its_key),
    ];
    for flags in [&[cert, path(&both)][..], &split] {
        let known = get(flags).await;
        assert_eq!(known.code(), 0, "{known:?}");
        assert!(known.stdout.contains("Client certificate"), "{known:?}");
    }
}

#[tokio::test]
async fn a_client_of_go() {
    let Some(go) = peers::require("go") else {
        return;
    };
    let scratch = ScratchDir::new("go");
    let client = build(&go, "client.go", &scratch).await;
    let command = Command::new(client);
    let ran = ask(&command, "/bytes/100000", 1).await;
    assert_eq!(
        ran.stdout,
        "Reused=false WasIdle=false\nReused=true WasIdle=true\nReused=true WasIdle=true\n"
    );
}

#[tokio::test]
async fn a_client_of_node() {
    let Some(node) = peers::require("node") else {
        return;
    };
    let script = "(async () => { for (let i = 0; i < 6; i++) \
        console.log((await (await fetch(process.argv[1])).json()).id); })()";
    let server = Served::start(&[]).await;
    let mut command = tokio::process::Command::new(node);
    command.args(["-e", script]).arg(server.url("/connection"));
    let ran = finish(command).await;
    // Its fetch takes turns with two connections, whoever serves it; newer ones keep to one.
    let connections: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(connections.len(), 6, "{ran:?}");
    assert!(
        connections.iter().all(|id| ["1", "2"].contains(id)),
        "{ran:?}"
    );
}

#[tokio::test]
async fn the_requests_library_of_python() {
    let Some(python) = peers::require("python3-requests") else {
        return;
    };
    let script = "import requests, sys\n\
        session = requests.Session()\n\
        for _ in range(3): print(session.get(sys.argv[1]).json()['request'])";
    let mut command = Command::new(python);
    command.args(["-c", script]);
    assert_eq!(ask(&command, "/connection", 1).await.stdout, "1\n2\n3\n");
}

#[tokio::test]
async fn curl() {
    let Some(curl) = peers::require("curl") else {
        return;
    };
    let server = Served::start(&[]).await;
    let counted = Counted::start(server.port);
    let mut command = Command::new(curl);
    command.args(["-sv", "--noproxy", "*"]);
    command.args(["/", "/chunked/100000", "/status/204", "/echo"].map(|path| server.url(path)));
    let ran = finish(command.into()).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    let reused = ran
        .stderr
        .to_lowercase()
        .matches("re-using existing")
        .count();
    let reused = reused.max(
        ran.stderr
            .to_lowercase()
            .matches("reusing existing")
            .count(),
    );
    assert_eq!(reused, 3, "{ran:?}");
    counted.assert(1).await;
}

#[tokio::test]
async fn wrk() {
    let Some(wrk) = peers::require("wrk") else {
        return;
    };
    let mut command = Command::new(wrk);
    command.args(["-t", "1", "-c", "8", "-d", "1"]);
    // Before its eight it opens one to see whether anybody is there.
    let ran = ask(&command, "/", 9).await;
    assert!(ran.stdout.contains("requests in"), "{ran:?}");
    assert!(!ran.stdout.contains("Socket errors"), "{ran:?}");
}

/// Runs a client against our server, and counts its connections in the kernel.
async fn ask(command: &Command, path: &str, connections: u64) -> Ran {
    let server = Served::start(&[]).await;
    let counted = Counted::start(server.port);
    let mut asking = Command::new(command.get_program());
    asking.args(command.get_args()).arg(server.url(path));
    let ran = finish(asking.into()).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    counted.assert(connections).await;
    ran
}

/// Builds a program of Go. Its first build takes longer than a wait of a test may.
pub(crate) async fn build(go: &Path, name: &str, scratch: &ScratchDir) -> PathBuf {
    let program = scratch.path().join("program");
    let mut command = tokio::process::Command::new(go);
    command
        .arg("build")
        .arg("-o")
        .arg(&program)
        .arg(source(name));
    let built = tokio::time::timeout(Duration::from_secs(300), command.output());
    let built = built.await.expect("Go builds within minutes");
    let built = built.expect("Go can be started");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    program
}
