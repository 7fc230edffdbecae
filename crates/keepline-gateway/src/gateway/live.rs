//! A configuration in force: what was read, made for looking up.
//!
//! Invariant: it never changes. A reload makes another one, which takes over what outlives a
//! configuration (the pools of unchanged upstreams, open logs, counters of limits). Requests end
//! under the one that they began under.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use keepline::net::Hickory;
use rustls::ServerConfig;

use super::endpoint::Endpoint;
use super::logs::Logs;
use super::process::{Clients, Process};
use super::start::StartError;
use crate::config::{
    Address, Config, ErrorLog, Http, ListenAddress, Location, Map, MapId, Op, Program, Resolver,
    Scope, ScopeId, UpstreamId, ZoneId,
};
use crate::error_log::ErrorLogs;
use crate::exchange::Plan;
use crate::limit::Zone;
use crate::route::{Locations, MapRows};
use crate::upstream::{Follower, Group, Presence, names};

/// Servers that only requests have named, at most: whoever sends them decides how many there are.
const MOST_UNLISTED: usize = 1000;

/// The name of a server that no upstream names, and its addresses.
pub(crate) type Unlisted = (Box<str>, Vec<Address>);

/// A configuration in force.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) http: Http,
    /// By the addresses of `listen`.
    /// (Each request asks, and there are few: to compare costs less than to hash.)
    pub(crate) endpoints: BTreeMap<ListenAddress, Arc<Endpoint>>,
    /// By [`UpstreamId`].
    pub(crate) groups: Vec<Arc<Group>>,
    by_name: HashMap<Box<str>, UpstreamId>,
    /// Servers that only requests have named, by name and addresses.
    unlisted: Mutex<HashMap<Unlisted, Arc<Group>>>,
    /// Who is asked for names while requests come; as long as a reload doesn't change it, with what it
    /// remembers.
    resolvers: Vec<(Resolver, Hickory)>,
    /// The locations of each server, by its place in `http.servers`.
    locations: Vec<Locations>,
    plans: BTreeMap<ScopeId, Plan>,
    /// By [`MapId`].
    maps: Vec<MapRows>,
    pub(crate) logs: Logs,
    /// By the addresses that speak it.
    tls: HashMap<ListenAddress, Arc<ServerConfig>>,
    /// By [`ZoneId`].
    zones: Vec<Arc<Zone>>,
    /// For what belongs to no request.
    main_error_logs: Vec<ErrorLog>,
    /// Of clients, at an address.
    pub(crate) most_connections: usize,
    process: Arc<Process>,
}

impl Live {
    /// Puts a configuration together. `before` is the one that it replaces.
    pub(crate) fn new(
        config: &Config,
        before: Option<&Self>,
        process: Arc<Process>,
    ) -> Result<Self, StartError> {
        let http = config.http.clone().unwrap_or_default();
        let groups = groups(&http, before)?;
        let resolvers = resolvers(&http, before)?;
        let logs = Logs::open(&http, before.map(|before| &before.logs))?;
        if process.identity.is_some() {
            open_error_logs(&http, &process.error_logs)?;
        }
        let zones = http.limit_req_zones.iter().map(|spec| {
            let known = before.and_then(|before| {
                let mut zones = before.zones.iter();
                zones.find(|zone| zone.is_like(spec))
            });
            known.map_or_else(|| Arc::new(Zone::new(spec)), Arc::clone)
        });
        let zones = zones.collect();
        let by_name = http.upstreams.iter().enumerate();
        let by_name = by_name.map(|(index, upstream)| (upstream.name.clone(), UpstreamId(index)));
        let locations: Vec<_> = http
            .servers
            .iter()
            .map(|server| Locations::new(&server.locations))
            .collect();
        let endpoints = Endpoint::all(&http);
        Ok(Self {
            maps: http.maps.iter().map(MapRows::new).collect(),
            tls: super::tls::of_addresses(&http, &endpoints)?,
            endpoints,
            by_name: by_name.collect(),
            unlisted: Mutex::default(),
            plans: plans(&http, &groups, &logs, &resolvers)?,
            logs,
            resolvers,
            zones,
            groups,
            locations,
            main_error_logs: config.main.error_log.clone(),
            most_connections: config
                .events
                .worker_connections
                .saturating_mul(worker_count(config)),
            http,
            process,
        })
    }

    /// The TLS of an address, if it speaks TLS.
    pub(crate) fn tls(&self, address: &ListenAddress) -> Option<Arc<ServerConfig>> {
        self.tls.get(address).map(Arc::clone)
    }

    /// Who follows the names of upstreams that nobody follows yet.
    pub(crate) fn followers(&self) -> Vec<(Follower, Presence)> {
        let followers = self.groups.iter().flat_map(|group| {
            let upstream = &group.upstream;
            let asker = upstream.resolver.as_ref().and_then(|wanted| {
                let known = self.resolvers.iter().find(|known| known.0 == *wanted);
                Some((known?.1.clone(), wanted.valid))
            });
            group.followers(|group, server, name| {
                let (asker, valid) = asker.clone()?;
                Some(Follower {
                    group,
                    server,
                    name: name.clone(),
                    asker,
                    limit: upstream.resolver_timeout,
                    valid,
                    logs: self.main_error_logs.clone(),
                    open_logs: Arc::clone(&self.process.error_logs),
                })
            })
        });
        followers.collect()
    }

    pub(crate) fn group(&self, id: UpstreamId) -> Option<&Arc<Group>> {
        self.groups.get(id.0)
    }

    /// The upstream with this name.
    pub(crate) fn upstream_named(&self, name: &str) -> Option<UpstreamId> {
        self.by_name.get(name).copied()
    }

    /// The group of a server that no upstream names; made when it is first asked for.
    pub(crate) fn unlisted(
        &self,
        named: Unlisted,
        make: impl FnOnce(&Unlisted) -> Result<Arc<Group>, keepline::Error>,
    ) -> Result<Arc<Group>, keepline::Error> {
        let mut known = self.unlisted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = known.get(&named) {
            return Ok(Arc::clone(group));
        }
        if known.len() >= MOST_UNLISTED {
            known.clear();
        }
        let group = make(&named)?;
        known.insert(named, Arc::clone(&group));
        Ok(group)
    }

    pub(crate) fn locations(&self, server: usize) -> Option<&Locations> {
        self.locations.get(server)
    }

    pub(crate) fn plan(&self, scope: &Scope) -> Option<&Plan> {
        self.plans.get(&scope.id)
    }

    pub(crate) fn map(&self, id: MapId) -> Option<(&Map, &MapRows)> {
        self.http.maps.get(id.0).zip(self.maps.get(id.0))
    }

    pub(crate) fn limit_zone(&self, id: ZoneId) -> Option<&Zone> {
        self.zones.get(id.0).map(|zone| &**zone)
    }

    pub(crate) fn error_logs(&self) -> &ErrorLogs {
        &self.process.error_logs
    }

    pub(crate) fn clients(&self) -> Clients {
        self.process.clients()
    }

    pub(crate) fn hostname(&self) -> &str {
        &self.process.hostname
    }

    pub(crate) fn id_seed(&self) -> u64 {
        self.process.seed
    }

    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

/// How many threads serve.
pub(crate) fn worker_count(config: &Config) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    config.main.workers.unwrap_or_else(cores).max(1)
}

/// The groups of the upstreams; those of unchanged ones stay, with their connections.
fn groups(http: &Http, before: Option<&Live>) -> Result<Vec<Arc<Group>>, StartError> {
    http.upstreams
        .iter()
        .map(|upstream| {
            let known = before.and_then(|before| {
                let mut groups = before.groups.iter();
                groups.find(|group| group.upstream == *upstream)
            });
            match known {
                Some(group) => Ok(Arc::clone(group)),
                None => Group::new(upstream)
                    .map_err(|error| StartError::upstream(&upstream.name, error)),
            }
        })
        .collect()
}

/// Opens the error logs of all scopes: workers may not be allowed to.
fn open_error_logs(http: &Http, logs: &ErrorLogs) -> Result<(), StartError> {
    let mut outcome = Ok(());
    each_scope(http, &mut |scope: &Scope| {
        if outcome.is_ok() {
            outcome = logs.open(&scope.settings.error_logs);
        }
    });
    outcome.map_err(StartError::error_log)
}

/// A plan for each scope that passes requests on.
fn plans(
    http: &Http,
    groups: &[Arc<Group>],
    logs: &Logs,
    resolvers: &[(Resolver, Hickory)],
) -> Result<BTreeMap<ScopeId, Plan>, StartError> {
    let mut plans = BTreeMap::new();
    let mut failed = None;
    let mut add = |scope: &Scope| match Plan::new(scope, groups, logs, resolvers) {
        Ok(plan) => {
            plans.insert(scope.id, plan);
        }
        Err(error) => failed = Some(StartError::scope(error)),
    };
    each_scope(http, &mut add);
    failed.map_or(Ok(plans), Err)
}

/// Who is asked for names, of any scope and upstream.
fn resolvers(http: &Http, before: Option<&Live>) -> Result<Vec<(Resolver, Hickory)>, StartError> {
    let mut resolvers: Vec<(Resolver, Hickory)> = Vec::new();
    let mut failed = None;
    let mut add = |wanted: &Resolver| {
        let is_it = |known: &&(Resolver, Hickory)| known.0 == *wanted;
        if resolvers.iter().any(|known| is_it(&known)) {
            return;
        }
        let known = before.and_then(|before| before.resolvers.iter().find(is_it));
        match known.map_or_else(|| names::asker(wanted), |known| Ok(known.1.clone())) {
            Ok(asker) => resolvers.push((wanted.clone(), asker)),
            Err(error) => failed = Some(StartError::resolver(error)),
        }
    };
    let of_upstreams = http.upstreams.iter();
    of_upstreams
        .filter_map(|upstream| upstream.resolver.as_ref())
        .for_each(&mut add);
    each_scope(http, &mut |scope: &Scope| {
        scope.settings.resolver.iter().for_each(&mut add);
    });
    failed.map_or(Ok(resolvers), Err)
}

fn each_scope(http: &Http, add: &mut impl FnMut(&Scope)) {
    for server in &http.servers {
        add(&server.scope);
        of_program(&server.rewrite, add);
        let named = server.named_locations.iter().map(|(_, location)| location);
        for location in server.locations.iter().chain(named) {
            of_location(location, add);
        }
    }
}

fn of_location(location: &Location, add: &mut impl FnMut(&Scope)) {
    add(&location.scope);
    of_program(&location.rewrite, add);
    if let Some(limit) = &location.limit_except {
        add(&limit.scope);
    }
    for inner in &location.locations {
        of_location(inner, add);
    }
}

fn of_program(program: &Program, add: &mut impl FnMut(&Scope)) {
    for op in &program.0 {
        if let Op::If { scope, then, .. } = op {
            if let Some(scope) = scope {
                add(scope);
            }
            of_program(then, add);
        }
    }
}
