//! The gateways that are compared, each in a process and a prefix of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, SystemTime};

use keepline_testkit::{Process, ScratchDir, certs};

use super::conf::Parts;
use crate::binary::KEEPLINE;

/// Who is asked.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// The reference, at this path.
    Nginx(PathBuf),
    Keepline,
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) process: Process,
    prefix: ScratchDir,
}

impl Subject {
    fn command(&self, prefix: &ScratchDir) -> Command {
        let mut command = match self {
            Self::Nginx(path) => Command::new(path),
            Self::Keepline => {
                let mut command = Command::new(KEEPLINE);
                command.arg("proxy");
                command
            }
        };
        command.current_dir(prefix.path());
        command.arg("-p").arg(prefix.path());
        command.args(["-e", "logs/error.log", "-c", "nginx.conf"]);
        command
    }

    /// Starts a gateway with these parts, and waits until it listens on `port`.
    pub(crate) async fn start(&self, parts: &[&Parts], port: u16) -> Gateway {
        let prefix = prefix(parts);
        let process = Process::serve(self.command(&prefix), port).await;
        Gateway { process, prefix }
    }

    /// What is wrong with the configuration, if the gateway says so.
    pub(crate) fn refusal(&self, parts: &[&Parts]) -> Option<String> {
        let prefix = prefix(parts);
        let checked = self.command(&prefix).arg("-t").output();
        let checked = checked.expect("the gateway can be started");
        let said = String::from_utf8_lossy(&checked.stderr);
        (!checked.status.success()).then(|| said.into_owned())
    }
}

impl Gateway {
    /// The lines of the access log of a case so far.
    pub(crate) fn access_log(&self, number: usize) -> String {
        self.log(&format!("{number}.log"))
    }

    pub(crate) fn error_log(&self) -> String {
        self.log("error.log")
    }

    /// A file below `logs`.
    pub(crate) fn log(&self, name: &str) -> String {
        let path = self.prefix.path().join("logs").join(name);
        fs::read_to_string(path).unwrap_or_default()
    }

    pub(crate) async fn exited(&mut self) -> ExitStatus {
        self.process.exited().await
    }
}

fn prefix(parts: &[&Parts]) -> ScratchDir {
    let prefix = ScratchDir::new("gateway");
    for directory in ["logs", "html", "temp"] {
        fs::create_dir(prefix.path().join(directory)).expect("a scratch directory is writable");
    }
    // 1 January 2020: the time is a part of the answers.
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800);
    for (name, content) in [("ten", "0123456789"), ("large", &"x".repeat(1 << 20))] {
        let path = prefix.write(&format!("html/{name}"), content);
        let file = fs::File::open(path).expect("it was just written");
        file.set_modified(written).expect("it is ours");
    }
    let _ = certs::server().write_to(&prefix);
    prefix.write("wrong-name.pem", &certs::wrong_name().cert.pem);
    prefix.write("wrong-name.key", &certs::wrong_name().key_pem);
    prefix.write("authority.pem", &certs::authority().pem);
    prefix.write("nginx.conf", whole(parts));
    prefix
}

fn whole(parts: &[&Parts]) -> String {
    let main: String = parts.iter().map(|part| &*part.main).collect();
    let http: String = parts.iter().map(|part| &*part.http).collect();
    // Workers of root become somebody else, who may not write into our directory.
    let user = if rustix::process::geteuid().is_root() {
        "user root;\n"
    } else {
        ""
    };
    let events = if main.contains("events") {
        ""
    } else {
        "events { worker_connections 1024; }\n"
    };
    format!(
        "{user}daemon off;\npid nginx.pid;\nerror_log logs/error.log info;\n{main}{events}\
        http {{\n\
        default_type text/plain;\n\
        client_body_temp_path temp/body;\nproxy_temp_path temp/proxy;\n\
        {http}}}\n"
    )
}
