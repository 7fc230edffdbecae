//! The settings of a block while it is read: those of the block around it, changed by its own directives.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::conf::directive::Context;
use crate::conf::lexer::Word;
use crate::config::{Content, Redirect, Scope, ScopeId, Server};

/// A block while it is read.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) context: Context,
    /// What holds in it so far.
    pub(crate) scope: Scope,
    /// What it says of virtual servers: of `http` as the default of each.
    pub(crate) server: Server,
    /// `ssl_certificate` and `ssl_certificate_key`, which are inherited separately.
    pub(crate) certificates: Vec<Word>,
    pub(crate) certificate_keys: Vec<Word>,
    /// `proxy_ssl_certificate` and its key, likewise.
    pub(crate) proxy_certificate: Option<PathBuf>,
    pub(crate) proxy_certificate_key: Option<PathBuf>,
    /// `proxy_redirect`; `None` is the default, which the location's `proxy_pass` decides.
    pub(crate) redirects: Option<Vec<Redirect>>,
    /// `proxy_busy_buffers_size` and `proxy_temp_file_write_size`, if they are not to follow from others.
    pub(crate) busy_buffers: Option<usize>,
    pub(crate) temp_file_write: Option<usize>,
    /// `proxy_redirect default` of this level, and the names of its locations.
    pub(crate) proxy_passed: Option<Passed>,
    /// Directives that this block has had.
    begun: BTreeSet<&'static str>,
}

/// What the `proxy_pass` of a location is, as far as `proxy_redirect default` needs it.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    /// The URL as it was written; `None` with variables in it.
    pub(crate) url: Option<String>,
    /// It has a path.
    pub(crate) has_uri: bool,
}

impl Level {
    /// The outermost one.
    pub(crate) fn new(context: Context, scope: Scope) -> Self {
        Self {
            context,
            scope,
            server: Server::new(Vec::new()),
            certificates: Vec::new(),
            certificate_keys: Vec::new(),
            proxy_certificate: None,
            proxy_certificate_key: None,
            redirects: None,
            busy_buffers: None,
            temp_file_write: None,
            proxy_passed: None,
            begun: BTreeSet::new(),
        }
    }

    /// A block within this one.
    pub(crate) fn inner(&self, context: Context, id: ScopeId) -> Self {
        let mut scope = self.scope.clone();
        scope.id = id;
        // These belong to the block that they stand in.
        scope.settings.try_files = None;
        // An `if` and a `limit_except` are parts of their location: who answers stays the same.
        if !matches!(context, Context::IfInLocation | Context::LimitExcept) {
            scope.content = Content::Static;
        }
        Self {
            context,
            scope,
            server: self.server.clone(),
            certificates: self.certificates.clone(),
            certificate_keys: self.certificate_keys.clone(),
            proxy_certificate: self.proxy_certificate.clone(),
            proxy_certificate_key: self.proxy_certificate_key.clone(),
            redirects: self.redirects.clone(),
            busy_buffers: self.busy_buffers,
            temp_file_write: self.temp_file_write,
            proxy_passed: None,
            begun: BTreeSet::new(),
        }
    }

    /// Whether a directive, or one of those that share its list, is the first in this block: then it
    /// replaces what was inherited.
    pub(crate) fn is_first(&mut self, name: &'static str) -> bool {
        self.begun.insert(name)
    }
}
