//! `keepline proxy` as a process: what scripts, packages and init systems rely on.
//!
//! - `options`: what it says and does without serving;
//! - `life`: from the pid file to the last request, and every signal;
//! - `reload`: what a reload changes;
//! - `user`: who serves;
//! - `examples`: the configurations of `examples/nginx`.

mod examples;
mod life;
mod options;
mod reload;
mod user;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Process, RawClient, ScratchDir, until};

use crate::binary::KEEPLINE;

/// A gateway in a process and a prefix of its own.
#[derive(Debug)]
struct Proxy {
    process: Process,
    prefix: ScratchDir,
    port: u16,
}

/// A prefix with this configuration; `@port` in it is a port that is free.
fn prefix(configuration: &str) -> (ScratchDir, u16) {
    let port = ReservedPort::new().expect("a port is free").port();
    let prefix = ScratchDir::new("proxy");
    fs::create_dir(prefix.path().join("logs")).expect("a scratch directory is writable");
    write(&prefix, port, configuration);
    (prefix, port)
}

fn write(prefix: &ScratchDir, port: u16, configuration: &str) {
    let text = configuration.replace("@port", &port.to_string());
    let text = text.replace("@prefix", &prefix.path().display().to_string());
    prefix.write("nginx.conf", text);
}

/// The program with the options that name a prefix and the configuration in it.
fn command(prefix: &ScratchDir) -> Command {
    let mut command = Command::new(KEEPLINE);
    command
        .args(["proxy", "-c", "nginx.conf", "-p"])
        .arg(prefix.path());
    command
}

/// What the process of `http` is told besides.
fn foreground(http: &str) -> String {
    format!("daemon off; error_log logs/error.log info; events {{}} http {{ {http} }}")
}

impl Proxy {
    /// Starts one, and waits for its pid file: then it is ready.
    async fn start(http: &str) -> Self {
        let (prefix, port) = prefix(&foreground(http));
        let process = Process::spawn(command(&prefix));
        let proxy = Self {
            process,
            prefix,
            port,
        };
        proxy.is_ready().await;
        proxy
    }

    async fn is_ready(&self) {
        let pid = self.pid_file();
        until("the pid file", || {
            let said = self.process.output();
            assert!(!said.contains("[emerg]"), "{said}");
            fs::read_to_string(&pid)
                .ok()
                .filter(|pid| pid.ends_with('\n'))
        })
        .await;
    }

    fn pid_file(&self) -> PathBuf {
        self.prefix.path().join("logs/nginx.pid")
    }

    fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    async fn connect(&self) -> RawClient<tokio::net::TcpStream> {
        RawClient::connect(self.addr()).await
    }

    fn reconfigure(&self, http: &str) {
        self.reconfigure_with("", http);
    }

    fn reconfigure_with(&self, main: &str, http: &str) {
        let text = format!("{main} {}", foreground(http));
        write(&self.prefix, self.port, &text);
        self.process.signal("HUP");
    }

    fn error_log(&self) -> String {
        self.log("error.log")
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.prefix.path().join("logs").join(name)).unwrap_or_default()
    }

    /// Waits until the error log has this in it.
    async fn logged(&self, text: &str) {
        until(format!("\"{text}\" in the error log"), || {
            self.error_log().contains(text).then_some(())
        })
        .await;
    }
}

/// The content of the answer to a GET, on a connection that stays.
async fn get(client: &mut RawClient<tokio::net::TcpStream>, path: &str) -> String {
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    let head = client.read_head().await.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse().ok());
    let length = length.unwrap_or_else(|| panic!("the length is told: {head}"));
    String::from_utf8(client.read_exactly(length).await).expect("text")
}
