//! `keepline chain`: does its advice make 502s go away?

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Process, RawClient, ScratchDir, peers, until, within};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::binary::{KEEPLINE, run};
use crate::relay::{ONE_WAY, relay};

/// Requests that are sent at the worst moment, at the same time.
const AT_ONCE: usize = 8;
/// Node's timeout in milliseconds, to which it adds a second since version 20.
const SHORT: &str = "100";

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/chain")
        .join(name)
}

async fn node(program: &Path, port: &ReservedPort, keep_alive_timeout: &str) -> Process {
    let mut command = Command::new(program);
    command.arg(source("server.js"));
    command.args([&port.port().to_string(), keep_alive_timeout]);
    Process::serve(command, port.port()).await
}

/// A balancer before the origin at `origin`.
async fn balancer(
    program: &Path,
    conf: &str,
    args: &[&str],
    origin: &ReservedPort,
) -> (Process, ReservedPort, ScratchDir) {
    let scratch = ScratchDir::new("balancer");
    let port = ReservedPort::new().expect("a port is free");
    let text = std::fs::read_to_string(source(conf)).expect("it is committed");
    // nginx makes these directories; keepline, which speaks none of the three, refuses to name them.
    let is_ours = program == Path::new(KEEPLINE);
    let lines = text
        .lines()
        .filter(|line| !(is_ours && line.contains("gi_temp_path")));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let text = text
        .replace("PORT", &port.port().to_string())
        .replace("ORIGIN", &origin.port().to_string())
        .replace("DIR", scratch.path().to_str().expect("it is ASCII"));
    let conf = scratch.write(conf, text);
    let mut command = Command::new(program);
    command.args(args).arg(conf);
    (Process::serve(command, port.port()).await, port, scratch)
}

/// One request on a connection of its own, and the status of its answer; `None` if the connection
/// was closed without one.
async fn ask(addr: SocketAddr, method: &str, path: &str) -> Option<u16> {
    let mut client = RawClient::connect(addr).await;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    );
    client.send(head).await;
    let (answer, _) = client.read_to_end().await;
    let answer = String::from_utf8_lossy(&answer);
    answer.get(9..12)?.parse().ok()
}

/// Several requests at the same time; how many of them were not answered with 200.
async fn ask_at_once(addr: SocketAddr) -> usize {
    let mut asking = JoinSet::new();
    for _ in 0..AT_ONCE {
        // A POST, which nobody sends twice.
        asking.spawn(ask(addr, "POST", "/"));
    }
    let statuses = asking.join_all().await;
    statuses
        .into_iter()
        .filter(|status| *status != Some(200))
        .count()
}

/// The worst moment: idle connections reach the origin's `timeout` while it is busy, and requests
/// arrive on them before it is done. Answers how many failed.
async fn worst_moment(balancer: SocketAddr, origin: SocketAddr, timeout: Duration) -> usize {
    assert_eq!(
        ask_at_once(balancer).await,
        0,
        "nothing is wrong while nothing is idle"
    );
    sleep(timeout.saturating_sub(Duration::from_millis(150))).await;
    let busy = tokio::spawn(ask(origin, "POST", "/busy/500"));
    sleep(Duration::from_millis(300)).await;
    let failed = ask_at_once(balancer).await;
    busy.await.expect("it is asked");
    failed
}

/// Provokes failures, lets `keepline chain` say what to change, changes that, and does the same
/// again. `hop` is the balancer as a hop.
async fn advice_helps(program: &Path, conf: &str, args: &[&str], hop: &str) {
    let Some(node_program) = peers::require("node") else {
        return;
    };
    let origin = ReservedPort::new().expect("a port is free");
    let (_balancer, port, _scratch) = balancer(program, conf, args, &origin).await;

    let short = node(&node_program, &origin, SHORT).await;
    let url = format!("node@http://{}/", origin.addr());
    let ran = run(&["chain", "--json", "--budget", "9s", hop, &url]).await;
    assert_eq!(ran.code(), 1, "{ran:?}");
    let link = &ran.json()[0];
    assert_eq!(link["verdict"], "inverted", "{link}");
    let timeout = link["server_idle"]["seconds"]
        .as_f64()
        .expect("it was measured");
    let timeout = Duration::from_secs_f64(timeout);
    let fix = &link["fixes"][0];
    assert_eq!(fix["at"], "node", "{link}");

    let mut failed = 0;
    for _ in 0..5 {
        failed += worst_moment(port.addr(), origin.addr(), timeout).await;
        if failed > 0 {
            break;
        }
    }
    assert!(failed > 0, "no failure could be provoked");

    // server.keepAliveTimeout = 66000; server.headersTimeout = 67000
    let setting = fix["setting"].as_str().expect("node is known");
    let advised = setting.split([' ', ';']).nth(2).expect("it is a number");
    drop(short);
    let _long = node(&node_program, &origin, advised).await;
    let mended = format!("node:server={advised}ms");
    assert_eq!(run(&["chain", hop, &mended]).await.code(), 0);
    for _ in 0..3 {
        assert_eq!(
            worst_moment(port.addr(), origin.addr(), timeout).await,
            0,
            "after the advice"
        );
    }
}

#[tokio::test]
async fn what_it_advises_ends_502s_of_nginx_before_node() {
    let Some(nginx) = peers::require("nginx131") else {
        return;
    };
    advice_helps(&nginx, "nginx.conf", &["-c"], "nginx").await;
}

#[tokio::test]
async fn what_it_advises_ends_502s_of_haproxy_before_node() {
    let Some(haproxy) = peers::require("haproxy") else {
        return;
    };
    advice_helps(&haproxy, "haproxy.cfg", &["-db", "-f"], "haproxy").await;
}

/// Where nginx loses requests, keepline does not: Node tells its timeout, and keepline heeds it.
#[tokio::test]
async fn keepline_before_node_loses_nothing_even_without_advice() {
    let Some(program) = peers::require("node") else {
        return;
    };
    let origin = ReservedPort::new().expect("a port is free");
    let keepline = Path::new(KEEPLINE);
    let (_balancer, port, _scratch) =
        balancer(keepline, "nginx.conf", &["proxy", "-c"], &origin).await;
    // It tells a second; what it does is that, or since version 20 a second more.
    let _node = node(&program, &origin, "1000").await;
    for timeout in [1, 2] {
        let timeout = Duration::from_secs(timeout);
        assert_eq!(worst_moment(port.addr(), origin.addr(), timeout).await, 0);
    }
}

async fn start_gunicorn(program: &Path, port: &ReservedPort, keep_alive: &str) -> Process {
    let mut command = Command::new(program);
    command
        .current_dir(source("../probe"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(["-k", "gthread", "--threads", "16"]);
    command.args(["--keep-alive", keep_alive, "-b", &port.addr().to_string()]);
    command.arg("app:app");
    Process::serve(command, port.port()).await
}

/// The same with a way in between, so that requests meet the close on it. Gunicorn tells no timeout.
/// Answers how many requests were lost before the advice; none are after it.
async fn advice_helps_a_distant_gunicorn(
    program: &Path,
    args: &[&str],
    hop: &str,
) -> Option<usize> {
    let gunicorn = peers::require("gunicorn")?;
    let origin = ReservedPort::new().expect("a port is free");
    let way = ReservedPort::new().expect("a port is free");
    let way_there = relay(&way, origin.addr()).await;
    let (_balancer, port, _scratch) = balancer(program, "nginx.conf", args, &way).await;
    let short = start_gunicorn(&gunicorn, &origin, "2").await;
    let url = format!("gunicorn@http://{}/", way.addr());
    let ran = run(&["chain", "--json", "--budget", "9s", hop, &url]).await;
    let link = &ran.json()[0];
    assert_eq!(
        (ran.code(), &link["verdict"]),
        (1, &json!("inverted")),
        "{link}"
    );
    let timeout = link["server_idle"]["seconds"]
        .as_f64()
        .expect("it was measured");
    // Requests set out on connections that the server has closed already.
    let mut failed = ask_at_once(port.addr()).await;
    way_there.slow_news(true);
    until("the server to close idle connections", || {
        (way_there.late_news() > 0).then_some(())
    })
    .await;
    failed += ask_at_once(port.addr()).await;
    way_there.slow_news(false);
    // They are idle for as long again, and for longer than the server had waited.
    let worst = Duration::from_secs_f64(timeout) + ONE_WAY;

    // gunicorn --keep-alive 67: the way to it is longer than none.
    let setting = link["fixes"][0]["setting"]
        .as_str()
        .expect("gunicorn is known");
    let advised = setting.rsplit(' ').next().expect("it is a number");
    drop(short);
    let _long = start_gunicorn(&gunicorn, &origin, advised).await;
    // It listens before it answers.
    within("the server to answer", async {
        while ask_at_once(port.addr()).await > 0 {
            sleep(ONE_WAY).await;
        }
    })
    .await;
    way_there.slow_news(true);
    for _ in 0..2 {
        assert_eq!(ask_at_once(port.addr()).await, 0, "after the advice");
        sleep(worst).await;
    }
    assert_eq!(ask_at_once(port.addr()).await, 0, "after the advice");
    Some(failed)
}

#[tokio::test]
async fn what_it_advises_ends_502s_of_nginx_before_a_distant_gunicorn() {
    if let Some(nginx) = peers::require("nginx131") {
        let failed = advice_helps_a_distant_gunicorn(&nginx, &["-c"], "nginx").await;
        assert_ne!(failed, Some(0), "no failure could be provoked");
    }
}

/// What is not told has to be learned, and until then keepline loses what anybody would: a POST that
/// meets the close on its way. How many is not for a test to say: the first FIN that comes while a
/// connection is idle teaches it the timeout, and after that nothing is lost.
#[tokio::test]
async fn with_what_it_advises_keepline_loses_nothing_before_a_distant_gunicorn() {
    let keepline = Path::new(KEEPLINE);
    // The upstream's keepalive_timeout, which is nginx's.
    let hop = "keepline:client=60s";
    advice_helps_a_distant_gunicorn(keepline, &["proxy", "-c"], hop).await;
}

#[tokio::test]
async fn known_hops_need_no_server() {
    let ran = run(&["chain", "curl", "alb", "node"]).await;
    assert_eq!(ran.code(), 1, "{ran:?}");
    for part in [
        "curl  reuses for 118 s (verified)\n",
        "INVERTED: alb closes 58 s before curl stops reusing\n",
        "node  closes after 5 s to 6 s (verified)\n",
        "at node     server.keepAliveTimeout = 66000; server.headersTimeout = 67000\n",
        "at alb      idle_timeout.timeout_seconds = 4\n",
    ] {
        assert!(
            ran.stdout.contains(part),
            "{part:?} is missing:\n{}",
            ran.stdout
        );
    }
    let ran = run(&["chain", "--json", "nginx:client=30s", "gunicorn:server=75s"]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    let summary = ran.summary();
    assert_eq!(summary["inverted"], 0);
    assert_eq!(summary["links"][0]["verdict"], "holds");
    // Nothing that is known to be wrong.
    let ran = run(&["chain", "mine:server=5s", "node"]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.stdout
            .contains("unknown: for how long mine reuses is not known"),
        "{ran:?}"
    );
    assert!(
        run(&["chain", "--list"])
            .await
            .stdout
            .contains("gunicorn --keep-alive {s}")
    );
    for args in [
        &["chain"][..],
        &["chain", "node"],
        &["chain", "nonsense", "node"],
        &["chain", "node", "nginx:x=1s"],
    ] {
        let ran = run(args).await;
        assert_eq!((ran.code(), ran.stdout.as_str()), (2, ""), "{args:?}");
    }
}

/// What the documentation shows of hops that are known is what is printed.
#[tokio::test]
async fn the_documentation_shows_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (document, hops, after) in [
        ("README.md", &["alb", "node"][..], ""),
        (
            "docs/cookbook.md",
            &["alb", "node:server=66s"],
            " && echo deploy",
        ),
    ] {
        let text = std::fs::read_to_string(root.join(document)).expect("it is there");
        let command = format!("$ keepline chain {}{after}\n", hops.join(" "));
        let (_, shown) = text.split_once(&command).expect("it is shown");
        let shown = shown.split("```").next().expect("there is a first part");
        let ran = run(&[&["chain"], hops].concat()).await;
        let shown = shown.strip_suffix("deploy\n").unwrap_or(shown);
        assert_eq!(shown, ran.stdout, "{document}");
    }
}

#[tokio::test]
async fn a_server_that_was_not_seen_to_close_is_judged_by_what_was_seen() {
    let server = crate::binary::Served::start(&[]).await;
    let url = server.url("/");
    let args = ["chain", "--json", "--budget", "7s"];
    for (client, verdict) in [("mine:client=2s", "holds"), ("mine:client=60s", "unknown")] {
        let mut args = args.to_vec();
        args.extend([client, &url]);
        let ran = run(&args).await;
        let link: &Value = &ran.json()[0];
        assert_eq!(
            (link["verdict"].as_str(), ran.code()),
            (Some(verdict), 0),
            "{link}"
        );
    }
}
