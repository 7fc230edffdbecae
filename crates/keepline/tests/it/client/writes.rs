//! How many system calls a request costs: one write.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::{io, io::IoSlice};

use keepline::net::Stream;
use keepline::{Body, Transport};
use keepline_testkit::RawClient;
use keepline_testkit::stream::{DuplexStream, duplex};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::support::{exchange, ok, request};

/// A stream that counts the writes to it, and takes whatever is written.
struct Counting {
    pipe: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.pipe).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.pipe).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.pipe.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_head_and_its_content_leave_in_one_write() {
    let (far_ends, mut pipes) = mpsc::unbounded_channel();
    let writes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&writes);
    let transport = Transport::builder()
        .connector(move |_| {
            let (pipe, far) = duplex(1 << 16);
            far_ends.send(far).expect("the test waits for it");
            let writes = Arc::clone(&count);
            async move { Ok(Stream::new(Counting { pipe, writes })) }
        })
        .build()
        .unwrap();
    let mut far = None;
    for (method, length) in [("GET", 0), ("PUT", 5), ("PUT", 16 * 1024), ("PUT", 20_000)] {
        let before = writes.load(Ordering::Relaxed);
        let content = match length {
            0 => Body::empty(),
            length => vec![b'x'; length].into(),
        };
        let transport = transport.clone();
        let asked = tokio::spawn(async move {
            exchange(&transport, request(method, "http://a/", content)).await
        });
        let mut server = match far.take() {
            Some(server) => server,
            None => RawClient::over(pipes.recv().await.unwrap()),
        };
        server.read_head().await;
        server.read_exactly(length).await;
        server.send(ok("x")).await;
        asked.await.unwrap().unwrap();
        let made = writes.load(Ordering::Relaxed) - before;
        assert_eq!(made, 1, "{method} with {length} bytes");
        far = Some(server);
    }
}
