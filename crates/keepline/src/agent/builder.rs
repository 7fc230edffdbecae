//! The settings of a client.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

#[cfg(feature = "compression")]
use super::Decoded;
use super::{Client, FollowRedirects, TotalTimeout};
#[cfg(feature = "cookies")]
use super::{Cookies, Jar};
use crate::Transport;
use crate::error::{Error, ErrorKind};

/// Redirects that are followed unless told otherwise, as Go.
const MOST_REDIRECTS: usize = 10;

/// Builds a [`Client`].
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    transport: Option<Transport>,
    timeout: Option<Duration>,
    redirects: usize,
    headers: HeaderMap,
    #[cfg(feature = "cookies")]
    jar: Option<Jar>,
    #[cfg(feature = "compression")]
    decodes: bool,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            transport: None,
            timeout: None,
            redirects: MOST_REDIRECTS,
            headers: HeaderMap::new(),
            #[cfg(feature = "cookies")]
            jar: None,
            #[cfg(feature = "compression")]
            decodes: true,
        }
    }
}

impl ClientBuilder {
    /// The Transport that carries out the exchanges. Default: one of its own, with the defaults.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Time for a request as a whole: redirects, waiting, and reading the body of the response.
    /// Default: none, as Go's `Client.Timeout`.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// How many redirects are followed at most; one more is an error. Default 10, as Go. 0: none
    /// is followed, and the redirect itself is the response.
    pub const fn redirects(mut self, most: usize) -> Self {
        self.redirects = most;
        self
    }

    /// A field of every request that does not have it already, a `User-Agent` for example. Such
    /// fields are subject to the rules of redirects as others are.
    pub fn default_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Keeps cookies in this jar, and sends them. Default: none.
    #[cfg(feature = "cookies")]
    pub fn cookies(mut self, jar: Jar) -> Self {
        self.jar = Some(jar);
        self
    }

    /// Whether compressed content is asked for and decoded. Default on, as Go does with gzip.
    #[cfg(feature = "compression")]
    pub const fn decompress(mut self, decompress: bool) -> Self {
        self.decodes = decompress;
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    /// The timeout is 0, or no Transport was given and one of its own cannot be built.
    pub fn build(mut self) -> Result<Client, Error> {
        if self.timeout == Some(Duration::ZERO) {
            let message = "the timeout is 0: use None for no timeout";
            return Err(Error::caused(ErrorKind::InvalidRequest, message));
        }
        let transport = match self.transport.take() {
            Some(transport) => transport,
            None => Transport::builder().build()?,
        };
        Ok(self.over(transport))
    }

    pub(super) fn over(self, transport: Transport) -> Client {
        let stack = transport.clone();
        #[cfg(feature = "compression")]
        let stack = Decoded::new(stack, self.decodes);
        #[cfg(feature = "cookies")]
        let stack = Cookies::new(stack, self.jar);
        let stack = FollowRedirects::new(stack, self.redirects);
        Client {
            stack: TotalTimeout::new(stack, self.timeout),
            transport,
            headers: self.headers,
        }
    }
}
