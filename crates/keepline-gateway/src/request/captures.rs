//! What a regular expression has matched in a request.

use std::ops::Range;

use crate::config::Pattern;

/// The groups of a regular expression that matched, with a copy of what they are parts of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captures {
    text: Vec<u8>,
    groups: Vec<Option<Range<usize>>>,
}

impl Captures {
    /// The groups of `pattern` in `text`; `None` if it does not match.
    pub(crate) fn of(pattern: &Pattern, text: &[u8]) -> Option<Self> {
        let found = pattern.captures(text)?;
        Some(Self {
            groups: found,
            text: text.to_vec(),
        })
    }

    /// Group `index`; 0 is the whole match.
    pub(crate) fn group(&self, index: usize) -> Option<&[u8]> {
        self.text.get(self.groups.get(index)?.clone()?)
    }
}
