//! A way that takes time, between two programs of this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keepline_testkit::sockets::ReservedPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// The time that bytes take.
pub(crate) const ONE_WAY: Duration = Duration::from_millis(30);

/// A way that takes time: what comes in at one end goes out at the other a little later, and back.
pub(crate) struct Way {
    carrying: JoinHandle<()>,
    /// The news that the far end has closed an idle connection takes until a request has set out.
    news_is_slow: watch::Sender<bool>,
    /// Such news that is on its way.
    late_news: Arc<AtomicUsize>,
}

impl Way {
    /// From now on the news of a close and a request always meet on the way, as they do now and then on
    /// any; or not any more.
    pub(crate) fn slow_news(&self, is_slow: bool) {
        self.news_is_slow.send_replace(is_slow);
    }

    /// How many closes by the far end the near end does not know of yet.
    pub(crate) fn late_news(&self) -> usize {
        self.late_news.load(Ordering::Relaxed)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

/// A way from `from` to `to`.
pub(crate) async fn relay(from: &ReservedPort, to: SocketAddr) -> Way {
    let listener = TcpListener::bind(from.addr()).await.expect("it is ours");
    let (news_is_slow, is_slow) = watch::channel(false);
    let late_news = Arc::new(AtomicUsize::new(0));
    let late = Arc::clone(&late_news);
    let carrying = tokio::spawn(async move {
        let mut ways = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(to).await else {
                continue;
            };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            let (set_out, sent) = watch::channel(0);
            ways.spawn(requests(near_in, far_out, set_out));
            ways.spawn(answers(
                far_in,
                near_out,
                sent,
                is_slow.clone(),
                late.clone(),
            ));
        }
    });
    Way {
        carrying,
        news_is_slow,
        late_news,
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, set_out: watch::Sender<u64>) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        set_out.send_modify(|count| *count += 1);
        sleep(ONE_WAY).await;
        // The end is passed on like anything else, by dropping the half.
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut sent: watch::Receiver<u64>,
    mut is_slow: watch::Receiver<bool>,
    late_news: Arc<AtomicUsize>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        if read == 0 && *is_slow.borrow() {
            sent.mark_unchanged();
            late_news.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                _ = sent.changed() => {}
                _ = is_slow.wait_for(|is_slow| !is_slow) => {}
            }
            late_news.fetch_sub(1, Ordering::Relaxed);
        }
        sleep(ONE_WAY).await;
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
