//! A request in the making.

use http::request;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};

use super::Client;
use crate::Body;
use crate::error::{BoxError, Error, ErrorKind};

/// A request in the making. What is wrong with it is told when it is sent; the first mistake is.
#[derive(Debug)]
#[must_use]
pub struct RequestBuilder {
    client: Client,
    head: request::Builder,
    body: Body,
    mistake: Option<Error>,
}

impl RequestBuilder {
    pub(super) fn new(
        client: Client,
        method: Method,
        uri: impl TryInto<Uri, Error: Into<BoxError>>,
    ) -> Self {
        let head = request::Builder::new().method(method);
        let (head, mistake) = match uri.try_into() {
            Ok(uri) => (head.uri(uri), None),
            Err(error) => (head, Some(Error::caused(ErrorKind::InvalidRequest, error))),
        };
        Self {
            client,
            head,
            body: Body::empty(),
            mistake,
        }
    }

    /// Adds a field.
    pub fn header(
        mut self,
        name: impl TryInto<HeaderName, Error: Into<http::Error>>,
        value: impl TryInto<HeaderValue, Error: Into<http::Error>>,
    ) -> Self {
        self.head = self.head.header(name, value);
        self
    }

    /// Adds an extension: a [`Target`](crate::client::Target) or
    /// [`OnInterim`](crate::client::OnInterim) for example.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, extension: T) -> Self {
        self.head = self.head.extension(extension);
        self
    }

    /// The content. Bytes and text can be sent again, for a redirect that asks for it or after a
    /// lost connection; a stream cannot.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// The content as JSON, with its `Content-Type`.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => {
                self.body = json.into();
                self.header(http::header::CONTENT_TYPE, "application/json")
            }
            Err(error) => {
                let mistake = Error::caused(ErrorKind::InvalidRequest, error);
                self.mistake.get_or_insert(mistake);
                self
            }
        }
    }

    /// Sends it, as [`Client::send`].
    ///
    /// # Errors
    /// What it was made of is no request, or sending it failed.
    pub async fn send(self) -> Result<Response<Body>, Error> {
        let client = self.client.clone();
        client.send(self.build()?).await
    }

    /// The request, not sent.
    ///
    /// # Errors
    /// What it was made of is no request.
    pub fn build(self) -> Result<Request<Body>, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        self.head
            .body(self.body)
            .map_err(|error| Error::caused(ErrorKind::InvalidRequest, error))
    }
}
