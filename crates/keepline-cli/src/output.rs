//! The only place that prints.
//!
//! Results go to standard output, everything about them to standard error. Colours and the
//! progress bar are for terminals, and colours only where NO_COLOR is not set. Writing returns
//! the error, so that a reader that has gone away ends the run quietly instead of with a panic.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Stderr, Stdout, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;

/// How things are painted.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const NOTABLE: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
pub(crate) const QUIET: Style = Style::new().dimmed();
pub(crate) const HEADING: Style = Style::new().bold();

/// A run shorter than this shows no progress.
const SHORT_RUN: Duration = Duration::from_secs(1);

/// Standard output and standard error.
#[derive(Debug)]
pub(crate) struct Screen {
    output: Stdout,
    notes: Stderr,
    output_leads_to: Terminal,
    notes_lead_to: Terminal,
    bar: Option<ProgressBar>,
}

/// What one of the two leads to.
#[derive(Debug, Clone, Copy)]
struct Terminal {
    is_terminal: bool,
    colours: bool,
}

impl Terminal {
    fn of(stream: &impl IsTerminal) -> Self {
        let is_terminal = stream.is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            is_terminal,
            colours: is_terminal && !dumb && !set("NO_COLOR"),
        }
    }
}

/// A line of a log, its end included: one write, from whatever thread. Serving goes on when nobody
/// reads it; a reader that is slow slows the server down, as a slow disk would.
pub(crate) fn log(line: &str) {
    let _ = io::stdout().lock().write_all(line.as_bytes());
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            output: io::stdout(),
            notes: io::stderr(),
            output_leads_to: Terminal::of(&io::stdout()),
            notes_lead_to: Terminal::of(&io::stderr()),
            bar: None,
        }
    }

    /// A line of the result.
    pub(crate) fn line(&mut self, text: impl Display) -> io::Result<()> {
        let Self { output, bar, .. } = self;
        beside(bar.as_ref(), || writeln!(output, "{text}"))
    }

    /// Bytes of the result, as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    /// Everything printed so far is on its way.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// A line about the run. That standard error is closed stops nothing.
    pub(crate) fn note(&mut self, text: impl Display) {
        let Self { notes, bar, .. } = self;
        let _ = beside(bar.as_ref(), || writeln!(notes, "{text}"));
    }

    /// What failed, whose fault it is and what to do.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        let paint = |text, style| painted(text, style, self.notes_lead_to.colours);
        let error = paint("error:", BAD);
        let fault = paint("fault:", HEADING);
        let help = paint("help:", GOOD);
        self.note(format_args!("{error} {}", failure.what));
        if let Some(text) = &failure.fault {
            self.note(format_args!("{fault} {text}"));
        }
        if let Some(text) = &failure.help {
            self.note(format_args!("{help}  {text}"));
        }
    }

    /// How far a run has come, for whoever watches a long one.
    pub(crate) fn progress(&mut self, done: u64, total: u64, started: Instant) {
        if !self.notes_lead_to.is_terminal || started.elapsed() < SHORT_RUN {
            return;
        }
        self.bar
            .get_or_insert_with(|| progress_bar(total, started))
            .set_position(done);
    }

    /// What is being done until `end`, on a terminal: a bar that fills with the time.
    pub(crate) fn countdown(&mut self, doing: &'static str, end: Instant) {
        if !self.notes_lead_to.is_terminal {
            return;
        }
        let total = end.saturating_duration_since(Instant::now());
        let bar = countdown_bar(total, doing);
        bar.enable_steady_tick(Duration::from_millis(200));
        if let Some(before) = self.bar.replace(bar) {
            before.finish_and_clear();
        }
    }

    /// Another thing is being done.
    pub(crate) fn doing(&self, doing: impl Into<Cow<'static, str>>) {
        if let Some(bar) = &self.bar {
            bar.set_message(doing);
        }
    }

    /// Takes the progress bar away and sends what is still buffered.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let _ = self.flush();
    }

    /// Results go to a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.output_leads_to.is_terminal
    }

    /// Results are painted.
    pub(crate) fn colours(&self) -> bool {
        self.output_leads_to.colours
    }

    /// `text` in `style`, if results are painted.
    pub(crate) fn paint(&self, text: impl Display, style: Style) -> String {
        painted(text, style, self.output_leads_to.colours)
    }
}

/// Prints with the progress bar out of the way.
fn beside<T>(bar: Option<&ProgressBar>, print: impl FnOnce() -> T) -> T {
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

fn painted(text: impl Display, style: Style, colours: bool) -> String {
    if colours {
        format!("{style}{text}{style:#}")
    } else {
        text.to_string()
    }
}

fn progress_bar(total: u64, started: Instant) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len}, {eta} left")
        .expect("the template is a constant that a test builds");
    ProgressBar::new(total)
        .with_style(style)
        .with_elapsed(started.elapsed())
}

fn countdown_bar(total: Duration, doing: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed} of at most {len} s")
        .expect("the template is a constant that a test builds");
    ProgressBar::new((total + Duration::from_millis(500)).as_secs())
        .with_style(style)
        .with_message(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_bar_can_be_built() {
        progress_bar(3, Instant::now()).finish_and_clear();
        countdown_bar(Duration::from_secs(3), "waiting").finish_and_clear();
    }

    #[test]
    fn paint_is_for_terminals() {
        assert_eq!(painted("x", BAD, false), "x");
        assert_eq!(painted("x", BAD, true), "\u{1b}[31mx\u{1b}[0m");
    }
}
