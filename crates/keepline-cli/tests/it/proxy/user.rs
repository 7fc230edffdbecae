//! `user`: who serves, where root has started the process.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use keepline_testkit::RawClient;
use tokio::net::TcpStream;

use super::Proxy;

async fn status(client: &mut RawClient<TcpStream>, path: &str) -> String {
    client
        .send(format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let head = client.read_head().await;
    head[9..12].to_owned()
}

#[tokio::test]
async fn workers_of_root_are_somebody_else_and_a_reload_may_still_do_what_root_may() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can become anybody.
        return;
    }
    let http = "server { listen 127.0.0.1:@port; root .; }";
    let proxy = Proxy::start(http).await;
    let path = |name: &str| proxy.prefix.path().join(name);
    // By default nobody.
    for (name, mode) in [("open", 0o644), ("closed", 0o600)] {
        proxy.prefix.write(name, "x");
        fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(status(&mut proxy.connect().await, "/open").await, "200");
    assert_eq!(status(&mut proxy.connect().await, "/closed").await, "403");
    assert_ne!(fs::metadata(path("client_body_temp")).unwrap().uid(), 0);
    // The configuration, the logs and the pid file are root's to read and write.
    let next = "server { listen 127.0.0.1:@port; return 204; }";
    super::write(&proxy.prefix, proxy.port, &super::foreground(next));
    fs::set_permissions(path("nginx.conf"), Permissions::from_mode(0o600)).unwrap();
    proxy.process.signal("HUP");
    proxy.logged("the new configuration is in force").await;
    assert_eq!(status(&mut proxy.connect().await, "/").await, "204");
    assert_eq!(fs::metadata(proxy.pid_file()).unwrap().uid(), 0);
    let tasks = fs::read_dir(format!("/proc/{}/task", proxy.process.id())).unwrap();
    for task in tasks {
        let task = task.unwrap().path();
        let name = fs::read_to_string(task.join("comm")).unwrap();
        let told = fs::read_to_string(task.join("status")).unwrap();
        let ids = told.lines().find(|line| line.starts_with("Uid:")).unwrap();
        let is_root = ids.split_whitespace().any(|id| id == "0");
        let serves = name.starts_with("worker-");
        assert_eq!(is_root, !serves, "{name}: {ids}");
    }
}
