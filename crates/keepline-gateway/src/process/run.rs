//! The life of the process: from the configuration to the last request.
//!
//! The order at the start is the contract: every socket listens and every log is open, and only then is
//! the pid file written. This thread waits for signals, and does what may block; the workers serve.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::check::Failed;
use super::console::Console;
use super::daemon;
use super::options::Options;
use super::pid::PidFile;
use super::signal::{Signal, Signals};
use crate::conf::{Document, Paths};
use crate::config::{Config, ErrorLog, Level, LogTarget, Main};
use crate::error_log::ErrorLogs;
use crate::gateway::Gateway;
use crate::user::Identity;

/// Runs a configuration until a signal ends it.
///
/// # Errors
/// It could not be started, or a worker has failed. What happened has been said: on standard error while
/// the process starts, in the error log after that.
pub fn run(options: &Options, console: Console) -> Result<(), Failed> {
    let paths = options.paths();
    let start = Start {
        options,
        paths: &paths,
        console,
        logs: Arc::new(ErrorLogs::default()),
    };
    let document = start.read()?;
    if document.config().main.daemon && !daemon::is_in_background() {
        return start.in_background();
    }
    start.run(&document)
}

/// What a process has while it starts.
struct Start<'a> {
    options: &'a Options,
    paths: &'a Paths,
    console: Console,
    logs: Arc<ErrorLogs>,
}

impl Start<'_> {
    /// Says what is wrong, here and in the error log that holds until the configuration names another.
    fn fail(&self, message: impl std::fmt::Display) -> Failed {
        self.console.log(Level::Emerg, &message);
        self.logs
            .write(&self.first_log(), Level::Emerg, None, message);
        Failed
    }

    fn first_log(&self) -> Vec<ErrorLog> {
        let path = self.paths.error_log();
        // Standard error has been told already.
        match path == Path::new(crate::conf::paths::STDERR) {
            true => Vec::new(),
            false => vec![ErrorLog {
                target: LogTarget::File(path.to_path_buf()),
                level: Level::Notice,
            }],
        }
    }

    fn read(&self) -> Result<Document, Failed> {
        Document::read(self.paths, &self.options.directives).map_err(|errors| {
            self.console.errors(&errors);
            for error in errors.iter() {
                self.logs
                    .write(&self.first_log(), Level::Emerg, None, error);
            }
            Failed
        })
    }

    fn in_background(&self) -> Result<(), Failed> {
        match daemon::start() {
            Ok(Ok(())) => Ok(()),
            // It has said why.
            Ok(Err(_)) => Err(Failed),
            Err(error) => Err(self.fail(format_args!("daemon: {error}"))),
        }
    }

    fn run(&self, document: &Document) -> Result<(), Failed> {
        let config = document.config();
        let main = &config.main;
        self.logs
            .open(&main.error_log)
            .map_err(|error| self.fail(error))?;
        let identity = Identity::of(main.user.as_ref()).map_err(|message| self.fail(message))?;
        for path in document.temp_paths() {
            create_directory(path, identity.as_ref()).map_err(|error| {
                self.fail(format_args!(
                    "mkdir() \"{}\" failed: {error}",
                    path.display()
                ))
            })?;
        }
        let is_daemon = main.daemon;
        if is_daemon {
            daemon::leave_session().map_err(|error| self.fail(format_args!("setsid: {error}")))?;
        }
        let runtime = runtime().map_err(|error| self.fail(error))?;
        // From here on no signal is lost.
        let signals = runtime.block_on(async { Signals::new() });
        let signals = signals.map_err(|error| self.fail(format_args!("signals: {error}")))?;
        let gateway = Gateway::start_with(config, Arc::clone(&self.logs), identity.clone());
        let gateway = gateway.map_err(|error| self.fail(error))?;
        let pid = PidFile::write(&main.pid).map_err(|error| {
            self.fail(format_args!(
                "open() \"{}\" failed: {error}",
                main.pid.display()
            ))
        })?;
        if is_daemon {
            self.leave_terminal(main)?;
        }
        let running = Running {
            options: self.options,
            paths: self.paths,
            logs: Arc::clone(&self.logs),
            main: main.clone(),
            identity,
            pid,
            gateway,
            signals,
        };
        running.log(
            Level::Notice,
            format_args!("nginx/{}", crate::NGINX_VERSION),
        );
        runtime.block_on(running.until_ended())
    }

    fn leave_terminal(&self, main: &Main) -> Result<(), Failed> {
        let errors = main.error_log.iter().find_map(|log| match &log.target {
            LogTarget::File(path) => self.logs.file(path).ok(),
            LogTarget::Stderr => None,
        });
        daemon::ready(errors.as_deref()).map_err(|error| self.fail(format_args!("daemon: {error}")))
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// For the user of the workers alone, as nginx does: there are bodies of requests in it.
fn create_directory(path: &Path, identity: Option<&Identity>) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    identity.map_or(Ok(()), |identity| identity.own(path))
}

/// A process that serves.
struct Running<'a> {
    options: &'a Options,
    paths: &'a Paths,
    logs: Arc<ErrorLogs>,
    main: Main,
    /// Who the workers are.
    identity: Option<Identity>,
    pid: PidFile,
    gateway: Gateway,
    signals: Signals,
}

impl Running<'_> {
    fn log(&self, level: Level, message: impl std::fmt::Display) {
        self.logs.write(&self.main.error_log, level, None, message);
    }

    async fn until_ended(mut self) -> Result<(), Failed> {
        let is_graceful = loop {
            match self.signals.next().await {
                Signal::Stop => break false,
                Signal::Quit => break true,
                Signal::Reload => self.reload(),
                Signal::Reopen => self.reopen(),
                Signal::Upgrade => self.log(
                    Level::Warn,
                    "the binary is not replaced while it runs: start the new one when this has ended",
                ),
            }
        };
        self.end(is_graceful).await
    }

    /// Reads the configuration anew. If anything is wrong with it, everything stays as it is.
    fn reload(&mut self) {
        self.log(Level::Notice, "signal 1 (SIGHUP) received, reconfiguring");
        let document = match Document::read(self.paths, &self.options.directives) {
            Ok(document) => document,
            Err(errors) => {
                for error in errors.iter() {
                    self.log(Level::Emerg, error);
                }
                return self.log(Level::Error, "the configuration that was in force stays");
            }
        };
        if let Err(message) = self.take_over(&document) {
            self.log(Level::Emerg, message);
            self.log(Level::Error, "the configuration that was in force stays");
        }
    }

    fn take_over(&mut self, document: &Document) -> Result<(), String> {
        let config: &Config = document.config();
        let main = &config.main;
        self.logs
            .open(&main.error_log)
            .map_err(|error| error.to_string())?;
        for path in document.temp_paths() {
            let created = create_directory(path, self.identity.as_ref());
            created.map_err(|error| format!("mkdir() \"{}\" failed: {error}", path.display()))?;
        }
        let moved =
            match main.pid == self.main.pid {
                true => None,
                false => Some(PidFile::write(&main.pid).map_err(|error| {
                    format!("open() \"{}\" failed: {error}", main.pid.display())
                })?),
            };
        self.gateway
            .reload(config)
            .map_err(|error| error.to_string())?;
        if main.user != self.main.user {
            self.log(Level::Warn, "user has its new value after the next start");
        }
        if let Some(moved) = moved {
            self.pid = moved;
        }
        self.main = main.clone();
        self.log(Level::Notice, "the new configuration is in force");
        Ok(())
    }

    fn reopen(&self) {
        self.log(
            Level::Notice,
            "signal 10 (SIGUSR1) received, reopening logs",
        );
        for reopened in [self.logs.reopen(), self.gateway.reopen_logs()] {
            if let Err(error) = reopened {
                self.log(Level::Emerg, error);
            }
        }
    }

    async fn end(self, is_graceful: bool) -> Result<(), Failed> {
        match is_graceful {
            true => {
                self.log(Level::Notice, "signal 3 (SIGQUIT) received, shutting down");
                self.gateway.quit();
            }
            false => {
                self.log(Level::Notice, "signal 15 (SIGTERM) received, exiting");
                self.gateway.stop();
            }
        }
        let Self {
            logs,
            main,
            pid,
            gateway,
            mut signals,
            ..
        } = self;
        let stopper = gateway.stopper();
        let mut ended = tokio::task::spawn_blocking(move || gateway.join());
        let patience = main.shutdown_timeout.unwrap_or(Duration::MAX);
        let outcome = tokio::select! {
            outcome = timeout(patience, &mut ended) => outcome.ok(),
            () = signals.stopped() => None,
        };
        let outcome = match outcome {
            Some(outcome) => outcome,
            // It has taken too long, or somebody is in a hurry.
            None => {
                stopper.stop();
                ended.await
            }
        };
        drop(pid);
        match outcome.map_err(io::Error::other).flatten() {
            Ok(()) => {
                logs.write(&main.error_log, Level::Notice, None, "exit");
                Ok(())
            }
            Err(error) => {
                let message = format_args!("a worker has failed: {error}");
                logs.write(&main.error_log, Level::Alert, None, message);
                Err(Failed)
            }
        }
    }
}
