//! `keepline serve --root`: files, parts of them and conditions, on one connection that persists.

use std::net::SocketAddr;

use keepline_testkit::{RawClient, ScratchDir};
use serde_json::Value;

use crate::binary::{Served, run};

/// A file larger than what one read of it takes, whose every byte tells its place.
fn content() -> Vec<u8> {
    (0..200_000_u32).map(|at| b'a' + (at % 23) as u8).collect()
}

struct Site {
    server: Served,
    client: RawClient,
    requests: u64,
    _scratch: ScratchDir,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    content: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Site {
    async fn start() -> Self {
        let scratch = ScratchDir::new("site");
        std::fs::create_dir_all(scratch.path().join("root/sub")).expect("a directory");
        scratch.write("root/file.bin", content());
        scratch.write("root/empty", "");
        scratch.write("root/sub/index.html", "<p>sub");
        scratch.write("secret", "it is secret");
        let root = scratch.path().join("root");
        let root = root.to_str().expect("it is ASCII");
        let server = Served::start(&["--root", root]).await;
        let address = SocketAddr::from(([127, 0, 0, 1], server.port));
        Self {
            client: RawClient::connect(address).await,
            server,
            requests: 0,
            _scratch: scratch,
        }
    }

    /// Asks on the one connection.
    async fn ask(&mut self, method: &str, target: &str, fields: &str) -> Answer {
        self.requests += 1;
        let request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
        self.client.send(request).await;
        let mut answer = Answer {
            head: self.client.read_head().await,
            status: 0,
            content: Vec::new(),
        };
        answer.status = answer.head[9..12].parse().expect("a status");
        if method != "HEAD" && answer.status != 304 {
            let length = answer.field("content-length").expect("a length");
            let length = length.parse().expect("a number");
            answer.content = self.client.read_exactly(length).await;
        }
        answer
    }

    /// All requests so far came on the one connection.
    async fn assert_persists(&mut self) {
        let answer = self.ask("GET", "/connection", "").await;
        let told: Value = serde_json::from_slice(&answer.content).expect("JSON");
        assert_eq!(told["request"], self.requests, "{told}");
        assert_eq!(told["id"], 1, "{told}");
    }
}

#[tokio::test]
async fn parts_of_a_file_are_served_as_they_are_asked_for() {
    let mut site = Site::start().await;
    let whole = content();
    for (range, expected) in [
        ("0-0", 0..1),
        ("0-99", 0..100),
        ("1000-", 1000..200_000),
        ("-500", 199_500..200_000),
        // More than there is ends with it.
        ("199999-300000", 199_999..200_000),
        ("-300000", 0..200_000),
        ("70000-140000", 70_000..140_001),
    ] {
        let fields = format!("range: bytes={range}\r\n");
        let answer = site.ask("GET", "/file.bin", &fields).await;
        assert_eq!(answer.status, 206, "{range}: {}", answer.head);
        let told = format!("bytes {}-{}/200000", expected.start, expected.end - 1);
        assert_eq!(answer.field("content-range"), Some(&*told), "{range}");
        assert!(answer.content == whole[expected], "{range}");
        let head = site.ask("HEAD", "/file.bin", &fields).await;
        assert_eq!(head.field("content-length"), answer.field("content-length"));
    }
    for range in ["200000-", "200001-200002", "5-4"] {
        let fields = format!("range: bytes={range}\r\n");
        let answer = site.ask("GET", "/file.bin", &fields).await;
        assert_eq!(answer.status, 416, "{range}: {}", answer.head);
        assert_eq!(answer.field("content-range"), Some("bytes */200000"));
    }
    let answer = site.ask("GET", "/file.bin", "").await;
    assert_eq!(
        (answer.status, answer.field("accept-ranges")),
        (200, Some("bytes"))
    );
    assert!(answer.content == whole);
    assert_eq!(site.ask("GET", "/empty", "").await.content, b"");
    site.assert_persists().await;
}

#[tokio::test]
async fn conditions_spare_what_the_client_has() {
    let mut site = Site::start().await;
    let first = site.ask("HEAD", "/file.bin", "").await;
    assert_eq!(first.field("content-length"), Some("200000"));
    let modified = first.field("last-modified").expect("its age").to_owned();
    let old = "Thu, 01 Jan 1970 00:00:00 GMT";
    for (fields, status) in [
        (format!("if-modified-since: {modified}\r\n"), 304),
        (format!("if-modified-since: {old}\r\n"), 200),
        (format!("if-unmodified-since: {modified}\r\n"), 200),
        (format!("if-unmodified-since: {old}\r\n"), 412),
        // A date that is none is no condition.
        ("if-modified-since: yesterday\r\n".to_owned(), 200),
        // The rest of the file that the client has, or the whole of another.
        (
            format!("range: bytes=10-19\r\nif-range: {modified}\r\n"),
            206,
        ),
        (format!("range: bytes=10-19\r\nif-range: {old}\r\n"), 200),
        (
            "range: bytes=10-19\r\nif-range: \"tag\"\r\n".to_owned(),
            200,
        ),
    ] {
        let answer = site.ask("GET", "/file.bin", &fields).await;
        assert_eq!(answer.status, status, "{fields}: {}", answer.head);
        match status {
            200 => assert!(answer.content == content(), "{fields}"),
            206 => assert!(answer.content == content()[10..20], "{fields}"),
            _ => assert!(answer.content.is_empty(), "{fields}"),
        }
    }
    site.assert_persists().await;
}

#[tokio::test]
async fn nothing_above_the_root_is_reached_by_any_spelling() {
    let mut site = Site::start().await;
    for target in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/sub/../../secret",
        "/sub/%2e%2e/%2e%2e/secret",
        "/sub/..%5c..%5csecret",
        "/..;/secret",
        "/%00/../secret",
        "//../secret",
        "/sub//../../../secret",
        "/%252e%252e/secret",
    ] {
        let answer = site.ask("GET", target, "").await;
        assert!(
            matches!(answer.status, 400 | 404),
            "{target}: {}",
            answer.head
        );
        assert!(!answer.content.ends_with(b"secret"), "{target}");
    }
    // A directory is one by its slash.
    let answer = site.ask("GET", "/sub", "").await;
    assert_eq!(
        (answer.status, answer.field("location")),
        (307, Some("/sub/"))
    );
    assert_eq!(site.ask("GET", "/sub/", "").await.content, b"<p>sub");
    site.assert_persists().await;
}

/// Our own client and, where there is one, curl.
#[tokio::test]
async fn clients_resume_a_download() {
    let site = Site::start().await;
    let url = site.server.url("/file.bin");
    let scratch = ScratchDir::new("download");
    let path = scratch.write("part", &content()[..150_000]);
    let ran = run(&["get", "-H", "range: bytes=150000-", &url]).await;
    assert!(ran.stdout.as_bytes() == &content()[150_000..]);
    let Some(curl) = keepline_testkit::peers::require("curl") else {
        return;
    };
    let mut command = tokio::process::Command::new(curl);
    command
        .args(["-s", "-C", "-", "--noproxy", "*", "-o"])
        .arg(&path)
        .arg(&url);
    let ran = crate::binary::finish(command).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(std::fs::read(&path).expect("it is there") == content());
}
