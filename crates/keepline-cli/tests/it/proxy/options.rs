//! Options that test, print and tell.

use std::os::unix::fs::symlink;
use std::process::Command;

use keepline_testkit::ScratchDir;

use super::{command, prefix};
use crate::binary::{KEEPLINE, Ran, finish};

async fn ran(command: Command) -> Ran {
    finish(command.into()).await
}

const GOOD: &str =
    "events {} http { sendfile on; include more/*.conf; server { listen 127.0.0.1:@port; } }";

#[tokio::test]
async fn a_good_configuration_passes_the_test_and_what_has_no_effect_is_listed() {
    let (prefix, _) = prefix(GOOD);
    let mut test = command(&prefix);
    test.arg("-t");
    let ran = ran(test).await;
    let file = prefix.path().join("nginx.conf").display().to_string();
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(
        lines[0],
        format!("keepline: the configuration file {file} syntax is ok")
    );
    assert_eq!(
        lines[1],
        format!(
            "keepline: [notice] \"sendfile\" has no effect (files are read in pieces) in {file}:1:18"
        )
    );
    assert_eq!(
        lines[2],
        format!("keepline: configuration file {file} test is successful")
    );
}

#[tokio::test]
async fn quietly_a_good_configuration_is_nothing_to_speak_of() {
    let (prefix, _) = prefix(GOOD);
    let mut test = command(&prefix);
    test.arg("-tq");
    let ran = ran(test).await;
    assert_eq!((ran.code(), &*ran.stderr, &*ran.stdout), (0, "", ""));
}

#[tokio::test]
async fn a_bad_one_is_shown_and_fails() {
    let (prefix, _) = prefix("events {}\nhttp {\n  serverr { }\n}\n");
    let mut test = command(&prefix);
    test.arg("-tq");
    let ran = ran(test).await;
    let file = prefix.path().join("nginx.conf").display().to_string();
    assert_eq!(ran.code(), 1);
    assert_eq!(
        ran.stderr,
        format!(
            "keepline: [emerg] unknown directive \"serverr\" in {file}:3:3\n  3 |   serverr {{ }}\n    \
             |   ^^^^^^^\n  did you mean \"server\"?\nkeepline: configuration file {file} test failed\n"
        )
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_fails_the_test() {
    let (prefix, _) = prefix("error_log nowhere/error.log; events {}");
    let mut test = command(&prefix);
    test.arg("-t");
    let ran = ran(test).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr.contains("[emerg] open() \""), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("nowhere/error.log\" failed"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_told_with_the_line_that_names_it() {
    let (prefix, _) = prefix(
        "events {}\nhttp { server { listen 127.0.0.1:@port ssl;\n ssl_certificate a.pem; ssl_certificate_key a.key; } }",
    );
    let mut test = command(&prefix);
    test.arg("-t");
    let ran = ran(test).await;
    assert_eq!(ran.code(), 1);
    assert!(
        ran.stderr.contains("a.pem\": No such file or directory"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("nginx.conf:3:18"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_configuration_is_printed_with_all_its_files() {
    let (prefix, port) = prefix(GOOD);
    std::fs::create_dir(prefix.path().join("more")).unwrap();
    let more = prefix.write("more/a.conf", "# more\n");
    let mut dump = command(&prefix);
    dump.args(["-T", "-q"]);
    let ran = ran(dump).await;
    let file = prefix.path().join("nginx.conf").display().to_string();
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    let text = GOOD.replace("@port", &port.to_string());
    let more = more.display();
    assert_eq!(
        ran.stdout,
        format!("# configuration file {file}:\n{text}\n# configuration file {more}:\n# more\n\n")
    );
}

#[tokio::test]
async fn directives_of_the_command_line_count() {
    let (prefix, _) = prefix(GOOD);
    let mut test = command(&prefix);
    test.args(["-t", "-g", "nonsense on"]);
    let ran = ran(test).await;
    assert_eq!(ran.code(), 1);
    assert!(
        ran.stderr
            .contains("unknown directive \"nonsense\" in command line:1:1"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn the_version_is_that_of_nginx_and_no_module_is_claimed_that_is_not_there() {
    let directory = ScratchDir::new("link");
    let link = directory.path().join("nginx");
    symlink(KEEPLINE, &link).unwrap();
    let mut version = Command::new(&link);
    version.arg("-V");
    let ran = ran(version).await;
    assert_eq!((ran.code(), &*ran.stdout), (0, ""));
    let mut lines = ran.stderr.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("nginx version: nginx/1.31.5"), "{first}");
    let arguments = lines.next_back().unwrap();
    assert!(
        arguments.starts_with("configure arguments: --prefix="),
        "{arguments}"
    );
    assert!(
        arguments.contains(" --with-http_ssl_module "),
        "{arguments}"
    );
    assert!(
        arguments.contains(" --without-http_gzip_module "),
        "{arguments}"
    );
}

#[tokio::test]
async fn a_link_named_nginx_speaks_as_nginx() {
    let directory = ScratchDir::new("link");
    let link = directory.path().join("nginx");
    symlink(KEEPLINE, &link).unwrap();
    let (prefix, _) = prefix(GOOD);
    let mut test = Command::new(&link);
    test.args(["-t", "-c", "nginx.conf", "-p"])
        .arg(prefix.path());
    let ran_test = ran(test).await;
    assert_eq!(ran_test.code(), 0, "{}", ran_test.stderr);
    assert!(
        ran_test
            .stderr
            .starts_with("nginx: the configuration file "),
        "{}",
        ran_test.stderr
    );
    let mut wrong = Command::new(&link);
    wrong.arg("get");
    assert_eq!(ran(wrong).await.code(), 1);
}

#[tokio::test]
async fn a_signal_for_nobody_fails() {
    let (prefix, _) = prefix(GOOD);
    let mut signal = command(&prefix);
    signal.args(["-s", "reload"]);
    let ran_signal = ran(signal).await;
    assert_eq!(ran_signal.code(), 1);
    assert!(
        ran_signal.stderr.contains("logs/nginx.pid\" failed"),
        "{}",
        ran_signal.stderr
    );
    let mut wrong = command(&prefix);
    wrong.args(["-s", "restart"]);
    assert_eq!(ran(wrong).await.code(), 2);
}

/// Debian's own, with what it includes.
#[tokio::test]
async fn the_stock_configuration_of_debian_passes() {
    let (prefix, port) = prefix("");
    let debian = include_str!("debian.conf");
    let debian = debian.replace("/etc/nginx", &prefix.path().display().to_string());
    let debian = debian.replace("/var/log/nginx", "logs");
    let debian = debian.replace("/run/nginx.pid", "nginx.pid");
    prefix.write("nginx.conf", debian);
    prefix.write(
        "mime.types",
        "types {\n    text/html html htm shtml;\n    text/css css;\n}\n",
    );
    std::fs::create_dir(prefix.path().join("sites-enabled")).unwrap();
    let site = include_str!("debian-site.conf").replace("listen 80", &format!("listen {port}"));
    prefix.write(
        "sites-enabled/default",
        site.replace("[::]:80", &format!("[::]:{port}")),
    );
    let mut test = command(&prefix);
    test.arg("-t");
    let ran = ran(test).await;
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    for ignored in [
        "sendfile",
        "tcp_nopush",
        "gzip",
        "ssl_prefer_server_ciphers",
    ] {
        let listed = format!("[notice] \"{ignored}\" has no effect");
        assert!(ran.stderr.contains(&listed), "{ignored}: {}", ran.stderr);
    }
}
