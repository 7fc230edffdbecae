//! `keepline serve` behind balancers of other projects, which say whose connections they pass on,
//! and with sockets that a service manager has opened.

use std::path::Path;
use std::process::Command;

use keepline_testkit::peers::require;
use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Process, RawClient, ScratchDir, until};
use serde_json::Value;

use crate::binary::{KEEPLINE, Served};

const GET: &str = "GET /connection HTTP/1.1\r\nhost: x\r\n\r\n";

/// Asks through a balancer on `port`; what the server takes for the client is who has asked.
async fn assert_the_client_is_known(port: u16) {
    for _ in 0..3 {
        let mut client = RawClient::connect(([127, 0, 0, 1], port).into()).await;
        let own = client.local_addr().to_string();
        for number in 1..=2 {
            client.send(GET).await;
            let head = client.read_head().await;
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.parse().ok());
            let content = client.read_exactly(length.expect("a length")).await;
            let content: Value = serde_json::from_slice(&content).expect("JSON");
            assert_eq!(content["peer"], own);
            assert_eq!(content["request"], number);
        }
    }
}

#[tokio::test]
async fn clients_behind_haproxy_are_known() {
    let Some(haproxy) = require("haproxy") else {
        return;
    };
    let scratch = ScratchDir::new("haproxy");
    for (number, version) in ["send-proxy", "send-proxy-v2"].into_iter().enumerate() {
        let server = Served::start(&["--proxy-protocol"]).await;
        let reserved = ReservedPort::new().expect("a port is free");
        let configuration = format!(
            "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 9s\n  timeout client 9s\n  timeout server 9s\n\
             listen l\n  bind 127.0.0.1:{}\n  server s 127.0.0.1:{} {version}\n",
            reserved.port(),
            server.port
        );
        let file = scratch.write(&format!("{number}.cfg"), configuration);
        let port = reserved.port();
        drop(reserved);
        let mut command = Command::new(&haproxy);
        command.arg("-db").arg("-f").arg(file);
        let _haproxy = Process::serve(command, port).await;
        assert_the_client_is_known(port).await;
    }
}

#[tokio::test]
async fn clients_behind_nginx_are_known() {
    let Some(nginx) = require("nginx131") else {
        return;
    };
    let scratch = ScratchDir::new("nginx-stream");
    let server = Served::start(&["--proxy-protocol"]).await;
    let reserved = ReservedPort::new().expect("a port is free");
    let port = reserved.port();
    let configuration = format!(
        "daemon off; pid {0}/pid; error_log stderr; events {{}}\n\
         stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{1}; proxy_protocol on; }} }}\n",
        scratch.path().display(),
        server.port
    );
    let file = scratch.write("nginx.conf", configuration);
    drop(reserved);
    let mut command = Command::new(nginx);
    command.arg("-e").arg("stderr");
    command.arg("-p").arg(scratch.path()).arg("-c").arg(file);
    let _nginx = Process::serve(command, port).await;
    assert_the_client_is_known(port).await;
}

/// Opens the sockets and becomes the server, as a service manager does.
const MANAGER: &str = "
import os, socket, sys
tcp = socket.socket(); tcp.bind(('127.0.0.1', 0)); tcp.listen(99)
unix = socket.socket(socket.AF_UNIX); unix.bind(sys.argv[1]); unix.listen(99)
tcp, unix = os.dup(tcp.fileno()), os.dup(unix.fileno())
tcp, unix = os.dup2(tcp, 40), os.dup2(unix, 41)
os.dup2(tcp, 3); os.dup2(unix, 4)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='web:local')
os.execv(sys.argv[2], sys.argv[2:])
";

fn managed(socket: &Path, args: &[&str]) -> Option<Process> {
    let mut command = Command::new(require("python3")?);
    command.args(["-c", MANAGER]).arg(socket);
    command.args([KEEPLINE, "serve"]).args(args);
    Some(Process::spawn(command))
}

#[tokio::test]
async fn sockets_of_a_service_manager_are_served_by_all_workers() {
    let scratch = ScratchDir::new("manager");
    let socket = scratch.path().join("socket");
    let Some(mut process) = managed(&socket, &["--workers", "2"]) else {
        return;
    };
    let output = until("both places", || {
        let output = process.output();
        (output.lines().count() == 2).then_some(output)
    })
    .await;
    let (web, local) = output.split_once('\n').expect("two lines");
    assert_eq!(local, "listening on local\n");
    let address = web
        .strip_prefix("listening on http://")
        .expect("an address");
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = RawClient::connect(address.parse().expect("an address")).await;
        client.send(GET).await;
        assert!(client.read_head().await.starts_with("HTTP/1.1 200 "));
        clients.push(client);
    }
    let stream = tokio::net::UnixStream::connect(&socket).await;
    let mut client = RawClient::over(stream.expect("it listens"));
    client.send(GET).await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 200 "));
    process.signal("TERM");
    drop((clients, client));
    assert_eq!(process.exited().await.code(), Some(0));
}

#[tokio::test]
async fn an_address_beside_the_sockets_of_a_service_manager_is_a_mistake() {
    let scratch = ScratchDir::new("manager");
    let socket = scratch.path().join("socket");
    let Some(mut process) = managed(&socket, &["--listen", "127.0.0.1:0"]) else {
        return;
    };
    assert_eq!(process.exited().await.code(), Some(1));
    let output = process.output();
    assert!(output.contains("leave one of them out"), "{output}");
}
