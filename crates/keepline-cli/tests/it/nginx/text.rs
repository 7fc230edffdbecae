//! How cases write bytes, and how observations show them.
//!
//! `⏎` is CRLF, because a head has many; `\n`, `\r`, `\t`, `\\`, `\{` and `\xNN` are what they are
//! in Rust; `{x*500}` is `x` five hundred times. Everything else is itself.

/// Bytes in a row that are shown as a count.
const RUN: usize = 32;

/// The bytes that a case means.
///
/// # Panics
///
/// If it isn't written as the module says: a mistake in the case.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match char {
            '⏎' => bytes.extend(b"\r\n"),
            '\\' => bytes.push(escaped(&mut rest)),
            '{' => {
                let inside: String = rest.by_ref().take_while(|char| *char != '}').collect();
                let (unit, times) = inside.rsplit_once('*').expect("a repetition is {x*N}");
                let times: usize = times.parse().expect("a repetition has a number");
                bytes.extend(self::bytes(unit).repeat(times));
            }
            _ => bytes.extend(char.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

fn escaped(rest: &mut std::str::Chars<'_>) -> u8 {
    match rest.next() {
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('x') => {
            let digits: String = rest.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16).expect("\\x has two hexadecimal digits")
        }
        Some(other @ ('\\' | '{')) => other as u8,
        other => panic!("no such escape: \\{other:?}"),
    }
}

/// Bytes for people, on one line, so that equal lines mean equal bytes.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let run = rest.iter().take_while(|byte| **byte == first).count();
        if run >= RUN {
            text += &format!("{{{}*{run}}}", first.escape_ascii());
            rest = &rest[run..];
        } else if rest.starts_with(b"\r\n") {
            text.push('⏎');
            rest = &rest[2..];
        } else {
            match first {
                b'{' => text.push_str("\\{"),
                b'"' | b'\'' => text.push(first.into()),
                _ => text += &first.escape_ascii().to_string(),
            }
            rest = &rest[1..];
        }
    }
    text
}

#[test]
fn what_is_shown_is_what_was_written() {
    let written = r"GET / HTTP/1.1⏎a:\t\n\x00\\⏎⏎{x*40}\{}";
    assert_eq!(shown(&bytes(written)), written);
    assert_eq!(bytes("{ab*3}"), b"ababab");
}
