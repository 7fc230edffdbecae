//! The signals that rule the process, received and sent.

use std::path::Path;
use std::str::FromStr;

use rustix::process::{Signal as Number, kill_process};

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
