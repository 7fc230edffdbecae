//! The configurations of `examples/nginx`, under nginx and under keepline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Process, RawClient, ScratchDir, peers};

use super::get;
use crate::binary::{KEEPLINE, finish};

/// A file, what is asked of it, and the answer.
const EXAMPLES: [(&str, &str, &str); 5] = [
    (
        "reverse-proxy.conf",
        "/hello",
        "GET /hello for x, client 127.0.0.1\n",
    ),
    ("load-balancer.conf", "/", "one\n"),
    (
        "static-site.conf",
        "/",
        "<!doctype html>\n<title>keepline</title>\n<h1>It stays.</h1>\n",
    ),
    ("websocket.conf", "/", "upgrade: , connection: \n"),
    ("limits-and-logs.conf", "/status", "only for this machine\n"),
];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/nginx")
}

/// A prefix with the files of the example, where each port is one that is free; and the first of them.
fn prefix(example: &str) -> (ScratchDir, u16) {
    let prefix = ScratchDir::new("example");
    fs::create_dir(prefix.path().join("html")).unwrap();
    for file in fs::read_dir(directory().join("html")).unwrap() {
        let file = file.unwrap().path();
        fs::copy(
            &file,
            prefix.path().join("html").join(file.file_name().unwrap()),
        )
        .unwrap();
    }
    // nginx writes to it before it reads the configuration.
    fs::create_dir(prefix.path().join("logs")).unwrap();
    let mut text = fs::read_to_string(directory().join(example)).unwrap();
    let mut reserved = Vec::new();
    for port in 8080..8084 {
        let free = ReservedPort::new().expect("a port is free");
        text = text.replace(
            &format!("127.0.0.1:{port}"),
            &format!("127.0.0.1:{}", free.port()),
        );
        reserved.push(free);
    }
    // Workers of root become somebody else, who may not read our directory.
    if rustix::process::geteuid().is_root() {
        text = format!("user root;\n{text}");
    }
    prefix.write(example, text);
    (prefix, reserved[0].port())
}

fn programs() -> Vec<(&'static str, Command)> {
    let mut keepline = Command::new(KEEPLINE);
    keepline.arg("proxy");
    let mut programs = vec![("keepline", keepline)];
    if let Some(nginx) = peers::require("nginx131") {
        programs.push(("nginx", Command::new(nginx)));
    }
    programs
}

fn arguments(command: &mut Command, prefix: &Path, example: &str) {
    command.current_dir(prefix);
    command
        .arg("-p")
        .arg(prefix)
        .args(["-e", "stderr", "-c", example]);
}

#[tokio::test]
async fn each_example_passes_the_test_as_it_is() {
    let mut files: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".conf"))
        .collect();
    files.sort();
    let mut known = EXAMPLES.map(|(name, _, _)| name);
    known.sort_unstable();
    assert_eq!(files, known);
    for (example, _, _) in EXAMPLES {
        for (name, mut command) in programs() {
            // In a prefix of its own, because temporary directories are made.
            let prefix = ScratchDir::new("example");
            fs::create_dir(prefix.path().join("logs")).unwrap();
            let text = fs::read(directory().join(example)).unwrap();
            prefix.write(example, text);
            arguments(&mut command, prefix.path(), example);
            command.args(["-t", "-q"]);
            let ran = finish(command.into()).await;
            assert_eq!((ran.code(), &*ran.stderr), (0, ""), "{name}, {example}");
        }
    }
}

#[tokio::test]
async fn each_example_answers_the_same_under_both() {
    for (example, path, expected) in EXAMPLES {
        for (name, mut command) in programs() {
            let (prefix, port) = prefix(example);
            arguments(&mut command, prefix.path(), example);
            let _process = Process::serve(command, port).await;
            let mut client = RawClient::connect(([127, 0, 0, 1], port).into()).await;
            assert_eq!(get(&mut client, path).await, expected, "{name}, {example}");
        }
    }
}

#[tokio::test]
async fn each_example_is_explained_in_a_line() {
    let readme = fs::read_to_string(directory().join("README.md")).unwrap();
    for (example, _, _) in EXAMPLES {
        let line = readme
            .lines()
            .find(|line| line.contains(&format!("({example})")));
        assert!(line.is_some_and(|line| line.len() > 60), "{example}");
    }
}
