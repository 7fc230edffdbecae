//! `server_name`: the names of a virtual server.

use super::names;
use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::tree::Directive;
use crate::conf::value::{invalid, unsupported};
use crate::config::ServerName;

/// One of the names.
pub(super) fn server_name(directive: &Directive, word: &Word) -> Result<ServerName, ConfError> {
    let text = word.text.as_str();
    if let Some(source) = text.strip_prefix('~') {
        if source.is_empty() {
            return Err(invalid(directive, word, "a regular expression behind ~"));
        }
        // Host names have no case.
        return Ok(ServerName::Regex(names::pattern(source, true, word)?));
    }
    if text == "$hostname" {
        return Err(unsupported(directive, word, "write the name of the host"));
    }
    if text.contains('/') {
        return Err(invalid(directive, word, "a name without slashes"));
    }
    let expected = "NAME, *.NAME, .NAME, NAME.* or ~regex";
    mask(text).ok_or_else(|| invalid(directive, word, expected))
}

/// A name without regular expression.
pub(super) fn mask(text: &str) -> Option<ServerName> {
    let name = text.to_ascii_lowercase();
    let has_star = |name: &str| name.contains('*');
    let named = |name: &str, make: fn(Box<str>) -> ServerName| {
        let is_good = !name.is_empty() && !has_star(name) && !name.starts_with('.');
        is_good.then(|| make(name.into()))
    };
    if let Some(rest) = name.strip_prefix("*.") {
        named(rest, ServerName::Subdomains)
    } else if let Some(rest) = name.strip_prefix('.') {
        named(rest, ServerName::WithSubdomains)
    } else if let Some(rest) = name.strip_suffix(".*") {
        named(rest, ServerName::Prefix)
    } else {
        (!has_star(&name)).then(|| ServerName::Exact(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        for (text, expected) in [
            ("Example.COM", Some(ServerName::Exact("example.com".into()))),
            ("", Some(ServerName::Exact("".into()))),
            ("_", Some(ServerName::Exact("_".into()))),
            (".a.b", Some(ServerName::WithSubdomains("a.b".into()))),
            ("*.a.b", Some(ServerName::Subdomains("a.b".into()))),
            ("www.a.*", Some(ServerName::Prefix("www.a".into()))),
            ("*", None),
            ("*.", None),
            (".", None),
            ("*a.b", None),
            ("a.*.b", None),
            ("*.a.*", None),
        ] {
            assert_eq!(mask(text), expected, "{text}");
        }
    }
}
