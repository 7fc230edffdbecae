//! Content codings, by tower-http's decompression layer: gzip, brotli and zstd.
//!
//! As Go does with gzip: they are asked for and decoded only if the program has not asked for a
//! coding itself, and not for HEAD or a part of a representation, whose length and bytes are those of
//! the coded form. What was decoded has no `Content-Encoding` and no `Content-Length` any more.
//! The name of a coding is told in any case, and `x-gzip` is gzip (RFC 9110 §8.4.1), which tower-http
//! does not know: [`Named`] writes it as that expects it.
//! The decoder reads the body to its end before it tells its own, so that the connection stays.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, RANGE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use pin_project_lite::pin_project;
use tower_http::decompression::Decompression;
use tower_layer::Layer;
use tower_service::Service;

use super::ResponseFuture;
use crate::Body;
use crate::error::Error;

/// Makes [`Decoded`]s.
#[derive(Debug, Clone, Copy)]
pub struct DecodedLayer(bool);

impl DecodedLayer {
    /// Whether content is decoded at all.
    #[must_use]
    pub const fn new(decodes: bool) -> Self {
        Self(decodes)
    }
}

impl<S> Layer<S> for DecodedLayer {
    type Service = Decoded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Decoded::new(inner, self.0)
    }
}

/// Asks for compressed content and decodes it. Content that ends before its coding does, or is
/// not of it, is an error of the body ([`ErrorKind::Content`](crate::ErrorKind::Content)).
#[derive(Debug, Clone)]
pub struct Decoded<S> {
    inner: Decompression<Named<S>>,
    decodes: bool,
}

impl<S> Decoded<S> {
    /// Whether content is decoded at all.
    pub fn new(inner: S, decodes: bool) -> Self {
        Self {
            inner: Decompression::new(Named(inner)),
            decodes,
        }
    }
}

impl<S> Service<Request<Body>> for Decoded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Error>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_asked = [ACCEPT_ENCODING, RANGE]
            .iter()
            .any(|name| request.headers().contains_key(name));
        if !self.decodes || is_asked || request.method() == Method::HEAD {
            return Box::pin(self.inner.get_mut().0.call(request));
        }
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            Ok(response.map(Body::received))
        })
    }
}

/// Writes the name of a response's content coding as the decoder expects it.
#[derive(Debug, Clone)]
struct Named<S>(S);

impl<S> Service<Request<Body>> for Named<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Error>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Naming<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Naming {
            response: self.0.call(request),
        }
    }
}

pin_project! {
    /// The future of [`Named`]. Boxed it would be the second one of each request.
    #[derive(Debug)]
    struct Naming<F> {
        #[pin]
        response: F,
    }
}

impl<F: Future<Output = Result<Response<Body>, Error>>> Future for Naming<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().response.poll(cx).map_ok(|mut response| {
            name(response.headers_mut());
            response
        })
    }
}

/// RFC 9110 §8.4.1: "All content codings are case-insensitive"; "A recipient SHOULD consider
/// "x-gzip" to be equivalent to "gzip"". Whatever else is told is left as it is.
fn name(fields: &mut HeaderMap) {
    const NAMES: [(&str, &str); 4] = [
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
    ];
    let Some(told) = fields.get_mut(CONTENT_ENCODING) else {
        return;
    };
    let known = NAMES
        .into_iter()
        .find(|(name, _)| told.as_bytes().eq_ignore_ascii_case(name.as_bytes()));
    if let Some((_, name)) = known {
        *told = HeaderValue::from_static(name);
    }
}
