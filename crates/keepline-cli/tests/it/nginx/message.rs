//! Messages as the observer reads and shows them: by a deliberately literal idea of framing, shared
//! with none of the code under test.

use super::text::shown;
use super::wire::{Ended, Wire};

/// Fields that tell nothing about behaviour: each server has its own.
const LEFT_OUT: [&str; 2] = ["date", "server"];

/// Reads a response and shows it on one line. What had not come when the time was over is not lost:
/// it is still unread.
pub(crate) async fn response(wire: &mut Wire, to_head: bool) -> String {
    let Some(head) = Head::read(wire).await else {
        return rest(wire).await;
    };
    let status = head.status();
    let has_body = !to_head && !(100..200).contains(&status) && status != 204 && status != 304;
    if !has_body {
        return head.shown_response();
    }
    let body = body(wire, &head, true).await;
    match own_page(&body, status) {
        Some(page) => head.without_content_fields().shown_response() + " | " + &page,
        None => head.shown_response() + " | " + &body,
    }
}

/// What a gateway itself has to say about a status: its words, their type and their length are its
/// own, but not their subject.
fn own_page(body: &str, status: u16) -> Option<String> {
    let subject = match body.strip_prefix("\"<html>") {
        Some(page) => page.split_once("<h1>")?.1.split_once("</h1>")?.0,
        None => body.strip_prefix('"')?.split_once(": ")?.0,
    };
    let is_own = subject.starts_with(&status.to_string());
    is_own.then(|| format!("its own page of {subject}"))
}

pub(crate) async fn response_head(wire: &mut Wire) -> String {
    match Head::read(wire).await {
        Some(head) => head.shown_response(),
        None => rest(wire).await,
    }
}

/// Shows the request whose head is complete in the unread bytes, and reads its body.
pub(crate) async fn request(wire: &mut Wire, with_body: bool) -> String {
    let Some(head) = Head::read(wire).await else {
        return rest(wire).await;
    };
    let mut shown = head.shown_request();
    let has_body = head.field("content-length").is_some() || head.is_chunked();
    if with_body && has_body {
        shown += &format!(" | {}", body(wire, &head, false).await);
    }
    shown
}

/// All that comes until the end of the connection.
pub(crate) async fn rest(wire: &mut Wire) -> String {
    while wire.more().await {}
    let count = wire.unread.len();
    let bytes = wire.take(count);
    let end = match wire.ended {
        Some(Ended::Reset) => "reset",
        Some(Ended::Fin) => "fin",
        None => "closed here",
    };
    if bytes.is_empty() {
        end.to_owned()
    } else {
        format!("\"{}\" then {end}", shown(&undated(bytes)))
    }
}

/// The time is always another.
fn undated(mut bytes: Vec<u8>) -> Vec<u8> {
    const FIELD: &[u8] = b"date: ";
    const LENGTH: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();
    let found = bytes
        .windows(FIELD.len())
        .position(|window| window.eq_ignore_ascii_case(FIELD));
    if let Some(start) = found.map(|found| found + FIELD.len()) {
        let end = (start + LENGTH).min(bytes.len());
        bytes.splice(start..end, *b"now");
    }
    bytes
}

pub(crate) async fn exactly(wire: &mut Wire, count: usize) -> String {
    while wire.unread.len() < count {
        if !wire.more().await {
            return rest(wire).await;
        }
    }
    format!("\"{}\"", shown(&wire.take(count)))
}

/// Where the head at the start of `bytes` ends, with its empty line. Lines may end with a bare LF.
pub(crate) fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        let line = &bytes[line_start..at];
        if line_start > 0 && (line.is_empty() || line == b"\r") {
            return Some(at + 1);
        }
        line_start = at + 1;
    }
    None
}

/// Text in which each byte is a character, so that none is lost.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Such a text for people.
fn shown_text(text: &str) -> String {
    let byte = |char: char| u8::try_from(char).expect("each character was a byte");
    shown(&text.chars().map(byte).collect::<Vec<_>>())
}

struct Head {
    start: String,
    fields: Vec<(String, String)>,
}

impl Head {
    async fn read(wire: &mut Wire) -> Option<Self> {
        let length = loop {
            match head_length(&wire.unread) {
                Some(length) => break length,
                None if wire.more().await => {}
                None => return None,
            }
        };
        let head = latin1(&wire.unread[..length]);
        let mut lines = head.lines();
        let start = lines.next()?.to_owned();
        // An answer without a head, as to a request of HTTP/0.9, is not one with an odd head.
        if !start.contains("HTTP/") {
            return None;
        }
        wire.take(length);
        let fields = lines
            .filter(|line| !line.is_empty())
            .map(|line| match line.split_once(':') {
                Some((name, value)) => (name.to_owned(), value.trim().to_owned()),
                None => (line.to_owned(), String::new()),
            })
            .collect();
        Some(Self { start, fields })
    }

    fn field(&self, name: &str) -> Option<&str> {
        let is_it = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().find(is_it).map(|field| &*field.1)
    }

    fn is_chunked(&self) -> bool {
        self.field("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    }

    fn status(&self) -> u16 {
        let status = self.start.split(' ').nth(1);
        status.and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn without_content_fields(mut self) -> Self {
        self.fields.retain(|(name, _)| {
            !["content-length", "content-type"].contains(&&*name.to_ascii_lowercase())
        });
        self
    }

    fn shown_response(&self) -> String {
        let start = match self.start.strip_prefix("HTTP/1.1 ") {
            Some(status) => status,
            None => &self.start,
        };
        shown_text(start) + &self.shown_fields()
    }

    fn shown_request(&self) -> String {
        shown_text(&self.start) + &self.shown_fields()
    }

    /// Names in lower case and sorted: neither their case nor their order means anything, but for
    /// the order of those with the same name.
    fn shown_fields(&self) -> String {
        let mut fields: Vec<(String, &str)> = self
            .fields
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), &**value))
            .filter(|(name, _)| !LEFT_OUT.contains(&&**name))
            .collect();
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        let show = |(name, value): (String, &str)| {
            format!(" | {}: {}", shown_text(&name), shown_text(value))
        };
        fields.into_iter().map(show).collect()
    }
}

async fn body(wire: &mut Wire, head: &Head, may_end_with_connection: bool) -> String {
    if head.is_chunked() {
        return chunked(wire).await;
    }
    match head
        .field("content-length")
        .and_then(|length| length.parse().ok())
    {
        Some(length) => exactly(wire, length).await,
        None if may_end_with_connection => rest(wire).await,
        None => String::new(),
    }
}

/// The content without its framing: where chunks begin depends on how the bytes came.
async fn chunked(wire: &mut Wire) -> String {
    let mut content = Vec::new();
    loop {
        let Some(line) = line(wire).await else {
            return format!(
                "chunks of \"{}\", cut: {}",
                shown(&content),
                rest(wire).await
            );
        };
        let digits = line.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(digits, 16) else {
            return format!("chunks of \"{}\", then \"{line}\"", shown(&content));
        };
        if size == 0 {
            break;
        }
        while wire.unread.len() < size + 2 {
            if !wire.more().await {
                content.append(&mut wire.unread);
                return format!(
                    "chunks of \"{}\", cut: {}",
                    shown(&content),
                    rest(wire).await
                );
            }
        }
        content.extend(wire.take(size));
        wire.take(2);
    }
    let mut shown = format!("chunks of \"{}\"", shown(&content));
    loop {
        match line(wire).await {
            None => return format!("{shown}, cut: {}", rest(wire).await),
            Some(line) if line.is_empty() => return shown,
            Some(line) => shown += &format!(" | {line}"),
        }
    }
}

async fn line(wire: &mut Wire) -> Option<String> {
    loop {
        if let Some(end) = wire.unread.iter().position(|byte| *byte == b'\n') {
            let line = wire.take(end + 1);
            return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if !wire.more().await {
            return None;
        }
    }
}
