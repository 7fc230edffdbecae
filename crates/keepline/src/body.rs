//! The body of a request or response, on both sides.
//!
//! A [`Body`] is empty, a piece of memory, a factory that makes the body anew for each attempt, or
//! a stream. The difference matters to the client's retry: the first three can be sent again, a
//! stream only while nobody has polled it. Bodies that arrive are streams.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use keepline_proto::BodyLength;

use crate::error::{BoxError, Error, ErrorKind};

/// The body of a request or response.
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Factory(Arc<dyn Fn() -> Body + Send + Sync>),
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = Error> + Send>>),
}

impl Body {
    /// A body without content.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A body made anew for each attempt to send it, so that a request can be retried however
    /// large its content is (Go: `Request.GetBody`).
    pub fn from_factory(factory: impl Fn() -> Self + Send + Sync + 'static) -> Self {
        Self(Kind::Factory(Arc::new(factory)))
    }

    /// Wraps any body. One of this type is taken as it is.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        // A `Body` inside a `Body` would lose that it can be replayed.
        let mut body = Some(body);
        if let Some(own) = (&mut body as &mut dyn std::any::Any).downcast_mut::<Option<Self>>() {
            return own.take().unwrap_or_default();
        }
        match body {
            Some(body) if body.is_end_stream() => Self::empty(),
            Some(body) => Self::foreign(body, ErrorKind::Body),
            None => Self::empty(),
        }
    }

    /// A body made of one that has been received; what of it fails by itself is the content.
    #[cfg(feature = "compression")]
    pub(crate) fn received<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::foreign(body, ErrorKind::Content)
    }

    fn foreign<B>(body: B, failure: ErrorKind) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Stream(Box::pin(Foreign { body, failure })))
    }

    /// A stream whose errors are ours already.
    pub(crate) fn stream(
        body: impl HttpBody<Data = Bytes, Error = Error> + Send + 'static,
    ) -> Self {
        Self(Kind::Stream(Box::pin(body)))
    }

    /// The whole content, at most `limit` bytes of it.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] above the limit; the rest is dropped as any unread body is. And
    /// whatever error ends the body.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        let mut first: Option<Bytes> = None;
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await
        {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let length = first.as_ref().map_or(whole.len(), Bytes::len);
            if length + data.len() > limit {
                return Err(Error::new(ErrorKind::TooLarge));
            }
            match first.take() {
                // Most bodies are one piece: it need not be copied.
                None if whole.is_empty() => first = Some(data),
                None => whole.extend_from_slice(&data),
                Some(piece) => {
                    whole.extend_from_slice(&piece);
                    whole.extend_from_slice(&data);
                }
            }
        }
        Ok(first.unwrap_or_else(|| whole.freeze()))
    }

    /// The content, if it lies in memory.
    pub(crate) fn in_memory(&self) -> Option<Bytes> {
        match &self.0 {
            Kind::Empty => Some(Bytes::new()),
            Kind::Full(bytes) => Some(bytes.clone()),
            Kind::Factory(_) | Kind::Stream(_) => None,
        }
    }

    /// The whole content as text, at most `limit` bytes of it.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes); and content that is not UTF-8, as [`ErrorKind::Content`].
    pub async fn text(self, limit: usize) -> Result<String, Error> {
        let bytes = self.bytes(limit).await?;
        String::from_utf8(bytes.into()).map_err(|error| Error::caused(ErrorKind::Content, error))
    }

    /// The whole content, at most `limit` bytes of it, read as JSON.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes); and content that is not this, as [`ErrorKind::Content`].
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(self, limit: usize) -> Result<T, Error> {
        let bytes = self.bytes(limit).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::caused(ErrorKind::Content, error))
    }

    /// The body for another attempt, if it can be made again.
    pub(crate) fn replay(&self) -> Option<Self> {
        match &self.0 {
            Kind::Empty => Some(Self::empty()),
            Kind::Full(bytes) => Some(Self(Kind::Full(bytes.clone()))),
            Kind::Factory(factory) => Some(Self(Kind::Factory(Arc::clone(factory)))),
            Kind::Stream(_) => None,
        }
    }

    /// Makes the body of a factory; others stay what they are.
    pub(crate) fn made(self) -> Self {
        match self.0 {
            // A factory that makes a factory is made once: whatever it holds is a stream then.
            Kind::Factory(factory) => match factory().0 {
                Kind::Factory(inner) => Self::stream(inner()),
                made => Self(made),
            },
            kind => Self(kind),
        }
    }

    /// What is known of the length before it is sent.
    pub(crate) fn length(&self) -> BodyLength {
        self.size_hint()
            .exact()
            .map_or(BodyLength::Unknown, BodyLength::Known)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Stream(stream) => stream.as_mut().poll_frame(cx),
            Kind::Full(_) => match std::mem::take(&mut self.0) {
                Kind::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Kind::Factory(_) => {
                *self = std::mem::take(&mut *self).made();
                self.poll_frame(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Factory(_) => false,
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Factory(_) => SizeHint::default(),
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Empty => f.write_str("Body(empty)"),
            Kind::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::Factory(_) => f.write_str("Body(factory)"),
            Kind::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Kind::Full(bytes))
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        text.as_bytes().into()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

pin_project_lite::pin_project! {
    /// Somebody else's body, its errors made ours.
    struct Foreign<B> {
        #[pin]
        body: B,
        failure: ErrorKind,
    }
}

impl<B> HttpBody for Foreign<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|error| own_error(error, *this.failure))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An error of a body; ours stays as it is.
fn own_error(error: impl Into<BoxError>, kind: ErrorKind) -> Error {
    match error.into().downcast::<Error>() {
        Ok(own) => *own,
        Err(error) => Error::caused(kind, error),
    }
}
