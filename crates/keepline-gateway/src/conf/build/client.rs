//! `keepalive_*`, `lingering_*`, `client_*` and what else is about the client's connection.

use std::time::Duration;

use super::Builder;
use super::level::Level;
use crate::conf::check::flag;
use crate::conf::error::ConfError;
use crate::conf::tree::Directive;
use crate::conf::value::invalid;
use crate::config::{BodyInFile, Browsers, LingeringClose};

/// Takes the directive if it is one of these.
pub(super) fn apply(
    level: &mut Level,
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<bool, ConfError> {
    Ok(
        connection(level, directive)?
            || body(level, directive, builder)?
            || head(level, directive)?,
    )
}

fn connection(level: &mut Level, directive: &Directive) -> Result<bool, ConfError> {
    let client = &mut level.scope.client;
    let keepalive = &mut client.keepalive;
    match directive.name.text.as_str() {
        "keepalive_timeout" => {
            keepalive.timeout = directive.time(0)?;
            if directive.args.len() > 1 {
                let told = directive.time(1)?;
                keepalive.told = (told > Duration::ZERO).then_some(told);
            }
        }
        "keepalive_requests" => keepalive.requests = directive.number(0)?,
        "keepalive_time" => keepalive.time = directive.time(0)?,
        "keepalive_min_timeout" => keepalive.min_timeout = directive.time(0)?,
        "keepalive_disable" => keepalive.disable = browsers(directive)?,
        "lingering_close" => {
            client.lingering.close = directive.one_of(
                0,
                &[
                    ("off", LingeringClose::Off),
                    ("on", LingeringClose::On),
                    ("always", LingeringClose::Always),
                ],
            )?;
        }
        "lingering_time" => client.lingering.time = directive.time(0)?,
        "lingering_timeout" => client.lingering.timeout = directive.time(0)?,
        "reset_timedout_connection" => client.resets_timed_out = flag(directive)?,
        "send_timeout" => client.send_timeout = directive.time(0)?,
        "tcp_nodelay" => client.no_delay = flag(directive)?,
        "chunked_transfer_encoding" => client.chunks = flag(directive)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn browsers(directive: &Directive) -> Result<Browsers, ConfError> {
    let mut browsers = Browsers::default();
    for (index, word) in directive.args.iter().enumerate() {
        match word.text.as_str() {
            "none" if index == 0 && directive.args.len() == 1 => {}
            "msie6" => browsers.msie6 = true,
            "safari" => browsers.safari = true,
            _ => return Err(invalid(directive, word, "none, or msie6 and safari")),
        }
    }
    Ok(browsers)
}

fn body(
    level: &mut Level,
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<bool, ConfError> {
    let client = &mut level.scope.client;
    match directive.name.text.as_str() {
        "client_body_timeout" => client.body_timeout = directive.time(0)?,
        "client_max_body_size" => {
            let size = directive.size(0)?;
            client.max_body_size = (size > 0).then_some(size);
        }
        "client_body_buffer_size" => client.body_buffer_size = directive.memory(0)?,
        "client_body_in_file_only" => {
            client.body_in_file = directive.one_of(
                0,
                &[
                    ("off", BodyInFile::Off),
                    ("on", BodyInFile::On),
                    ("clean", BodyInFile::Clean),
                ],
            )?;
        }
        "client_body_temp_path" => {
            client.body_temp_path = builder.temp_path(directive)?;
        }
        "early_hints" => {
            let predicates = directive.args.iter();
            let predicates: Result<_, _> = predicates.map(|w| builder.names.template(w)).collect();
            client.early_hints.0 = predicates?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// What holds for a virtual server as a whole.
fn head(level: &mut Level, directive: &Directive) -> Result<bool, ConfError> {
    let server = &mut level.server;
    match directive.name.text.as_str() {
        "client_header_timeout" => server.header_timeout = directive.time(0)?,
        "client_header_buffer_size" => server.header_buffer = directive.memory(0)?,
        "large_client_header_buffers" => {
            let (number, size) = (directive.number(0)?, directive.memory(1)?);
            if number == 0 || size == 0 {
                return Err(invalid(directive, directive.arg(0)?, "at least one buffer"));
            }
            server.large_header_buffers = (number, size);
        }
        "max_headers" => server.max_fields = directive.number(0)?,
        "ignore_invalid_headers" => server.ignores_invalid_fields = flag(directive)?,
        "underscores_in_headers" => server.underscores_in_fields = flag(directive)?,
        "merge_slashes" => server.merges_slashes = flag(directive)?,
        _ => return Ok(false),
    }
    Ok(true)
}
