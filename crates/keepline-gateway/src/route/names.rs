//! Which virtual server a host belongs to.
//!
//! nginx's order (`ngx_http_find_virtual_server`): the exact name, the longest `*.name`, the longest
//! `name.*`, the first regular expression, else the default server of the address.

use std::collections::HashMap;

use crate::config::{Pattern, ServerName};

/// The names of the servers of one address; `T` is what tells them apart.
#[derive(Debug)]
pub(crate) struct Names<T> {
    exact: HashMap<Box<[u8]>, T>,
    /// `example.com` for everything below it.
    below: HashMap<Box<[u8]>, T>,
    /// `www.example` for `www.example.*`.
    begins: HashMap<Box<[u8]>, T>,
    regexes: Vec<(Pattern, T)>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            below: HashMap::new(),
            begins: HashMap::new(),
            regexes: Vec::new(),
        }
    }
}

/// The server of a host, and the regular expression that named it.
pub(crate) type Named<'n, T> = (&'n T, Option<&'n Pattern>);

impl<T: Copy> Names<T> {
    /// Adds a name. Of equal names the first counts, as in nginx (which warns).
    pub(crate) fn add(&mut self, name: &ServerName, value: T) {
        match name {
            ServerName::Exact(text) => {
                self.exact.entry(text.as_bytes().into()).or_insert(value);
            }
            ServerName::WithSubdomains(text) => {
                self.exact.entry(text.as_bytes().into()).or_insert(value);
                self.below.entry(text.as_bytes().into()).or_insert(value);
            }
            ServerName::Subdomains(text) => {
                self.below.entry(text.as_bytes().into()).or_insert(value);
            }
            ServerName::Prefix(text) => {
                self.begins.entry(text.as_bytes().into()).or_insert(value);
            }
            ServerName::Regex(pattern) => self.regexes.push((pattern.clone(), value)),
        }
    }

    /// The server of `host`, which is in lower case and has neither port nor dot at its end.
    pub(crate) fn find(&self, host: &[u8]) -> Option<Named<'_, T>> {
        if let Some(value) = self.exact.get(host) {
            return Some((value, None));
        }
        let value = self.find_below(host).or_else(|| self.find_begins(host));
        if let Some(value) = value {
            return Some((value, None));
        }
        let matches = |(pattern, _): &&(Pattern, T)| pattern.is_match(host);
        let (pattern, value) = self.regexes.iter().find(matches)?;
        Some((value, Some(pattern)))
    }

    fn find_below(&self, host: &[u8]) -> Option<&T> {
        if self.below.is_empty() {
            return None;
        }
        // `.example.com` is not below `example.com`: there is no label.
        dots(host)
            .filter(|&dot| dot > 0)
            .find_map(|dot| self.below.get(&host[dot + 1..]))
    }

    fn find_begins(&self, host: &[u8]) -> Option<&T> {
        if self.begins.is_empty() {
            return None;
        }
        dots(host)
            .rev()
            .find_map(|dot| self.begins.get(&host[..dot]))
    }
}

/// Where the dots of a host are.
fn dots(host: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    let is_dot = |(at, byte): (usize, &u8)| (*byte == b'.').then_some(at);
    host.iter().enumerate().filter_map(is_dot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_s_order() {
        let mut names = Names::default();
        let regex = |text| ServerName::Regex(Pattern::new(text, true).unwrap());
        for (number, name) in [
            ServerName::Exact("www.example.com".into()),
            ServerName::WithSubdomains("example.com".into()),
            ServerName::Subdomains("a.example.com".into()),
            ServerName::Prefix("mail".into()),
            ServerName::Prefix("mail.example".into()),
            regex(r"^.+\.org$"),
            regex(r"^(?<name>.+)\.example\.org$"),
            ServerName::Exact("".into()),
        ]
        .into_iter()
        .enumerate()
        {
            names.add(&name, number);
        }
        for (host, expected) in [
            ("www.example.com", Some(0)),
            ("example.com", Some(1)),
            ("x.example.com", Some(1)),
            ("x.y.example.com", Some(1)),
            ("x.a.example.com", Some(2)),
            ("a.example.com", Some(1)),
            ("mail.net", Some(3)),
            ("mail.example.net", Some(4)),
            ("mail.example.com", Some(1)),
            ("x.example.org", Some(5)),
            ("", Some(7)),
            (".example.com", None),
            ("other.net", None),
        ] {
            let found = names.find(host.as_bytes()).map(|(number, _)| *number);
            assert_eq!(found, expected, "{host}");
        }
    }

    #[test]
    fn of_equal_names_the_first_counts() {
        let mut names = Names::default();
        names.add(&ServerName::Exact("a".into()), 1);
        names.add(&ServerName::Exact("a".into()), 2);
        assert_eq!(names.find(b"a").map(|(number, _)| *number), Some(1));
    }
}
