//! A program that runs beside a test and ends with it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::sockets::{Sockets, State};
use crate::{ScratchDir, until};

/// A running program. Dropping it kills the program and all that it has started.
///
/// What it prints is kept, and becomes part of the failure if it ends too early.
#[derive(Debug)]
pub struct Process {
    program: String,
    child: Child,
    scratch: ScratchDir,
}

impl Process {
    /// Starts a program without input.
    ///
    /// # Panics
    ///
    /// If it can't be started.
    #[must_use]
    #[track_caller]
    pub fn spawn(mut command: Command) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let scratch = ScratchDir::new("process");
        let output = File::create(output_file(&scratch)).expect("a scratch directory is writable");
        let errors = output.try_clone().expect("an open file can be shared");
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // A group of its own, so that workers can be killed with their master.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("can't start {program}: {error}"));
        Self {
            program,
            child,
            scratch,
        }
    }

    /// Starts a server and waits until `port` is listened on. It asks the kernel, so the server
    /// sees no connection but the test's.
    ///
    /// # Panics
    ///
    /// If the server can't be started, ends, or doesn't listen within
    /// [`PATIENCE`](crate::PATIENCE).
    pub async fn serve(command: Command, port: u16) -> Self {
        let mut process = Self::spawn(command);
        let listening = Sockets::on_port(port).in_state(State::Listening);
        until(
            format!("{} to listen on port {port}", process.program),
            || {
                process.assert_running();
                (listening.count() > 0).then_some(())
            },
        )
        .await;
        process
    }

    /// Sends the signal of this name, without `SIG`: `HUP`, `TERM`, `USR1`. Only the program itself
    /// gets it.
    ///
    /// # Panics
    ///
    /// If it can't be sent.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        assert!(
            kill(name, &self.child.id().to_string()),
            "can't send {name} to {}",
            self.program
        );
    }

    /// Waits until the program has ended by itself.
    ///
    /// # Panics
    ///
    /// If it runs on longer than [`PATIENCE`](crate::PATIENCE).
    pub async fn exited(&mut self) -> ExitStatus {
        until(format!("{} to end", self.program), || self.try_wait()).await
    }

    /// The id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has printed so far, to both outputs.
    #[must_use]
    pub fn output(&self) -> String {
        let bytes = fs::read(output_file(&self.scratch)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    fn assert_running(&mut self) {
        if let Some(status) = self.try_wait() {
            panic!(
                "{} ended early ({status}) and said:\n{}",
                self.program,
                self.output()
            );
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group is named by its leader's id, negated. It may be gone already.
        kill("KILL", &format!("-{}", self.child.id()));
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{} said:\n{}", self.program, self.output());
        }
    }
}

fn output_file(scratch: &ScratchDir) -> std::path::PathBuf {
    scratch.path().join("output")
}

/// The shell's `kill`, because the system call can't be made without unsafe code.
fn kill(signal: &str, process: &str) -> bool {
    Command::new("sh")
        .args(["-c", "kill -s \"$1\" -- \"$2\"", "sh", signal, process])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sockets::ReservedPort;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn the_output_and_the_status_are_kept() {
        let mut process = Process::spawn(shell("echo out; echo err >&2; exit 3"));
        assert_eq!(process.exited().await.code(), Some(3));
        assert_eq!(process.output(), "out\nerr\n");
    }

    #[tokio::test]
    async fn a_signal_arrives() {
        let mut process = Process::spawn(shell(
            "trap 'exit 5' USR1; echo ready; while :; do sleep 0.01; done",
        ));
        until("the trap to be set", || {
            process.output().contains("ready").then_some(())
        })
        .await;
        // Not HUP: a shell that nohup started cannot trap it.
        process.signal("USR1");
        assert_eq!(process.exited().await.code(), Some(5));
    }

    #[tokio::test]
    async fn dropping_it_kills_its_children_too() {
        let process = Process::spawn(shell("sleep 1000 & echo $!; wait"));
        let child = until("the child's id", || {
            let output = process.output();
            output.ends_with('\n').then(|| output.trim().to_owned())
        })
        .await;
        let running = || Path::new("/proc").join(&child).join("exe").exists();
        assert!(running());
        drop(process);
        until("the child to end", || (!running()).then_some(())).await;
    }

    #[tokio::test]
    #[should_panic(expected = "ended early (exit status: 1) and said:\nno such option")]
    async fn a_server_that_does_not_start_fails_with_its_own_words() {
        let reserved = ReservedPort::new().expect("a port is free");
        Process::serve(shell("echo no such option; exit 1"), reserved.port()).await;
    }
}
