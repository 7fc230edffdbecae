//! From a request head as it stands on the wire to an [`http::Request`].

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri};
use keepline_proto::RequestHead;

use crate::Body;

/// The request without its body. `None`: its target is not one that [`Uri`] can hold.
pub(super) fn typed_request(head: &RequestHead) -> Option<Request<Body>> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri(head)?;
    *request.method_mut() = head.method().clone();
    *request.version_mut() = head.version();
    *request.headers_mut() = head.fields().to_header_map().ok()?;
    // "When an origin server receives a request with an absolute-form of request-target, the
    // origin server MUST ignore the received Host header field (if any) and instead use the host
    // information of the request-target." (RFC 9112 §3.2.2)
    if *head.method() != Method::CONNECT
        && let Some(authority) = request.uri().authority()
    {
        let host = HeaderValue::from_str(authority.as_str()).ok()?;
        request.headers_mut().insert(HOST, host);
    }
    Some(request)
}

fn uri(head: &RequestHead) -> Option<Uri> {
    let target = head.target_bytes();
    if !target.starts_with(b"/") {
        return Uri::from_maybe_shared(target).ok();
    }
    // Also `//a/b`, which is a path here and would be an authority to a general parser.
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(target).ok()?);
    Uri::from_parts(parts).ok()
}
