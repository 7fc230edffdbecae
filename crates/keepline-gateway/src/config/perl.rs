//! Regular expressions of nginx, which are Perl's, in the language of the `regex` crate.
//!
//! That crate matches in linear time whatever the pattern, and so has no look-around and no
//! back-references: these are refused. What is merely written differently is translated: `\Q…\E`,
//! `(?'name'…)`, braces that are no repetition, brackets within brackets, `\h`, `\R`.
//!
//! Patterns match bytes: `.` is any byte but a line feed, `\w` and `\d` are ASCII, as PCRE has them without its UTF mode. `$`
//! is the very end; PCRE also allows a line feed behind it, which no configuration has in mind.

use regex::bytes::{Regex, RegexBuilder};

/// Compiled patterns are at most so large, in bytes; PCRE has a limit too.
const MAX_COMPILED: usize = 2 * 1024 * 1024;

/// Compiles a pattern, or says why it cannot be.
pub(super) fn compile(pattern: &str, is_caseless: bool) -> Result<Regex, String> {
    let translated = translate(pattern)?;
    RegexBuilder::new(&translated)
        .unicode(false)
        .case_insensitive(is_caseless)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| match error {
            // Its last line says what is wrong; the others draw the translated pattern.
            regex::Error::Syntax(text) => {
                let last = text.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
            error => error.to_string(),
        })
}

fn translate(pattern: &str) -> Result<String, String> {
    let mut translation = Translation {
        rest: pattern,
        out: String::with_capacity(pattern.len()),
    };
    while let Some(c) = translation.take() {
        match c {
            '\\' => translation.escape(false)?,
            '[' => translation.class()?,
            '(' => translation.group()?,
            '{' => translation.brace(),
            '}' => translation.out.push_str("\\}"),
            '*' | '+' | '?' => translation.repetition(c)?,
            c => translation.out.push(c),
        }
    }
    Ok(translation.out)
}

struct Translation<'a> {
    rest: &'a str,
    out: String,
}

impl Translation<'_> {
    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// What follows a backslash, within brackets or not.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some(c) = self.take() else {
            return Err("a backslash at the end".to_owned());
        };
        match c {
            'Q' => {
                let (literal, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.out.push_str(&regex::escape(literal));
                self.rest = rest;
            }
            // An end without a beginning is nothing.
            'E' => {}
            'h' if in_class => self.out.push_str("\\t "),
            'h' => self.out.push_str("[\\t ]"),
            'R' if !in_class => self.out.push_str("(?:\\r\\n|[\\n\\x0B\\f\\r])"),
            'N' if !in_class => self.out.push_str("[^\\n]"),
            'Z' if !in_class => self.out.push_str("\\n?\\z"),
            'e' => self.out.push_str("\\x1B"),
            // Properties are Unicode's, and the rest of the pattern is not.
            'p' | 'P' => {
                let end = match self.rest.strip_prefix('{') {
                    Some(named) => named.find('}').map(|at| at + 2),
                    None => self.rest.chars().next().map(char::len_utf8),
                };
                let Some((property, rest)) = end.map(|end| self.rest.split_at(end)) else {
                    return Err(format!("\\{c} without the name of a property"));
                };
                self.out.push_str(&format!("(?u:\\{c}{property})"));
                self.rest = rest;
                if in_class {
                    return Err(format!("\\{c} within brackets is not supported"));
                }
            }
            '1'..='9' | 'g' | 'k' => return Err("back-references are not supported".to_owned()),
            'K' | 'G' | 'X' | 'C' => return Err(format!("\\{c} is not supported")),
            c if c.is_ascii_alphanumeric() => self.out.extend(['\\', c]),
            // Any other character stands for itself.
            c => self
                .out
                .push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
        Ok(())
    }

    /// What follows `[`. Within brackets only `]`, `\`, `-` and `[:…:]` are special in Perl; the
    /// crate has nested brackets and operators besides.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.eat("^") {
            self.out.push('^');
        }
        if self.eat("]") {
            self.out.push_str("\\]");
        }
        loop {
            match self.take() {
                None => return Err("brackets are not closed".to_owned()),
                Some(']') => break,
                Some('\\') => self.escape(true)?,
                Some('[') if self.rest.starts_with(':') => {
                    let Some(end) = self.rest.find(":]") else {
                        return Err("brackets are not closed".to_owned());
                    };
                    let (name, rest) = self.rest.split_at(end + 2);
                    self.out.push('[');
                    self.out.push_str(name);
                    self.rest = rest;
                }
                Some(c @ ('[' | '&' | '~')) => self.out.extend(['\\', c]),
                // Two in a row are an operator; `-` in its places is a range, or itself.
                Some('-') if self.rest.starts_with('-') => self.out.push_str("\\-"),
                Some(c) => self.out.push(c),
            }
        }
        self.out.push(']');
        Ok(())
    }

    /// What follows `(`.
    fn group(&mut self) -> Result<(), String> {
        if !self.eat("?") {
            self.out.push('(');
            return Ok(());
        }
        for lookaround in ["=", "!", "<=", "<!"] {
            if self.rest.starts_with(lookaround) {
                return Err(format!("look-around, (?{lookaround}, is not supported"));
            }
        }
        if self.rest.starts_with(['>', '(', '|', '&', 'R', '+']) {
            let kind: String = self.rest.chars().take(1).collect();
            return Err(format!("(?{kind} is not supported"));
        }
        if self.eat("#") {
            let (_, rest) = self.rest.split_once(')').unwrap_or_default();
            self.rest = rest;
        } else if self.eat("'") {
            let Some((name, rest)) = self.rest.split_once('\'') else {
                return Err("the name of a group is not closed".to_owned());
            };
            self.out.push_str(&format!("(?<{name}>"));
            self.rest = rest;
        } else {
            self.out.push_str("(?");
        }
        Ok(())
    }

    /// What follows `{`: a repetition, or the character itself.
    fn brace(&mut self) {
        let is_repetition = self.rest.split_once('}').is_some_and(|(inside, _)| {
            let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            !least.is_empty() && digits(least) && digits(most)
        });
        if !is_repetition {
            self.out.push_str("\\{");
            return;
        }
        self.out.push('{');
        while let Some(c) = self.take() {
            self.out.push(c);
            if c == '}' {
                break;
            }
        }
    }

    fn repetition(&mut self, c: char) -> Result<(), String> {
        self.out.push(c);
        if self.eat("?") {
            self.out.push('?');
        } else if self.rest.starts_with('+') {
            return Err(format!("possessive repetition, {c}+, is not supported"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let regex = compile(pattern, false).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        regex.is_match(text.as_bytes())
    }

    #[test]
    fn what_perl_writes_differently_is_translated() {
        for (pattern, yes, no) in [
            (r"\.php$", "/a.php", "/aphp"),
            (r"^/\Qa.b*\E$", "/a.b*", "/axb*"),
            (r"^\Q[x", "[x", "x"),
            (r"^/{id}/[0-9]{2,3}$", "/{id}/12", "/{id}/1"),
            (r"^a{,3}$", "a{,3}", "aaa"),
            (r"^[[]$", "[", "x"),
            (r"^[]a]$", "]", "b"),
            (r"^[^]a]$", "b", "]"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[[:digit:]_-]+$", "1_-", "a"),
            (r"^[\w\-.]+$", "a-._", "+"),
            (r"^(?'n'x)(?<m>y)(?P<o>z)$", "xyz", "xy"),
            (r"^a\hb$", "a\tb", "a_b"),
            (r"^\p{N}$", "7", "x"),
            (r"^\/\_\-\%\@$", "/_-%@", "/"),
            (r"^x(?#comment)y$", "xy", "x"),
            (r"^(?:a|b)*?c$", "abc", "d"),
            (r"^.$", "x", "\n"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn what_cannot_be_matched_in_linear_time_is_refused() {
        for (pattern, reason) in [
            (r"(?=a)", "look-around"),
            (r"(?<!a)b", "look-around"),
            (r"(a)\1", "back-references"),
            (r"(?<n>a)\k<n>", "back-references"),
            (r"(?>a+)", "(?> is not supported"),
            (r"a++b", "possessive"),
            (r"[a", "brackets are not closed"),
            (r"(a", "unclosed group"),
            (r"a{9999}{9999}", "limit"),
            ("\\", "a backslash at the end"),
        ] {
            let error = compile(pattern, false).unwrap_err();
            assert!(error.contains(reason), "{pattern}: {error}");
        }
    }

    #[test]
    fn case_and_bytes() {
        assert!(compile("^/ABC", true).unwrap().is_match(b"/abc"));
        assert!(compile("^.$", false).unwrap().is_match(b"\xff"));
        assert!(!compile(r"^\w$", false).unwrap().is_match("é".as_bytes()));
    }

    proptest! {
        #[test]
        fn it_never_panics(pattern in r#"([\\\[\](){}?*+|^$a-c:'<>=!#,0-9QEpP&~é-]){0,30}"#) {
            let _ = compile(&pattern, false);
        }

        #[test]
        fn what_is_quoted_matches_itself(text in "[^\\\\]{0,20}") {
            let regex = compile(&format!(r"^\Q{text}\E$"), false).unwrap();
            prop_assert!(regex.is_match(text.as_bytes()));
        }
    }
}
