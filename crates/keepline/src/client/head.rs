//! From a typed request to the head that is sent.

use std::borrow::Cow;

use http::request::Parts;
use http::{Method, header};
use keepline_proto::{BodyLength, Field, RequestLine};

use super::key::{Key, Via};
use super::proxy::Proxy;
use super::target::Target;
use crate::driver::Driver;
use crate::error::Error;

/// Queues the head of a request on a connection of `key`: to a proxy in absolute form.
///
/// # Errors
/// The head is not valid. Nothing has been queued; the connection is still good.
pub(super) fn queue_head(
    driver: &mut Driver,
    key: &Key,
    parts: &Parts,
    length: BodyLength,
) -> Result<(), Error> {
    // Without one there is a Target; where its socket leads is another matter.
    let authority = match (parts.uri.authority(), parts.extensions.get::<Target>()) {
        (Some(authority), _) => Cow::Borrowed(authority.as_str()),
        (None, Some(target)) => Cow::Owned(target.origin().authority()),
        (None, None) => Cow::Borrowed(""),
    };
    let path = match parts.uri.path_and_query() {
        Some(path) if !path.as_str().is_empty() => path.as_str(),
        _ => "/",
    };
    let proxy = match &key.route().via {
        Via::Forward(proxy) => Some(proxy),
        Via::Host | Via::Address(_) | Via::Unix(_) | Via::Tunnel(_) => None,
    };
    let target = match proxy {
        // RFC 9112 §3.2.3: the far end of the tunnel, and nothing else.
        _ if parts.method == Method::CONNECT => Cow::Borrowed(&*authority),
        // RFC 9112 §3.2.2: a proxy has to be told the whole.
        Some(_) => Cow::Owned(format!("http://{authority}{path}")),
        None => Cow::Borrowed(path),
    };
    let line = RequestLine::new(&parts.method, target.as_bytes());
    let host = Field::new(b"host", authority.as_bytes())?;
    let own_host = (!parts.headers.contains_key(header::HOST)).then_some(host);
    let credentials = proxy
        .and_then(Proxy::authorization)
        .filter(|_| !parts.headers.contains_key(header::PROXY_AUTHORIZATION))
        .map(|value| Field::from((&header::PROXY_AUTHORIZATION, value)));
    let fields = own_host
        .into_iter()
        .chain(credentials)
        .chain(parts.headers.iter().map(Field::from));
    driver.lend_output();
    driver
        .proto
        .send_request(line, fields, length, &mut driver.output)?;
    Ok(())
}
