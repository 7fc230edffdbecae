//! `log_format`, `access_log` and `error_log`.

use std::sync::Arc;

use super::Builder;
use super::level::Level;
use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::paths::STDERR;
use crate::conf::tree::Directive;
use crate::conf::units;
use crate::conf::value::{invalid, unknown_parameter, unsupported};
use crate::config::{
    AccessLog, ErrorLog, Escape, Level as LogLevel, LogFile, LogFileId, LogFormat, LogTarget,
};

/// The format that is always there.
pub(super) const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \
    \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// Takes the directive if it is one of these.
pub(super) fn apply(
    level: &mut Level,
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<bool, ConfError> {
    match directive.name.text.as_str() {
        "access_log" => {
            if level.is_first("access_log") {
                level.scope.settings.access_logs.clear();
            }
            if let Some(log) = access_log(directive, builder)? {
                level.scope.settings.access_logs.push(log);
            }
        }
        "error_log" => {
            if level.is_first("error_log") {
                level.scope.settings.error_logs.clear();
            }
            let log = error_log(directive, builder)?;
            level.scope.settings.error_logs.push(log);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// `log_format NAME [escape=…] STRING…`.
pub(super) fn log_format(
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<LogFormat, ConfError> {
    let name = directive.text(0)?;
    let mut escape = Escape::Default;
    let mut words = &directive.args[1..];
    if let Some((first, rest)) = words.split_first()
        && let Some(value) = first.text.strip_prefix("escape=")
    {
        escape = match value {
            "default" => Escape::Default,
            "json" => Escape::Json,
            "none" => Escape::None,
            _ => return Err(invalid(directive, first, "escape=default, json or none")),
        };
        words = rest;
    }
    let mut line = Vec::new();
    for word in words {
        line.extend(builder.names.template(word)?.pieces().iter().cloned());
    }
    Ok(LogFormat {
        name: name.into(),
        escape,
        line: crate::config::Template::from_pieces(line),
    })
}

/// `None` is `off`.
fn access_log(
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<Option<AccessLog>, ConfError> {
    let path = directive.arg(0)?;
    if path.text == "off" {
        return match directive.args.get(1) {
            None => Ok(None),
            Some(word) => Err(invalid(directive, word, "nothing behind off")),
        };
    }
    if path.text.contains('$') {
        return Err(unsupported(directive, path, "name one file"));
    }
    if path.text.starts_with("syslog:") {
        return Err(unsupported(
            directive,
            path,
            "log to a file or to /dev/stdout",
        ));
    }
    let name = directive.args.get(1).map_or("combined", |word| &word.text);
    let Some(format) = builder.names.formats.get(name).map(Arc::clone) else {
        let word = directive.arg(1)?;
        let known = builder.names.formats.keys().map(String::as_str);
        return Err(
            ConfError::new(&word.place, format!("unknown log format \"{name}\"")).near(name, known),
        );
    };
    let mut file = LogFile {
        path: builder.paths.below_prefix(&path.text),
        buffer: 0,
        flush: None,
    };
    let mut condition = None;
    for word in directive.args.iter().skip(2) {
        match word.text.split_once('=') {
            Some(("if", value)) => condition = Some(builder.names.template_of(value, word)?),
            _ => buffering(directive, word, &mut file)?,
        }
    }
    if file.flush.is_some() && file.buffer == 0 {
        return Err(directive.error("no buffer is defined for access_log"));
    }
    Ok(Some(AccessLog {
        file: log_file(directive, file, builder)?,
        format,
        condition,
    }))
}

fn buffering(directive: &Directive, word: &Word, file: &mut LogFile) -> Result<(), ConfError> {
    let known = ["buffer=", "flush=", "if="];
    match word.text.split_once('=') {
        Some(("buffer", value)) => {
            let size = units::size(value).and_then(|size| usize::try_from(size).ok());
            let size = size.filter(|size| *size > 0);
            file.buffer = size.ok_or_else(|| invalid(directive, word, "buffer=SIZE"))?;
        }
        Some(("flush", value)) => {
            let time = units::time(value).filter(|time| !time.is_zero());
            file.flush = Some(time.ok_or_else(|| invalid(directive, word, "flush=TIME"))?);
        }
        _ if word.text.starts_with("gzip") => {
            return Err(unsupported(
                directive,
                word,
                "compress when the logs are rotated",
            ));
        }
        _ => return Err(unknown_parameter(directive, word, &known)),
    }
    Ok(())
}

/// The number of a file; the same for all that name its path.
fn log_file(
    directive: &Directive,
    file: LogFile,
    builder: &mut Builder<'_>,
) -> Result<LogFileId, ConfError> {
    let files = &mut builder.http.log_files;
    if let Some(&id) = builder.log_files.get(&file.path) {
        let known = &mut files[id.0];
        let is_new = file.buffer > 0 && known.buffer == 0;
        let differs = (file.buffer, file.flush) != (known.buffer, known.flush);
        if file.buffer > 0 && !is_new && differs {
            let path = file.path.display();
            let what = format!("access_log \"{path}\" already defined with conflicting parameters");
            return Err(directive.error(what));
        }
        if is_new {
            *known = file;
        }
        return Ok(id);
    }
    let id = LogFileId(files.len());
    builder.log_files.insert(file.path.clone(), id);
    files.push(file);
    Ok(id)
}

/// `error_log FILE [LEVEL]`.
pub(super) fn error_log(
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<ErrorLog, ConfError> {
    const LEVELS: [(&str, LogLevel); 8] = [
        ("emerg", LogLevel::Emerg),
        ("alert", LogLevel::Alert),
        ("crit", LogLevel::Crit),
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("notice", LogLevel::Notice),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
    ];
    let path = directive.arg(0)?;
    if path.text.starts_with("syslog:") || path.text.starts_with("memory:") {
        return Err(unsupported(directive, path, "log to a file or to stderr"));
    }
    if let Some(word) = directive.args.get(2) {
        return Err(invalid(directive, word, "one level"));
    }
    Ok(ErrorLog {
        target: match path.text.as_str() {
            STDERR => LogTarget::Stderr,
            path => LogTarget::File(builder.paths.below_prefix(path)),
        },
        level: match directive.args.len() {
            1 => LogLevel::Error,
            _ => directive.one_of(1, &LEVELS)?,
        },
    })
}
