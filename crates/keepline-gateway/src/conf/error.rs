//! What is wrong with a configuration, where, and what to write instead.

use std::fmt;

use super::source::Place;

/// An error in the configuration.
///
/// `{}` is one line that ends with `in FILE:LINE:COLUMN`, as nginx's messages do; `{:#}` adds the line
/// itself with the place marked, and the advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfError {
    what: String,
    place: Option<Place>,
    notes: Vec<String>,
}

impl ConfError {
    pub(crate) fn new(place: &Place, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            place: Some(place.clone()),
            notes: Vec::new(),
        }
    }

    /// About the configuration as a whole, as a file that cannot be opened is.
    pub(crate) fn nowhere(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            place: None,
            notes: Vec::new(),
        }
    }

    /// Adds a line of advice.
    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds the nearest known name as advice, if one is near.
    #[must_use]
    pub(crate) fn near<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match super::near::nearest(name, known) {
            Some(nearest) => self.note(format!("did you mean \"{nearest}\"?")),
            None => self,
        }
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where; `None` if it is nowhere in a file.
    #[must_use]
    pub const fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// What to do about it.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl fmt::Display for ConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(place) = &self.place {
            write!(f, " in {place}")?;
        }
        if !f.alternate() {
            return Ok(());
        }
        if let Some(place) = &self.place {
            write!(f, "\n{}", place.excerpt())?;
        }
        self.notes
            .iter()
            .try_for_each(|note| write!(f, "\n  {note}"))
    }
}

impl std::error::Error for ConfError {}

/// What reading a configuration found, in the order of the files; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfErrors(Vec<ConfError>);

impl ConfErrors {
    /// Where one stops looking for more: what follows often follows from these.
    pub(crate) const MOST: usize = 20;

    /// `Err` if there are any.
    pub(crate) fn check(errors: Vec<ConfError>) -> Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &ConfError> {
        self.0.iter()
    }
}

impl From<ConfError> for ConfErrors {
    fn from(error: ConfError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfErrors {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::source::Source;

    #[test]
    fn one_line_for_scripts_and_the_whole_story_for_people() {
        let source = Source::new("/etc/nginx/nginx.conf", "events {}\nproxy_pas http://b;\n");
        let error = ConfError::new(
            &Place::new(source, 2, 1, 9),
            "unknown directive \"proxy_pas\"",
        )
        .near("proxy_pas", ["proxy_pass", "root"]);
        assert_eq!(
            error.to_string(),
            "unknown directive \"proxy_pas\" in /etc/nginx/nginx.conf:2:1"
        );
        assert_eq!(
            format!("{error:#}"),
            "unknown directive \"proxy_pas\" in /etc/nginx/nginx.conf:2:1\n  \
             2 | proxy_pas http://b;\n    | ^^^^^^^^^\n  did you mean \"proxy_pass\"?"
        );
    }
}
