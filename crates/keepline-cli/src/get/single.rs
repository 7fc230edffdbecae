//! One request: its body on standard output or in a file, and its heads for whoever wants them.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use http::{Request, response};
use keepline::Body;

use super::heads;
use crate::load::Consumer;
use crate::output::Screen;

/// Writes a body where it is wanted.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    screen: &'a mut Screen,
    path: Option<PathBuf>,
    file: Option<File>,
    verbose: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(screen: &'a mut Screen, path: Option<PathBuf>, verbose: bool) -> Self {
        Self {
            screen,
            path,
            file: None,
            verbose,
        }
    }

    /// Shows the head of a request as it is sent.
    pub(crate) fn request(&mut self, request: &Request<Body>) {
        heads::request(request, self.screen);
    }

    /// Everything is on its way.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.flush(),
            None => self.screen.flush(),
        }
    }
}

impl Consumer for Writer<'_> {
    fn head(&mut self, head: &response::Parts) -> io::Result<()> {
        if self.verbose {
            heads::response(head, self.screen);
        }
        // Only now: a request that is never answered leaves the file that was there.
        if let Some(path) = &self.path {
            self.file = Some(File::create(path)?);
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(data),
            None => self.screen.bytes(data),
        }
    }
}
