//! `location` and `limit_except`.

use std::collections::HashSet;
use std::sync::Arc;

use super::Builder;
use super::level::Level;
use super::names;
use super::rewrite;
use crate::conf::directive::Context;
use crate::conf::error::ConfError;
use crate::conf::tree::{Block, Directive};
use crate::conf::value::invalid;
use crate::config::{LimitExcept, Location, Matcher, Methods, Pattern};

/// The locations of a block: those with paths, and the named ones.
pub(super) fn locations(
    block: &Block,
    level: &Level,
    outer: Option<&Matcher>,
    builder: &mut Builder<'_>,
) -> Vec<Arc<Location>> {
    let mut locations = Vec::new();
    let mut known = HashSet::new();
    for directive in &block.directives {
        if directive.name.text != "location" {
            continue;
        }
        match location(directive, level, outer, builder) {
            Ok(location) => {
                let is_new = key(&location.matcher).is_none_or(|key| known.insert(key));
                if !is_new {
                    let name = name(&location.matcher);
                    builder.fail(directive.error(format!("duplicate location \"{name}\"")));
                    continue;
                }
                locations.push(Arc::new(location));
            }
            Err(error) => builder.fail(error),
        }
    }
    locations
}

fn location(
    directive: &Directive,
    outside: &Level,
    outer: Option<&Matcher>,
    builder: &mut Builder<'_>,
) -> Result<Location, ConfError> {
    let matcher = matcher(directive)?;
    if let Some(outer) = outer {
        nests(directive, &matcher, outer)?;
    }
    let empty = Block::default();
    let block = directive.block.as_ref().unwrap_or(&empty);
    let mut level = outside.inner(Context::Location, builder.scope_id());
    let path = path(&matcher);
    builder.settings(&mut level, block, path)?;
    let is_internal = block.directives.iter().any(|d| d.name.text == "internal");
    let rewrite = rewrite::program(block, &level, builder, path)?;
    let limit_except = limit_except(block, &level, builder)?;
    let locations = locations(block, &level, Some(&matcher), builder);
    Ok(Location {
        is_internal,
        scope: Arc::new(level.scope),
        rewrite,
        limit_except,
        locations,
        matcher,
    })
}

/// The path that stands for the location, if it is not a regular expression or a name.
fn path(matcher: &Matcher) -> Option<&str> {
    match matcher {
        Matcher::Exact(path) | Matcher::Prefix(path) | Matcher::PrefixOnly(path) => Some(path),
        Matcher::Regex(_) | Matcher::Named(_) => None,
    }
}

fn name(matcher: &Matcher) -> &str {
    match matcher {
        Matcher::Regex(pattern) => pattern.source(),
        Matcher::Named(name) => name,
        Matcher::Exact(path) | Matcher::Prefix(path) | Matcher::PrefixOnly(path) => path,
    }
}

/// Locations with the same key would have the same requests. Of equal regular expressions nginx takes the
/// first.
fn key(matcher: &Matcher) -> Option<(u8, Box<str>)> {
    match matcher {
        Matcher::Exact(path) => Some((0, path.clone())),
        Matcher::Prefix(path) | Matcher::PrefixOnly(path) => Some((1, path.clone())),
        Matcher::Named(name) => Some((2, name.clone())),
        Matcher::Regex(_) => None,
    }
}

/// `location [= | ^~ | ~ | ~*] URI`, also without the blank.
fn matcher(directive: &Directive) -> Result<Matcher, ConfError> {
    let (first, second) = (directive.arg(0)?, directive.args.get(1));
    let (modifier, word, text) = match second {
        Some(word) => (first.text.as_str(), word, word.text.as_str()),
        None => {
            let modifiers = ["=", "^~", "~*", "~"];
            let found = modifiers.iter().find(|m| first.text.starts_with(**m));
            let modifier = found.copied().unwrap_or_default();
            (modifier, first, &first.text[modifier.len()..])
        }
    };
    let regex =
        |ignores_case| -> Result<Pattern, ConfError> { names::pattern(text, ignores_case, word) };
    Ok(match modifier {
        "=" => Matcher::Exact(text.into()),
        "^~" => Matcher::PrefixOnly(text.into()),
        "~" => Matcher::Regex(regex(false)?),
        "~*" => Matcher::Regex(regex(true)?),
        "" if text.starts_with('@') => Matcher::Named(text.into()),
        "" => Matcher::Prefix(text.into()),
        _ => {
            let what = format!("invalid location modifier \"{modifier}\"");
            return Err(ConfError::new(&first.place, what).note("expected =, ^~, ~ or ~*"));
        }
    })
}

fn nests(directive: &Directive, inner: &Matcher, outer: &Matcher) -> Result<(), ConfError> {
    let (inner_name, outer_name) = (name(inner), name(outer));
    let fail = |what: String| Err(directive.error(what));
    match (outer, inner) {
        (Matcher::Exact(_), _) => fail(format!(
            "location \"{inner_name}\" cannot be inside the exact location \"{outer_name}\""
        )),
        (Matcher::Named(_), _) => fail(format!(
            "location \"{inner_name}\" cannot be inside the named location \"{outer_name}\""
        )),
        (_, Matcher::Named(_)) => fail(format!(
            "named location \"{inner_name}\" can be on the server level only"
        )),
        (_, Matcher::Regex(_)) => Ok(()),
        _ if inner_name.starts_with(outer_name) => Ok(()),
        _ => fail(format!(
            "location \"{inner_name}\" is outside location \"{outer_name}\""
        )),
    }
}

fn limit_except(
    block: &Block,
    level: &Level,
    builder: &mut Builder<'_>,
) -> Result<Option<LimitExcept>, ConfError> {
    let mut found = block
        .directives
        .iter()
        .filter(|d| d.name.text == "limit_except");
    let Some(directive) = found.next() else {
        return Ok(None);
    };
    if let Some(second) = found.next() {
        return Err(second.duplicate());
    }
    let mut methods = Methods::default();
    for word in &directive.args {
        if !METHODS.contains(&word.text.as_str()) {
            return Err(invalid(directive, word, "a method").near(&word.text, METHODS));
        }
        methods.0.push(word.text.as_str().into());
    }
    let empty = Block::default();
    let inner_block = directive.block.as_ref().unwrap_or(&empty);
    let mut inner = level.inner(Context::LimitExcept, builder.scope_id());
    builder.settings(&mut inner, inner_block, None)?;
    Ok(Some(LimitExcept {
        methods,
        scope: Arc::new(inner.scope),
    }))
}

/// Those that nginx knows.
const METHODS: [&str; 15] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "OPTIONS",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
    "PATCH",
    "TRACE",
];
