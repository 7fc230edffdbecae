//! The words and marks of the language.
//!
//! nginx's rules (`ngx_conf_read_token`): a word ends at white space, `;` or `{`; a `{` right after
//! `$` belongs to it (`${name}`); quotes count only where a word begins; `#` begins a comment only there too;
//! a backslash takes the next character with it, and disappears before a quote, a backslash, `t`,
//! `r` and `n`. It takes one pass over the text and never panics, whatever that is.

use std::sync::Arc;

use super::error::ConfError;
use super::source::{Place, Source};

/// The longest word, in bytes. nginx's is 4096.
const MAX_WORD: usize = 64 * 1024;

/// A word: the name of a directive, or an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Without quotes and backslashes.
    pub(crate) text: String,
    pub(crate) place: Place,
    /// It was written in quotes, so that it means itself: `"include"` in a map is no directive.
    pub(crate) is_quoted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Word(Word),
    /// `;`
    End(Place),
    /// `{`
    Open(Place),
    /// `}`
    Close(Place),
}

/// Reads a [`Source`] word by word.
#[derive(Debug)]
pub(crate) struct Lexer {
    source: Arc<Source>,
    at: usize,
    line: u32,
    column: u32,
}

impl Lexer {
    pub(crate) const fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            at: 0,
            line: 1,
            column: 1,
        }
    }

    /// The next token; `None` at the end of the text.
    pub(crate) fn next(&mut self) -> Result<Option<Token>, ConfError> {
        self.skip_blanks_and_comments();
        let place = self.place(1);
        let Some(byte) = self.peek() else {
            return Ok(None);
        };
        Ok(Some(match byte {
            b';' => {
                self.advance();
                Token::End(place)
            }
            b'{' => {
                self.advance();
                Token::Open(place)
            }
            b'}' => {
                self.advance();
                Token::Close(place)
            }
            b'"' | b'\'' => Token::Word(self.quoted(byte, &place)?),
            _ => Token::Word(self.plain(&place)?),
        }))
    }

    /// The place of what comes next.
    pub(crate) fn place(&self, width: u32) -> Place {
        Place::new(Arc::clone(&self.source), self.line, self.column, width)
    }

    fn peek(&self) -> Option<u8> {
        self.source.text().as_bytes().get(self.at).copied()
    }

    fn advance(&mut self) {
        match self.peek() {
            Some(b'\n') => {
                self.line = self.line.saturating_add(1);
                self.column = 1;
            }
            // The later bytes of a character take no column.
            Some(byte) if byte & 0xC0 != 0x80 => self.column = self.column.saturating_add(1),
            _ => {}
        }
        self.at += 1;
    }

    fn skip_blanks_and_comments(&mut self) {
        while let Some(byte) = self.peek() {
            if is_blank(byte) {
                self.advance();
            } else if byte == b'#' {
                while self.peek().is_some_and(|byte| byte != b'\n') {
                    self.advance();
                }
            } else {
                return;
            }
        }
    }

    fn quoted(&mut self, quote: u8, open: &Place) -> Result<Word, ConfError> {
        self.advance();
        let start = self.at;
        loop {
            match self.peek() {
                None => {
                    let what = "unexpected end of file, the quote is never closed";
                    return Err(ConfError::new(open, what));
                }
                Some(b'\\') => {
                    self.advance();
                    self.advance();
                }
                Some(byte) if byte == quote => break,
                Some(_) => self.advance(),
            }
        }
        let word = self.word(start, open, true)?;
        self.advance();
        // nginx allows a parenthesis for the sake of `if ($a = "b")`.
        match self.peek() {
            Some(byte) if !is_blank(byte) && !matches!(byte, b';' | b'{' | b')') => {
                let next = self.source.text().get(self.at..).unwrap_or_default();
                let next = next.chars().next().unwrap_or_default();
                let what = format!(
                    "unexpected \"{}\" after the closing quote",
                    next.escape_debug()
                );
                Err(ConfError::new(&self.place(1), what)
                    .note("a quoted argument ends with its quote: white space, ; or { follows"))
            }
            _ => Ok(word),
        }
    }

    fn plain(&mut self, place: &Place) -> Result<Word, ConfError> {
        let start = self.at;
        let mut is_variable = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'{' if is_variable => is_variable = false,
                b'{' | b';' => break,
                byte if is_blank(byte) => break,
                b'\\' => {
                    is_variable = false;
                    self.advance();
                    if self.peek().is_none() {
                        break;
                    }
                }
                byte => is_variable = byte == b'$',
            }
            self.advance();
        }
        self.word(start, place, false)
    }

    fn word(&self, start: usize, place: &Place, is_quoted: bool) -> Result<Word, ConfError> {
        let end = self.at.min(self.source.text().len());
        // Both are at ASCII bytes or at ends, so they lie between characters.
        let raw = self.source.text().get(start..end).unwrap_or_default();
        if raw.len() > MAX_WORD {
            let begin: String = raw.chars().take(20).collect();
            let what = format!(
                "too long parameter \"{begin}...\": {} bytes, {MAX_WORD} are allowed",
                raw.len()
            );
            return Err(ConfError::new(place, what));
        }
        let quotes = if is_quoted { 2 } else { 0 };
        let width = u32::try_from(raw.chars().count() + quotes).unwrap_or(u32::MAX);
        Ok(Word {
            text: unescape(raw),
            place: Place::new(
                Arc::clone(&self.source),
                place.line(),
                place.column(),
                width,
            ),
            is_quoted,
        })
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Resolves the backslashes that the language knows; the others are left for regular expressions.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some(c @ ('"' | '\'' | '\\')) => text.push(c),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(c) => text.extend(['\\', c]),
            None => text.push('\\'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The words and marks, words in brackets.
    fn tokens(text: &str) -> String {
        let mut lexer = Lexer::new(Source::new("t", text));
        let mut told = String::new();
        loop {
            match lexer.next() {
                Ok(Some(Token::Word(word))) => told.push_str(&format!("[{}]", word.text)),
                Ok(Some(Token::End(_))) => told.push(';'),
                Ok(Some(Token::Open(_))) => told.push('{'),
                Ok(Some(Token::Close(_))) => told.push('}'),
                Ok(None) => return told,
                Err(error) => return format!("{told} {error}"),
            }
        }
    }

    #[test]
    fn words_and_marks_are_told_apart_as_nginx_does() {
        for (text, expected) in [
            ("a b;", "[a][b];"),
            ("a{b c;}", "[a]{[b][c];}"),
            ("a # b;\nc;", "[a][c];"),
            ("a#b c#;", "[a#b][c#];"),
            ("a \"b c;{\" 'd\"e';", "[a][b c;{][d\"e];"),
            ("a b\"c d\"e;", "[a][b\"c][d\"e];"),
            (
                r#"a "b\"c" 'd\'e' f\ g \;h;"#,
                r#"[a][b"c][d'e][f\ g][\;h];"#,
            ),
            (r"a \.php$ \d+ \\ x\ty;", "[a][\\.php$][\\d+][\\][x\ty];"),
            ("a ${b}c $d{ }", "[a][${b}c][$d]{}"),
            ("if ($a = \"b\") { }", "[if][($a][=][b][)]{}"),
            ("a \"\" ;", "[a][];"),
            ("a b}c;", "[a][b}c];"),
            ("log \"${x}y\";", "[log][${x}y];"),
            ("a é \"ü\";", "[a][é][ü];"),
        ] {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn a_backslash_takes_a_blank_with_it() {
        assert_eq!(tokens(r"rewrite a\ b c;"), r"[rewrite][a\ b][c];");
    }

    #[test]
    fn what_follows_a_quote_must_not_touch_it() {
        let told = tokens("a \"b\"c;");
        assert!(
            told.ends_with("unexpected \"c\" after the closing quote in t:1:6"),
            "{told}"
        );
    }

    #[test]
    fn an_open_quote_is_shown_where_it_began() {
        let told = tokens("a b;\n  c \"d\n;}\n");
        assert!(
            told.ends_with("the quote is never closed in t:2:5"),
            "{told}"
        );
    }

    #[test]
    fn a_word_that_never_ends_is_refused() {
        let told = tokens(&"x".repeat(MAX_WORD + 1));
        assert!(
            told.contains("too long parameter \"xxxxxxxxxxxxxxxxxxxx...\""),
            "{told}"
        );
    }

    #[test]
    fn places_count_lines_and_characters() {
        let mut lexer = Lexer::new(Source::new("t", "é b;\n\t\"c\nd\" e;"));
        let mut places = Vec::new();
        while let Some(token) = lexer.next().unwrap() {
            if let Token::Word(word) = token {
                places.push((word.text, word.place.line(), word.place.column()));
            }
        }
        let expected = [("é", 1, 1), ("b", 1, 3), ("c\nd", 2, 2), ("e", 3, 4)];
        let expected: Vec<_> = expected.map(|(text, l, c)| (text.to_owned(), l, c)).into();
        assert_eq!(places, expected);
    }

    proptest! {
        #[test]
        fn it_ends_and_never_panics(text in r#"[a-c"'\\{};$# \n\tßé]{0,60}"#) {
            let mut lexer = Lexer::new(Source::new("t", text.as_str()));
            let mut count = 0;
            while let Ok(Some(_)) = lexer.next() {
                count += 1;
                prop_assert!(count <= text.len());
            }
        }

        /// What is quoted comes back as it was.
        #[test]
        fn quoting_is_undone(word in r#"[a-z"'\\{};$# \n\té]{1,20}"#) {
            let quoted = word.replace('\\', r"\\").replace('"', "\\\"");
            let mut lexer = Lexer::new(Source::new("t", format!("\"{quoted}\";")));
            let Ok(Some(Token::Word(read))) = lexer.next() else {
                return Err(TestCaseError::fail("no word"));
            };
            prop_assert_eq!(read.text, word);
        }
    }
}
