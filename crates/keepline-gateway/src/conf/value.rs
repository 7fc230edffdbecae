//! The arguments of directives as values, with errors that say what was expected.

use std::time::Duration;

use super::error::ConfError;
use super::lexer::Word;
use super::tree::Directive;
use super::units;

/// The text is not what this directive takes.
pub(crate) fn invalid(directive: &Directive, word: &Word, expected: &str) -> ConfError {
    let name = &directive.name.text;
    let what = format!("invalid value \"{}\" in \"{name}\" directive", word.text);
    ConfError::new(&word.place, what).note(format!("expected {expected}"))
}

/// A parameter that the directive does not have, or that is not there.
pub(crate) fn unknown_parameter(
    directive: &Directive,
    word: &Word,
    known: &[&'static str],
) -> ConfError {
    let name = &directive.name.text;
    let what = format!(
        "invalid parameter \"{}\" in \"{name}\" directive",
        word.text
    );
    let typed = word
        .text
        .split_once('=')
        .map_or(&*word.text, |(key, _)| key);
    let key = |known: &'static str| known.trim_end_matches('=');
    ConfError::new(&word.place, what)
        .near(typed, known.iter().map(|known| key(known)))
        .note(format!("known: {}", known.join(", ")))
}

/// A parameter that nginx has and we do not.
pub(crate) fn unsupported(directive: &Directive, word: &Word, instead: &str) -> ConfError {
    let name = &directive.name.text;
    let what = format!("\"{}\" of \"{name}\" is not supported yet", word.text);
    ConfError::new(&word.place, what).note(instead)
}

impl Directive {
    /// The argument with this number. `check` has counted them.
    pub(crate) fn arg(&self, index: usize) -> Result<&Word, ConfError> {
        self.args.get(index).ok_or_else(|| {
            let what = format!(
                "invalid number of arguments in \"{}\" directive",
                self.name.text
            );
            ConfError::new(&self.name.place, what)
        })
    }

    /// The text of that argument.
    pub(crate) fn text(&self, index: usize) -> Result<&str, ConfError> {
        Ok(&self.arg(index)?.text)
    }

    pub(crate) fn time(&self, index: usize) -> Result<Duration, ConfError> {
        let word = self.arg(index)?;
        units::time(&word.text).ok_or_else(|| invalid(self, word, "a time: 500ms, 30s, 1m, 1h30m"))
    }

    pub(crate) fn size(&self, index: usize) -> Result<u64, ConfError> {
        let word = self.arg(index)?;
        units::size(&word.text).ok_or_else(|| invalid(self, word, "a size: 512, 8k, 1m"))
    }

    /// A size of something that is held in memory.
    pub(crate) fn memory(&self, index: usize) -> Result<usize, ConfError> {
        let size = self.size(index)?;
        usize::try_from(size).or_else(|_| Err(invalid(self, self.arg(index)?, "a smaller size")))
    }

    pub(crate) fn number<N: std::str::FromStr>(&self, index: usize) -> Result<N, ConfError> {
        let word = self.arg(index)?;
        units::number(&word.text).ok_or_else(|| invalid(self, word, "a number"))
    }

    /// One of a few words.
    pub(crate) fn one_of<T: Clone>(
        &self,
        index: usize,
        known: &[(&'static str, T)],
    ) -> Result<T, ConfError> {
        let word = self.arg(index)?;
        let found = known.iter().find(|(name, _)| *name == word.text);
        if let Some((_, value)) = found {
            return Ok(value.clone());
        }
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let expected = format!("one of {}", names.join(", "));
        Err(invalid(self, word, &expected).near(&word.text, names.iter().copied()))
    }

    /// A status code within this range.
    pub(crate) fn status(
        &self,
        index: usize,
        range: std::ops::RangeInclusive<u16>,
    ) -> Result<u16, ConfError> {
        let word = self.arg(index)?;
        let status = units::number(&word.text).filter(|status| range.contains(status));
        let expected = format!("a status from {} to {}", range.start(), range.end());
        status.ok_or_else(|| invalid(self, word, &expected))
    }

    /// The directive cannot stand here a second time.
    pub(crate) fn duplicate(&self) -> ConfError {
        let what = format!("\"{}\" directive is duplicate", self.name.text);
        ConfError::new(&self.name.place, what)
    }

    /// An error about the directive as a whole.
    pub(crate) fn error(&self, what: impl Into<String>) -> ConfError {
        ConfError::new(&self.name.place, what)
    }
}
