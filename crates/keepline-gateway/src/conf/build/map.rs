//! `map`: a variable whose value another value chooses.

use std::collections::HashSet;

use super::Builder;
use super::names;
use crate::conf::error::ConfError;
use crate::conf::tree::Directive;
use crate::config::{Map, MapKey, MapRow, ServerName, Template};

/// Reads a `map` block.
pub(super) fn map(directive: &Directive, builder: &Builder<'_>) -> Result<Map, ConfError> {
    let name = directive.text(1)?.trim_start_matches('$');
    let mut map = Map {
        name: name.to_ascii_lowercase().into(),
        source: builder.names.template(directive.arg(0)?)?,
        is_hostnames: false,
        is_volatile: false,
        default: Template::default(),
        rows: Vec::new(),
    };
    let mut has_default = false;
    // Maps have hundreds of thousands of rows where they are lists of redirects.
    let mut known = HashSet::new();
    let rows = directive.block.iter().flat_map(|block| &block.directives);
    for row in rows {
        match (row.name.text.as_str(), row.args.as_slice(), &row.block) {
            ("hostnames", [], None) => map.is_hostnames = true,
            ("volatile", [], None) => map.is_volatile = true,
            ("default", [value], None) => {
                if std::mem::replace(&mut has_default, true) {
                    return Err(row.error("duplicate default map parameter"));
                }
                map.default = builder.names.template(value)?;
            }
            (_, [value], None) => {
                let key = key(row, map.is_hostnames)?;
                let is_exact = !matches!(key, MapKey::Regex(_));
                if is_exact && !known.insert(unescaped(&row.name.text).to_ascii_lowercase()) {
                    return Err(row.error(format!("conflicting parameter \"{}\"", row.name.text)));
                }
                let value = builder.names.template(value)?;
                map.rows.push(MapRow { key, value });
            }
            _ => {
                let note = "a row is a key and a value, or: default VALUE, hostnames, volatile";
                return Err(row.error("invalid number of the map parameters").note(note));
            }
        }
    }
    Ok(map)
}

fn key(row: &Directive, is_hostnames: bool) -> Result<MapKey, ConfError> {
    let text = row.name.text.as_str();
    if let Some(source) = text.strip_prefix("~*") {
        return Ok(MapKey::Regex(names::pattern(source, true, &row.name)?));
    }
    if let Some(source) = text.strip_prefix('~') {
        return Ok(MapKey::Regex(names::pattern(source, false, &row.name)?));
    }
    let text = unescaped(text);
    if is_hostnames {
        match super::server_name::mask(text) {
            Some(ServerName::Exact(name)) => return Ok(MapKey::Exact(name)),
            Some(name) => return Ok(MapKey::Host(name)),
            None => {}
        }
    }
    Ok(MapKey::Exact(text.to_ascii_lowercase().into()))
}

/// Without the backslash by which a key can be `default` or `hostnames`, or begin with a tilde.
fn unescaped(text: &str) -> &str {
    text.strip_prefix('\\').unwrap_or(text)
}
