//! The outermost level: `daemon`, `pid`, `worker_processes` and so on, `events`, and `http`.

use std::collections::BTreeSet;

use super::{Builder, REPEATABLE, is_without_effect, log};
use crate::conf::check::flag;
use crate::conf::directive::Context;
use crate::conf::error::ConfError;
use crate::conf::paths::STDERR;
use crate::conf::tree::{Block, Directive};
use crate::conf::units;
use crate::conf::value::invalid;
use crate::config::{Config, ErrorLog, Events, Level as LogLevel, LogTarget, Main};

/// Reads a whole configuration.
pub(super) fn config(root: &Block, builder: &mut Builder<'_>) -> Result<Config, ConfError> {
    let mut main = Main {
        pid: builder.paths.pid().to_path_buf(),
        ..Main::default()
    };
    let (mut events, mut http) = (None, None);
    let mut once = BTreeSet::new();
    for directive in &root.directives {
        let name = directive.name.text.as_str();
        if !REPEATABLE.contains(&name) && !once.insert(name) {
            builder.fail(directive.duplicate());
            continue;
        }
        match name {
            "events" => events = Some(self::events(directive, builder)),
            "http" => http = Some(directive),
            _ if is_without_effect(name, Context::Main) => {}
            _ => {
                if let Err(error) = setting(&mut main, directive, builder) {
                    builder.fail(error);
                }
            }
        }
    }
    let Some(events) = events else {
        let what = "no \"events\" section in configuration";
        return Err(ConfError::nowhere(what).note("an empty one is enough: events {}"));
    };
    if main.error_log.is_empty() {
        main.error_log.push(default_error_log(builder));
    }
    let has_http = http.is_some();
    if let Some(block) = http.and_then(|http| http.block.as_ref()) {
        builder.http(block, &main.error_log)?;
    }
    Ok(Config {
        main,
        events,
        http: has_http.then(|| std::mem::take(&mut builder.http)),
    })
}

fn default_error_log(builder: &Builder<'_>) -> ErrorLog {
    let path = builder.paths.error_log();
    ErrorLog {
        target: match path.as_os_str() == STDERR {
            true => LogTarget::Stderr,
            false => LogTarget::File(path.to_path_buf()),
        },
        level: LogLevel::Error,
    }
}

fn setting(
    main: &mut Main,
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<(), ConfError> {
    match directive.name.text.as_str() {
        "daemon" => main.daemon = flag(directive)?,
        "pid" => main.pid = builder.paths.below_prefix(directive.text(0)?),
        "error_log" => main.error_log.push(log::error_log(directive, builder)?),
        "worker_processes" => main.workers = workers(directive)?,
        "worker_shutdown_timeout" => {
            let time = directive.time(0)?;
            main.shutdown_timeout = (!time.is_zero()).then_some(time);
        }
        "user" => {
            let group = directive.args.get(1).map(|word| word.text.as_str().into());
            main.user = Some((directive.text(0)?.into(), group));
            if !rustix::process::geteuid().is_root() {
                let reason = "only a process of root can become somebody else";
                builder.ignore("user", &directive.name.place, reason);
            }
        }
        _ => return Err(super::not_taken(directive)),
    }
    Ok(())
}

/// More threads are a mistake.
const MAX_WORKERS: usize = 1024;

/// `None` is `auto`.
fn workers(directive: &Directive) -> Result<Option<usize>, ConfError> {
    let word = directive.arg(0)?;
    if word.text == "auto" {
        return Ok(None);
    }
    let workers = units::number(&word.text).filter(|n| (1..=MAX_WORKERS).contains(n));
    let expected = format!("auto, or a number from 1 to {MAX_WORKERS}");
    workers
        .map(Some)
        .ok_or_else(|| invalid(directive, word, &expected))
}

fn events(directive: &Directive, builder: &mut Builder<'_>) -> Events {
    let mut events = Events::default();
    let mut once = BTreeSet::new();
    let inner = directive.block.iter().flat_map(|block| &block.directives);
    for directive in inner {
        let name = directive.name.text.as_str();
        let outcome = match name {
            _ if !REPEATABLE.contains(&name) && !once.insert(name) => Err(directive.duplicate()),
            "worker_connections" => directive.number(0).and_then(|number| match number {
                0 => Err(invalid(directive, directive.arg(0)?, "at least 1")),
                number => {
                    events.worker_connections = number;
                    Ok(())
                }
            }),
            _ if is_without_effect(name, Context::Events) => Ok(()),
            _ => Err(super::not_taken(directive)),
        };
        if let Err(error) = outcome {
            builder.fail(error);
        }
    }
    events
}
