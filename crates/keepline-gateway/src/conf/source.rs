//! Where a word of the configuration stands.
//!
//! A [`Source`] is one file (or `-g`) with its text; a [`Place`] is a line and a column in it, which
//! stays valid wherever it is carried: the directive of a typed configuration can still say
//! where it was written when, at the start of the gateway, its certificate cannot be read.

use std::fmt;
use std::sync::Arc;

/// A file of the configuration, as it was read.
#[derive(PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
        })
    }

    /// The path by which it was opened, or what stands for one: `-g`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

/// A line and a column of a [`Source`], both counted from 1; columns in characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    source: Arc<Source>,
    line: u32,
    column: u32,
    /// How many characters of the line are meant.
    width: u32,
}

impl Place {
    pub(crate) const fn new(source: Arc<Source>, line: u32, column: u32, width: u32) -> Self {
        Self {
            source,
            line,
            column,
            width,
        }
    }

    /// The file.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Counted from 1.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// Counted from 1, in characters.
    #[must_use]
    pub const fn column(&self) -> u32 {
        self.column
    }

    /// The line with what is meant underlined, as in the messages of a compiler.
    pub(crate) fn excerpt(&self) -> Excerpt<'_> {
        Excerpt(self)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line, self.column)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

/// How much of a long line is shown.
const SHOWN: usize = 100;
/// How much of that stands before what is meant.
const SHOWN_BEFORE: usize = 60;

/// See [`Place::excerpt`].
pub(crate) struct Excerpt<'a>(&'a Place);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.0;
        let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let line = place.source.text.lines().nth(index(place.line - 1));
        let column = index(place.column - 1);
        // A line may be as long as the file.
        let skipped = column.saturating_sub(SHOWN_BEFORE);
        // A tab is one column: it is shown as one, so that the mark stands where it should.
        let shown = line.unwrap_or_default().chars().skip(skipped).take(SHOWN);
        let shown: String = shown
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let mark = index(place.width).clamp(1, SHOWN - SHOWN_BEFORE);
        let number = place.line.to_string();
        writeln!(f, "  {number} | {}", shown.trim_end())?;
        write!(
            f,
            "  {:blank$} | {:before$}{:^<mark$}",
            "",
            "",
            "",
            blank = number.len(),
            before = column - skipped,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_the_line_and_marks_the_place() {
        let source = Source::new("nginx.conf", "http {\n\tsnedfile on;\n}\n");
        let place = Place::new(source, 2, 2, 8);
        assert_eq!(place.to_string(), "nginx.conf:2:2");
        assert_eq!(
            place.excerpt().to_string(),
            "  2 |  snedfile on;\n    |  ^^^^^^^^"
        );
    }

    #[test]
    fn of_a_long_line_only_the_surroundings_are_shown() {
        let source = Source::new("f", format!("{}x{}", "é".repeat(5000), "y".repeat(5000)));
        let excerpt = Place::new(source, 1, 5001, 1).excerpt().to_string();
        assert!(excerpt.chars().count() < 250, "{excerpt}");
        let lines: Vec<_> = excerpt.lines().collect();
        let mark = lines[1].find('^').unwrap();
        assert_eq!(lines[0].chars().nth(mark), Some('x'));
    }

    #[test]
    fn a_place_behind_the_end_is_shown_all_the_same() {
        let place = Place::new(Source::new("f", ""), 9, 40, 1);
        assert!(place.excerpt().to_string().ends_with('^'));
    }
}
