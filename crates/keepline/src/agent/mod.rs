//! The user agent: a [`Client`] that follows redirects, keeps cookies, decodes content and gives up
//! in time. Go's `http.Client`.
//!
//! It is a stack of tower layers over a [`crate::Transport`] and does nothing by itself;
//! each layer is public and can be stacked otherwise:
//!
//! - [`TotalTimeout`]: one deadline for redirects, head and body;
//! - [`FollowRedirects`]: asks again where a server says so; what is sent there is decided by pure
//!   functions in `redirect` and `reference`;
//! - `Cookies` (feature `cookies`): asked and filled for each request that is sent;
//! - `Decoded` (feature `compression`): gzip, brotli and zstd.

mod builder;
#[cfg(feature = "cookies")]
mod cookies;
#[cfg(feature = "compression")]
mod decode;
mod follow;
mod redirect;
mod reference;
mod request;
mod total;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use tower_service::Service;

use crate::error::{BoxError, Error};
use crate::{Body, Transport};
pub use builder::ClientBuilder;
#[cfg(feature = "cookies")]
pub use cookies::{Cookies, CookiesLayer, Jar};
#[cfg(feature = "compression")]
pub use decode::{Decoded, DecodedLayer};
pub use follow::{FollowRedirects, FollowRedirectsLayer, Redirected};
pub use request::RequestBuilder;
pub use total::{TotalTimeout, TotalTimeoutLayer};

/// The future of a layer.
pub(crate) type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

#[cfg(feature = "compression")]
type Content<S> = Decoded<S>;
#[cfg(not(feature = "compression"))]
type Content<S> = S;
#[cfg(feature = "cookies")]
type State<S> = Cookies<S>;
#[cfg(not(feature = "cookies"))]
type State<S> = S;

/// The layers, outermost first.
type Stack = TotalTimeout<FollowRedirects<State<Content<Transport>>>>;

/// A user agent. Cheap to clone; clones share the connections of its Transport, and its cookies.
///
/// ```no_run
/// # async fn example() -> Result<(), keepline::Error> {
/// use std::time::Duration;
/// use keepline::Client;
///
/// let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
/// let page = client.get("https://example.com/").send().await?;
/// println!("{}", page.status());
/// let text = page.into_body().text(1 << 20).await?;
/// client.post("https://example.com/items").body(r#"{"name":"x"}"#)
///     .header("content-type", "application/json")
///     .send().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    stack: Stack,
    transport: Transport,
    headers: HeaderMap,
}

impl Default for Client {
    /// The defaults of [`ClientBuilder`], over a Transport with its defaults.
    fn default() -> Self {
        Self::builder().over(Transport::default())
    }
}

impl Client {
    /// A client with other settings than the default ones.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// A request with this method. A URI that is none is an error when the request is sent.
    pub fn request(
        &self,
        method: Method,
        uri: impl TryInto<Uri, Error: Into<BoxError>>,
    ) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, uri)
    }

    /// A GET request.
    pub fn get(&self, uri: impl TryInto<Uri, Error: Into<BoxError>>) -> RequestBuilder {
        self.request(Method::GET, uri)
    }

    /// A HEAD request.
    pub fn head(&self, uri: impl TryInto<Uri, Error: Into<BoxError>>) -> RequestBuilder {
        self.request(Method::HEAD, uri)
    }

    /// A POST request.
    pub fn post(&self, uri: impl TryInto<Uri, Error: Into<BoxError>>) -> RequestBuilder {
        self.request(Method::POST, uri)
    }

    /// A PUT request.
    pub fn put(&self, uri: impl TryInto<Uri, Error: Into<BoxError>>) -> RequestBuilder {
        self.request(Method::PUT, uri)
    }

    /// A DELETE request.
    pub fn delete(&self, uri: impl TryInto<Uri, Error: Into<BoxError>>) -> RequestBuilder {
        self.request(Method::DELETE, uri)
    }

    /// Sends a request and answers with the head of the final response. Its extensions tell the
    /// [`ConnectionInfo`](crate::ConnectionInfo) of the last exchange, and where redirects have led
    /// ([`Redirected`]).
    ///
    /// Cancel-safe, as [`Transport::send`].
    ///
    /// # Errors
    /// Those of [`Transport::send`]; [`ErrorKind::Redirect`](crate::ErrorKind::Redirect) for more
    /// redirects than allowed or one that leads nowhere; a timeout of
    /// [`Phase::Request`](crate::Phase::Request), also while the body is read.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        for (name, value) in &self.headers {
            if !request.headers().contains_key(name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        self.stack.clone().call(request).await
    }

    /// The Transport below: its statistics, its events, its shutdown.
    #[must_use]
    pub const fn transport(&self) -> &Transport {
        &self.transport
    }
}

impl<B> Service<Request<B>> for Client
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { client.send(request.map(Body::new)).await })
    }
}
