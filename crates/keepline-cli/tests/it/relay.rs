//! A way that takes time, between two programs of this machine.

use std::net::SocketAddr;
use std::time::Duration;

use keepline_testkit::sockets::ReservedPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The time that bytes take.
pub(crate) const ONE_WAY: Duration = Duration::from_millis(30);

/// A way that takes time: what comes in at `from` goes out to `to` a little later, and back.
pub(crate) async fn relay(from: &ReservedPort, to: SocketAddr) -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind(from.addr()).await.expect("it is ours");
    tokio::spawn(async move {
        let mut ways = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(to).await else {
                continue;
            };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            ways.spawn(delay(near_in, far_out));
            ways.spawn(delay(far_in, near_out));
        }
    })
}

async fn delay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        sleep(ONE_WAY).await;
        // The end is passed on like anything else, by dropping the half.
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
