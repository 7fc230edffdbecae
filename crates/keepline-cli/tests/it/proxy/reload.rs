//! What a reload changes: limits before a request is known, the number of workers, the set of addresses.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keepline_testkit::{End, RawClient, until, within};
use tokio::net::{TcpStream, UnixStream};

use super::{Proxy, get};

const HELLO: &str = "server { listen 127.0.0.1:@port; location / { return 200 hello; } }";
const IN_FORCE: &str = "the new configuration is in force";

impl Proxy {
    /// Reloads, and waits for the `nth` reload that has succeeded.
    async fn reloaded(&self, main: &str, http: &str, nth: usize) {
        self.reconfigure_with(main, http);
        until("the new configuration", || {
            (self.error_log().matches(IN_FORCE).count() >= nth).then_some(())
        })
        .await;
    }

    /// The numbers of the workers that run.
    fn workers(&self) -> BTreeSet<usize> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let names = tasks.expect("it runs").filter_map(|task| {
            let name = fs::read_to_string(task.ok()?.path().join("comm")).ok()?;
            name.trim().strip_prefix("worker-")?.parse().ok()
        });
        names.collect()
    }

    async fn has_workers(&self, count: usize) {
        until(format!("{count} workers"), || {
            let workers = self.workers();
            let all: BTreeSet<_> = (0..count).collect();
            (workers == all).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_next_request_on_an_open_connection_may_be_as_large_as_the_new_configuration_says() {
    let with = |size: &str| {
        format!(
            "server {{ listen 127.0.0.1:@port; large_client_header_buffers 2 {size}; \
             location / {{ return 200 hello; }} }}"
        )
    };
    let proxy = Proxy::start(&with("64k")).await;
    let mut client = proxy.connect().await;
    let large = format!("/?{}", "x".repeat(20_000));
    assert_eq!(get(&mut client, &large).await, "hello");
    proxy.reloaded("", &with("4k"), 1).await;
    assert_eq!(get(&mut client, "/").await, "hello");
    client
        .send(format!("GET {large} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 414"), "{head}");
    proxy.reloaded("", &with("64k"), 2).await;
    assert_eq!(get(&mut proxy.connect().await, &large).await, "hello");
}

#[tokio::test]
async fn workers_are_added_and_removed_and_no_connection_is_lost() {
    let proxy = Proxy::start(HELLO).await;
    proxy.has_workers(1).await;
    let mut clients = vec![proxy.connect().await];
    for (nth, count) in [(1, 4), (2, 2), (3, 3), (4, 1)] {
        let main = format!("worker_processes {count};");
        proxy.reloaded(&main, HELLO, nth).await;
        // Whoever connects while sockets change hands is answered, and so is whoever was there.
        for _ in 0..8 {
            clients.push(proxy.connect().await);
        }
        for client in &mut clients {
            assert_eq!(get(client, "/").await, "hello");
        }
    }
    // Those that are left without sockets stay for their connections.
    drop(clients);
    proxy.has_workers(1).await;
    assert_eq!(get(&mut proxy.connect().await, "/").await, "hello");
}

#[tokio::test]
async fn addresses_may_overlap_at_the_start_and_change_into_one_another() {
    let server = |address: &str| {
        format!("server {{ listen {address}; location / {{ return 200 $server_addr; }} }}")
    };
    let (one, all) = (server("127.0.0.1:@port"), server("@port"));
    let proxy = Proxy::start(&format!("{one} {all}")).await;
    assert_eq!(get(&mut proxy.connect().await, "/").await, "127.0.0.1");
    let elsewhere = || RawClient::connect(([127, 0, 0, 2], proxy.port).into());
    assert_eq!(get(&mut elsewhere().await, "/").await, "127.0.0.2");
    // Who connects to an address that is being left may be reset, so the one that has come is asked.
    for (nth, http, last) in [(1, &one, 1), (2, &all, 2), (3, &one, 1)] {
        proxy.reloaded("", http, nth).await;
        let mut client = RawClient::connect(([127, 0, 0, last], proxy.port).into()).await;
        assert_eq!(get(&mut client, "/").await, format!("127.0.0.{last}"));
    }
    within("the other address to be left", async {
        while TcpStream::connect(("127.0.0.2", proxy.port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn unix(path: &Path) -> RawClient<UnixStream> {
    RawClient::over(UnixStream::connect(path).await.expect("it listens"))
}

async fn ask(client: &mut RawClient<UnixStream>) -> String {
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.read_head().await;
    String::from_utf8(client.read_exactly(5).await).expect("text")
}

#[tokio::test]
async fn unix_sockets_come_stay_and_go_with_their_files() {
    let server = |socket: &str, text: &str| {
        format!("server {{ listen unix:@prefix/{socket}; location / {{ return 200 {text}; }} }}")
    };
    let mut proxy = Proxy::start(&format!("{HELLO} {}", server("a", "first"))).await;
    let path = |name: &str| proxy.prefix.path().join(name);
    let (a, b) = (path("a"), path("b"));
    // Everybody may connect, as with nginx.
    let mode = fs::metadata(&a).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let mut client = unix(&a).await;
    assert_eq!(ask(&mut client).await, "first");
    let both = format!("{HELLO} {} {}", server("a", "again"), server("b", "other"));
    proxy.reloaded("worker_processes 2;", &both, 1).await;
    assert_eq!(ask(&mut client).await, "again");
    assert_eq!(ask(&mut unix(&b).await).await, "other");
    proxy
        .reloaded("", &format!("{HELLO} {}", server("b", "other")), 2)
        .await;
    assert!(!a.exists());
    assert_eq!(client.read_to_end().await, (Vec::new(), End::Fin));
    assert_eq!(ask(&mut unix(&b).await).await, "other");
    proxy.process.signal("QUIT");
    assert_eq!(proxy.process.exited().await.code(), Some(0));
    assert!(!b.exists());
}
