//! `ssl_*` and `proxy_ssl_*`: certificates, names and versions.

use std::path::PathBuf;

use super::Builder;
use super::level::Level;
use crate::conf::check::flag;
use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::tree::Directive;
use crate::conf::value::{invalid, unsupported};
use crate::config::{Certificate, ServerTls, TlsVersion};

/// Takes the directive if it is one of these.
pub(super) fn apply(
    level: &mut Level,
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<bool, ConfError> {
    Ok(
        towards_clients(level, directive, builder)?
            || towards_upstreams(level, directive, builder)?,
    )
}

fn towards_clients(
    level: &mut Level,
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<bool, ConfError> {
    match directive.name.text.as_str() {
        "ssl_certificate" => {
            if level.is_first("ssl_certificate") {
                level.certificates.clear();
            }
            level.certificates.push(file(directive)?.clone());
        }
        "ssl_certificate_key" => {
            if level.is_first("ssl_certificate_key") {
                level.certificate_keys.clear();
            }
            level.certificate_keys.push(file(directive)?.clone());
        }
        "ssl_protocols" => {
            level.server.tls.get_or_insert_default().versions = versions(directive, builder)?;
        }
        "ssl_session_timeout" => {
            let time = directive.time(0)?;
            level.server.tls.get_or_insert_default().session_timeout = time;
        }
        "ssl_session_tickets" => {
            level.server.tls.get_or_insert_default().session_tickets = flag(directive)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn towards_upstreams(
    level: &mut Level,
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<bool, ConfError> {
    let path = |directive: &Directive| -> Result<PathBuf, ConfError> {
        Ok(builder.paths.beside_configuration(&file(directive)?.text))
    };
    let tls = &mut level.scope.proxy.tls;
    match directive.name.text.as_str() {
        "proxy_ssl_verify" => tls.verify = flag(directive)?,
        "proxy_ssl_server_name" => tls.server_name = flag(directive)?,
        "proxy_ssl_session_reuse" => tls.session_reuse = flag(directive)?,
        "proxy_ssl_name" => tls.name = Some(builder.names.template(directive.arg(0)?)?),
        "proxy_ssl_trusted_certificate" => tls.trusted = Some(path(directive)?),
        "proxy_ssl_protocols" => tls.versions = versions(directive, builder)?,
        "proxy_ssl_certificate" => level.proxy_certificate = Some(path(directive)?),
        "proxy_ssl_certificate_key" => level.proxy_certificate_key = Some(path(directive)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The name of a file of certificates or keys.
fn file(directive: &Directive) -> Result<&Word, ConfError> {
    let word = directive.arg(0)?;
    if word.text.contains('$') {
        return Err(unsupported(directive, word, "name one file"));
    }
    if word.text.starts_with("data:") || word.text.starts_with("engine:") {
        return Err(unsupported(directive, word, "name a file"));
    }
    if word.text.is_empty() {
        return Err(invalid(directive, word, "the name of a file"));
    }
    Ok(word)
}

fn versions(
    directive: &Directive,
    builder: &mut Builder<'_>,
) -> Result<Vec<TlsVersion>, ConfError> {
    let mut versions = Vec::new();
    for word in &directive.args {
        match word.text.as_str() {
            "TLSv1.2" => versions.push(TlsVersion::V12),
            "TLSv1.3" => versions.push(TlsVersion::V13),
            "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => {
                let what = format!("{} {}", directive.name.text, word.text);
                builder.ignore(what, &word.place, "this version is broken and not spoken");
            }
            _ => return Err(invalid(directive, word, "TLSv1.2 or TLSv1.3")),
        }
    }
    if versions.is_empty() {
        let note = "TLSv1.1 and older are broken and not spoken";
        return Err(directive.error("no version of TLS remains").note(note));
    }
    versions.sort_unstable();
    versions.dedup();
    Ok(versions)
}

/// What a server shows to its clients. The certificates are looked at, so that what is wrong with them
/// is told with the line that names them.
pub(super) fn server_tls(
    level: &Level,
    builder: &Builder<'_>,
) -> Result<Option<ServerTls>, ConfError> {
    if level.certificates.is_empty() {
        return Ok(None);
    }
    let mut tls = level.server.tls.clone().unwrap_or_default();
    for (index, chain) in level.certificates.iter().enumerate() {
        let Some(key) = level.certificate_keys.get(index) else {
            let what = format!(
                "no \"ssl_certificate_key\" is defined for certificate \"{}\"",
                chain.text
            );
            return Err(ConfError::new(&chain.place, what));
        };
        tls.certificates.push(certificate(chain, key, builder)?);
    }
    Ok(Some(tls))
}

fn certificate(chain: &Word, key: &Word, builder: &Builder<'_>) -> Result<Certificate, ConfError> {
    let read = |word: &Word| {
        let path = builder.paths.beside_configuration(&word.text);
        let content = builder.outside.read(&path).map_err(|error| {
            let what = format!(
                "cannot load certificate or key \"{}\": {error}",
                path.display()
            );
            ConfError::new(&word.place, what)
        })?;
        Ok((path, content))
    };
    let (chain_path, chain_pem) = read(chain)?;
    let (key_path, key_pem) = read(key)?;
    if let Err(error) = keepline::tls::ServerTls::from_pem(&chain_pem, &key_pem) {
        use std::error::Error;
        let cause = error
            .source()
            .map_or_else(|| error.to_string(), ToString::to_string);
        let what = format!(
            "cannot load certificate \"{}\" with key \"{}\": {cause}",
            chain_path.display(),
            key_path.display()
        );
        return Err(ConfError::new(&chain.place, what));
    }
    Ok(Certificate {
        chain: chain_path,
        key: key_path,
    })
}
