//! Regular expressions of nginx.conf.
//!
//! nginx has PCRE; we have the `regex` crate, which takes linear time whatever the input. `perl`
//! translates what the two write differently, and refuses what needs a backtracking engine.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use regex::bytes::Regex;

use super::perl;

use super::SlotId;

/// A compiled regular expression. Equal if source and case are.
#[derive(Clone)]
pub struct Pattern(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    source: Box<str>,
    ignores_case: bool,
    regex: Regex,
    /// Groups whose value becomes a variable's.
    slots: Vec<(usize, SlotId)>,
}

/// Why a text is no regular expression, in the words of its compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError(String);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// Compiles `source`.
    ///
    /// # Errors
    /// It is no regular expression, or one that only a backtracking engine understands.
    pub fn new(source: &str, ignores_case: bool) -> Result<Self, PatternError> {
        let regex = perl::compile(source, ignores_case).map_err(PatternError)?;
        Ok(Self(Arc::new(Inner {
            source: source.into(),
            ignores_case,
            regex,
            slots: Vec::new(),
        })))
    }

    /// When it matches, the value of each named group becomes that of the variable that `slot` names.
    #[must_use]
    pub fn bind(self, mut slot: impl FnMut(&str) -> SlotId) -> Self {
        let slots = self.names().map(|(group, name)| (group, slot(name)));
        let slots = slots.collect();
        Self(Arc::new(Inner {
            slots,
            ..Arc::unwrap_or_clone(self.0)
        }))
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Upper and lower case are the same to it.
    #[must_use]
    pub fn ignores_case(&self) -> bool {
        self.0.ignores_case
    }

    /// The names of its groups, and the number of each.
    pub fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        let names = self.0.regex.capture_names().enumerate();
        names.filter_map(|(index, name)| Some((index, name?)))
    }

    /// It matches somewhere in `text`.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.0.regex.is_match(text)
    }

    /// Where its groups are in `text`, group 0 the whole match; `None` if it does not match.
    #[must_use]
    pub fn captures(&self, text: &[u8]) -> Option<Vec<Option<Range<usize>>>> {
        let groups = self.0.regex.captures(text)?;
        let range = |group: Option<regex::bytes::Match<'_>>| Some(group?.range());
        Some(groups.iter().map(range).collect())
    }

    /// The groups that give variables their values.
    #[must_use]
    pub fn slots(&self) -> &[(usize, SlotId)] {
        &self.0.slots
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source() && self.ignores_case() == other.ignores_case()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = if self.ignores_case() { "~*" } else { "~" };
        write!(f, "Pattern({case} {:?})", self.source())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_means_itself() {
        for (source, text, matches) in [
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"\Q$5", "costs $5", true),
            (r"\\Q", r"a\Q", true),
            (r"\.php$", "/a.php", true),
            (r"^\p{N}+$", "12", true),
        ] {
            let pattern = Pattern::new(source, false).unwrap();
            assert_eq!(pattern.is_match(text.as_bytes()), matches, "{source}");
        }
    }

    #[test]
    fn what_needs_backtracking_is_refused() {
        for source in ["(?=a)", "(a)\\1", "("] {
            assert!(Pattern::new(source, false).is_err(), "{source}");
        }
    }

    #[test]
    fn groups_have_names() {
        let pattern = Pattern::new(r"^(\w+)/(?<page>\d+)$", true).unwrap();
        assert_eq!(pattern.names().collect::<Vec<_>>(), [(2, "page")]);
        let bound = pattern.bind(|name| SlotId(name.len()));
        assert_eq!(bound.slots(), [(2, SlotId(4))]);
    }
}
