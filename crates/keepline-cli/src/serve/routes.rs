//! The built-in answers: every kind of message that a client should be tried on.
//!
//! Each path is one function from a request to a response. The method is not looked at: what a
//! client does with an answer to an upload that nobody has read is part of what is tried.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use keepline::proto::RequestHead;
use keepline::server::{ReadyAnswer, RequestInfo, ServerStats};
use keepline::{Body, ErrorKind};
use serde_json::{Map, Value, json};

use super::generated::{self, Length};

/// What `/` says: 13 bytes.
const HELLO: &str = "Hello, World!";
/// `/echo` answers at most this much.
const ECHO_LIMIT: usize = 16 * 1024 * 1024;
/// `/delay` waits at most this long.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

const PATHS: &str = "\
There is nothing here. The built-in paths:
  /              Hello, World!
  /bytes/N       N bytes, with Content-Length
  /chunked/N     N bytes, in chunks
  /lines/N       N lines of 32 bytes, with Content-Length
  /echo          the content of the request, up to 16 MiB
  /delay/MS      an answer after MS milliseconds
  /status/CODE   an answer with this status; the request's content is not read
  /headers       the fields of the request, as JSON
  /connection    which connection this is, and its how many-th request, as JSON
  /stats         connections and requests of this server, and why connections closed, as JSON
";

/// The path of [`stats_json`].
pub(crate) const STATS: &str = "/stats";

/// What is answered from the head alone, without a typed request: `/` and what `/bytes/N` has in one
/// piece, as [`answer`] answers them.
pub(crate) fn ready_answer(head: &RequestHead) -> Option<ReadyAnswer> {
    let ok = StatusCode::OK;
    match head.target() {
        b"/" => Some(ReadyAnswer::new(
            ok,
            TEXT,
            Bytes::from_static(HELLO.as_bytes()),
        )),
        target => {
            let length = std::str::from_utf8(target.strip_prefix(b"/bytes/")?).ok()?;
            let content = generated::one_piece(length.parse().ok()?)?;
            Some(ReadyAnswer::new(ok, BINARY, content))
        }
    }
}

/// Answers a request; `stats` are there if it is for [`STATS`].
pub(crate) async fn answer(
    request: Request<Body>,
    stats: Option<Box<ServerStats>>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let mut segments = path.split('/').skip(1);
    match (segments.next(), segments.next(), segments.next()) {
        (Some(""), None, None) => response(StatusCode::OK, TEXT, HELLO.into()),
        (Some("bytes"), Some(length), None) => sized(length, Length::Told),
        (Some("chunked"), Some(length), None) => sized(length, Length::Untold),
        (Some("lines"), Some(count), None) => lines(count),
        (Some("echo"), None, None) => echo(&head, body).await,
        (Some("delay"), Some(time), None) => delay(time).await,
        (Some("status"), Some(code), None) => status(code),
        (Some("headers"), None, None) => json_response(&headers(&head)),
        (Some("connection"), None, None) => json_response(&connection(&head)),
        (Some("stats"), None, None) => match stats {
            Some(stats) => json_response(&stats_json(&stats)),
            None => response(StatusCode::NOT_FOUND, TEXT, PATHS.into()),
        },
        _ => response(StatusCode::NOT_FOUND, TEXT, PATHS.into()),
    }
}

/// Connections and requests of the server since it started, as `keepline watch --status` reads them.
fn stats_json(stats: &ServerStats) -> Value {
    let closed: Map<_, _> = stats
        .closed
        .iter()
        .map(|(reason, count)| (reason.to_string(), count.into()))
        .collect();
    json!({
        "requests": stats.requests,
        "opened": stats.opened,
        "open": stats.open,
        "refused": stats.refused,
        "closed": closed,
    })
}

fn response(status: StatusCode, content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn bad_request(why: &str) -> Response<Body> {
    response(StatusCode::BAD_REQUEST, TEXT, format!("{why}\n").into())
}

fn json_response(value: &Value) -> Response<Body> {
    response(StatusCode::OK, JSON, format!("{value}\n").into())
}

fn sized(length: &str, told: Length) -> Response<Body> {
    match length.parse() {
        Ok(length) => response(StatusCode::OK, BINARY, generated::bytes(length, told)),
        Err(_) => bad_request("write a number of bytes, such as /bytes/1000"),
    }
}

fn lines(count: &str) -> Response<Body> {
    match count.parse().ok().and_then(generated::lines) {
        Some(body) => response(StatusCode::OK, TEXT, body),
        None => bad_request("write a number of lines, such as /lines/1000"),
    }
}

/// Reads the whole content, then answers it.
async fn echo(head: &Parts, body: Body) -> Response<Body> {
    let too_large = || {
        let why = "at most 16 MiB are echoed\n";
        response(StatusCode::PAYLOAD_TOO_LARGE, TEXT, why.into())
    };
    // Known in advance: then nothing of it is read, nor asked for with 100 Continue.
    if content_length(&head.headers).is_some_and(|length| length > ECHO_LIMIT as u64) {
        return too_large();
    }
    let content_type = head.headers.get(CONTENT_TYPE).cloned().unwrap_or(BINARY);
    match body.bytes(ECHO_LIMIT).await {
        Ok(content) => response(StatusCode::OK, content_type, content.into()),
        Err(error) if error.kind() == ErrorKind::TooLarge => too_large(),
        Err(error) => unread(&error),
    }
}

/// The content of a request could not be read.
fn unread(error: &keepline::Error) -> Response<Body> {
    let status = match error.kind() {
        ErrorKind::Protocol(error) => error.status_hint(),
        ErrorKind::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::BAD_REQUEST,
    };
    response(status, TEXT, format!("{error}\n").into())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn delay(millis: &str) -> Response<Body> {
    let delay = millis.parse().map(Duration::from_millis).ok();
    let Some(delay) = delay.filter(|delay| *delay <= LONGEST_DELAY) else {
        return bad_request("write up to 600000 milliseconds, such as /delay/100");
    };
    tokio::time::sleep(delay).await;
    response(
        StatusCode::OK,
        TEXT,
        format!("{} ms later\n", delay.as_millis()).into(),
    )
}

fn status(code: &str) -> Response<Body> {
    let status = code.parse::<StatusCode>().ok();
    match status.filter(|status| !status.is_informational()) {
        Some(status) if matches!(status.as_u16(), 204 | 205 | 304) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        }
        Some(status) => response(status, TEXT, format!("{status}\n").into()),
        None => bad_request("write a final status, 200 to 999, such as /status/404"),
    }
}

/// The fields of the request: each name with its value, or with all of them if there are several.
fn headers(head: &Parts) -> Value {
    let mut fields = Map::new();
    for name in head.headers.keys() {
        let mut values = head
            .headers
            .get_all(name)
            .iter()
            .map(text)
            .collect::<Vec<_>>();
        let value = match values.len() {
            1 => values.remove(0),
            _ => values.into(),
        };
        fields.insert(name.as_str().to_owned(), value);
    }
    json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": fields,
    })
}

fn text(value: &HeaderValue) -> Value {
    String::from_utf8_lossy(value.as_bytes()).into()
}

/// The connection that the request came on.
fn connection(head: &Parts) -> Value {
    match head.extensions.get::<RequestInfo>() {
        Some(info) => json!({
            "id": info.connection(),
            "request": info.number(),
            "age_seconds": info.age().as_secs_f64(),
            "peer": info.peer().to_string(),
            "tls": info.is_tls(),
        }),
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use keepline::proto::{Connection, Event, Received};

    async fn ask(request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
        let (head, body) = answer(request, None).await.into_parts();
        (
            head.status,
            head.headers,
            body.collect().await.unwrap().to_bytes(),
        )
    }

    async fn get(path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let (status, _, content) = ask(request).await;
        (
            status.as_u16(),
            String::from_utf8_lossy(&content).into_owned(),
        )
    }

    #[tokio::test]
    async fn every_path_answers() {
        assert_eq!(get("/").await, (200, "Hello, World!".to_owned()));
        assert_eq!(get("/bytes/5").await, (200, ".....".to_owned()));
        assert_eq!(get("/chunked/5").await, (200, ".....".to_owned()));
        assert_eq!(get("/lines/2").await.1.len(), 64);
        assert_eq!(get("/delay/1").await, (200, "1 ms later\n".to_owned()));
        assert_eq!(
            get("/status/404").await,
            (404, "404 Not Found\n".to_owned())
        );
        assert_eq!(get("/status/204").await, (204, String::new()));
        assert_eq!(get("/echo?query").await.0, 200);
    }

    #[tokio::test]
    async fn what_the_head_alone_answers_is_what_the_service_answers() {
        for (path, is_ready) in [
            ("/", true),
            ("/bytes/5", true),
            ("/bytes/65536", true),
            ("/bytes/65537", false),
            ("/bytes/x", false),
            ("/bytes/5?query", false),
            ("/echo", false),
        ] {
            let mut wire = bytes::BytesMut::from(&*format!("GET {path} HTTP/1.0\r\n\r\n"));
            let mut connection = Connection::server(std::sync::Arc::default());
            let received = connection.receive(&mut wire).unwrap();
            let Received::Event(Event::Request(head)) = received else {
                panic!("{received:?}");
            };
            let ready = ready_answer(&head);
            assert_eq!(ready.is_some(), is_ready, "{path}");
            let Some(ready) = ready else {
                continue;
            };
            let (status, fields, content) =
                ask(Request::get(path).body(Body::empty()).unwrap()).await;
            let expected = ReadyAnswer::new(status, fields[CONTENT_TYPE].clone(), content);
            assert_eq!(format!("{ready:?}"), format!("{expected:?}"), "{path}");
            assert_eq!(fields.len(), 1, "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        for path in [
            "/bytes/x",
            "/bytes/-1",
            "/lines/99999999999999999999",
            "/delay/700000",
            "/status/100",
            "/status/x",
        ] {
            assert_eq!(get(path).await.0, 400, "{path}");
        }
        for path in ["/bytes", "/bytes/1/2", "/nope", "//", "/bytes/1/"] {
            assert_eq!(get(path).await.0, 404, "{path}");
        }
        assert!(get("/nope").await.1.contains("/lines/N"));
    }

    #[tokio::test]
    async fn an_echo_is_bounded() {
        let request = |content: Vec<u8>| Request::post("/echo").body(Body::from(content)).unwrap();
        let (status, _, content) = ask(request(b"abc".to_vec())).await;
        assert_eq!((status.as_u16(), &content[..]), (200, &b"abc"[..]));
        assert_eq!(ask(request(vec![0; ECHO_LIMIT])).await.0, 200);
        assert_eq!(ask(request(vec![0; ECHO_LIMIT + 1])).await.0, 413);
        let told = Request::post("/echo")
            .header(CONTENT_LENGTH, ECHO_LIMIT + 1)
            .body(generated::bytes(1 << 30, Length::Untold));
        assert_eq!(ask(told.unwrap()).await.0, 413);
    }

    #[tokio::test]
    async fn fields_come_back_as_json() {
        let request = Request::get("/headers?x")
            .header("host", "localhost")
            .header("a", "1")
            .header("a", "2")
            .body(Body::empty())
            .unwrap();
        let (_, _, content) = ask(request).await;
        assert_eq!(
            serde_json::from_slice::<Value>(&content).unwrap(),
            json!({
                "method": "GET",
                "target": "/headers?x",
                "headers": {"host": "localhost", "a": ["1", "2"]},
            })
        );
    }
}
