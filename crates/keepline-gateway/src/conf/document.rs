//! A configuration that has been read: its files, what they mean, and what in them has no effect.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::build;
use super::check::{self, Findings, Ignored};
use super::directive::Context;
use super::error::ConfErrors;
use super::outside::{Disk, Outside, WithText};
use super::paths::Paths;
use super::source::Source;
use super::tree;
use crate::config::Config;

/// A configuration, read and understood.
#[derive(Debug)]
pub struct Document {
    sources: Vec<Arc<Source>>,
    config: Config,
    temp_paths: Vec<PathBuf>,
    ignored: Vec<Ignored>,
}

impl Document {
    /// Reads the configuration that `paths` names and what it includes, after the directives of `-g`.
    ///
    /// Reading looks up host names and opens certificates, but neither logs nor sockets.
    ///
    /// # Errors
    /// What is wrong with it, all that can be told at once.
    pub fn read(paths: &Paths, directives: &str) -> Result<Self, ConfErrors> {
        Self::read_from(paths, directives, &Disk)
    }

    /// Reads a text as if it were the file that `paths` names. What it includes is read from the disk.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of_text(text: &str, paths: &Paths) -> Result<Self, ConfErrors> {
        let outside = WithText {
            path: paths.configuration(),
            text,
        };
        Self::read_from(paths, "", &outside)
    }

    pub(crate) fn read_from(
        paths: &Paths,
        directives: &str,
        outside: &dyn Outside,
    ) -> Result<Self, ConfErrors> {
        let tree = tree::read(paths.configuration(), directives, outside)?;
        let mut findings = Findings::default();
        check::check(&tree.root, Context::Main, &mut findings);
        ConfErrors::check(findings.errors)?;
        let built = build::build(&tree, paths, outside)?;
        let mut ignored = findings.ignored;
        ignored.extend(built.ignored);
        // In the order of reading, whichever stage has found them.
        let files = tree.sources.iter().enumerate();
        let files: HashMap<&str, usize> = files.map(|(at, file)| (file.name(), at)).collect();
        ignored.sort_by_key(|ignored| {
            let place = &ignored.place;
            let file = files.get(place.source().name()).copied();
            (file, place.line(), place.column())
        });
        Ok(Self {
            sources: tree.sources,
            config: built.config,
            temp_paths: built.temp_paths.into_iter().collect(),
            ignored,
        })
    }

    /// What it means.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The directories for temporary files.
    #[must_use]
    pub fn temp_paths(&self) -> &[PathBuf] {
        &self.temp_paths
    }

    /// What it means, without the files.
    #[must_use]
    pub fn into_config(self) -> Config {
        self.config
    }

    /// The files that were read, in this order.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().map(Arc::as_ref)
    }

    /// What is accepted because nothing that it tunes is here.
    #[must_use]
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }
}
