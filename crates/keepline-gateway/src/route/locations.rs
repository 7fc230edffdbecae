//! Which location a path belongs to.
//!
//! nginx's order (`ngx_http_core_find_location`): an exact match ends the search; of the prefixes the
//! longest counts, and the search goes on inside it; then the regular expressions in the order of the
//! file, unless the prefix said `^~`; a regular expression that matches goes before the prefix.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Location, Matcher};

/// The locations of one level, made for looking up.
#[derive(Debug, Default)]
pub(crate) struct Locations {
    exact: HashMap<Box<[u8]>, Arc<Place>>,
    /// Sorted by text.
    prefixes: Vec<Prefix>,
    regexes: Vec<Arc<Place>>,
}

/// A location with the locations inside it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) location: Arc<Location>,
    inner: Locations,
}

#[derive(Debug)]
struct Prefix {
    text: Box<[u8]>,
    /// The longest other prefix that this one begins with.
    parent: Option<usize>,
    skips_regexes: bool,
    place: Arc<Place>,
}

impl Place {
    fn new(location: &Arc<Location>) -> Arc<Self> {
        Arc::new(Self {
            location: Arc::clone(location),
            inner: Locations::new(&location.locations),
        })
    }
}

impl Locations {
    pub(crate) fn new(locations: &[Arc<Location>]) -> Self {
        let mut level = Self::default();
        for location in locations {
            let place = Place::new(location);
            match &location.matcher {
                Matcher::Exact(text) => {
                    level.exact.insert(text.as_bytes().into(), place);
                }
                Matcher::Prefix(text) => level.prefixes.push(Prefix::new(text, false, place)),
                Matcher::PrefixOnly(text) => level.prefixes.push(Prefix::new(text, true, place)),
                Matcher::Regex(_) => level.regexes.push(place),
                Matcher::Named(_) => {}
            }
        }
        level.prefixes.sort_by(|a, b| a.text.cmp(&b.text));
        for index in 1..level.prefixes.len() {
            level.prefixes[index].parent = level.longest_before(index);
        }
        level
    }

    /// The longest prefix of the one at `index` among those before it.
    fn longest_before(&self, index: usize) -> Option<usize> {
        let text = &self.prefixes[index].text;
        let mut candidate = index.checked_sub(1);
        while let Some(at) = candidate {
            let entry = &self.prefixes[at];
            if text.starts_with(&entry.text) {
                return Some(at);
            }
            candidate = entry.parent;
        }
        None
    }

    /// The longest prefix of `path`. What stands before it in order either is one, or has it among its
    /// own prefixes.
    fn longest(&self, path: &[u8]) -> Option<&Prefix> {
        let behind = self.prefixes.partition_point(|entry| *entry.text <= *path);
        let mut candidate = behind.checked_sub(1);
        while let Some(at) = candidate {
            let entry = &self.prefixes[at];
            if path.starts_with(&entry.text) {
                return Some(entry);
            }
            candidate = entry.parent;
        }
        None
    }

    /// The location of `path`. `matched` is told of the regular expression that decided, so that its
    /// groups can be kept.
    pub(crate) fn find<'l>(&'l self, path: &[u8], matched: &mut Option<&'l Place>) -> Found<'l> {
        if !self.exact.is_empty()
            && let Some(place) = self.exact.get(path)
        {
            return Found::Exact(place);
        }
        let prefix = self.longest(path);
        let mut found = Found::None;
        if let Some(prefix) = prefix {
            found = match prefix.place.inner.find(path, matched) {
                Found::None => Found::Prefix(&prefix.place),
                decided @ (Found::Exact(_) | Found::Regex(_)) => return decided,
                inner @ Found::Prefix(_) => inner,
            };
        }
        if prefix.is_some_and(|prefix| prefix.skips_regexes) {
            return found;
        }
        for place in &self.regexes {
            if let Matcher::Regex(pattern) = &place.location.matcher
                && pattern.is_match(path)
            {
                *matched = Some(place);
                return match place.inner.find(path, matched) {
                    Found::None => Found::Regex(place),
                    Found::Exact(inner) | Found::Regex(inner) | Found::Prefix(inner) => {
                        Found::Regex(inner)
                    }
                };
            }
        }
        found
    }
}

impl Prefix {
    fn new(text: &str, skips_regexes: bool, place: Arc<Place>) -> Self {
        Self {
            text: text.as_bytes().into(),
            parent: None,
            skips_regexes,
            place,
        }
    }
}

/// The location of a path, and how it was found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found<'l> {
    Exact(&'l Place),
    Prefix(&'l Place),
    Regex(&'l Place),
    None,
}

impl<'l> Found<'l> {
    pub(crate) fn location(self) -> Option<&'l Location> {
        match self {
            Self::Exact(place) | Self::Prefix(place) | Self::Regex(place) => Some(&place.location),
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Pattern, Scope};

    fn location(matcher: &str, inner: &[&str]) -> Arc<Location> {
        let (kind, text) = matcher.split_once(' ').unwrap_or(("", matcher));
        let matcher = match kind {
            "=" => Matcher::Exact(text.into()),
            "^~" => Matcher::PrefixOnly(text.into()),
            "~" => Matcher::Regex(Pattern::new(text, false).unwrap()),
            "~*" => Matcher::Regex(Pattern::new(text, true).unwrap()),
            _ => Matcher::Prefix(text.into()),
        };
        let mut location = Location::new(matcher, Scope::default());
        location.locations = inner
            .iter()
            .map(|inner| self::location(inner, &[]))
            .collect();
        Arc::new(location)
    }

    fn name(found: Found<'_>) -> String {
        match found.location().map(|location| &location.matcher) {
            None => "-".into(),
            Some(Matcher::Exact(text)) => format!("= {text}"),
            Some(Matcher::Prefix(text) | Matcher::Named(text)) => text.to_string(),
            Some(Matcher::PrefixOnly(text)) => format!("^~ {text}"),
            Some(Matcher::Regex(pattern)) => format!("~ {}", pattern.source()),
        }
    }

    #[test]
    fn nginx_s_order() {
        let locations = Locations::new(&[
            location("/", &[]),
            location("= /", &[]),
            location("/documents/", &[]),
            location("^~ /images/", &[]),
            location("~* \\.(gif|jpg|jpeg)$", &[]),
            location("/doc", &[]),
            location("/nested/", &["= /nested/exact", "/nested/deep/", "~ /r$"]),
        ]);
        for (path, expected) in [
            ("/", "= /"),
            ("/index.html", "/"),
            ("/documents/document.html", "/documents/"),
            ("/images/1.gif", "^~ /images/"),
            ("/documents/1.JPG", "~ \\.(gif|jpg|jpeg)$"),
            ("/docs", "/doc"),
            ("/do", "/"),
            ("/nested/x", "/nested/"),
            ("/nested/exact", "= /nested/exact"),
            ("/nested/deep/x", "/nested/deep/"),
            ("/nested/deep/x.gif", "~ \\.(gif|jpg|jpeg)$"),
            ("/nested/deep/r", "~ /r$"),
        ] {
            let mut matched = None;
            let found = locations.find(path.as_bytes(), &mut matched);
            assert_eq!(name(found), expected, "{path}");
            assert_eq!(matched.is_some(), expected.starts_with('~'), "{path}");
        }
    }

    #[test]
    fn without_a_location_that_fits_there_is_none() {
        let locations = Locations::new(&[location("/a/", &[]), location("/b", &[])]);
        for (path, expected) in [("/a", "-"), ("/a/x", "/a/"), ("/bc", "/b"), ("/c", "-")] {
            let found = locations.find(path.as_bytes(), &mut None);
            assert_eq!(name(found), expected, "{path}");
        }
    }

    /// Against looking at each prefix in turn.
    #[test]
    fn the_longest_prefix_is_found_among_many() {
        let mut unique: Vec<String> = (0..200_u32)
            .map(|n| format!("/{:b}", n * 37 % 256))
            .collect();
        unique.sort();
        unique.dedup();
        let all: Vec<_> = unique.iter().map(|text| location(text, &[])).collect();
        let locations = Locations::new(&all);
        for n in 0..1024_u32 {
            let path = format!("/{n:b}");
            let longest = unique
                .iter()
                .filter(|text| path.starts_with(text.as_str()))
                .max_by_key(|text| text.len());
            let found = name(locations.find(path.as_bytes(), &mut None));
            assert_eq!(found, longest.map_or("-", |text| text), "{path}");
        }
    }
}
