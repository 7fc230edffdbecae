//! Files below a directory.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;

use http::header::{ALLOW, RANGE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use keepline::Body;
use keepline::server::ServerStats;
use tower_http::services::ServeDir;

use super::{ranges, routes};
use crate::failure::Failure;

/// Answers with files, and with the built-in paths where there is none.
#[derive(Debug, Clone)]
pub(crate) struct Files(ServeDir);

impl Files {
    /// # Errors
    /// It is no directory.
    pub(crate) fn below(root: PathBuf) -> Result<Self, Failure> {
        let is_dir = std::fs::metadata(&root)
            .map_err(|error| Failure::file(&root, &error))?
            .is_dir();
        if !is_dir {
            return Err(Failure::new(format!(
                "{} is not a directory",
                root.display()
            )));
        }
        Ok(Self(ServeDir::new(root)))
    }

    pub(crate) async fn answer(
        mut self,
        request: Request<Body>,
        stats: Option<Box<ServerStats>>,
    ) -> Result<Response<Body>, Infallible> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Ok(other_method(routes::answer(request, stats).await));
        }
        let mut found = self.0.try_call(without_body(&request)).await;
        if let Ok(answer) = &found
            && let Some(range) = ranges::instead(request.headers(), answer)
        {
            let mut again = without_body(&request);
            match range {
                Some(range) => again.headers_mut().insert(RANGE, range),
                None => again.headers_mut().remove(RANGE),
            };
            found = self.0.try_call(again).await;
        }
        match found {
            Ok(found) if found.status() != StatusCode::NOT_FOUND => Ok(found.map(Body::new)),
            Err(error) if !is_missing(&error) => Ok(unreadable(&error)),
            Ok(_) | Err(_) => Ok(routes::answer(request, stats).await),
        }
    }
}

/// The same question, for whoever needs only its head.
fn without_body(request: &Request<Body>) -> Request<Body> {
    let mut head = Request::new(Body::empty());
    head.method_mut().clone_from(request.method());
    head.uri_mut().clone_from(request.uri());
    head.headers_mut().clone_from(request.headers());
    head
}

/// A file is there to be read: where there is no built-in path either, another method is refused.
fn other_method(answer: Response<Body>) -> Response<Body> {
    if answer.status() != StatusCode::NOT_FOUND {
        return answer;
    }
    let mut refusal = Response::new(Body::empty());
    *refusal.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    refusal
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    refusal
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn unreadable(error: &io::Error) -> Response<Body> {
    let mut answer = Response::new(Body::from(format!("{error}\n")));
    *answer.status_mut() = match error.kind() {
        io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{CONTENT_TYPE, LAST_MODIFIED};
    use keepline_testkit::ScratchDir;

    async fn ask(
        files: &Files,
        method: Method,
        path: &str,
    ) -> (StatusCode, http::HeaderMap, String) {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        let (head, body) = files
            .clone()
            .answer(request, None)
            .await
            .unwrap()
            .into_parts();
        let content = body.bytes(1 << 20).await.unwrap();
        (
            head.status,
            head.headers,
            String::from_utf8(content.to_vec()).unwrap(),
        )
    }

    fn tree() -> (ScratchDir, Files) {
        let scratch = ScratchDir::new("files");
        std::fs::create_dir_all(scratch.path().join("root/sub")).unwrap();
        scratch.write("root/index.html", "<p>index");
        scratch.write("root/a b.css", "p {}");
        scratch.write("root/sub/x.json", "{}");
        scratch.write("secret", "secret");
        let files = Files::below(scratch.path().join("root")).unwrap();
        (scratch, files)
    }

    #[tokio::test]
    async fn files_are_served_with_their_type_and_age() {
        let (_scratch, files) = tree();
        let (status, fields, content) = ask(&files, Method::GET, "/").await;
        assert_eq!((status.as_u16(), content.as_str()), (200, "<p>index"));
        assert_eq!(fields[CONTENT_TYPE], "text/html");
        assert!(fields.contains_key(LAST_MODIFIED));
        let (_, fields, content) = ask(&files, Method::GET, "/a%20b.css").await;
        assert_eq!(
            (&fields[CONTENT_TYPE], content.as_str()),
            (&"text/css".parse().unwrap(), "p {}")
        );
        let (status, fields, _) = ask(&files, Method::HEAD, "/sub/x.json").await;
        assert_eq!(
            (status.as_u16(), &fields["content-length"]),
            (200, &"2".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn nothing_above_the_directory_is_served() {
        let (_scratch, files) = tree();
        for path in [
            "/../secret",
            "/%2e%2e/secret",
            "/sub/..%2f..%2fsecret",
            "/sub/%2e%2e/%2e%2e/secret",
        ] {
            let (status, _, content) = ask(&files, Method::GET, path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(
                !content.contains("secret\n") && content != "secret",
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn built_in_paths_answer_where_there_is_no_file() {
        let (_scratch, files) = tree();
        assert_eq!(ask(&files, Method::GET, "/bytes/3").await.2, "...");
        assert_eq!(
            ask(&files, Method::POST, "/status/201").await.0,
            StatusCode::CREATED
        );
        let (status, fields, _) = ask(&files, Method::POST, "/index.html").await;
        assert_eq!(
            (status.as_u16(), &fields[ALLOW]),
            (405, &"GET, HEAD".parse().unwrap())
        );
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let (scratch, _) = tree();
        assert!(Files::below(scratch.path().join("secret")).is_err());
        assert!(Files::below(scratch.path().join("none")).is_err());
    }
}
