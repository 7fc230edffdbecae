//! What the process says on standard error: before its logs are open, and to whoever started it.

use std::fmt::Display;
use std::io::{self, Write};

use crate::conf::{ConfErrors, Ignored};
use crate::config::Level;

/// Standard error, in nginx's words: `nginx: [emerg] …`.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// The name that the program was called by.
    program: &'static str,
}

impl Console {
    /// `program` stands before each line: `nginx` or `keepline`.
    #[must_use]
    pub const fn new(program: &'static str) -> Self {
        Self { program }
    }

    /// A line without a level.
    pub fn say(self, message: impl Display) {
        Self::write(format_args!("{}: {message}\n", self.program));
    }

    /// A message of some gravity.
    pub fn log(self, level: Level, message: impl Display) {
        self.say(format_args!("[{level}] {message}"));
    }

    /// All that is wrong with a configuration, with the lines.
    pub fn errors(self, errors: &ConfErrors) {
        for error in errors.iter() {
            self.log(Level::Emerg, format_args!("{error:#}"));
        }
    }

    /// What in a configuration has no effect.
    pub fn ignored(self, ignored: &[Ignored]) {
        for Ignored {
            name,
            place,
            reason,
        } in ignored
        {
            let message = format_args!("\"{name}\" has no effect ({reason}) in {place}");
            self.log(Level::Notice, message);
        }
    }

    /// Text as it is.
    pub fn write(text: impl Display) {
        // Who has closed standard error does not want to know.
        let _ = write!(io::stderr().lock(), "{text}");
    }
}
