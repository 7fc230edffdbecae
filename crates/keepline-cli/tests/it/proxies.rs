//! `get -x`: through proxies of every kind, and who is blamed when that fails.

use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::sockets::ReservedPort;
use keepline_testkit::{Process, peers};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::binary::{Counted, Ran, Served, run};
use crate::failures::fails;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn answers(response: &str) -> Script {
    Script::new().expect_head().send(response)
}

/// Runs `get --json` with so many requests, which all have to be well.
async fn get(args: &[&str]) -> Ran {
    let ran = run(&[&["get", "--json"], args].concat()).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    ran
}

/// A proxy that opens every tunnel it is asked for, and how many it has opened is for the kernel to
/// tell.
async fn tunnels() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(tunnel(near));
        }
    });
    port
}

async fn tunnel(mut near: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(near.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let far = head.split(' ').nth(1).unwrap();
    let mut far = TcpStream::connect(far).await.unwrap();
    near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}

#[tokio::test]
async fn plain_urls_are_asked_of_the_proxy_in_absolute_form_on_one_connection() {
    let proxy = Peer::start(Script::new().repeat_forever(answers(OK)));
    let flag = format!("http://me:secret@{}", proxy.addr());
    let urls = ["http://a.test/x", "http://b.test:81/"];
    let ran = get(&["-n", "4", "-x", &flag, urls[0], urls[1]]).await;
    assert_eq!(ran.summary()["opened"], json!({"first": 1}));
    let heads = proxy.heads(0);
    assert_eq!(heads.len(), 4);
    for (head, line) in heads.iter().zip([
        "GET http://a.test/x HTTP/1.1\r\nhost: a.test\r\n",
        "GET http://b.test:81/ HTTP/1.1\r\nhost: b.test:81\r\n",
    ]) {
        assert!(head.starts_with(line), "{head}");
        let basic = "\r\nproxy-authorization: Basic bWU6c2VjcmV0\r\n";
        assert!(head.contains(basic), "{head}");
    }
}

#[tokio::test]
async fn https_goes_through_tunnels_that_are_reused() {
    let server = Served::start(&["--tls-self-signed"]).await;
    let port = tunnels().await;
    let proxy = format!("http://127.0.0.1:{port}");
    let url = server.url("/lines/100");
    for (version, flags) in [("HTTP/2", &[][..]), ("HTTP/1.1", &["--http1"])] {
        let counted = Counted::start(port);
        let args = [&["-k", "-n", "5", "-x", &proxy, &url], flags].concat();
        let ran = get(&args).await;
        assert_eq!(ran.summary()["opened"], json!({"first": 1}), "{ran:?}");
        assert_eq!(ran.json()[0]["version"], version);
        assert_eq!(ran.json()[4]["bytes"], 3200);
        counted.assert(1).await;
    }
}

#[tokio::test]
async fn the_environment_is_asked_unless_a_flag_says_otherwise() {
    let proxy = Peer::start(Script::new().repeat_forever(answers(OK)));
    let url = format!("http://{}", proxy.addr());
    let ask = async |flags: &[&str], no_proxy: &str| {
        let mut command = tokio::process::Command::new(crate::binary::KEEPLINE);
        command.args(["get"]).args(flags).arg("http://a.invalid/");
        command.env("HTTP_PROXY", &url).env("NO_PROXY", no_proxy);
        crate::binary::finish(command).await.code()
    };
    assert_eq!(ask(&[], "").await, 0);
    assert_eq!(ask(&["-x", ""], "").await, 1);
    assert_eq!(ask(&[], ".invalid").await, 1);
    assert_eq!(proxy.accepted(), 1);
}

/// A SOCKS5 proxy that is then the origin itself. RFC 1928 §4: a name of six letters, port 80.
#[tokio::test]
async fn names_go_to_a_socks_proxy_or_are_resolved_here_as_the_scheme_says() {
    let greeted = || Script::new().read_exactly(3).send(b"\x05\x00");
    let granted = b"\x05\x00\x00\x01\0\0\0\0\0\0";
    let by_name = greeted().expect(b"\x05\x01\x00\x03\x06a.test\x00\x50");
    let by_address = greeted().expect(b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50");
    for (scheme, script, url) in [
        ("socks5h", by_name, "http://a.test/"),
        ("socks5", by_address, "http://127.0.0.1:80/"),
    ] {
        let proxy = Peer::start(script.send(granted).repeat_forever(answers(OK)));
        let flag = format!("{scheme}://{}", proxy.addr());
        let ran = get(&["-n", "3", "-x", &flag, url]).await;
        assert_eq!(ran.summary()["opened"], json!({"first": 1}), "{ran:?}");
    }
}

#[tokio::test]
async fn microsocks_with_and_without_credentials() {
    let Some(microsocks) = peers::require("microsocks") else {
        return;
    };
    let start = async |more: &[&str]| {
        let port = ReservedPort::new().unwrap();
        let mut command = std::process::Command::new(&microsocks);
        command.args(["-i", "127.0.0.1", "-p", &port.port().to_string()]);
        command.args(more);
        (Process::serve(command, port.port()).await, port)
    };
    let (_open, open) = start(&[]).await;
    let (_closed, closed) = start(&["-u", "me", "-P", "secret"]).await;
    let plain = Served::start(&[]).await;
    let secure = Served::start(&["--tls-self-signed"]).await;
    for scheme in ["socks5", "socks5h"] {
        for proxy in [
            format!("{scheme}://{}", open.addr()),
            format!("{scheme}://me:secret@{}", closed.addr()),
        ] {
            for url in [plain.url("/"), secure.url("/")] {
                let ran = get(&["-k", "-n", "3", "-x", &proxy, &url]).await;
                assert_eq!(ran.summary()["opened"], json!({"first": 1}), "{ran:?}");
            }
        }
        for proxy in [
            format!("{scheme}://{}", closed.addr()),
            format!("{scheme}://me:wrong@{}", closed.addr()),
        ] {
            let expected = ["fault: the proxy's", "USER:PASSWORD"];
            fails(&["-x", &proxy, &plain.url("/")], &expected).await;
        }
    }
}

/// How it is spoken to, what it does, what is said of it, and what its fault is.
type Refusal = (&'static str, Script, &'static str, &'static str);

fn refusals_by_http() -> Vec<Refusal> {
    let head = |line: &str| {
        let head = format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n");
        answers(&head).hold()
    };
    vec![
        (
            "http",
            head("407 Proxy Authentication Required"),
            "it answered 407",
            "wants credentials",
        ),
        (
            "http",
            head("302 Found"),
            "it answered 302 Found",
            "does not let us through",
        ),
        (
            "http",
            head("403 Forbidden"),
            "it answered 403",
            "does not let us through",
        ),
        (
            "http",
            answers("SSH-2.0-x\r\n").hold(),
            "not an HTTP/1.x",
            "is it a proxy?",
        ),
        (
            "http",
            Script::new().expect_head().close(),
            "closed without",
            "is it a proxy?",
        ),
        (
            "http",
            Script::new().expect_head().hold(),
            "timed out waiting",
            "opened no tunnel in time",
        ),
        (
            "https",
            Script::new().hold(),
            "timed out in the TLS",
            "TLS was not agreed on",
        ),
    ]
}

fn refusals_by_socks() -> Vec<Refusal> {
    let no_methods = Script::new().read_exactly(3).send(b"\x05\xff").hold();
    let no_socks = Script::new().read_exactly(3).send(OK).hold();
    let not_allowed = Script::new().read_exactly(3).send(b"\x05\x00");
    let not_allowed = not_allowed
        .read_exactly(13)
        .send(b"\x05\x02\x00\x01\0\0\0\0\0\0")
        .close();
    vec![
        (
            "socks5h",
            no_methods,
            "wants credentials",
            "wants credentials",
        ),
        ("socks5h", not_allowed, "reply 2", "does not let us through"),
        ("socks5h", no_socks, "no SOCKS5", "is it a proxy?"),
        (
            "socks5",
            Script::new().hold(),
            "timed out waiting",
            "opened no tunnel in time",
        ),
    ]
}

/// What a proxy does wrong is the proxy's fault, and is told with its name.
#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_blamed() {
    let refusals = refusals_by_http().into_iter().chain(refusals_by_socks());
    for (scheme, script, said, fault) in refusals {
        let peer = Peer::start(script);
        let proxy = format!("{scheme}://{}", peer.addr());
        let named = format!("proxy {proxy}");
        let times = if said.starts_with("timed out") {
            &["--tunnel-timeout", "200ms", "--tls-timeout", "200ms"][..]
        } else {
            &[]
        };
        // A server that socks5 resolves here, and that is never asked.
        let url = if scheme == "socks5" {
            "https://127.0.0.1/"
        } else {
            "https://a.test/"
        };
        let args = [times, &["-x", &proxy, url]].concat();
        let ran = fails(&args, &[&named, said, fault, "fault: the proxy's"]).await;
        assert_eq!(peer.accepted(), 1, "{ran:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_not_who_it_should_be_is_blamed() {
    let reserved = ReservedPort::new().unwrap();
    let place = reserved.addr().to_string();
    for scheme in ["http", "https", "socks5h"] {
        let proxy = format!("{scheme}://{place}");
        for url in ["http://a.test/", "https://a.test/"] {
            let fault = format!("fault: the proxy's: nothing listens at {place}");
            fails(
                &["-x", &proxy, url],
                &[&fault, "is the proxy running", "-x ''"],
            )
            .await;
        }
    }
    let fault = "fault: the proxy's name's: no address is known for 'proxy.invalid'";
    fails(
        &["-x", "http://proxy.invalid:1", "http://a.test/"],
        &[fault],
    )
    .await;
    let own = Served::start(&["--tls-self-signed"]).await;
    let proxy = own.url("");
    for url in ["http://a.test/", "https://a.test/"] {
        let fault = "fault: the proxy's certificate is signed by nobody";
        fails(&["-x", &proxy, url], &[fault, "--cacert"]).await;
    }
}

/// Behind an open tunnel it is the origin that fails.
#[tokio::test]
async fn an_origin_behind_a_proxy_is_blamed_for_its_own_faults() {
    let port = tunnels().await;
    let proxy = format!("http://127.0.0.1:{port}");
    let server = Served::start(&["--tls-self-signed"]).await;
    let fault = "fault: the server's certificate is signed by nobody";
    fails(&["-x", &proxy, &server.url("/")], &[fault]).await;
}
