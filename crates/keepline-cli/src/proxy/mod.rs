//! `keepline proxy`: the gateway, run by an nginx.conf. A link named `nginx` to the binary is this too.

mod args;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use keepline_gateway::process::{self, Console, Failed};

pub(crate) use args::Args;

use self::args::Action;
use crate::failure::Verdict;

/// The name by which a link to the binary is nginx.
const NGINX: &str = "nginx";

/// The command line of that link: the options alone.
#[derive(Debug, Parser)]
#[command(name = NGINX, disable_version_flag = true)]
struct Nginx {
    #[command(flatten)]
    args: Args,
}

/// Whether the program was called by the name of nginx.
pub(crate) fn is_nginx(program: Option<&OsStr>) -> bool {
    program.map(Path::new).and_then(Path::file_name) == Some(OsStr::new(NGINX))
}

/// Runs the link. Wrong usage is exit status 1, as nginx's is.
pub(crate) fn run_as_nginx(command_line: impl Iterator<Item = OsString>) -> ExitCode {
    let parsed = Nginx::command()
        .try_get_matches_from(command_line)
        .and_then(|matches| Nginx::from_arg_matches(&matches));
    match parsed {
        Ok(nginx) => run(&nginx.args, Console::new(NGINX)).into(),
        Err(error) => {
            // Whoever asked for the help and does not read it is no failure.
            let _ = error.print();
            match error.exit_code() {
                0 => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Runs the sub-command.
pub(crate) fn run_as_keepline(args: &Args) -> Verdict {
    run(args, Console::new("keepline"))
}

fn run(args: &Args, console: Console) -> Verdict {
    let options = args.options();
    let outcome = match args.action() {
        Action::Run => process::run(&options, console),
        Action::Test => process::test(&options, console, None),
        Action::Dump => process::test(&options, console, Some(&mut io::stdout().lock())),
        Action::Signal(signal) => process::send(&options, console, signal),
        // nginx says both on standard error.
        Action::Version => {
            Console::write(process::version());
            Ok(())
        }
        Action::Modules => {
            Console::write(process::version_and_modules());
            Ok(())
        }
    };
    let _ = io::stdout().flush();
    match outcome {
        Ok(()) => Verdict::AllWell,
        Err(Failed) => Verdict::SomethingFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::args::Action;
    use keepline_gateway::process::Signal;

    fn action(words: &[&str]) -> Action {
        Nginx::try_parse_from(words).unwrap().args.action()
    }

    #[test]
    fn the_options_are_nginxs() {
        Nginx::command().debug_assert();
        assert_eq!(action(&["nginx"]), Action::Run);
        assert_eq!(action(&["nginx", "-tq", "-g", "daemon on;"]), Action::Test);
        assert_eq!(action(&["nginx", "-T", "-cx"]), Action::Dump);
        assert_eq!(
            action(&["nginx", "-s", "reload"]),
            Action::Signal(Signal::Reload)
        );
        assert_eq!(action(&["nginx", "-V"]), Action::Modules);
        assert_eq!(action(&["nginx", "-v"]), Action::Version);
        for wrong in [
            &["nginx", "-x"][..],
            &["nginx", "-s", "restart"],
            &["nginx", "x"],
        ] {
            assert!(Nginx::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_link_is_known_by_its_name_alone() {
        for (program, expected) in [
            ("nginx", true),
            ("/usr/sbin/nginx", true),
            ("keepline", false),
            ("/nginx/keepline", false),
            ("nginx2", false),
        ] {
            assert_eq!(is_nginx(Some(OsStr::new(program))), expected, "{program}");
        }
    }
}
