//! The head of a request as HTTP/2 has it (RFC 9113 §8.3): a pure function.
//!
//! What belongs to one connection is left out (§8.2.2: "An endpoint MUST NOT generate an HTTP/2
//! message containing connection-specific header fields"), `Host` becomes the authority, and the
//! length of the content is told as in HTTP/1.1.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use keepline_proto::BodyLength;

use crate::client::key::Origin;
use crate::error::{Error, ErrorKind};

/// Fields that HTTP/2 does not have.
const OF_CONNECTION: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The head of a request to `origin` with content of this length.
///
/// # Errors
/// The URI or Host is no authority, or the request says another length than its content has.
pub(super) fn request(
    parts: &Parts,
    origin: &Origin,
    length: BodyLength,
) -> Result<Request<()>, Error> {
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri(parts, origin)?;
    *request.headers_mut() = fields(parts, length)?;
    Ok(request)
}

fn uri(parts: &Parts, origin: &Origin) -> Result<Uri, Error> {
    let named = match (parts.headers.get(HOST), parts.uri.authority()) {
        (Some(host), _) => Authority::try_from(host.as_bytes()),
        (None, Some(authority)) => Ok(authority.clone()),
        (None, None) => Authority::try_from(origin.authority()),
    };
    let authority = named.map_err(|error| Error::caused(ErrorKind::InvalidRequest, error))?;
    let scheme = if origin.is_secure() {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    };
    let path = parts.uri.path_and_query().map_or("/", |x| x.as_str());
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(if path.is_empty() { "/" } else { path })
        .build()
        .map_err(|error| Error::caused(ErrorKind::InvalidRequest, error))
}

fn fields(parts: &Parts, length: BodyLength) -> Result<HeaderMap, Error> {
    let mut fields = parts.headers.clone();
    // RFC 9110 §7.6.1: what Connection names goes with it.
    let named: Vec<_> = parts
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in OF_CONNECTION.iter().chain(&named).chain([&HOST]) {
        fields.remove(name);
    }
    // §8.2.2: "it MUST NOT contain any value other than "trailers"".
    if fields.get(TE).is_some_and(|te| te != "trailers") {
        fields.remove(TE);
    }
    match (length, fields.get(CONTENT_LENGTH)) {
        (BodyLength::Known(length), Some(told)) if told != length.to_string().as_str() => {
            let message = "the Content-Length is not that of the content";
            Err(Error::caused(ErrorKind::InvalidRequest, message))
        }
        (BodyLength::Known(length), None) if length > 0 || has_content(&parts.method) => {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
            Ok(fields)
        }
        _ => Ok(fields),
    }
}

/// RFC 9110 §8.6: a length of 0 is told where the method "anticipates such content".
fn has_content(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// Whether a request can be sent by HTTP/2 at all: an upgrade cannot (RFC 9113 §8.6), and CONNECT is
/// left to HTTP/1.1.
pub(super) fn is_possible(parts: &Parts) -> bool {
    parts.method != Method::CONNECT && !parts.headers.contains_key(UPGRADE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(
        build: fn(http::request::Builder) -> http::request::Builder,
        length: BodyLength,
    ) -> Result<Request<()>, Error> {
        let (parts, ()) = build(Request::builder().uri("https://a.example/x?y"))
            .body(())
            .unwrap()
            .into_parts();
        let origin = crate::client::key::Key::of(&parts.uri)
            .unwrap()
            .origin()
            .clone();
        request(&parts, &origin, length)
    }

    #[test]
    fn what_belongs_to_one_connection_is_left_out() {
        let head = sent(
            |x| {
                x.header("connection", "keep-alive, x-hop")
                    .header("x-hop", "1")
                    .header("keep-alive", "timeout=5")
                    .header("proxy-connection", "close")
                    .header("transfer-encoding", "chunked")
                    .header("te", "gzip")
                    .header("x-end", "2")
            },
            BodyLength::Unknown,
        )
        .unwrap();
        let names: Vec<_> = head.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-end"]);
        let trailers = sent(|x| x.header("te", "trailers"), BodyLength::Known(0)).unwrap();
        assert_eq!(trailers.headers()["te"], "trailers");
    }

    #[test]
    fn the_authority_is_host_or_the_uri() {
        let head = sent(|x| x, BodyLength::Known(0)).unwrap();
        assert_eq!(head.uri(), "https://a.example/x?y");
        let head = sent(|x| x.header("host", "b.example:1"), BodyLength::Known(0)).unwrap();
        assert_eq!(head.uri(), "https://b.example:1/x?y");
        assert!(!head.headers().contains_key("host"));
        assert!(sent(|x| x.header("host", "b c"), BodyLength::Known(0)).is_err());
    }

    #[test]
    fn the_length_is_told_where_it_means_something_and_must_be_true() {
        let told = |head: Request<()>| {
            let length = head.headers().get(CONTENT_LENGTH)?;
            Some(length.to_str().unwrap().to_owned())
        };
        for (method, length, expected) in [
            ("GET", BodyLength::Known(0), None),
            ("GET", BodyLength::Known(3), Some("3")),
            ("POST", BodyLength::Known(0), Some("0")),
            ("POST", BodyLength::Unknown, None),
        ] {
            let head = match method {
                "GET" => sent(|x| x.method("GET"), length),
                _ => sent(|x| x.method("POST"), length),
            };
            assert_eq!(
                told(head.unwrap()).as_deref(),
                expected,
                "{method} {length:?}"
            );
        }
        assert!(sent(|x| x.header("content-length", "4"), BodyLength::Known(3)).is_err());
        assert!(sent(|x| x.header("content-length", "3"), BodyLength::Known(3)).is_ok());
    }
}
