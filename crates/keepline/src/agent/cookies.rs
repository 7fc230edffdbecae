//! Cookies, by the crate `cookie_store` (RFC 6265).
//!
//! The jar is asked for each request that is sent and filled by each response, those of redirects
//! among them. What the program itself sets in `Cookie` is sent too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use cookie_store::{CookieStore, RawCookie};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

use super::ResponseFuture;
use crate::Body;
use crate::error::Error;

/// Cookies, shared by all clones.
///
/// It knows no list of public suffixes: a server of `a.co.uk` may set a cookie for `co.uk`. Where
/// that matters, give it a [store](Self::from_store) that has one.
#[derive(Debug, Clone, Default)]
pub struct Jar(Arc<Mutex<CookieStore>>);

impl Jar {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With what a store holds.
    #[must_use]
    pub fn from_store(store: CookieStore) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    /// The store, to look into it, change it or save it. While it is held, requests wait.
    pub fn store(&self) -> MutexGuard<'_, CookieStore> {
        // Nothing of ours panics while it is held, and a store has no state that could be half.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_to(&self, url: &Url, headers: &mut HeaderMap) {
        let mut line = String::new();
        for (name, value) in self.store().get_request_values(url) {
            let separator = if line.is_empty() { "" } else { "; " };
            line.extend([separator, name, "=", value]);
        }
        let Ok(own) = HeaderValue::try_from(line) else {
            return;
        };
        if own.is_empty() {
            return;
        }
        // RFC 6265 §5.4: one Cookie field, whoever has something to put there.
        let merged = match headers.get(COOKIE) {
            None => own,
            Some(set) => {
                let merged = [set.as_bytes(), b"; ", own.as_bytes()].concat();
                HeaderValue::from_bytes(&merged).unwrap_or(own)
            }
        };
        headers.insert(COOKIE, merged);
    }

    fn take_from(&self, url: &Url, headers: &HeaderMap) {
        let cookies = headers.get_all(SET_COOKIE).into_iter().filter_map(|value| {
            let text = std::str::from_utf8(value.as_bytes()).ok()?;
            RawCookie::parse(text.to_owned()).ok()
        });
        self.store().store_response_cookies(cookies, url);
    }
}

/// Makes [`Cookies`].
#[derive(Debug, Clone)]
pub struct CookiesLayer(Option<Jar>);

impl CookiesLayer {
    /// Cookies of this jar; `None`: none are kept.
    #[must_use]
    pub const fn new(jar: Option<Jar>) -> Self {
        Self(jar)
    }
}

impl<S> Layer<S> for CookiesLayer {
    type Service = Cookies<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Cookies::new(inner, self.0.clone())
    }
}

/// Sends the cookies of a [`Jar`] and keeps those that servers set.
#[derive(Debug, Clone)]
pub struct Cookies<S> {
    inner: S,
    jar: Option<Jar>,
}

impl<S> Cookies<S> {
    /// Cookies of this jar; `None`: none are kept.
    pub const fn new(inner: S, jar: Option<Jar>) -> Self {
        Self { inner, jar }
    }
}

impl<S> Service<Request<Body>> for Cookies<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Error>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let kept = self.jar.clone().zip(url(request.uri()));
        if let Some((jar, url)) = &kept {
            jar.add_to(url, request.headers_mut());
        }
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            if let Some((jar, url)) = &kept {
                jar.take_from(url, response.headers());
            }
            Ok(response)
        })
    }
}

/// Without scheme and host there are no cookies.
fn url(uri: &Uri) -> Option<Url> {
    Url::parse(&uri.to_string()).ok()
}
