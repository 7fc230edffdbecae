//! Pipelining: requests that share a connection before they are answered.

mod cancel;
mod cut;
mod held_up;
mod learning;
mod limits;
mod order;
mod readers;
mod stress;

use keepline::client::TransportBuilder;
use keepline::{CloseReason, ConnectionInfo, Error, Transport};
use keepline_testkit::within;
use tokio::task::JoinHandle;

use super::support::{Far, Pipes, exchange, get, ok, request, stats};

type Asked = JoinHandle<Result<(String, ConnectionInfo), Error>>;

/// Asks for a path, in a task; the answer is what the server makes of that path.
fn ask(transport: &Transport, path: &str) -> Asked {
    let (transport, asked) = (transport.clone(), get(&format!("http://a/{path}")));
    tokio::spawn(async move { exchange(&transport, asked).await })
}

/// Asks for several paths, one after the other but all at once.
fn ask_all<'a>(transport: &Transport, paths: impl IntoIterator<Item = &'a str>) -> Vec<Asked> {
    paths.into_iter().map(|path| ask(transport, path)).collect()
}

async fn answered(asked: Asked) -> Result<(String, ConnectionInfo), Error> {
    within("an answer", asked).await.unwrap()
}

/// What came of several requests: the text, or `!` for an error.
async fn texts(asked: Vec<Asked>) -> Vec<String> {
    let mut texts = Vec::new();
    for asked in asked {
        texts.push(answered(asked).await.map_or_else(|_| "!".into(), |x| x.0));
    }
    texts
}

/// Reads a request, and answers which path it asks for.
async fn path(far: &mut Far) -> String {
    let head = far.read_head().await;
    let target = head.split(' ').nth(1).expect("a request line");
    target.trim_start_matches('/').to_owned()
}

/// Reads so many requests, and answers their paths.
async fn paths(far: &mut Far, count: usize) -> Vec<String> {
    let mut paths = Vec::new();
    for _ in 0..count {
        paths.push(path(far).await);
    }
    paths
}

/// Answers each of these paths with itself, all in one piece.
fn tokens<S: AsRef<str>>(paths: &[S]) -> String {
    paths.iter().map(|path| ok(path.as_ref())).collect()
}

/// Answers so many requests, one by one, with their paths.
async fn serve(far: &mut Far, count: usize) {
    for _ in 0..count {
        let path = path(far).await;
        far.send(ok(&path)).await;
    }
}

/// A Transport that pipelines so deep and knows that the server bears it, and its one connection,
/// which is idle.
async fn trusting(depth: usize) -> (Transport, Pipes, Far) {
    trusting_with(depth, |builder| builder).await
}

async fn trusting_with(
    depth: usize,
    settings: impl FnOnce(TransportBuilder) -> TransportBuilder,
) -> (Transport, Pipes, Far) {
    let (builder, mut pipes) = Pipes::new(1 << 16);
    // Paused time passes while nothing but a timer is left: idle connections would expire.
    let transport = settings(builder.pipeline(depth).idle_timeout(None))
        .build()
        .unwrap();
    // The rest of the first two waits for the trial; a deeper pipeline would dial otherwise.
    let asked = ask_all(&transport, ["1", "2"]);
    let mut far = pipes.accept().await;
    serve(&mut far, 1).await;
    let more = ask(&transport, "3");
    assert_eq!(paths(&mut far, 2).await, ["2", "3"]);
    far.send(tokens(&["2", "3"])).await;
    assert_eq!(texts(asked).await, ["1", "2"]);
    assert_eq!(answered(more).await.unwrap().0, "3");
    super::support::until_idle(&transport, 1).await;
    assert_eq!(stats(&transport).pipelined, 1);
    (transport, pipes, far)
}

/// Nothing is left of anything, once the pool is shut down.
async fn leaves_nothing(transport: &Transport) {
    within("the shutdown", transport.shutdown()).await;
    let stats = stats(transport);
    assert_eq!(
        (stats.open(), stats.dialling, stats.waiting),
        (0, 0, 0),
        "{stats:?}"
    );
}

/// How many connections have been closed for a reason.
fn closed_for(transport: &Transport, reason: CloseReason) -> u64 {
    let closed = stats(transport).closed;
    closed.iter().find(|x| x.0 == reason).map_or(0, |x| x.1)
}

/// A request that is no GET.
fn post(path: &str) -> http::Request<keepline::Body> {
    request("POST", &format!("http://a/{path}"), "content")
}
