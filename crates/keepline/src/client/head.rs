//! From a typed request to the head that is sent.

use std::borrow::Cow;

use http::request::Parts;
use http::{Method, header};
use keepline_proto::{BodyLength, Field, RequestLine};

use super::target::Target;
use crate::driver::Driver;
use crate::error::Error;

/// Queues the head of a request.
///
/// # Errors
/// The head is not valid. Nothing has been queued; the connection is still good.
pub(super) fn queue_head(
    driver: &mut Driver,
    parts: &Parts,
    length: BodyLength,
) -> Result<(), Error> {
    // Without one there is a Target; where its socket leads is another matter.
    let authority = match (parts.uri.authority(), parts.extensions.get::<Target>()) {
        (Some(authority), _) => Cow::Borrowed(authority.as_str()),
        (None, Some(target)) => Cow::Owned(target.origin().authority()),
        (None, None) => Cow::Borrowed(""),
    };
    let target = match parts.uri.path_and_query() {
        // RFC 9112 §3.2.3: the far end of the tunnel, and nothing else.
        _ if parts.method == Method::CONNECT => &authority,
        None => "/",
        Some(target) if target.as_str().is_empty() => "/",
        Some(target) => target.as_str(),
    };
    let line = RequestLine {
        method: &parts.method,
        target: target.as_bytes(),
    };
    let host = Field::new(b"host", authority.as_bytes())?;
    let own_host = (!parts.headers.contains_key(header::HOST)).then_some(host);
    let fields = own_host
        .into_iter()
        .chain(parts.headers.iter().map(Field::from));
    driver.lend_output();
    driver
        .proto
        .send_request(line, fields, length, &mut driver.output)?;
    Ok(())
}
