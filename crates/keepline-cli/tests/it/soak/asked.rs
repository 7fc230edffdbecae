//! Requests, and what their answers have to be.

use super::wire::Answer;
use crate::dice::Dice;

/// A request, and its answer.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    pub(super) path: String,
    /// In no other request.
    pub(super) token: String,
    pub(super) content: Vec<u8>,
    is_chunked: bool,
    status: u16,
    expected: Expected,
}

#[derive(Debug, Clone)]
enum Expected {
    Is(Vec<u8>),
    /// The token of this request, and so of no other.
    Token,
}

/// How large contents may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Any,
}

impl Asked {
    pub(super) fn thrown(dice: &mut Dice, size: Size) -> Self {
        let length = match (size, dice.below(8)) {
            (Size::Small, _) | (Size::Any, 0..4) => dice.below(2000),
            (Size::Any, 4..7) => dice.below(100_000),
            (Size::Any, _) => dice.below(1_000_000),
        };
        let token = format!("{:016x}", dice.throw());
        match dice.below(8) {
            0 | 1 => Self::get("/headers".to_owned(), token, Expected::Token),
            2 => Self::lines(length / 32, token),
            3 => Self::get(format!("/bytes/{length}"), token, dots(length)),
            4 => Self::get(format!("/chunked/{length}"), token, dots(length)),
            5 => Self {
                status: 404,
                ..Self::get("/status/404".to_owned(), token, text("404 Not Found\n"))
            },
            kind => {
                let content = repeated(&token, length);
                Self {
                    method: "POST",
                    is_chunked: kind == 6,
                    content: content.clone(),
                    ..Self::get("/echo".to_owned(), token, Expected::Is(content))
                }
            }
        }
    }

    pub(super) fn lines(count: usize, token: String) -> Self {
        let lines = (1..=count).map(|number| format!("line {number:017} keepline\n"));
        let expected = lines.collect::<String>().into_bytes();
        Self::get(format!("/lines/{count}"), token, Expected::Is(expected))
    }

    fn get(path: String, token: String, expected: Expected) -> Self {
        Self {
            method: "GET",
            path,
            token,
            content: Vec::new(),
            is_chunked: false,
            status: 200,
            expected,
        }
    }

    /// As it is sent.
    pub(super) fn bytes(&self, dice: &mut Dice) -> Vec<u8> {
        let (method, path, token) = (self.method, &self.path, &self.token);
        let head = format!("{method} {path} HTTP/1.1\r\nhost: soak\r\nx-token: {token}\r\n");
        let mut bytes = head.into_bytes();
        if self.is_chunked {
            bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            for chunk in self.content.chunks(1 + dice.below(50_000)) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            return bytes;
        }
        if self.method == "POST" {
            let length = format!("content-length: {}\r\n", self.content.len());
            bytes.extend_from_slice(length.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.content);
        bytes
    }

    /// `Err`: this is not its answer.
    pub(super) fn check(&self, answer: &Answer) -> Result<(), String> {
        let is_right = match &self.expected {
            Expected::Is(expected) => answer.content == *expected,
            Expected::Token => {
                let told = format!("\"x-token\":\"{}\"", self.token);
                String::from_utf8_lossy(&answer.content).contains(&told)
            }
        };
        if is_right && answer.status == self.status {
            return Ok(());
        }
        let start = answer.content.get(..200).unwrap_or(&answer.content);
        Err(format!(
            "{} {}: {} with {} bytes: {}",
            self.method,
            self.path,
            answer.status,
            answer.content.len(),
            start.escape_ascii()
        ))
    }
}

fn dots(length: usize) -> Expected {
    Expected::Is(vec![b'.'; length])
}

fn text(text: &str) -> Expected {
    Expected::Is(text.into())
}

fn repeated(token: &str, length: usize) -> Vec<u8> {
    token.bytes().cycle().take(length).collect()
}
