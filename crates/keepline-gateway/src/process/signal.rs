//! The signals that rule the process, received and sent.

use std::io;
use std::path::Path;
use std::str::FromStr;

use rustix::process::{Signal as Number, kill_process};
use tokio::signal::unix::{self, SignalKind};

use super::pid;

/// What a process can be asked to do from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `stop`, TERM, INT: end at once.
    Stop,
    /// `quit`, QUIT: no new requests; end when those in progress are answered.
    Quit,
    /// `reload`, HUP: read the configuration anew.
    Reload,
    /// `reopen`, USR1: open the logs anew, because they were moved away.
    Reopen,
    /// USR2, WINCH: replace the binary. Refused, with a message.
    Upgrade,
}

impl FromStr for Signal {
    type Err = String;

    /// The names of `-s`.
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "stop" => Ok(Self::Stop),
            "quit" => Ok(Self::Quit),
            "reload" => Ok(Self::Reload),
            "reopen" => Ok(Self::Reopen),
            _ => Err(format!(
                "invalid option: \"-s {name}\", it is one of stop, quit, reload, reopen"
            )),
        }
    }
}

impl Signal {
    const fn number(self) -> Number {
        match self {
            Self::Stop => Number::TERM,
            Self::Quit => Number::QUIT,
            Self::Reload => Number::HUP,
            Self::Reopen => Number::USR1,
            Self::Upgrade => Number::USR2,
        }
    }

    /// Sends it to the process that the pid file names.
    ///
    /// # Errors
    /// A message: there is no such file, no number in it, or no such process.
    pub fn send(self, pid_file: &Path) -> Result<(), String> {
        let pid = pid::read(pid_file)
            .map_err(|error| format!("open() \"{}\" failed: {error}", pid_file.display()))?;
        kill_process(pid, self.number()).map_err(|error| {
            let number = pid.as_raw_nonzero();
            format!("kill({number}, {}) failed: {error}", self.number().as_raw())
        })
    }
}

/// The signals of this process. From when it exists, none of them ends the process by itself.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    hangup: unix::Signal,
    reopen: unix::Signal,
    upgrade: unix::Signal,
    window: unix::Signal,
}

impl Signals {
    /// Receives them; in a runtime. SIGPIPE has been ignored since the program began, as Rust's runtime does.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: unix::signal(SignalKind::quit())?,
            hangup: unix::signal(SignalKind::hangup())?,
            reopen: unix::signal(SignalKind::user_defined1())?,
            upgrade: unix::signal(SignalKind::user_defined2())?,
            window: unix::signal(SignalKind::window_change())?,
        })
    }

    /// The next one. Cancel-safe: none is lost.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.quit.recv() => Signal::Quit,
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.reopen.recv() => Signal::Reopen,
            _ = self.upgrade.recv() => Signal::Upgrade,
            _ = self.window.recv() => Signal::Upgrade,
        }
    }

    /// Waits for one that stops at once; the others no longer matter.
    pub(crate) async fn stopped(&mut self) {
        while self.next().await != Signal::Stop {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_command_line() {
        assert_eq!("reload".parse(), Ok(Signal::Reload));
        assert!(
            "restart"
                .parse::<Signal>()
                .unwrap_err()
                .contains("-s restart")
        );
    }

    #[test]
    fn without_a_pid_file_nobody_is_signalled() {
        let error = Signal::Quit
            .send("/nonexistent/nginx.pid".as_ref())
            .unwrap_err();
        assert!(
            error.starts_with("open() \"/nonexistent/nginx.pid\" failed"),
            "{error}"
        );
    }
}
