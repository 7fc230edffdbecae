//! Attacks in HTTP/1.1, and by connections that speak nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Between two bytes of those that dribble.
const DRIBBLE: Duration = Duration::from_millis(100);

pub(super) async fn connect(port: u16) -> TcpStream {
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let connecting = TcpStream::connect(addr).await;
    connecting.expect("the server accepts, attacked or not")
}

/// Reads until the server closes, in whatever way.
pub(super) async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut thrown_away = vec![0; 4096];
    while let Ok(1..) = stream.read(&mut thrown_away).await {}
}

/// Sends `beginning`, and then `piece` again and again until the server closes.
async fn go_on(port: u16, beginning: &[u8], piece: &[u8], pause: Option<Duration>) {
    let mut stream = connect(port).await;
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        let mut sent = writer.write_all(beginning).await;
        while sent.is_ok() {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => tokio::task::yield_now().await,
            }
            sent = writer.write_all(piece).await;
        }
    };
    tokio::select! {
        () = until_closed(&mut reader) => {}
        () = sending => {}
    }
}

/// A head that never ends, a byte at a time.
pub(super) async fn slow_loris(port: u16) {
    let beginning = b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ";
    go_on(port, beginning, b"a", Some(DRIBBLE)).await;
}

/// A large answer of which nothing is read.
pub(super) async fn slow_read(port: u16) {
    let mut stream = connect(port).await;
    let asked = stream.write_all(b"GET /bytes/1000000000 HTTP/1.1\r\nhost: x\r\n\r\n");
    let _ = asked.await;
    until_error(&stream).await;
}

/// Requests without an end, and no look at the answers.
pub(super) async fn pipeline_without_reading(port: u16) {
    let mut stream = connect(port).await;
    let batch = "GET /bytes/10000 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    while stream.write_all(batch.as_bytes()).await.is_ok() {}
}

/// Waits for a reset: an orderly end stands behind what is not read.
async fn until_error(stream: &TcpStream) {
    let _ = stream.ready(tokio::io::Interest::ERROR).await;
}

/// An upload that is announced and never comes.
pub(super) async fn silent_post(port: u16) {
    let mut stream = connect(port).await;
    let head = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    let _ = stream.write_all(head).await;
    until_closed(&mut stream).await;
}

/// An upload of a byte now and then.
pub(super) async fn slow_post(port: u16) {
    let head = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    go_on(port, head, b"a", Some(DRIBBLE)).await;
}

pub(super) async fn say_nothing(port: u16) {
    let mut stream = connect(port).await;
    until_closed(&mut stream).await;
}

/// One request, and then nothing.
pub(super) async fn idle(port: u16) {
    let mut stream = connect(port).await;
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until_closed(&mut stream).await;
}

/// Fields without an end, as fast as they are taken.
pub(super) async fn endless_head(port: u16) {
    let field = format!("x-{}: {}\r\n", "a".repeat(100), "b".repeat(8000));
    let beginning = b"GET / HTTP/1.1\r\nhost: x\r\n";
    go_on(port, beginning, field.as_bytes(), None).await;
}

/// Content that is nearly all chunk extension.
pub(super) async fn chunk_extensions(port: u16) {
    let head = b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("1;{}\r\na\r\n", "e".repeat(3000));
    go_on(port, head, chunk.as_bytes(), None).await;
}
