//! After 101 (Switching Protocols): bytes both ways, until either side ends.
//!
//! nginx's rules: the end of either side, once what it said has been passed on, ends both; there is no
//! half-close. `proxy_read_timeout` is how long nothing may move.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use keepline::Error;
use keepline::client;
use keepline::proto::forward::{Forward, forwardable};
use keepline::proto::{BodyLength, Field, ResponseHead, StatusLine};
use keepline::upgrade::Upgraded;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Serving;

/// What one direction holds at most.
const ROOM: usize = 16 * 1024;

/// Bytes on their way in one direction.
struct Flow {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    moved: u64,
}

impl Flow {
    fn new() -> Self {
        Self {
            buffer: vec![0; ROOM].into(),
            start: 0,
            end: 0,
            moved: 0,
        }
    }

    /// Passes on what comes. Ready with the end of what `from` says, all of it passed on.
    fn poll(
        &mut self,
        from: &mut Upgraded,
        to: &mut Upgraded,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.start < self.end {
                let bytes = &self.buffer[self.start..self.end];
                let written = ready!(Pin::new(&mut *to).poll_write(cx, bytes))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += written;
                self.moved += written as u64;
            }
            let mut room = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *from).poll_read(cx, &mut room) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    // TLS may still hold what was written.
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
            (self.start, self.end) = (0, room.filled().len());
            if self.end == 0 {
                return Pin::new(&mut *to).poll_flush(cx);
            }
        }
    }
}

impl Serving<'_, '_, '_> {
    /// Passes the switch of protocols on, and then whatever both sides say.
    pub(super) async fn tunnel(
        &mut self,
        from: client::Exchange,
        head: ResponseHead,
    ) -> Result<(), Error> {
        self.request.sent.status = 101;
        self.send_switch(&head)?;
        self.request.answer = Some(head);
        self.note_exchange(&from, 0);
        let mut upstream = from.upgrade();
        let mut client = self.exchange.upgrade().await?;
        let (mut down, mut up) = (Flow::new(), Flow::new());
        let limit = self.request.scope.proxy.read_timeout;
        self.patience.set(Some(limit));
        poll_fn(|cx| {
            let before = down.moved + up.moved;
            let ended = down.poll(&mut upstream, &mut client, cx).is_ready()
                || up.poll(&mut client, &mut upstream, cx).is_ready();
            if ended {
                return Poll::Ready(());
            }
            if down.moved + up.moved != before {
                self.patience.set(Some(limit));
            }
            self.patience.poll(cx)
        })
        .await;
        self.request.sent.content = down.moved;
        self.request.sent.is_complete = true;
        for stream in [&mut client, &mut upstream] {
            // What cannot be said at once is not worth waiting for: the sockets close.
            let closing = poll_fn(|cx| {
                let _ = Pin::new(&mut *stream).poll_shutdown(cx);
                Poll::Ready(())
            });
            closing.await;
        }
        Ok(())
    }

    fn send_switch(&mut self, head: &ResponseHead) -> Result<(), Error> {
        let own = [
            Field::new(b"Server", self.server_field().as_bytes())?,
            Field::new(b"Connection", b"upgrade")?,
        ];
        let passed = head.fields().iter().filter(|field| {
            field.is("upgrade")
                || (forwardable(*field, head.fields()) == Forward::Yes
                    && !field.is("server")
                    && !field.is("date"))
        });
        let line = StatusLine {
            status: StatusCode::SWITCHING_PROTOCOLS,
            reason: Some(head.reason()),
        };
        let fields = own.into_iter().chain(passed);
        self.exchange.send_head(line, fields, BodyLength::Known(0))
    }
}
