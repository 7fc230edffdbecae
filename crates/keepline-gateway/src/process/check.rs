//! `-t`, `-T` and `-s`: what is done beside a running process.

use std::io::{self, Write};

use super::console::Console;
use super::options::Options;
use super::signal::Signal;
use crate::conf::{Document, Paths};
use crate::config::{Config, Level, LogTarget};
use crate::error_log::append_to;
use crate::user::Identity;

/// Something has failed, and what has been said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// Reads the configuration and looks whether it could be run; `is_dumped` prints it to `out`. nginx's
/// messages say how that turned out.
///
/// # Errors
/// It is not in order. A reader of `out` that has gone away is no error.
pub fn test(
    options: &Options,
    console: Console,
    dump: Option<&mut dyn Write>,
) -> Result<(), Failed> {
    let paths = options.paths();
    let file = paths.configuration().display();
    let document = match Document::read(&paths, &options.directives) {
        Ok(document) => document,
        Err(errors) => {
            console.errors(&errors);
            console.say(format_args!("configuration file {file} test failed"));
            return Err(Failed);
        }
    };
    if !options.is_quiet {
        console.say(format_args!("the configuration file {file} syntax is ok"));
    }
    let config = document.config();
    let known = Identity::of(config.main.user.as_ref()).map(drop);
    if let Err(message) = known.and_then(|()| open_logs(config)) {
        console.log(Level::Emerg, message);
        console.say(format_args!("configuration file {file} test failed"));
        return Err(Failed);
    }
    if !options.is_quiet {
        console.ignored(document.ignored());
        console.say(format_args!("configuration file {file} test is successful"));
    }
    match dump.map(|out| print(&document, out)) {
        Some(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
            console.log(
                Level::Emerg,
                format_args!("cannot write the configuration: {error}"),
            );
            Err(Failed)
        }
        _ => Ok(()),
    }
}

fn print(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    for source in document.sources() {
        writeln!(out, "# configuration file {}:", source.name())?;
        writeln!(out, "{}", source.text())?;
    }
    out.flush()
}

/// Opens, and so creates, every log, as nginx does in a test.
fn open_logs(config: &Config) -> Result<(), String> {
    let errors = config
        .main
        .error_log
        .iter()
        .filter_map(|log| match &log.target {
            LogTarget::File(path) => Some(path),
            LogTarget::Stderr => None,
        });
    let http = config.http.iter().flat_map(|http| &http.log_files);
    for path in errors.chain(http.map(|file| &file.path)) {
        append_to(path).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Sends a signal to the process whose pid file the configuration names.
///
/// # Errors
/// The configuration cannot be read, or there is no such process.
pub fn send(options: &Options, console: Console, signal: Signal) -> Result<(), Failed> {
    let paths: Paths = options.paths();
    let document = Document::read(&paths, &options.directives).map_err(|errors| {
        console.errors(&errors);
        Failed
    })?;
    signal.send(&document.config().main.pid).map_err(|message| {
        console.log(Level::Error, message);
        Failed
    })
}
