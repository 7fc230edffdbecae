//! The layer that follows redirects.
//!
//! What to do is decided in `redirect`; here it is done. The redirect's own content is dropped before
//! the next request is made: a [`Transport`](crate::Transport) reads such a rest as far as its drain
//! limits allow, so that the next request to the same server finds the connection.

use std::mem;
use std::task::{Context, Poll};

use http::header::REFERER;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use tower_layer::Layer;
use tower_service::Service;

use super::ResponseFuture;
use super::redirect::{Decision, Hop, decide, next_fields};
use super::reference::Resolved;
use crate::client::Target;
use crate::error::{Error, ErrorKind};
use crate::{Body, ConnectionInfo};

/// Where redirects have led, as an extension of a response that came after at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirected {
    /// What was asked, and with which status it was answered, in order.
    pub hops: Vec<(Uri, StatusCode)>,
    /// What the response answers.
    pub uri: Uri,
}

/// Makes [`FollowRedirects`]es.
#[derive(Debug, Clone, Copy)]
pub struct FollowRedirectsLayer(usize);

impl FollowRedirectsLayer {
    /// `most`: redirects that are followed for one request; 0: none.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self(most)
    }
}

impl<S> Layer<S> for FollowRedirectsLayer {
    type Service = FollowRedirects<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FollowRedirects::new(inner, self.0)
    }
}

/// Asks again where a server says so, as Go's `http.Client` does: 301, 302 and 303 become GET
/// without content, 307 and 308 are sent again as they were if their content can be made again.
/// Credentials stay with the host that they were meant for and its subdomains.
///
/// One redirect more than allowed, or one that leads nowhere, is an error. One that cannot be
/// followed, because it has no `Location` or the content cannot be sent again, is the response.
///
/// Its inner service is cloned for each request and has to be ready without being asked, as a
/// Transport is.
#[derive(Debug, Clone)]
pub struct FollowRedirects<S> {
    inner: S,
    most: usize,
}

impl<S> FollowRedirects<S> {
    /// `most`: redirects that are followed for one request; 0: none.
    pub const fn new(inner: S, most: usize) -> Self {
        Self { inner, most }
    }
}

impl<S> Service<Request<Body>> for FollowRedirects<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone has not been asked whether it is ready; this one has.
        let next = self.inner.clone();
        let inner = mem::replace(&mut self.inner, next);
        Box::pin(follow(inner, request, self.most))
    }
}

async fn follow<S>(
    mut inner: S,
    request: Request<Body>,
    most: usize,
) -> Result<Response<Body>, Error>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Error>,
{
    let (mut parts, mut body) = request.into_parts();
    if most == 0 {
        return inner.call(Request::from_parts(parts, body)).await;
    }
    let mut asked = absolute(&parts);
    let first = asked.clone();
    let explicit_referer = parts.headers.get(REFERER).cloned();
    let mut hops = Vec::new();
    loop {
        let mut replay = body.replay();
        let answered = inner.call(Request::from_parts(parts.clone(), body)).await;
        let mut response = answered.map_err(|error| match hops.is_empty() {
            true => error,
            false => error.redirected_to(&asked),
        })?;
        let decision = decide(&Hop {
            status: response.status(),
            answer: response.headers(),
            uri: &asked,
            method: &parts.method,
            followed: hops.len(),
            most,
            is_replayable: replay.is_some(),
        });
        let (method, to, keeps_body) = match decision {
            Decision::Stay(reason) => {
                tracing::trace!(?reason, status = %response.status(), "final response");
                if !hops.is_empty() {
                    let told = Redirected { hops, uri: asked };
                    response.extensions_mut().insert(told);
                }
                return Ok(response);
            }
            Decision::TooMany => {
                return Err(failed(&response, format!("stopped after {most} redirects")));
            }
            Decision::BadLocation => {
                let message = "the Location of a redirect is no URI of http or https";
                return Err(failed(&response, message.to_owned()));
            }
            Decision::Follow {
                method,
                to,
                keeps_body,
            } => (method, to, keeps_body),
        };
        hops.push((asked.clone(), response.status()));
        // Before the next request, which may then use this connection.
        drop(response);
        body = replay.take().filter(|_| keeps_body).unwrap_or_default();
        parts.method = method;
        go_to(
            &mut parts,
            (&first, &asked, &to),
            keeps_body,
            explicit_referer.as_ref(),
        );
        asked = to.uri;
    }
}

/// Points the request to where the redirect leads.
fn go_to(
    parts: &mut Parts,
    (first, from, to): (&Uri, &Uri, &Resolved),
    keeps_body: bool,
    explicit_referer: Option<&HeaderValue>,
) {
    next_fields(
        &mut parts.headers,
        (first, from, to),
        keeps_body,
        explicit_referer,
    );
    // A Target is another way to the same origin, and leads to no other.
    let leads_there = parts.extensions.get::<Target>().is_some_and(|target| {
        Target::of(&to.uri).is_ok_and(|plain| plain.origin() == target.origin())
    });
    if !leads_there {
        parts.extensions.remove::<Target>();
    }
    parts.uri = to.uri.clone();
}

/// What a request asks, with scheme and host, which its Target may have to add.
fn absolute(parts: &Parts) -> Uri {
    let target = parts.extensions.get::<Target>().map(Target::origin);
    let Some(origin) = target.filter(|_| parts.uri.authority().is_none()) else {
        return parts.uri.clone();
    };
    let scheme = if origin.is_secure() { "https" } else { "http" };
    Uri::builder()
        .scheme(scheme)
        .authority(origin.authority())
        .path_and_query(parts.uri.path_and_query().map_or("/", |x| x.as_str()))
        .build()
        .unwrap_or_else(|_| parts.uri.clone())
}

fn failed(response: &Response<Body>, message: String) -> Error {
    let error = Error::caused(ErrorKind::Redirect, message);
    match response.extensions().get::<ConnectionInfo>() {
        Some(info) => error.on(info.clone()),
        None => error,
    }
}
