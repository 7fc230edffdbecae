//! `daemon on`: the process goes to the background once it is ready.
//!
//! Forking a process that may have threads is unsafe code. So the program is executed anew, in a session
//! of its own, and the one that was started waits until that one listens everywhere and has written its pid
//! file: its exit status is true, and who started it may use the sockets.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::setsid;
use rustix::stdio::{dup2_stderr, dup2_stdout};

/// Set for the process in the background.
const MARK: &str = "KEEPLINE_IN_BACKGROUND";

/// What is written to standard output when all is ready.
const READY: &[u8] = b"ready\n";

/// Which of the two processes this is.
#[must_use]
pub(crate) fn is_in_background() -> bool {
    env::var_os(MARK).is_some()
}

/// In the process that was started: executes the one in the background and waits until it is ready.
/// The answer is `Err` with its exit status if it ended before.
pub(crate) fn start() -> io::Result<Result<(), ExitStatus>> {
    let mut arguments = env::args_os();
    let mut command = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        // A link named `nginx` has to be one there too.
        command.arg0(name);
    }
    let mut child = command
        .args(arguments)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // It says one word, or ends.
        stdout.take(READY.len() as u64).read_to_end(&mut said)?;
    }
    if said == READY {
        return Ok(Ok(()));
    }
    child.wait().map(Err)
}

/// In the background: leaves the terminal's session.
pub(crate) fn leave_session() -> io::Result<()> {
    setsid()?;
    Ok(())
}

/// In the background, when all is ready: lets the process that waits for it end, and gives up the
/// terminal. Panics, if there ever are any, go where `errors` goes.
pub(crate) fn ready(errors: Option<&File>) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(READY)?;
    stdout.flush()?;
    let null = File::options().write(true).open("/dev/null")?;
    dup2_stdout(&null)?;
    dup2_stderr(errors.unwrap_or(&null))?;
    Ok(())
}
