//! `proxy_*`, but for `proxy_pass` and `proxy_ssl_*`.

use super::Builder;
use super::fields::field_name;
use super::level::Level;
use super::proxy_rewrite;
use super::settings::rate;
use crate::conf::check::flag;
use crate::conf::directive::Context;
use crate::conf::error::ConfError;
use crate::conf::tree::{Block, Directive};
use crate::conf::value::{invalid, unknown_parameter, unsupported};
use crate::config::{Cause, Causes, Certificate, Content, HttpVersion, ProxyTarget, Scheme};

/// Takes the directive if it is one of these.
pub(super) fn apply(
    level: &mut Level,
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<bool, ConfError> {
    Ok(switches(level, directive)?
        || limits(level, directive, builder)?
        || request(level, directive, builder)?
        || response(level, directive)?)
}

fn switches(level: &mut Level, directive: &Directive) -> Result<bool, ConfError> {
    let proxy = &mut level.scope.proxy;
    let switch = match directive.name.text.as_str() {
        "proxy_buffering" => &mut proxy.buffering,
        "proxy_request_buffering" => &mut proxy.request_buffering,
        "proxy_ignore_client_abort" => &mut proxy.ignore_client_abort,
        "proxy_intercept_errors" => &mut proxy.intercept_errors,
        "proxy_pass_request_headers" => &mut proxy.pass_request_headers,
        "proxy_pass_request_body" => &mut proxy.pass_request_body,
        "proxy_pass_trailers" => &mut proxy.pass_trailers,
        "proxy_socket_keepalive" => &mut proxy.socket_keepalive,
        _ => return Ok(false),
    };
    *switch = flag(directive)?;
    Ok(true)
}

fn limits(
    level: &mut Level,
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<bool, ConfError> {
    let proxy = &mut level.scope.proxy;
    match directive.name.text.as_str() {
        "proxy_connect_timeout" => proxy.connect_timeout = directive.time(0)?,
        "proxy_send_timeout" => proxy.send_timeout = directive.time(0)?,
        "proxy_read_timeout" => proxy.read_timeout = directive.time(0)?,
        "proxy_buffer_size" => proxy.buffer_size = directive.memory(0)?,
        "proxy_buffers" => proxy.buffers = (directive.number(0)?, directive.memory(1)?),
        "proxy_busy_buffers_size" => level.busy_buffers = Some(directive.memory(0)?),
        "proxy_temp_file_write_size" => level.temp_file_write = Some(directive.memory(0)?),
        "proxy_max_temp_file_size" => proxy.max_temp_file_size = directive.size(0)?,
        "proxy_temp_path" => proxy.temp_path = builder.temp_path(directive)?,
        "proxy_limit_rate" => proxy.limit_rate = rate(directive, builder)?,
        "proxy_next_upstream" => proxy.next_upstream = causes(directive)?,
        "proxy_next_upstream_tries" => {
            let tries = directive.number(0)?;
            proxy.next_upstream_tries = (tries > 0).then_some(tries);
        }
        "proxy_next_upstream_timeout" => {
            let time = directive.time(0)?;
            proxy.next_upstream_timeout = (!time.is_zero()).then_some(time);
        }
        "proxy_socket_rcvbuf" => proxy.socket_receive_buffer = buffer(directive)?,
        "proxy_socket_sndbuf" => proxy.socket_send_buffer = buffer(directive)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// 0 is the system's.
fn buffer(directive: &Directive) -> Result<Option<usize>, ConfError> {
    let size = directive.memory(0)?;
    Ok((size > 0).then_some(size))
}

fn causes(directive: &Directive) -> Result<Causes, ConfError> {
    const CAUSES: [(&str, Cause); 11] = [
        ("error", Cause::Error),
        ("timeout", Cause::Timeout),
        ("invalid_header", Cause::InvalidHeader),
        ("non_idempotent", Cause::NonIdempotent),
        ("http_403", Cause::Http403),
        ("http_404", Cause::Http404),
        ("http_429", Cause::Http429),
        ("http_500", Cause::Http500),
        ("http_502", Cause::Http502),
        ("http_503", Cause::Http503),
        ("http_504", Cause::Http504),
    ];
    let mut causes = Causes::NONE;
    let mut is_off = false;
    for (index, word) in directive.args.iter().enumerate() {
        match word.text.as_str() {
            "off" => is_off = true,
            // For answers from a cache that is not there.
            "updating" => {}
            _ => causes = causes.with(directive.one_of(index, &CAUSES)?),
        }
    }
    // As in nginx, `off` among others switches all off.
    Ok(if is_off { Causes::NONE } else { causes })
}

fn request(
    level: &mut Level,
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<bool, ConfError> {
    match directive.name.text.as_str() {
        "proxy_http_version" => level.scope.proxy.http_version = http_version(directive)?,
        "proxy_method" => {
            level.scope.proxy.method = Some(builder.names.template(directive.arg(0)?)?);
        }
        "proxy_set_header" => {
            if level.is_first("proxy_set_header") {
                level.scope.proxy.set_headers.clear();
            }
            let name = field_name(directive.arg(0)?)?.into();
            let value = builder.names.template(directive.arg(1)?)?;
            level.scope.proxy.set_headers.push((name, value));
        }
        "proxy_set_body" => {
            level.scope.proxy.set_body = Some(builder.names.template(directive.arg(0)?)?);
        }
        "proxy_bind" => {
            let word = directive.arg(0)?;
            if let Some(word) = directive.args.get(1) {
                let instead = "bind to an address of this machine";
                return Err(unsupported(directive, word, instead));
            }
            let template = builder.names.template(word)?;
            level.scope.proxy.bind = match template.as_literal() {
                Some("off") => None,
                Some(text) if !is_local_address(text) => {
                    return Err(invalid(
                        directive,
                        word,
                        "an IP address, a variable, or off",
                    ));
                }
                _ => Some(template),
            };
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// An address, perhaps with a port.
fn is_local_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok() || text.parse::<std::net::SocketAddr>().is_ok()
}

fn http_version(directive: &Directive) -> Result<HttpVersion, ConfError> {
    let word = directive.arg(0)?;
    if word.text == "2" {
        return Err(unsupported(directive, word, "1.1"));
    }
    directive.one_of(0, &[("1.0", HttpVersion::V10), ("1.1", HttpVersion::V11)])
}

fn response(level: &mut Level, directive: &Directive) -> Result<bool, ConfError> {
    let name = match directive.name.text.as_str() {
        "proxy_hide_header" => "proxy_hide_header",
        "proxy_pass_header" => "proxy_pass_header",
        "proxy_ignore_headers" => "proxy_ignore_headers",
        _ => return Ok(false),
    };
    let is_first = level.is_first(name);
    let proxy = &mut level.scope.proxy;
    let list = match name {
        "proxy_hide_header" => &mut proxy.hide_headers,
        "proxy_pass_header" => &mut proxy.pass_headers,
        _ => &mut proxy.ignore_headers,
    };
    if is_first {
        list.clear();
    }
    for word in &directive.args {
        let field = word.text.to_ascii_lowercase();
        if name == "proxy_ignore_headers" && !IGNORABLE.contains(&field.as_str()) {
            return Err(unknown_parameter(directive, word, &IGNORABLE));
        }
        list.push(field.into());
    }
    Ok(true)
}

/// Fields of an answer that are obeyed, in lower case.
const IGNORABLE: [&str; 9] = [
    "x-accel-redirect",
    "x-accel-expires",
    "x-accel-limit-rate",
    "x-accel-buffering",
    "x-accel-charset",
    "expires",
    "cache-control",
    "set-cookie",
    "vary",
];

/// What follows from several settings, once all of a block are known.
pub(super) fn resolve(
    level: &mut Level,
    block: &Block,
    path: Option<&str>,
) -> Result<(), ConfError> {
    match &level.redirects {
        Some(redirects) => level.scope.proxy.redirects.clone_from(redirects),
        // As in nginx, what the block around it has goes before the default.
        None if level.scope.proxy.redirects.is_empty() => {
            let default = proxy_rewrite::default_redirect(level, path);
            level.scope.proxy.redirects.extend(default);
        }
        None => {}
    }
    // As in nginx, what is said in `http` has to fit only where it arrives.
    if level.context == Context::Http {
        return Ok(());
    }
    buffers(level, block)?;
    let tls = &mut level.scope.proxy.tls;
    if tls.verify && tls.trusted.is_none() && may_speak_tls(&level.scope.content) {
        let what = "no \"proxy_ssl_trusted_certificate\" for \"proxy_ssl_verify\"";
        let directive =
            place_of(block, "proxy_ssl_verify").or_else(|| place_of(block, "proxy_pass"));
        return Err(directive.map_or_else(
            || ConfError::nowhere(what),
            |directive| directive.error(what),
        ));
    }
    tls.certificate = match (&level.proxy_certificate, &level.proxy_certificate_key) {
        (Some(chain), Some(key)) => Some(Certificate {
            chain: chain.clone(),
            key: key.clone(),
        }),
        (None, _) => None,
        (Some(chain), None) => {
            let what = format!(
                "no \"proxy_ssl_certificate_key\" is defined for certificate \"{}\"",
                chain.display()
            );
            return Err(place_of(block, "proxy_ssl_certificate").map_or_else(
                || ConfError::nowhere(what.as_str()),
                |directive| directive.error(what.as_str()),
            ));
        }
    };
    Ok(())
}

/// Requests are passed on over TLS, or nobody knows before they come.
const fn may_speak_tls(content: &Content) -> bool {
    match content {
        Content::Proxy(pass) => match &pass.target {
            ProxyTarget::Fixed { scheme, .. } => matches!(scheme, Scheme::Https),
            ProxyTarget::Variable(_) => true,
        },
        Content::Static | Content::StubStatus => false,
    }
}

/// The sizes of buffers have to fit each other.
fn buffers(level: &mut Level, block: &Block) -> Result<(), ConfError> {
    let proxy = &mut level.scope.proxy;
    let (number, size) = proxy.buffers;
    let largest = proxy.buffer_size.max(size);
    proxy.busy_buffers_size = level.busy_buffers.unwrap_or(2 * largest);
    proxy.temp_file_write_size = level.temp_file_write.unwrap_or(2 * largest);
    let fail = |name: &str, what: &str| {
        let what = format!("\"{name}\" {what}");
        // The block may have none of it, and what it inherits not fit what it has.
        let names = [name, "proxy_buffers", "proxy_buffer_size"];
        let directive = names.iter().find_map(|name| place_of(block, name));
        Err(directive.map_or_else(
            || ConfError::nowhere(what.as_str()),
            |directive| directive.error(what.as_str()),
        ))
    };
    if number < 2 {
        return fail("proxy_buffers", "must be at least 2");
    }
    let at_least = "must be equal to or greater than the maximum of the value of \
        \"proxy_buffer_size\" and one of the \"proxy_buffers\"";
    if proxy.busy_buffers_size < largest {
        return fail("proxy_busy_buffers_size", at_least);
    }
    if proxy.busy_buffers_size > (number - 1).saturating_mul(size) {
        let what = "must be less than the size of all \"proxy_buffers\" minus one buffer";
        return fail("proxy_busy_buffers_size", what);
    }
    if proxy.temp_file_write_size < largest {
        return fail("proxy_temp_file_write_size", at_least);
    }
    if proxy.max_temp_file_size != 0 && proxy.max_temp_file_size < largest as u64 {
        return fail("proxy_max_temp_file_size", at_least);
    }
    Ok(())
}

fn place_of<'a>(block: &'a Block, name: &str) -> Option<&'a Directive> {
    block.directives.iter().find(|d| d.name.text == name)
}
