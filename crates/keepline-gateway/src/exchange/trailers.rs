//! Trailer sections towards clients: `add_trailer`, and `proxy_pass_trailers`.

use http::{HeaderMap, HeaderName, HeaderValue};
use keepline::proto::forward::{Forward, forwardable};
use keepline::proto::{Fields, RequestHead};

use super::Serving;
use super::added::applies;

/// Names that a trailer section may not have: they frame or route the message (RFC 9110 §6.5.1).
const NEVER: [&str; 4] = ["content-length", "transfer-encoding", "host", "trailer"];

impl Serving<'_, '_, '_> {
    /// The answer may have a trailer section, and so has to be chunked where the client can take it.
    pub(super) fn wants_trailers(&self) -> bool {
        let scope = self.request.scope;
        let is_asked = scope.proxy.pass_trailers || !scope.settings.add_trailers.is_empty();
        is_asked && scope.client.chunks && takes_trailers(self.exchange.head())
    }

    /// The trailer section of the answer: what the upstream has sent, then what is added.
    pub(super) fn trailers(&self, received: Option<&Fields>) -> Option<HeaderMap> {
        let scope = self.request.scope;
        let mut map = HeaderMap::new();
        for fields in received.iter().filter(|_| scope.proxy.pass_trailers) {
            for field in fields.iter() {
                let is_hidden = scope.proxy.hide_headers.iter().any(|name| field.is(name));
                if !is_hidden && forwardable(field, fields) == Forward::Yes {
                    append(&mut map, field.name(), field.value());
                }
            }
        }
        let status = self.request.sent.status;
        for added in &scope.settings.add_trailers {
            let value = self.view().value(&added.value);
            if applies(added, status) && !value.is_empty() {
                append(&mut map, added.name.as_bytes(), &value);
            }
        }
        (!map.is_empty()).then_some(map)
    }
}

/// Chunks, and so trailers, go to clients of HTTP/1.1 that want content.
fn takes_trailers(head: &RequestHead) -> bool {
    head.version() >= http::Version::HTTP_11 && head.method() != http::Method::HEAD
}

/// What cannot be a field is left out.
fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
    else {
        return;
    };
    if !NEVER.contains(&name.as_str()) {
        map.append(name, value);
    }
}
