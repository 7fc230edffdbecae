//! A second parser, naive and strict, that shares no code with the first.
//!
//! It sees the whole input at once and finds the messages in it with nothing but `split` and
//! `find`. It may accept less or more than the first one; but what the first accepts as a whole
//! message, this one has to accept with the same head, the same content and the same end.

use super::feed::{Outcome, Setup};
use super::said::{Lines, Said};
use crate::ObsFold;
use crate::state::{Role, State};

/// A whole message.
#[derive(Debug, Default)]
struct Message {
    /// The words of the start line.
    start: Vec<Vec<u8>>,
    fields: Lines,
    content: Vec<u8>,
    trailers: Lines,
}

/// Goes through what the first parser said, message by message.
///
/// # Panics
/// The two disagree.
pub fn check(setup: &Setup, wire: &[u8], outcome: &Outcome) {
    let mut rest = wire;
    let mut said = &outcome.said[..];
    let mut asked = setup.asks.iter().map(|ask| ask.method.as_str());
    let mut method = asked.next();
    while let Some((message, behind)) = next_message(said) {
        let (head, content, trailers, is_interim) = message;
        let context = || format!("{head:?} in {}", wire.escape_ascii());
        let (found, after) = parse(setup, rest, method, is_interim)
            .unwrap_or_else(|| panic!("the second parser refuses {}", context()));
        let fields = match head {
            Said::Request {
                method,
                target,
                fields,
                ..
            } => {
                assert_eq!(found.start[0], method.as_bytes(), "{}", context());
                assert_eq!(found.start[1], *target, "{}", context());
                fields
            }
            Said::Response { status, fields, .. } | Said::Interim { status, fields, .. } => {
                assert_eq!(
                    found.start[1],
                    status.to_string().as_bytes(),
                    "{}",
                    context()
                );
                fields
            }
            _ => unreachable!(),
        };
        assert_eq!(found.fields, *fields, "{}", context());
        assert_eq!(
            found.content.escape_ascii().to_string(),
            content.escape_ascii().to_string()
        );
        assert_eq!(found.trailers, trailers, "{}", context());
        if !is_interim {
            method = asked.next();
        }
        rest = after;
        said = behind;
    }
    let is_all = matches!(said, [] | [Said::Closed]) && outcome.client != State::Switched;
    if is_all && setup.role == Role::Server && outcome.client == State::Idle {
        // The empty lines that may stand before a request are not consumed without one.
        assert_eq!(rest, outcome.rest, "{}", wire.escape_ascii());
    }
}

type Whole<'a> = (&'a Said, Vec<u8>, Lines, bool);

/// The next whole message among what was said.
fn next_message(said: &[Said]) -> Option<(Whole<'_>, &[Said])> {
    let none = Lines::new();
    match said {
        [head @ Said::Interim { .. }, rest @ ..] => Some(((head, Vec::new(), none, true), rest)),
        [
            head @ (Said::Request { .. } | Said::Response { .. }),
            Said::Data(content),
            Said::End(trailers),
            rest @ ..,
        ] => {
            let trailers = trailers.clone().unwrap_or_default();
            Some(((head, content.clone(), trailers, false), rest))
        }
        [
            head @ (Said::Request { .. } | Said::Response { .. }),
            Said::End(trailers),
            rest @ ..,
        ] => {
            let trailers = trailers.clone().unwrap_or_default();
            Some(((head, Vec::new(), trailers, false), rest))
        }
        _ => None,
    }
}

fn parse<'a>(
    setup: &Setup,
    wire: &'a [u8],
    method: Option<&str>,
    is_interim: bool,
) -> Option<(Message, &'a [u8])> {
    let is_request = setup.role == Role::Server;
    let bare_lf = setup.config.bare_lf;
    let wire = if is_request {
        without_empty_lines(wire, bare_lf)
    } else {
        wire
    };
    let (start, rest) = line(wire, bare_lf)?;
    let words: Vec<_> = start.splitn(3, |&x| x == b' ').collect();
    let version = if is_request {
        let &[method, target, version] = &words[..] else {
            return None;
        };
        (is_token(method) && target.iter().all(u8::is_ascii_graphic)).then_some(version)?
    } else {
        let &[version, status, ..] = &words[..] else {
            return None;
        };
        (status.len() == 3 && status.iter().all(u8::is_ascii_digit)).then_some(version)?
    };
    matches!(version, b"HTTP/1.1" | b"HTTP/1.0").then_some(())?;
    let folds = !is_request && setup.config.obs_fold == ObsFold::Replace;
    let (fields, rest) = section(rest, bare_lf, folds)?;
    let message = Message {
        start: words.iter().map(|word| word.to_vec()).collect(),
        fields,
        ..Message::default()
    };
    let has_none = is_interim
        || (!is_request && method == Some("HEAD"))
        || (!is_request && matches!(words[1], [b'1', _, _] | b"204" | b"304"));
    if has_none {
        return Some((message, rest));
    }
    body(message, rest, is_request, version == b"HTTP/1.1")
}

fn without_empty_lines(mut wire: &[u8], bare_lf: bool) -> &[u8] {
    loop {
        match wire {
            [b'\r', b'\n', after @ ..] => wire = after,
            [b'\n', after @ ..] if bare_lf => wire = after,
            _ => return wire,
        }
    }
}

fn body(
    mut message: Message,
    rest: &[u8],
    is_request: bool,
    is_http_11: bool,
) -> Option<(Message, &[u8])> {
    let values = |name: &str| -> Vec<_> {
        message
            .fields
            .iter()
            .filter(|line| line.0.eq_ignore_ascii_case(name.as_bytes()))
            .map(|line| line.1.clone())
            .collect()
    };
    let (codings, lengths) = (values("transfer-encoding"), values("content-length"));
    if !codings.is_empty() {
        let only_chunked = codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked");
        if !only_chunked || !lengths.is_empty() || !is_http_11 {
            return None;
        }
        let (content, trailers, rest) = chunks(rest)?;
        (message.content, message.trailers) = (content, trailers);
        Some((message, rest))
    } else if let Some(first) = lengths.first() {
        let is_plain = first.iter().all(u8::is_ascii_digit);
        if !is_plain || lengths.iter().any(|x| number(x) != number(first)) {
            return None;
        }
        let (content, rest) = rest.split_at_checked(number(first)?)?;
        message.content = content.to_vec();
        Some((message, rest))
    } else if is_request {
        Some((message, rest))
    } else {
        message.content = rest.to_vec();
        Some((message, &[]))
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn is_token(word: &[u8]) -> bool {
    let is_special = |x| b"!#$%&'*+-.^_`|~".contains(&x);
    !word.is_empty()
        && word
            .iter()
            .all(|&x| x.is_ascii_alphanumeric() || is_special(x))
}

/// Up to the line end, and what follows it.
fn line(bytes: &[u8], bare_lf: bool) -> Option<(&[u8], &[u8])> {
    let lf = bytes.iter().position(|&x| x == b'\n')?;
    let (line, rest) = (&bytes[..lf], &bytes[lf + 1..]);
    let line = match line.strip_suffix(b"\r") {
        Some(line) => line,
        None if bare_lf => line,
        None => return None,
    };
    let is_text = line.iter().all(|&x| x == b'\t' || (x >= b' ' && x != 0x7f));
    is_text.then_some((line, rest))
}

/// Field lines up to the empty line, and what follows it.
fn section(mut rest: &[u8], bare_lf: bool, folds: bool) -> Option<(Lines, &[u8])> {
    let mut fields = Lines::new();
    loop {
        let (text, after) = line(rest, bare_lf)?;
        let end = rest.len() - after.len();
        let had_cr = rest[..end].ends_with(b"\r\n");
        rest = after;
        if text.is_empty() {
            for (_, value) in &mut fields {
                *value = value.trim_ascii().to_vec();
            }
            return Some((fields, rest));
        }
        if matches!(text[0], b' ' | b'\t') {
            // The line end and the first blank become as many spaces; a tab before a bare LF too.
            let last = fields.last_mut().filter(|_| folds)?;
            last.1.extend_from_slice(b" ");
            last.1.extend_from_slice(&text[1..]);
        } else {
            let colon = text.iter().position(|&x| x == b':')?;
            is_token(&text[..colon]).then_some(())?;
            fields.push((text[..colon].to_vec(), text[colon + 1..].to_vec()));
        }
        if matches!(rest.first(), Some(b' ' | b'\t')) {
            let value = &mut fields.last_mut()?.1;
            if !had_cr && value.last() == Some(&b'\t') {
                value.pop();
                value.push(b' ');
            }
            value.extend_from_slice(if had_cr { b"  " } else { b" " });
        }
    }
}

/// A chunked body: content, trailers, and what follows.
fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, Lines, &[u8])> {
    let mut content = Vec::new();
    loop {
        let (text, after) = line(rest, false)?;
        let size = match text.iter().position(|&x| x == b';') {
            Some(end) => text[..end].trim_ascii_end(),
            None => text,
        };
        let is_hex = !size.is_empty() && size.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(size).ok().filter(|_| is_hex)?;
        let size = usize::try_from(u64::from_str_radix(size, 16).ok()?).ok()?;
        if size == 0 {
            let (trailers, rest) = section(after, false, false)?;
            return Some((content, trailers, rest));
        }
        content.extend_from_slice(after.get(..size)?);
        rest = after[size..].strip_prefix(b"\r\n")?;
    }
}
