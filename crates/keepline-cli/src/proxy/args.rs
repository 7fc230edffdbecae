//! What `keepline proxy` may be told: the options of nginx.

use std::path::PathBuf;

use keepline_gateway::process::{Options, Signal};

/// Run an nginx.conf: a reverse proxy, a static server, or both.
///
/// The options are those of nginx, and a link to this program that is named `nginx` takes them alone.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
// `-V` and `-v` are nginx's here.
#[command(disable_version_flag = true)]
pub(crate) struct Args {
    /// The configuration [default: /etc/nginx/nginx.conf, with -p PREFIX/conf/nginx.conf]
    #[arg(short = 'c', value_name = "FILE")]
    configuration: Option<PathBuf>,
    /// Where relative paths begin: of logs, pid file, root, and of -c and -e
    #[arg(short = 'p', value_name = "PREFIX")]
    prefix: Option<PathBuf>,
    /// The error log until the configuration is read; "stderr" is standard error
    #[arg(short = 'e', value_name = "FILE")]
    error_log: Option<PathBuf>,
    /// Directives that come before those of the file
    #[arg(
        short = 'g',
        value_name = "DIRECTIVES",
        default_value = "",
        hide_default_value = true
    )]
    directives: String,
    #[command(flatten)]
    action: ActionArgs,
    /// While testing, say nothing but what is wrong
    #[arg(short = 'q')]
    is_quiet: bool,
}

/// What to do instead of running.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of nginx")]
struct ActionArgs {
    /// Test the configuration
    #[arg(short = 't')]
    test: bool,
    /// Test the configuration and print it
    #[arg(short = 'T')]
    dump: bool,
    /// Tell the running process: stop, quit, reload, reopen
    #[arg(short = 's', value_name = "SIGNAL")]
    signal: Option<Signal>,
    /// The version of nginx that is matched
    #[arg(short = 'v')]
    version: bool,
    /// That version, and what is built in
    #[arg(short = 'V')]
    modules: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Run,
    Test,
    Dump,
    Signal(Signal),
    Version,
    Modules,
}

impl Args {
    pub(crate) fn action(&self) -> Action {
        match &self.action {
            ActionArgs { test: true, .. } => Action::Test,
            ActionArgs { dump: true, .. } => Action::Dump,
            ActionArgs { version: true, .. } => Action::Version,
            ActionArgs { modules: true, .. } => Action::Modules,
            ActionArgs {
                signal: Some(signal),
                ..
            } => Action::Signal(*signal),
            _ => Action::Run,
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            prefix: self.prefix.clone(),
            configuration: self.configuration.clone(),
            error_log: self.error_log.clone(),
            directives: self.directives.clone(),
            is_quiet: self.is_quiet,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  keepline proxy -t                              is /etc/nginx/nginx.conf in order?
  keepline proxy -c ./nginx.conf -g 'daemon off;'
  keepline proxy -s reload                       read it anew; no connection is lost
  ln -s \"$(command -v keepline)\" ~/bin/nginx     a drop-in nginx

Signals: TERM and INT stop at once, QUIT lets requests finish, HUP reloads, USR1 reopens the logs.
docs/from-nginx.md lists what is supported of each directive.";
