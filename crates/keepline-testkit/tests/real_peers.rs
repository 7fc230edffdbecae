//! The guard of a foreign server, with a foreign server.

use std::process::Command;

use keepline_testkit::sockets::{ReservedPort, Sockets, State};
use keepline_testkit::{Process, RawClient, ScratchDir, certs, peers};

fn nginx_command(nginx: &std::path::Path, scratch: &ScratchDir, port: u16) -> Command {
    let (cert, key) = certs::server().write_to(scratch);
    let config = format!(
        "pid nginx.pid; error_log stderr; worker_processes 1; events {{}}
         http {{
             access_log off;
             client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
             uwsgi_temp_path t4; scgi_temp_path t5;
             ssl_certificate {cert}; ssl_certificate_key {key};
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"Hello\"; }} }}
         }}",
        cert = cert.display(),
        key = key.display(),
    );
    let mut command = Command::new(nginx);
    command
        .args(["-g", "daemon off;", "-p"])
        .arg(scratch.path());
    command.arg("-c").arg(scratch.write("nginx.conf", config));
    command
}

#[tokio::test]
async fn nginx_serves_until_the_guard_is_dropped() {
    let Some(nginx) = peers::require("nginx") else {
        return;
    };
    let scratch = ScratchDir::new("nginx");
    let reserved = ReservedPort::new().expect("a port is free");
    let port = reserved.port();
    let process = Process::serve(nginx_command(&nginx, &scratch, port), port).await;

    let mut client = RawClient::connect(reserved.addr()).await;
    for _ in 0..2 {
        client
            .send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        assert!(client.read_head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(client.read_exactly(5).await, b"Hello");
    }
    assert_eq!(
        Sockets::to_port(port).in_state(State::Established).count(),
        1
    );

    drop(process);
    client.read_to_end().await;
    Sockets::on_port(port)
        .in_state(State::Listening)
        .until(0)
        .await;
}
