//! How far a request is can be asked at any moment.

use keepline::client::Progress;
use keepline::{Body, Phase, Transport};
use keepline_testkit::peer::{Peer, Script};
use keepline_testkit::{Gate, until, within};
use tokio::task::JoinHandle;

use super::support::{answer, chunked, get, ok, request, text, until_waiting};

type Asked = JoinHandle<Result<http::Response<Body>, keepline::Error>>;

fn watched(transport: &Transport, mut request: http::Request<Body>) -> (Progress, Asked) {
    let progress = Progress::default();
    request.extensions_mut().insert(progress.clone());
    let transport = transport.clone();
    let asked = tokio::spawn(async move { transport.send(request).await });
    (progress, asked)
}

async fn is_in(progress: &Progress, phase: Phase) {
    until(format!("{phase:?}"), || {
        (progress.phase() == phase).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_phase_of_a_request_is_told() {
    let gate = Gate::new("the answer");
    let script = Script::new().expect_head().wait_for(&gate).send(ok("x"));
    let peer = Peer::start(script.hold());
    let opened = Gate::new("a socket");
    let transport = Transport::builder().connector({
        let (opened, addr) = (opened.clone(), peer.addr());
        move |_| {
            let opened = opened.clone();
            async move {
                opened.opened().await;
                Ok(tokio::net::TcpStream::connect(addr).await?.into())
            }
        }
    });
    let transport = transport.max_connections_per_key(1).build().unwrap();
    assert_eq!(Progress::default().phase(), Phase::Acquire);
    let (first, answered) = watched(&transport, get("http://a/"));
    is_in(&first, Phase::Connect).await;
    // It has no dial of its own, and waits for that one all the same.
    let (second, waiting) = watched(&transport, get("http://a/"));
    until_waiting(&transport, 2).await;
    assert_eq!(second.phase(), Phase::Connect);
    opened.open();
    is_in(&first, Phase::Head).await;
    assert_eq!(second.phase(), Phase::Acquire);
    gate.open();
    let response = within("a response", answered).await.unwrap().unwrap();
    assert_eq!(first.phase(), Phase::Body);
    assert_eq!(text(response.into_body()).await.unwrap(), "x");
    is_in(&second, Phase::Head).await;
    waiting.abort();
}

#[tokio::test]
async fn a_request_that_nobody_takes_is_being_written() {
    // Nobody accepts: what the kernel does not take stays here.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let transport = Transport::default();
    let large = vec![0; 16 << 20];
    let (progress, asked) = watched(&transport, request("POST", &url, large));
    is_in(&progress, Phase::Write).await;
    assert!(!asked.is_finished());
}

#[tokio::test]
async fn a_pipelined_request_tells_its_phase_too() {
    let gate = Gate::new("the answer");
    let script = answer(chunked("x")).expect_head().wait_for(&gate);
    let peer = Peer::start(script.send(ok("y")).hold());
    let transport = Transport::builder().pipeline(4).build().unwrap();
    let (_, first) = watched(&transport, get(&peer.url("/")));
    first.await.unwrap().unwrap();
    let (progress, second) = watched(&transport, get(&peer.url("/")));
    is_in(&progress, Phase::Head).await;
    gate.open();
    second.await.unwrap().unwrap();
    assert_eq!(progress.phase(), Phase::Body);
}
