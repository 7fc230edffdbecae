//! Files, pages and redirects: `root`, `index`, `types`, `error_page`, `try_files`, and the rest that concerns
//! neither connections nor upstreams.

use std::collections::HashMap;
use std::sync::Arc;

use super::Builder;
use super::level::Level;
use super::resolver;
use crate::conf::check::flag;
use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::tree::Directive;
use crate::conf::units;
use crate::conf::value::invalid;
use crate::config::{
    Content, ErrorPage, ErrorResponse, ErrorTarget, Piece, Template, TryCandidate, TryFiles,
    TryLast, Types, Variable,
};

/// Takes the directive if it is one of these.
pub(super) fn apply(
    level: &mut Level,
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<bool, ConfError> {
    Ok(files(level, directive, builder)?
        || switches(level, directive)?
        || pages(level, directive, builder)?)
}

fn files(
    level: &mut Level,
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<bool, ConfError> {
    match directive.name.text.as_str() {
        "root" | "alias" => root(level, directive, builder)?,
        "index" => {
            if level.is_first("index") {
                level.scope.settings.index.clear();
            }
            for word in &directive.args {
                if word.text.is_empty() {
                    return Err(invalid(directive, word, "the name of a file"));
                }
                let index = builder.names.template(word)?;
                level.scope.settings.index.push(index);
            }
        }
        "types" => {
            if level.is_first("types") {
                level.scope.settings.types = Arc::new(Types(HashMap::new()));
            }
            types(Arc::make_mut(&mut level.scope.settings.types), directive)?;
        }
        "default_type" => level.scope.settings.default_type = directive.text(0)?.into(),
        "stub_status" => level.scope.content = Content::StubStatus,
        "try_files" => level.scope.settings.try_files = Some(try_files(directive, builder)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Relative to the prefix, unless it begins with a variable.
fn root(level: &mut Level, directive: &Directive, builder: &Builder<'_>) -> Result<(), ConfError> {
    let word = directive.arg(0)?;
    if !level.is_first("root or alias") {
        let what = "\"root\" and \"alias\" exclude each other, and there is one of them already";
        return Err(directive.error(what));
    }
    let text = match word.text.starts_with('$') {
        true => word.text.clone(),
        false => builder.paths.below_prefix(&word.text).display().to_string(),
    };
    let settings = &mut level.scope.settings;
    if directive.name.text == "alias" {
        settings.alias = Some(builder.names.template_of(&text, word)?);
        return Ok(());
    }
    // nginx drops the slash, and so `$document_root` has none.
    let text = text.trim_end_matches('/');
    settings.root = builder.names.template_of(text, word)?;
    settings.alias = None;
    Ok(())
}

fn types(types: &mut Types, directive: &Directive) -> Result<(), ConfError> {
    let rows = directive.block.iter().flat_map(|block| &block.directives);
    for row in rows {
        if row.block.is_some() {
            return Err(row.error("a type and its extensions stand here, not a block"));
        }
        for extension in &row.args {
            let extension = extension.text.to_ascii_lowercase();
            types
                .0
                .insert(extension.into(), row.name.text.as_str().into());
        }
    }
    Ok(())
}

fn try_files(directive: &Directive, builder: &Builder<'_>) -> Result<TryFiles, ConfError> {
    let Some((last, candidates)) = directive.args.split_last() else {
        return Err(directive.error("invalid number of arguments in \"try_files\" directive"));
    };
    let candidate = |word: &Word| {
        let path = word.text.strip_suffix('/');
        let template = builder
            .names
            .template_of(path.unwrap_or(&word.text), word)?;
        Ok(TryCandidate {
            path: template,
            is_directory: path.is_some(),
        })
    };
    let last = if let Some(code) = last.text.strip_prefix('=') {
        let status = units::number(code).filter(|status| (1..=999).contains(status));
        TryLast::Status(status.ok_or_else(|| invalid(directive, last, "=CODE"))?)
    } else if last.text.starts_with('@') {
        TryLast::Named(last.text.as_str().into())
    } else {
        TryLast::Uri(builder.names.template(last)?)
    };
    Ok(TryFiles {
        candidates: candidates.iter().map(candidate).collect::<Result<_, _>>()?,
        last,
    })
}

fn switches(level: &mut Level, directive: &Directive) -> Result<bool, ConfError> {
    let settings = &mut level.scope.settings;
    let switch = match directive.name.text.as_str() {
        "etag" => &mut settings.etag,
        "autoindex" => &mut settings.autoindex,
        "recursive_error_pages" => &mut settings.recursive_error_pages,
        "log_not_found" => &mut settings.log_not_found,
        "absolute_redirect" => &mut settings.absolute_redirect,
        "port_in_redirect" => &mut settings.port_in_redirect,
        "server_name_in_redirect" => &mut settings.server_name_in_redirect,
        "limit_req_dry_run" => &mut settings.limit_req_dry_run,
        "server_tokens" => {
            let known = [("on", true), ("off", false)];
            settings.server_tokens = directive.one_of(0, &known)?;
            return Ok(true);
        }
        _ => return Ok(false),
    };
    *switch = flag(directive)?;
    Ok(true)
}

fn pages(
    level: &mut Level,
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<bool, ConfError> {
    match directive.name.text.as_str() {
        "error_page" => {
            if level.is_first("error_page") {
                level.scope.settings.error_pages.clear();
            }
            let pages = error_pages(directive, builder)?;
            level.scope.settings.error_pages.extend(pages);
        }
        "limit_rate" => level.scope.settings.limit_rate = rate(directive, builder)?,
        "limit_rate_after" => level.scope.settings.limit_rate_after = rate(directive, builder)?,
        "resolver" => {
            level.scope.settings.resolver = Some(resolver::resolver(directive, builder)?);
        }
        "resolver_timeout" => level.scope.settings.resolver_timeout = directive.time(0)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// A size that may be a variable.
pub(super) fn rate(directive: &Directive, builder: &Builder<'_>) -> Result<Template, ConfError> {
    let word = directive.arg(0)?;
    let template = builder.names.template(word)?;
    match template.as_literal() {
        Some(_) => Ok(Template::literal(directive.size(0)?.to_string())),
        None => Ok(template),
    }
}

fn error_pages(directive: &Directive, builder: &Builder<'_>) -> Result<Vec<ErrorPage>, ConfError> {
    let Some((uri, before)) = directive.args.split_last() else {
        return Err(directive.error("invalid number of arguments in \"error_page\" directive"));
    };
    let (response, codes) = match before.split_last() {
        Some((last, codes)) if last.text.starts_with('=') => {
            (Some(response(directive, last)?), codes)
        }
        _ => (None, before),
    };
    if codes.is_empty() {
        return Err(directive.error("\"error_page\" names no status"));
    }
    let target = error_target(uri, builder)?;
    let (mut plain, mut nginx_own) = (Vec::new(), Vec::new());
    for (index, word) in codes.iter().enumerate() {
        // 499 is that of a client that has gone: nobody reads its page.
        if word.text == "499" {
            return Err(invalid(directive, word, "a status that is answered"));
        }
        let code = directive.status(index, 300..=599)?;
        // Statuses of nginx's own are told to clients as 400 unless something else is said.
        let is_own = (494..=497).contains(&code) && response.is_none();
        let list = if is_own { &mut nginx_own } else { &mut plain };
        list.push(code);
    }
    let page = |codes: Vec<u16>, response| ErrorPage {
        codes,
        response,
        target: target.clone(),
    };
    let pages = [
        page(plain, response.unwrap_or(ErrorResponse::Keep)),
        page(nginx_own, ErrorResponse::Status(400)),
    ];
    Ok(pages
        .into_iter()
        .filter(|page| !page.codes.is_empty())
        .collect())
}

/// `=` or `=CODE`.
fn response(directive: &Directive, word: &Word) -> Result<ErrorResponse, ConfError> {
    match word.text.strip_prefix('=') {
        Some("") => Ok(ErrorResponse::FromTarget),
        code => code
            .and_then(units::number)
            .map(ErrorResponse::Status)
            .ok_or_else(|| invalid(directive, word, "=CODE or =")),
    }
}

fn error_target(word: &Word, builder: &Builder<'_>) -> Result<ErrorTarget, ConfError> {
    if word.text.starts_with('@') {
        return Ok(ErrorTarget::Named(word.text.as_str().into()));
    }
    let template = builder.names.template(word)?;
    let is_path = match template.pieces().first() {
        Some(Piece::Literal(text)) => text.starts_with('/'),
        Some(Piece::Variable(variable)) => *variable != Variable::Scheme,
        None => return Err(ConfError::new(&word.place, "\"error_page\" has no page")),
    };
    Ok(match is_path {
        true => ErrorTarget::Uri(template),
        false => ErrorTarget::Redirect(template),
    })
}
