//! The content of a response as it arrives on a stream, while the rest of the request goes out.
//!
//! The permit is given up before the reader sees the end, so that a reader who asks again at once
//! has a stream. Dropped early, the stream is reset and the session goes on: nothing is drained.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::exchange::{Exchange, Upload, declared};
use crate::error::{Error, ErrorKind};
use crate::http2::{RecvBody, RecvLimits};

/// The content of a response.
pub(super) struct StreamBody {
    /// `None` once the stream is over.
    open: Option<Open>,
    /// After its end: what was not known to be the end before.
    is_over: bool,
}

struct Open {
    body: RecvBody,
    upload: Option<Upload>,
    /// Dropped last: the stream is over before it is given up.
    exchange: Exchange,
}

impl StreamBody {
    pub(super) fn new(
        exchange: Exchange,
        recv: RecvStream,
        upload: Option<Upload>,
        fields: &HeaderMap,
    ) -> Self {
        let limits = RecvLimits {
            timeout: None,
            max: None,
        };
        Self {
            open: Some(Open {
                body: RecvBody::new(recv, limits, declared(fields)),
                upload,
                exchange,
            }),
            is_over: false,
        }
    }
}

impl Open {
    /// Moves the rest of the request. What happens to the stream, its reader learns from the stream;
    /// the failure of the request's own body is told here.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        let Poll::Ready(outcome) = upload.as_mut().poll(cx) else {
            return Ok(());
        };
        self.upload = None;
        match outcome {
            Err(error) if !matches!(error.kind(), ErrorKind::Http2 | ErrorKind::Io) => Err(error),
            _ => Ok(()),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Err(error) = self.poll_upload(cx) {
            return Poll::Ready(Some(Err(self.exchange.describe(error))));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(self.exchange.describe(error)))),
            None => return Poll::Ready(None),
        };
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            self.exchange
                .counted
                .read
                .fetch_add(length, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(open) = &mut self.open else {
            return Poll::Ready(None);
        };
        let frame = ready!(open.poll_frame(cx));
        let goes_on = matches!(frame, Some(Ok(_))) && !open.body.is_end_stream();
        if !goes_on {
            self.open = None;
            self.is_over = true;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
            || self
                .open
                .as_ref()
                .is_none_or(|open| open.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.open
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |open| open.body.size_hint())
    }
}
