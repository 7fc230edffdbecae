//! Which row of a `map` a text belongs to, however many rows there are.
//!
//! nginx's order (`ngx_http_map_find`): the row with this text (ignoring case), masks of hosts, regular expressions in the
//! order of the file.

use std::collections::HashMap;

use super::Names;
use crate::config::{Map, MapKey, Pattern};

/// The rows of a map by their keys. Rows are named by their place.
#[derive(Debug, Default)]
pub(crate) struct MapRows {
    exact: HashMap<Box<[u8]>, usize>,
    hosts: Names<usize>,
    regexes: Vec<(Pattern, usize)>,
}

impl MapRows {
    pub(crate) fn new(map: &Map) -> Self {
        let mut rows = Self::default();
        for (number, row) in map.rows.iter().enumerate() {
            match &row.key {
                MapKey::Exact(text) => {
                    rows.exact.entry(text.as_bytes().into()).or_insert(number);
                }
                MapKey::Host(name) => rows.hosts.add(name, number),
                MapKey::Regex(pattern) => rows.regexes.push((pattern.clone(), number)),
            }
        }
        rows
    }

    /// The row of a text, and the regular expression that it is by.
    pub(crate) fn find(&self, text: &[u8]) -> Option<(usize, Option<&Pattern>)> {
        let folded = text.to_ascii_lowercase();
        if let Some(number) = self.exact.get(&*folded) {
            return Some((*number, None));
        }
        // A host may be written with a dot at its end.
        let host = folded.strip_suffix(b".").unwrap_or(&folded);
        if let Some((number, _)) = self.hosts.find(host) {
            return Some((*number, None));
        }
        let matches = |(pattern, _): &&(Pattern, usize)| pattern.is_match(text);
        let (pattern, number) = self.regexes.iter().find(matches)?;
        Some((*number, Some(pattern)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MapRow, ServerName, Template};

    #[test]
    fn nginx_s_order() {
        let regex = |text| MapKey::Regex(Pattern::new(text, false).unwrap());
        let keys = [
            regex("^a"),
            MapKey::Exact("a".into()),
            MapKey::Host(ServerName::Subdomains("example.com".into())),
            MapKey::Host(ServerName::WithSubdomains("b.example.com".into())),
            regex("^[A-Z]+$"),
        ];
        let rows = keys.map(|key| MapRow {
            key,
            value: Template::default(),
        });
        let map = Map {
            name: "m".into(),
            source: Template::default(),
            is_hostnames: true,
            is_volatile: false,
            default: Template::default(),
            rows: rows.into(),
        };
        let rows = MapRows::new(&map);
        for (text, expected) in [
            ("a", Some(1)),
            ("A", Some(1)),
            ("ab", Some(0)),
            ("x.example.com", Some(2)),
            ("x.b.example.com", Some(3)),
            ("B.example.com.", Some(3)),
            ("ABC", Some(4)),
            ("abc.", Some(0)),
            ("Abc", None),
            ("", None),
        ] {
            let found = rows.find(text.as_bytes()).map(|(number, _)| number);
            assert_eq!(found, expected, "{text}");
        }
    }
}
