//! What answers of upstreams have rewritten: `proxy_redirect`, `proxy_cookie_*`.

use super::Builder;
use super::level::Level;
use super::names;
use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::tree::Directive;
use crate::conf::value::unknown_parameter;
use crate::config::{CookieFlags, CookieRewrite, Redirect, Template, TemplateRule};

/// Takes the directive if it is one of these.
pub(super) fn apply(
    level: &mut Level,
    directive: &Directive,
    builder: &Builder<'_>,
    location: Option<&str>,
) -> Result<bool, ConfError> {
    match directive.name.text.as_str() {
        "proxy_redirect" => redirect(level, directive, builder, location)?,
        "proxy_cookie_domain" => {
            if level.is_first("proxy_cookie_domain") {
                level.scope.proxy.cookie_domains.clear();
            }
            let rewrite = cookie_rewrite(directive, builder)?;
            level.scope.proxy.cookie_domains.extend(rewrite);
        }
        "proxy_cookie_path" => {
            if level.is_first("proxy_cookie_path") {
                level.scope.proxy.cookie_paths.clear();
            }
            let rewrite = cookie_rewrite(directive, builder)?;
            level.scope.proxy.cookie_paths.extend(rewrite);
        }
        "proxy_cookie_flags" => {
            if level.is_first("proxy_cookie_flags") {
                level.scope.proxy.cookie_flags.clear();
            }
            let flags = cookie_flags(directive, builder)?;
            level.scope.proxy.cookie_flags.extend(flags);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn redirect(
    level: &mut Level,
    directive: &Directive,
    builder: &Builder<'_>,
    location: Option<&str>,
) -> Result<(), ConfError> {
    if level.is_first("proxy_redirect") {
        level.redirects = Some(Vec::new());
    } else if directive.text(0)? == "off" {
        return Err(directive.duplicate());
    }
    let redirect = match directive.args.as_slice() {
        [word] if word.text == "off" => return Ok(()),
        [word] if word.text == "default" => match default_redirect(level, location) {
            Some(redirect) => redirect,
            None => {
                let what = "\"proxy_redirect default\" should be placed after the \"proxy_pass\" \
                    directive, and that must have no variables";
                return Err(ConfError::new(&word.place, what));
            }
        },
        [from, to] => Redirect {
            from: rule(from, builder)?,
            to: builder.names.template(to)?,
        },
        _ => {
            let word = directive.arg(0)?;
            return Err(unknown_parameter(directive, word, &["default", "off"]));
        }
    };
    level.redirects.get_or_insert_default().push(redirect);
    Ok(())
}

/// What `proxy_redirect default` is here: the URL of `proxy_pass` becomes the location.
pub(super) fn default_redirect(level: &Level, location: Option<&str>) -> Option<Redirect> {
    let passed = level.proxy_passed.as_ref()?;
    let url = passed.url.as_ref()?;
    let (from, to) = match (passed.has_uri, location) {
        (true, Some(location)) => (url.clone(), location.to_owned()),
        (true, None) => return None,
        (false, _) => (format!("{url}/"), "/".to_owned()),
    };
    Some(Redirect {
        from: TemplateRule::Text(Template::literal(from)),
        to: Template::literal(to),
    })
}

/// `None` is `off`.
fn cookie_rewrite(
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<Option<CookieRewrite>, ConfError> {
    match directive.args.as_slice() {
        [word] if word.text == "off" => Ok(None),
        [from, to] => Ok(Some(CookieRewrite {
            from: rule(from, builder)?,
            to: builder.names.template(to)?,
        })),
        _ => Err(unknown_parameter(directive, directive.arg(0)?, &["off"])),
    }
}

fn cookie_flags(
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<Option<CookieFlags>, ConfError> {
    const KNOWN: [&str; 8] = [
        "secure",
        "nosecure",
        "httponly",
        "nohttponly",
        "samesite=strict",
        "samesite=lax",
        "samesite=none",
        "nosamesite",
    ];
    let cookie = directive.arg(0)?;
    if directive.args.len() == 1 {
        return match cookie.text.as_str() {
            "off" => Ok(None),
            _ => Err(directive.error("\"proxy_cookie_flags\" names no flag")),
        };
    }
    let mut flags = CookieFlags {
        cookie: rule(cookie, builder)?,
        secure: None,
        http_only: None,
        same_site: None,
    };
    for word in directive.args.iter().skip(1) {
        match word.text.as_str() {
            "secure" => flags.secure = Some(true),
            "nosecure" => flags.secure = Some(false),
            "httponly" => flags.http_only = Some(true),
            "nohttponly" => flags.http_only = Some(false),
            "samesite=strict" => flags.same_site = Some("Strict".into()),
            "samesite=lax" => flags.same_site = Some("Lax".into()),
            "samesite=none" => flags.same_site = Some("None".into()),
            "nosamesite" => flags.same_site = Some("".into()),
            _ => return Err(unknown_parameter(directive, word, &KNOWN)),
        }
    }
    Ok(Some(flags))
}

/// A text with variables, or `~regex`, `~*regex`.
fn rule(word: &Word, builder: &Builder<'_>) -> Result<TemplateRule, ConfError> {
    if let Some(source) = word.text.strip_prefix("~*") {
        return Ok(TemplateRule::Regex(names::pattern(source, true, word)?));
    }
    if let Some(source) = word.text.strip_prefix('~') {
        return Ok(TemplateRule::Regex(names::pattern(source, false, word)?));
    }
    Ok(TemplateRule::Text(builder.names.template(word)?))
}
