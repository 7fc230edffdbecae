//! What is ambiguous or malformed is refused, not repaired: two recipients that repair
//! differently are how requests get smuggled.
//!
//! Each input is fed whole, byte by byte and cut at every place, with a bare LF in heads allowed
//! and not, and with a request (or response) behind it that must never be seen. The page
//! `docs/conformance.md` is written from the same tables.

mod requests;
mod responses;

use std::fmt::Write as _;

use super::generated::assert_page;
use crate::fuzzing::feed::{Outcome, Setup, Split, feed};
use crate::{Config, RemoteError};

/// What is done about an input.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Done {
    /// It is refused.
    Refused(RemoteError),
    /// It is read as these events.
    Read(&'static [&'static str]),
}

/// One kind of input.
struct Row {
    /// In words, for the page.
    kind: &'static str,
    wire: Vec<u8>,
    done: Done,
    /// Where a bare LF in heads is allowed, if that makes a difference.
    with_bare_lf: Option<Done>,
    /// The section that says so.
    rfc: &'static str,
}

fn refused(
    kind: &'static str,
    wire: impl AsRef<[u8]>,
    error: RemoteError,
    rfc: &'static str,
) -> Row {
    Row {
        kind,
        wire: wire.as_ref().to_vec(),
        done: Done::Refused(error),
        with_bare_lf: None,
        rfc,
    }
}

fn read(
    kind: &'static str,
    wire: impl AsRef<[u8]>,
    said: &'static [&'static str],
    rfc: &'static str,
) -> Row {
    Row {
        kind,
        wire: wire.as_ref().to_vec(),
        done: Done::Read(said),
        with_bare_lf: None,
        rfc,
    }
}

impl Row {
    /// With a bare LF allowed in heads it is read as these events.
    fn but_read(mut self, said: &'static [&'static str]) -> Self {
        self.with_bare_lf = Some(Done::Read(said));
        self
    }

    /// With a bare LF allowed in heads it is refused otherwise.
    fn but_refused(mut self, error: RemoteError) -> Self {
        self.with_bare_lf = Some(Done::Refused(error));
        self
    }

    /// Feeds it in all ways.
    fn check(&self, setup: &Setup, behind: &[u8]) {
        for bare_lf in [false, true] {
            let expected = match &self.with_bare_lf {
                Some(done) if bare_lf => done,
                _ => &self.done,
            };
            let mut setup = setup.clone();
            setup.config.bare_lf = bare_lf;
            let wire = [&self.wire[..], behind].concat();
            // Long inputs are about limits, and cutting each of them everywhere takes long.
            let step = if wire.len() < 500 { 1 } else { wire.len() / 20 };
            let cuts = (1..wire.len()).step_by(step).map(Split::At);
            for split in [Split::Whole, Split::EachByte].into_iter().chain(cuts) {
                let outcome = feed(&setup, &wire, split);
                let context = || format!("{}: {split:?}, bare LF {bare_lf}", self.kind);
                check_outcome(expected, &outcome, &context);
            }
        }
    }
}

fn check_outcome(expected: &Done, outcome: &Outcome, context: &dyn Fn() -> String) {
    match expected {
        Done::Refused(error) => {
            assert_eq!(outcome.error(), Some(*error), "{}: {outcome:?}", context());
            for said in &outcome.said {
                let text = format!("{said:?}");
                assert!(!text.contains("smuggled"), "{}: {text}", context());
            }
        }
        Done::Read(events) => {
            let said: Vec<_> = outcome
                .said
                .iter()
                .take(events.len())
                .map(|said| format!("{said:?}"))
                .collect();
            assert_eq!(said, *events, "{}: {outcome:?}", context());
            // What stands behind it is the next message, or waits, and is no content.
            assert!(
                !said.iter().any(|x| x.contains("smuggled")),
                "{}",
                context()
            );
        }
    }
}

/// A request that an attacker would like to be seen as one.
const SMUGGLED_REQUEST: &[u8] = b"GET /smuggled HTTP/1.1\r\nhost: s\r\n\r\n";
const SMUGGLED_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nx: smuggled\r\ncontent-length: 0\r\n\r\n";

#[test]
fn requests_that_are_ambiguous_or_malformed() {
    let mut count = 0;
    for (_, rows) in requests::tables() {
        for row in rows {
            let behind = match &row.done {
                Done::Refused(_) => SMUGGLED_REQUEST,
                Done::Read(_) => b"",
            };
            row.check(&Setup::server(Config::default()), behind);
            count += 1;
        }
    }
    assert!(count >= 100, "only {count} kinds");
}

#[test]
fn responses_that_are_ambiguous_or_malformed() {
    let mut count = 0;
    for (_, asks, rows) in responses::tables() {
        for row in rows {
            let behind = match &row.done {
                Done::Refused(_) => SMUGGLED_RESPONSE,
                Done::Read(_) => b"",
            };
            row.check(&Setup::client(Config::default(), asks.clone()), behind);
            count += 1;
        }
    }
    assert!(count >= 40, "only {count} kinds");
}

#[test]
fn each_error_has_a_status_that_says_what_is_wrong() {
    let mut seen = Vec::new();
    for (_, rows) in requests::tables() {
        for row in rows {
            if let Done::Refused(error) = row.done {
                let status = error.status_hint().as_u16();
                let expected = match error {
                    RemoteError::RequestLineTooLong => 414,
                    RemoteError::HeadTooLarge
                    | RemoteError::TooManyFields
                    | RemoteError::TrailersTooLarge => 431,
                    RemoteError::UnsupportedTransferEncoding => 501,
                    RemoteError::UnsupportedVersion => 505,
                    _ => 400,
                };
                assert_eq!(status, expected, "{error:?}");
                if !seen.contains(&error) {
                    seen.push(error);
                }
            }
        }
    }
    // All that a request can do wrong, but for its end (module `eof`).
    assert!(seen.len() >= 28, "{} errors: {seen:?}", seen.len());
}

#[test]
fn the_page_about_conformance_is_up_to_date() {
    let mut page = String::from(HEAD);
    page.push_str("\n## Requests, as a server reads them\n");
    for (title, rows) in requests::tables() {
        let _ = write!(
            page,
            "\n### {title}\n\n| input | what is done | status | where |\n"
        );
        page.push_str("|---|---|---|---|\n");
        for row in rows {
            let status = match row.done {
                Done::Refused(error) => error.status_hint().as_str().to_owned(),
                Done::Read(_) => String::new(),
            };
            let _ = writeln!(
                page,
                "| {} | {} | {status} | {} |",
                row.kind,
                done(&row),
                row.rfc
            );
        }
    }
    page.push_str("\n## Responses, as a client reads them\n\nA gateway answers 502 for what is refused here.\n");
    for (title, _, rows) in responses::tables() {
        let _ = write!(
            page,
            "\n### {title}\n\n| input | what is done | where |\n|---|---|---|\n"
        );
        for row in rows {
            let _ = writeln!(page, "| {} | {} | {} |", row.kind, done(&row), row.rfc);
        }
    }
    page.push_str(TAIL);
    assert_page("conformance.md", &page);
}

fn done(row: &Row) -> String {
    let words = |done: &Done| match done {
        Done::Refused(error) => format!("refused: {error}"),
        Done::Read(_) => "read".to_owned(),
    };
    match &row.with_bare_lf {
        None => words(&row.done),
        Some(other) => format!(
            "{} ({} where a bare LF is allowed)",
            words(&row.done),
            words(other)
        ),
    }
}

const HEAD: &str = "# What is read, and what is refused

<!-- Written by a test from the tables in `keepline_proto::tests::smuggling`. To change it, change
     them, then run KEEPLINE_BLESS=1 cargo test -p keepline-proto -->

keepline does not repair. Where two recipients could understand different things, the message is
refused and its connection is closed; that is what keeps requests from being smuggled. Each line
below is a test: its input is fed whole, byte by byte and cut at every place, with a bare LF in
heads allowed and not (`Config::bare_lf`; off by default), and what stands behind it is never taken
for a message. Sections are those of RFC 9112 unless another document is named.
";

const TAIL: &str = "
## Where this is stricter than the RFCs ask

- A bare LF ends a head line only where `Config::bare_lf` says so (§2.2, MAY); chunk framing and
  trailer sections are CRLF always.
- Transfer-Encoding with empty list elements is refused, though recipients of lists are to ignore
  them (RFC 9110 §5.6.1): `, chunked` is not chunked to everybody. So are codings that we do not
  know, in responses too.
- Both lengths at once are refused and not resolved (§6.1, MAY), on the client too. Repeated equal
  Content-Length lines are one; a list in one line is refused (§6.3 allows either).
- A chunk size of more than 16 digits is refused, even if the first are zeros; so is one with
  whitespace behind it and no extension.
- HTTP/1.2 and above are refused, though a higher minor version is to be read as the highest that
  is known (RFC 9110 §2.5): there is none, and there will be none.
- userinfo in an `http` target is refused (RFC 9110 §4.2.4, SHOULD); so is CONNECT with content, to
  port 0, or to a host with a colon and no brackets.
- A folded field line in a request is refused (§5.2 allows to unfold it); a gateway refuses it in
  responses too (`ObsFold::Refuse`).
- Framing fields of a response without a body (HEAD, 204, 304) are ignored, yet they must not
  contradict each other.

## Where it is more lenient

- The space behind the status code may be missing (§4).
- Repeated equal Content-Length lines (§6.3).
- Empty lines before a request line, up to four (§2.2).
- A response need not say which protocol it has switched to beyond having an Upgrade field.
";
