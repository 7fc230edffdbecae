//! `proxy_pass`: the URL that requests are passed to.

use super::Builder;
use super::level::{Level, Passed};
use super::upstream;
use crate::conf::directive::Context;
use crate::conf::error::ConfError;
use crate::conf::lexer::Word;
use crate::conf::tree::Directive;
use crate::config::{Content, ProxyPass, ProxyTarget, Scheme};

/// Reads the directive. In the location of a regular expression and the like there is nothing that a path could
/// stand for.
pub(super) fn apply(
    level: &mut Level,
    directive: &Directive,
    builder: &mut Builder<'_>,
    has_prefix: bool,
) -> Result<(), ConfError> {
    let word = directive.arg(0)?;
    let (passed, target) = if word.text.contains('$') {
        let passed = Passed {
            url: None,
            has_uri: false,
        };
        (passed, ProxyTarget::Variable(builder.names.template(word)?))
    } else {
        let url = Url::parse(word)?;
        if url.uri.is_some() && !(has_prefix && level.context == Context::Location) {
            let what = "\"proxy_pass\" cannot have URI part in location given by regular expression, or \
                inside named location, or inside \"if\" statement, or inside \"limit_except\" block";
            return Err(ConfError::new(&word.place, what));
        }
        let passed = Passed {
            url: Some(word.text.clone()),
            has_uri: url.uri.is_some(),
        };
        (passed, url.target(word, builder)?)
    };
    level.proxy_passed = Some(passed);
    level.scope.content = Content::Proxy(ProxyPass { target });
    Ok(())
}

/// The parts of a URL without variables.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    scheme: Scheme,
    /// `host`, `host:port` or `unix:path`.
    server: &'a str,
    /// With a slash at its begin.
    uri: Option<String>,
}

impl<'a> Url<'a> {
    fn parse(word: &'a Word) -> Result<Self, ConfError> {
        let text = word.text.as_str();
        let scheme = |prefix: &str| {
            let begin = text.get(..prefix.len())?;
            begin
                .eq_ignore_ascii_case(prefix)
                .then(|| &text[prefix.len()..])
        };
        let (scheme, rest) = match (scheme("http://"), scheme("https://")) {
            (Some(rest), _) => (Scheme::Http, rest),
            (None, Some(rest)) => (Scheme::Https, rest),
            (None, None) => {
                let note = "expected http:// or https://";
                return Err(ConfError::new(&word.place, "invalid URL prefix").note(note));
            }
        };
        let (server, uri) = match rest.strip_prefix("unix:") {
            Some(path) => match path.split_once(':') {
                Some((path, uri)) => (&rest[..path.len() + 5], uri),
                None => (rest, ""),
            },
            None => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        };
        let uri = match uri.as_bytes() {
            [] => None,
            [b'/', ..] => Some(uri.to_owned()),
            _ => Some(format!("/{uri}")),
        };
        Ok(Self {
            scheme,
            server,
            uri,
        })
    }

    fn target(self, word: &Word, builder: &mut Builder<'_>) -> Result<ProxyTarget, ConfError> {
        let default_port = match self.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        let (host, port) = match self.server.starts_with("unix:") {
            true => ("localhost", None),
            false => upstream::host_and_port(self.server, word)?,
        };
        let block = builder.names.upstreams.get(host).copied();
        let upstream = match block.filter(|_| !self.server.starts_with("unix:")) {
            Some(id) => {
                if let Some(port) = port {
                    let what = format!("upstream \"{host}\" may not have port {port}");
                    let note = "the servers in the block have ports";
                    return Err(ConfError::new(&word.place, what).note(note));
                }
                id
            }
            None => {
                let addresses = upstream::addresses(
                    self.server,
                    default_port,
                    word,
                    "upstream",
                    builder.outside,
                )?;
                upstream::implicit(self.server, addresses, builder)
            }
        };
        Ok(ProxyTarget::Fixed {
            scheme: self.scheme,
            upstream,
            host: match port {
                Some(port) if port != default_port => self.server.into(),
                _ => host.into(),
            },
            port: port.unwrap_or(default_port),
            uri: self.uri.map(String::into_boxed_str),
        })
    }
}
