//! How the binary is run, and how its connections are counted.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use keepline_testkit::{Process, until, within};
use serde_json::Value;
use tokio::process::Command;

use crate::kernel::Watch;

/// The binary under test.
pub(crate) const KEEPLINE: &str = env!("CARGO_BIN_EXE_keepline");

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary to its end, without input.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> impl Future<Output = Ran> {
    let mut command = Command::new(KEEPLINE);
    command.args(args);
    finish(command)
}

/// Runs a program to its end, without input.
#[track_caller]
pub(crate) fn finish(mut command: Command) -> impl Future<Output = Ran> {
    let what = format!("the end of {:?}", command.as_std());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let bounded = within(what, output);
    async move {
        let output = bounded.await.expect("the program can be started");
        Ran {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Its exit status.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().expect("it has ended by itself")
    }

    /// All lines of its JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let line = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{self:?}"))
        };
        self.stdout.lines().map(line).collect()
    }

    /// The last line of its JSON.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let mut lines = self.json();
        lines.pop().unwrap_or_else(|| panic!("no output: {self:?}"))
    }
}

/// `keepline serve` on a free port.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) process: Process,
    pub(crate) port: u16,
    base: String,
}

impl Served {
    /// Starts it and waits until it says where it listens.
    pub(crate) async fn start(args: &[&str]) -> Self {
        let mut command = std::process::Command::new(KEEPLINE);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args);
        let process = Process::spawn(command);
        let base = until("the server to listen", || {
            let output = process.output();
            let (line, _) = output.split_once('\n')?;
            Some(line.strip_prefix("listening on ")?.to_owned())
        })
        .await;
        let (_, port) = base.rsplit_once(':').expect("an address has a port");
        Self {
            port: port.parse().expect("a port is a number"),
            process,
            base,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

/// Counts the connections to a port in the kernel, while programs run.
#[derive(Debug)]
pub(crate) struct Counted {
    stop: Arc<AtomicBool>,
    /// `None` where the kernel does not tell.
    reader: Option<JoinHandle<Watch>>,
}

impl Counted {
    /// From now on.
    pub(crate) fn start(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Watch::start(port).ok().map(|mut watch| {
            let stop = Arc::clone(&stop);
            // In a thread, so that the kernel's buffer is emptied whatever the test waits for.
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    watch.tally();
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                watch
            })
        });
        Self { stop, reader }
    }

    /// Waits until the kernel has seen the end of `expected` connections, and of no more.
    ///
    /// A kernel that tells nothing, or more than could be read on a busy machine, is said to, and
    /// the count is left to the programs' own.
    #[track_caller]
    pub(crate) fn assert(self, expected: u64) -> impl Future<Output = ()> {
        let counted = self.at_least(expected);
        async move {
            if let Some(connections) = counted.await {
                assert_eq!(connections, expected);
            }
        }
    }

    /// Waits until the kernel has seen the end of `expected` connections: of how many, then, if it
    /// told of all. For programs that may give up handshakes in progress, which no pool counts.
    #[track_caller]
    pub(crate) fn at_least(self, expected: u64) -> impl Future<Output = Option<u64>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut watch = self
            .reader
            .map(|reader| reader.join().expect("the reader does not panic"));
        let counted = until(format!("{expected} connections in the kernel"), move || {
            let Some(watch) = &mut watch else {
                return Some(None);
            };
            let tally = watch.tally();
            let is_settled = tally.connections >= expected || tally.is_incomplete;
            is_settled.then_some(Some(tally))
        });
        async move {
            match counted.await {
                Some(tally) if !tally.is_incomplete => Some(tally.connections),
                unsure => {
                    use std::io::Write;
                    let _ = writeln!(std::io::stderr(), "not counted in the kernel: {unsure:?}");
                    None
                }
            }
        }
    }
}
