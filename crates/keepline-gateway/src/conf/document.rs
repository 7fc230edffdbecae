//! A configuration that has been read: its files, its tree, and what in it has no effect.

use std::path::Path;
use std::sync::Arc;

use super::check::{self, Findings, Ignored};
use super::directive::Context;
use super::error::ConfErrors;
use super::files::{Disk, Files};
use super::source::Source;
use super::tree::{self, Tree};

/// A configuration whose directives are all known, supported, and where they may stand.
///
/// What they mean together is not known yet.
#[derive(Debug)]
pub struct Document {
    tree: Tree,
    ignored: Vec<Ignored>,
}

impl Document {
    /// Reads a file and what it includes, after the directives of `-g`. Included files are named
    /// relative to the directory of `file`.
    ///
    /// # Errors
    /// What is wrong with the files, all that can be told at once.
    pub fn read(file: &Path, directives: &str) -> Result<Self, ConfErrors> {
        Self::read_from(file, directives, &Disk)
    }

    pub(crate) fn read_from(
        file: &Path,
        directives: &str,
        files: &dyn Files,
    ) -> Result<Self, ConfErrors> {
        let tree = tree::read(file, directives, files)?;
        let mut findings = Findings::default();
        check::check(&tree.root, Context::Main, &mut findings);
        ConfErrors::check(findings.errors)?;
        Ok(Self {
            tree,
            ignored: findings.ignored,
        })
    }

    #[expect(
        dead_code,
        reason = "what reads the values of directives is being written"
    )]
    pub(crate) const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The files that were read, in this order.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.tree.sources.iter().map(Arc::as_ref)
    }

    /// The directives that are accepted because nothing that they tune is here.
    #[must_use]
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }
}
