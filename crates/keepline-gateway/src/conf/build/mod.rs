//! From the tree to the typed configuration, with nginx's inheritance and defaults.
//!
//! A block's own directives are applied to a copy of what holds around it; then the blocks inside it
//! are read, each beginning with the result. Lists (`add_header`, `proxy_set_header`, `access_log` …)
//! are inherited only by blocks that have none of their own. The order of directives in a block does not
//! matter but where nginx has it matter.

mod access;
mod client;
mod fields;
mod level;
mod listen;
mod location;
mod log;
mod main_level;
mod map;
mod names;
mod proxy;
mod proxy_pass;
mod proxy_rewrite;
mod resolver;
mod rewrite;
mod server;
mod server_name;
mod settings;
mod tls;
mod upstream;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::level::Level;
use self::names::Names;
use super::check::Ignored;
use super::directive::{Context, Support};
use super::error::{ConfError, ConfErrors};
use super::outside::Outside;
use super::paths::Paths;
use super::source::Place;
use super::table;
use super::tree::{Block, Directive, Tree};
use crate::config::{
    AccessLog, Address, Config, ErrorLog, Escape, Http, ListenAddress, LogFile, LogFileId,
    LogFormat, Resolver, Scope, ScopeId, UpstreamId,
};

/// What is carried along while a configuration is read.
struct Builder<'a> {
    paths: &'a Paths,
    outside: &'a dyn Outside,
    names: Names,
    /// What has been read of `http`.
    http: Http,
    /// `resolver` and `resolver_timeout` of `http`, which upstreams have too.
    http_resolver: (Option<Resolver>, Option<Duration>),
    /// Directories for temporary files.
    temp_paths: BTreeSet<PathBuf>,
    /// The numbers of the files in `http.log_files`.
    log_files: HashMap<PathBuf, LogFileId>,
    /// Upstreams without a block, by their name and addresses.
    implicit: HashMap<(String, Vec<Address>), UpstreamId>,
    /// Which servers of an address have a name, to tell who never gets a request by it.
    named: HashSet<(ListenAddress, String)>,
    /// Addresses that have their default server.
    defaults: BTreeSet<ListenAddress>,
    scopes: u64,
    ignored: Vec<Ignored>,
    errors: Vec<ConfError>,
}

/// What a tree comes to.
pub(super) struct Built {
    pub(super) config: Config,
    pub(super) temp_paths: BTreeSet<PathBuf>,
    /// Parameters that have no effect.
    pub(super) ignored: Vec<Ignored>,
}

/// Reads a tree that `check` has nothing against.
pub(super) fn build(
    tree: &Tree,
    paths: &Paths,
    outside: &dyn Outside,
) -> Result<Built, ConfErrors> {
    let mut builder = Builder {
        paths,
        outside,
        names: Names::default(),
        http: Http::default(),
        http_resolver: (None, None),
        temp_paths: BTreeSet::new(),
        log_files: HashMap::new(),
        implicit: HashMap::new(),
        named: HashSet::new(),
        defaults: BTreeSet::new(),
        scopes: 0,
        ignored: Vec::new(),
        errors: Vec::new(),
    };
    let config = main_level::config(&tree.root, &mut builder);
    if let Err(error) = &config {
        builder.errors.push(error.clone());
    }
    ConfErrors::check(builder.errors)?;
    Ok(Built {
        config: config?,
        temp_paths: builder.temp_paths,
        ignored: builder.ignored,
    })
}

impl Builder<'_> {
    /// Reads an `http` block.
    fn http(&mut self, block: &Block, error_logs: &[ErrorLog]) -> Result<(), ConfError> {
        self.names = Names::collect(block)?;
        self.http.slots = self.names.slots().to_vec();
        self.define_combined()?;
        let find = |name: &str| block.directives.iter().find(|d| d.name.text == name);
        // What is wrong with them is told where they are read for the servers.
        self.http_resolver = (
            find("resolver").and_then(|found| resolver::resolver(found, self).ok()),
            find("resolver_timeout").and_then(|found| found.time(0).ok()),
        );
        for directive in &block.directives {
            if let Err(error) = self.definition(directive) {
                self.fail(error);
            }
        }
        let mut level = Level::new(Context::Http, self.default_scope(block, error_logs)?);
        self.settings(&mut level, block, None)?;
        // The defaults too, unless something else is said for all of `http`.
        self.temp_paths
            .insert(level.scope.client.body_temp_path.clone());
        self.temp_paths.insert(level.scope.proxy.temp_path.clone());
        for directive in block.directives.iter().filter(|d| d.name.text == "server") {
            match server::server(directive, &level, self) {
                Ok(server) => self.http.servers.push(Arc::new(server)),
                Err(error) => self.fail(error),
            }
        }
        Ok(())
    }

    /// What is defined in `http` for all of it.
    fn definition(&mut self, directive: &Directive) -> Result<(), ConfError> {
        match directive.name.text.as_str() {
            "map" => {
                let map = map::map(directive, self)?;
                self.http.maps.push(map);
            }
            "upstream" => {
                let upstream = upstream::upstream(directive, self)?;
                self.http.upstreams.push(Arc::new(upstream));
            }
            "limit_req_zone" => {
                let zone = access::limit_req_zone(directive, self)?;
                let id = crate::config::ZoneId(self.http.limit_req_zones.len());
                if self.names.zones.insert(zone.name.to_string(), id).is_some() {
                    let what = format!("limit_req_zone \"{}\" is already defined", zone.name);
                    return Err(directive.error(what));
                }
                self.http.limit_req_zones.push(zone);
            }
            "log_format" => {
                let format = log::log_format(directive, self)?;
                let name = format.name.to_string();
                if self.names.formats.contains_key(&name) {
                    let what = format!("duplicate \"log_format\" name \"{name}\"");
                    return Err(directive.error(what));
                }
                self.names.formats.insert(name, Arc::new(format));
            }
            _ => {}
        }
        Ok(())
    }

    fn define_combined(&mut self) -> Result<(), ConfError> {
        let line = crate::config::Template::parse(log::COMBINED, |name| self.names.variable(name))
            .map_err(|error| ConfError::nowhere(error.to_string()))?;
        let format = LogFormat {
            name: "combined".into(),
            escape: Escape::Default,
            line,
        };
        self.names
            .formats
            .insert("combined".to_owned(), Arc::new(format));
        Ok(())
    }

    /// What holds in `http` when nothing is said.
    fn default_scope(&mut self, http: &Block, error_logs: &[ErrorLog]) -> Result<Scope, ConfError> {
        let mut scope = Scope {
            id: self.scope_id(),
            ..Scope::default()
        };
        let root = self.paths.below_prefix("html").display().to_string();
        scope.settings.root = crate::config::Template::literal(root);
        scope.settings.error_logs = error_logs.to_vec();
        scope.client.body_temp_path = self.paths.body_temp.clone();
        scope.proxy.temp_path = self.paths.proxy_temp.clone();
        // What is not written to must not be opened.
        let has_log = http.directives.iter().any(|d| d.name.text == "access_log");
        if !has_log {
            scope.settings.access_logs.push(self.default_access_log()?);
        }
        Ok(scope)
    }

    fn default_access_log(&mut self) -> Result<AccessLog, ConfError> {
        let format = self.names.formats.get("combined").map(Arc::clone);
        let format = format.ok_or_else(|| ConfError::nowhere("no format for the access log"))?;
        let file = LogFileId(self.http.log_files.len());
        let path = self.paths.access_log().to_path_buf();
        self.log_files.insert(path.clone(), file);
        self.http.log_files.push(LogFile {
            path,
            buffer: 0,
            flush: None,
        });
        Ok(AccessLog {
            file,
            format,
            condition: None,
        })
    }

    /// Applies the directives of a block, but for those that hold blocks, define names or belong to the rewrite
    /// phase. `path` is that of the location, if it has one.
    fn settings(
        &mut self,
        level: &mut Level,
        block: &Block,
        path: Option<&str>,
    ) -> Result<(), ConfError> {
        let mut once = BTreeSet::new();
        for directive in &block.directives {
            let name = directive.name.text.as_str();
            if directive.block.is_some() && name != "types" || is_read_elsewhere(directive) {
                continue;
            }
            if !REPEATABLE.contains(&name) && !once.insert(name) {
                self.fail(directive.duplicate());
                continue;
            }
            if is_without_effect(name, level.context) {
                continue;
            }
            if let Err(error) = self.setting(level, directive, path) {
                self.fail(error);
            }
        }
        proxy::resolve(level, block, path)
    }

    fn setting(
        &mut self,
        level: &mut Level,
        directive: &Directive,
        path: Option<&str>,
    ) -> Result<(), ConfError> {
        if directive.name.text == "proxy_pass" {
            return proxy_pass::apply(level, directive, self, path.is_some());
        }
        let is_taken = client::apply(level, directive, self)?
            || settings::apply(level, directive, self)?
            || fields::apply(level, directive, self)?
            || access::apply(level, directive, self)?
            || log::apply(level, directive, self)?
            || proxy::apply(level, directive, self)?
            || proxy_rewrite::apply(level, directive, self, path)?
            || tls::apply(level, directive, self)?;
        match is_taken {
            true => Ok(()),
            false => Err(not_taken(directive)),
        }
    }

    /// Something that is accepted and changes nothing.
    fn ignore(&mut self, name: impl Into<String>, place: &Place, reason: &'static str) {
        self.ignored.push(Ignored {
            name: name.into(),
            place: place.clone(),
            reason,
        });
    }

    fn scope_id(&mut self) -> ScopeId {
        self.scopes += 1;
        ScopeId(self.scopes)
    }

    fn fail(&mut self, error: ConfError) {
        // Everything is looked at once, and nobody reads a thousand errors.
        if self.errors.len() < ConfErrors::MOST {
            self.errors.push(error);
        }
    }

    /// The first argument as a path for temporary files. Levels of directories make no difference
    /// that anybody sees: files are gone before they are many.
    fn temp_path(&mut self, directive: &Directive) -> Result<PathBuf, ConfError> {
        for index in 1..directive.args.len() {
            let _: u8 = directive.number(index)?;
        }
        let path = self.paths.below_prefix(directive.text(0)?);
        self.temp_paths.insert(path.clone());
        Ok(path)
    }
}

/// The table says that it is supported here, and nothing above took it: a mistake of ours, which a
/// test looks for.
fn not_taken(directive: &Directive) -> ConfError {
    let name = &directive.name.text;
    directive.error(format!("\"{name}\" is not supported here yet"))
}

/// Directives that are read where names, servers, locations and the rewrite phase are.
fn is_read_elsewhere(directive: &Directive) -> bool {
    rewrite::is_of_phase(directive)
        || matches!(
            directive.name.text.as_str(),
            "limit_req_zone" | "log_format" | "listen" | "server_name" | "internal"
        )
}

fn is_without_effect(name: &str, context: Context) -> bool {
    table::rows(name)
        .any(|known| known.contexts.has(context) && matches!(known.support, Support::NoEffect(_)))
}

/// Directives that may stand in a block more than once.
const REPEATABLE: [&str; 26] = [
    "access_log",
    "add_header",
    "add_trailer",
    "allow",
    "deny",
    "env",
    "debug_connection",
    "error_log",
    "error_page",
    "gzip_types",
    "index",
    "limit_req",
    "load_module",
    "proxy_cookie_domain",
    "proxy_cookie_flags",
    "proxy_cookie_path",
    "proxy_hide_header",
    "proxy_ignore_headers",
    "proxy_pass_header",
    "proxy_redirect",
    "proxy_set_header",
    "set_real_ip_from",
    "ssl_certificate",
    "ssl_certificate_key",
    "thread_pool",
    "types",
];
