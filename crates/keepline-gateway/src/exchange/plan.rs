//! What can be known of a scope before a request comes: how requests are passed on from it.

use std::sync::Arc;

use keepline::net::Hickory;
use keepline::server::Terms;

use super::aim::Targets;
use super::terms::terms;
use crate::gateway::Logs;
use crate::log::LineFile;

use crate::config::{AccessLog, LogFormat, Piece, Resolver, Scope, Template, Variable};
use crate::upstream::Group;

/// How requests are passed on from one scope.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The fields that are set, in order; Host first if the configuration does not set it.
    pub(crate) sets: Vec<SetField>,
    /// The names that clients' fields may not have: those that are set, in lower case.
    overridden: Vec<Box<[u8]>>,
    /// What connections depend on.
    pub(crate) targets: Targets,
    /// What the client's connection is served by.
    pub(crate) terms: Terms,
    pub(crate) access_logs: Vec<OpenLog>,
    /// Who is asked for names that variables name.
    pub(crate) resolver: Option<Hickory>,
    /// A log asks what fields the client was sent, or the upstream has sent.
    pub(crate) records_fields: bool,
}

/// An access log that is open.
#[derive(Debug)]
pub(crate) struct OpenLog {
    pub(crate) file: Arc<LineFile>,
    pub(crate) format: Arc<LogFormat>,
    pub(crate) condition: Option<Template>,
}

/// A field of `proxy_set_header`, or one that nginx sets itself.
#[derive(Debug)]
pub(crate) struct SetField {
    pub(crate) name: Box<[u8]>,
    pub(crate) value: Template,
}

/// Fields of clients that are never passed on by themselves. (Connection, TE, Keep-Alive, Upgrade and
/// the framing fields are left out by RFC 9110 §7.6.1.)
const NEVER_PASSED: [&[u8]; 2] = [b"host", b"expect"];

impl Plan {
    pub(crate) fn new(
        scope: &Scope,
        groups: &[Arc<Group>],
        logs: &Logs,
        resolvers: &[(Resolver, Hickory)],
    ) -> Result<Self, keepline::Error> {
        let wanted = scope.settings.resolver.as_ref();
        let resolver = resolvers.iter().find(|known| Some(&known.0) == wanted);
        let settings = &scope.proxy;
        let mut sets: Vec<SetField> = settings
            .set_headers
            .iter()
            // Host set to nothing is $proxy_host to HTTP/1.1, and missing to HTTP/1.0.
            .filter(|(name, value)| !value.is_empty() || name.eq_ignore_ascii_case("host"))
            .map(|(name, value)| SetField {
                name: name.as_bytes().into(),
                value: value.clone(),
            })
            .collect();
        if !sets
            .iter()
            .any(|set| set.name.eq_ignore_ascii_case(b"host"))
        {
            let value = Template::from_pieces([Piece::Variable(Variable::ProxyHost)]);
            let name = b"Host".as_slice().into();
            sets.insert(0, SetField { name, value });
        }
        let set_names = settings.set_headers.iter();
        let mut overridden: Vec<Box<[u8]>> = set_names
            .map(|(name, _)| name.to_ascii_lowercase().into_bytes().into())
            .collect();
        overridden.extend(NEVER_PASSED.map(Box::from));
        Ok(Self {
            sets,
            overridden,
            targets: Targets::new(scope, groups)?,
            terms: terms(&scope.client),
            access_logs: access_logs(&scope.settings.access_logs, logs),
            resolver: resolver.map(|(_, asker)| asker.clone()),
            records_fields: scope.settings.access_logs.iter().any(asks_for_fields),
        })
    }

    /// A client's field of this name is not passed on.
    pub(crate) fn is_overridden(&self, name: &[u8]) -> bool {
        self.overridden
            .iter()
            .any(|overridden| overridden.eq_ignore_ascii_case(name))
    }
}

fn access_logs(logs: &[AccessLog], open: &Logs) -> Vec<OpenLog> {
    let open = logs.iter().filter_map(|log| {
        Some(OpenLog {
            file: open.file(log.file)?,
            format: Arc::clone(&log.format),
            condition: log.condition.clone(),
        })
    });
    open.collect()
}

/// A log has `$sent_http_NAME` or `$upstream_http_NAME` in it.
fn asks_for_fields(log: &AccessLog) -> bool {
    let templates = [Some(&log.format.line), log.condition.as_ref()];
    let mut pieces = templates.into_iter().flatten().flat_map(Template::pieces);
    // A map may hide it.
    pieces.any(|piece| {
        matches!(
            piece,
            Piece::Variable(
                Variable::SentHttp(_)
                    | Variable::SentTrailer(_)
                    | Variable::UpstreamHttp(_)
                    | Variable::UpstreamCookie(_)
                    | Variable::Map(_)
            )
        )
    })
}
