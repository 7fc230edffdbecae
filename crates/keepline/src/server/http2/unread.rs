//! The content of a request that its service has not read when the answer is out.
//!
//! A stream that is dropped then is reset with `NO_ERROR` (RFC 9113 §8.1), and the client is to keep
//! the answer. Some don't: curl 7.88 takes the reset for a failure if it finds it before it has read
//! the answer. So the rest is read first, within the limits that hold for HTTP/1.1 too; only what
//! is beyond them is reset.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::error::Error;
use crate::http2::RecvBody;
use crate::server::terms::Drain;

/// Where content goes that its reader drops before its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<Mutex<Option<RecvBody>>>);

/// Content on its way to the service.
#[derive(Debug)]
pub(super) struct Received {
    /// `None` only while it is dropped.
    body: Option<RecvBody>,
    unread: Unread,
}

impl Unread {
    /// The content as the service gets it.
    pub(super) fn of(&self, body: RecvBody) -> Received {
        Received {
            body: Some(body),
            unread: self.clone(),
        }
    }

    fn take(&self) -> Option<RecvBody> {
        let mut unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unread.take()
    }

    /// Reads what the service has left, unless that is more than is drained, or takes longer.
    pub(super) async fn drain(&self, limits: Drain) {
        if let Some(body) = self.take() {
            let _ = tokio::time::timeout(limits.time, discard(body, limits)).await;
        }
    }
}

async fn discard(mut body: RecvBody, limits: Drain) {
    let mut read = 0;
    while read + body.size_hint().lower() <= limits.bytes {
        let next = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let next = tokio::time::timeout(limits.timeout, next).await;
        let Ok(Some(Ok(frame))) = next else {
            return;
        };
        read += frame.data_ref().map_or(0, |piece| piece.len() as u64);
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let known = self.body.as_ref().map(HttpBody::size_hint);
        known.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.is_end_stream() {
            return;
        }
        let mut unread = self.unread.0.lock().unwrap_or_else(PoisonError::into_inner);
        *unread = self.body.take();
    }
}
