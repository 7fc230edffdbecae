//! Heads, as lines: `> ` before what is sent, `< ` before what came.

use http::{HeaderMap, Request, Uri, Version, response};
use http_body::Body as _;
use keepline::Body;

use crate::output::Screen;

/// Shows the head of a request as it is sent.
pub(crate) fn request(request: &Request<Body>, screen: &mut Screen) {
    for line in request_lines(request) {
        screen.note(format_args!("> {line}"));
    }
}

/// Shows the head of a response.
pub(crate) fn response(head: &response::Parts, screen: &mut Screen) {
    for line in response_lines(head) {
        screen.note(format_args!("< {line}"));
    }
}

/// The request line and the fields, those included that the Transport adds.
fn request_lines(request: &Request<Body>) -> Vec<String> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let version = version(request.version());
    let mut lines = vec![format!("{} {target} {version}", request.method())];
    if !request.headers().contains_key(http::header::HOST) {
        lines.push(format!("host: {}", host(uri)));
    }
    lines.extend(field_lines(request.headers()));
    let length = request.body().size_hint().exact();
    if let Some(length) = length.filter(|length| *length > 0) {
        lines.push(format!("content-length: {length}"));
    }
    lines.push(String::new());
    lines
}

fn host(uri: &Uri) -> &str {
    uri.authority().map_or("", |authority| authority.as_str())
}

fn response_lines(head: &response::Parts) -> Vec<String> {
    let version = version(head.version);
    let mut lines = vec![format!("{version} {}", head.status)];
    lines.extend(field_lines(&head.headers));
    lines.push(String::new());
    lines
}

/// Its name, as in a start line.
pub(crate) const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

fn field_lines(fields: &HeaderMap) -> impl Iterator<Item = String> {
    fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_with_what_is_added() {
        let request = Request::post("http://localhost:8080/echo?x")
            .header("accept", "*/*")
            .body(Body::from("12345"))
            .unwrap();
        assert_eq!(
            request_lines(&request),
            [
                "POST /echo?x HTTP/1.1",
                "host: localhost:8080",
                "accept: */*",
                "content-length: 5",
                "",
            ]
        );
    }

    #[test]
    fn a_response_is_shown_as_it_came() {
        let response = http::Response::builder()
            .status(404)
            .version(Version::HTTP_10)
            .header("x", "y")
            .body(())
            .unwrap();
        assert_eq!(
            response_lines(&response.into_parts().0),
            ["HTTP/1.0 404 Not Found", "x: y", ""]
        );
    }
}
