//! The same configurations under `nginx -t`: what one accepts, the other does, unless we say that it is not
//! there yet.

use std::path::{Path, PathBuf};
use std::process::Command;

use keepline_testkit::{ScratchDir, peers};

use super::every_directive::{configuration, is_supported};
use super::{errors, meaning};
use crate::conf::Document;
use crate::conf::directive::Context;
use crate::conf::table::DIRECTIVES;
use crate::process::Options;

/// nginx 1.31, in a prefix of its own.
struct Nginx {
    program: PathBuf,
    prefix: ScratchDir,
}

impl Nginx {
    fn find() -> Option<Self> {
        let program = peers::require("nginx131")?;
        let prefix = ScratchDir::new("nginx-conf");
        for directory in ["logs", "temp"] {
            std::fs::create_dir(prefix.path().join(directory)).unwrap();
        }
        Some(Self { program, prefix })
    }

    /// What it has against a configuration, and what we have.
    fn both(&self, text: &str) -> (Option<String>, Option<String>) {
        let file = self.prefix.write("nginx.conf", text);
        let mut command = Command::new(&self.program);
        command
            .arg("-p")
            .arg(self.prefix.path())
            .arg("-c")
            .arg(&file);
        let ran = command.args(["-t", "-q", "-e", "logs/e.log"]).output();
        let ran = ran.unwrap();
        let theirs = String::from_utf8_lossy(&ran.stderr).into_owned();
        let options = Options {
            prefix: Some(self.prefix.path().to_path_buf()),
            configuration: Some(file),
            ..Options::default()
        };
        let ours = Document::read(&options.paths(), "").err();
        (
            (!ran.status.success()).then_some(theirs),
            ours.map(|errors| errors.to_string()),
        )
    }
}

fn whole(http: &str) -> String {
    format!("pid logs/n.pid; events {{}} http {{ {http} }}")
}

#[test]
fn what_we_refuse_as_wrong_nginx_refuses_too() {
    let Some(nginx) = Nginx::find() else {
        return;
    };
    let mut wrong = Vec::new();
    for (text, expected) in errors::REFUSED {
        let is_ours = errors::ONLY_HERE.iter().any(|ours| expected.contains(ours));
        let (theirs, ours) = nginx.both(&whole(text));
        if theirs.is_some() == is_ours || ours.is_none() {
            wrong.push(format!("{text}\n  nginx: {theirs:?}\n  here: {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_tests_of_meaning_read_nginx_reads_too() {
    let Some(nginx) = Nginx::find() else {
        return;
    };
    let mut wrong = Vec::new();
    for text in meaning::READ {
        let (theirs, ours) = nginx.both(&whole(text));
        if theirs.is_some() || ours.is_some() {
            wrong.push(format!("{text}\n  nginx: {theirs:?}\n  here: {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Directives whose examples nginx has something else against than their form.
const NEEDS_MORE: [&str; 10] = [
    // Not built into the reference.
    "stub_status",
    // Files and users that are not there.
    "ssl_certificate",
    "ssl_certificate_key",
    "proxy_ssl_certificate",
    "proxy_ssl_certificate_key",
    "proxy_ssl_trusted_certificate",
    "user",
    // Written by the wrapper already.
    "pid",
    "events",
    // The table has it as a part of a server.
    "error_log",
];

#[test]
fn every_directive_stands_where_nginx_has_it() {
    let Some(nginx) = Nginx::find() else {
        return;
    };
    let mut wrong = Vec::new();
    for known in DIRECTIVES.iter().filter(|known| is_supported(known)) {
        if NEEDS_MORE.contains(&known.name) || Path::new(known.name).is_absolute() {
            continue;
        }
        for context in known.contexts.iter() {
            let mut text = configuration(known, context);
            if context != Context::Main {
                text = format!("pid logs/n.pid; {text}");
            }
            if let (Some(theirs), _) = nginx.both(&text) {
                wrong.push(format!("{text}\n  nginx: {theirs}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
