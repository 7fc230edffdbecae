//! From the few lines of a case to a configuration that it shares with others: each case has its
//! own server, upstreams and access log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::case::Case;

/// What belongs to the level above servers; everything else in a case is of its server.
const OF_HTTP: [&str; 4] = ["upstream", "map", "limit_req_zone", "server"];
const OF_MAIN: [&str; 3] = ["worker_shutdown_timeout", "worker_processes", "events"];

/// What every access log shows, unless the case says something else.
/// Not the length: the gateways' own pages differ in theirs.
const LOG_FORMAT: &str = "$request_method $uri $status request=$connection_requests \
    upstream=$upstream_addr $upstream_status";

/// The parts of a configuration that a case needs, by level.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) main: String,
    pub(crate) http: String,
}

/// Names of a case that must not be those of another one, with what is shown instead of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(Vec<(String, String)>);

impl Names {
    /// What is the same for every gateway.
    pub(crate) fn shown(&self, text: &str) -> String {
        let replace = |text: String, (real, shown): &(String, String)| text.replace(real, shown);
        self.0.iter().fold(text.to_owned(), replace)
    }
}

/// The addresses that a case's configuration asks for: `b`, `b2`, `gateway` …
pub(crate) fn actors(case: &Case) -> Vec<String> {
    let conf = case.conf();
    let mut actors: Vec<String> = conf
        .split('@')
        .skip(1)
        .map(|rest| {
            rest.chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect()
        })
        .filter(|name: &String| {
            let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
            matches!(name, "b" | "gateway" | "dns")
        })
        .collect();
    actors.push("gateway".to_owned());
    if conf.contains(":port-of-b") {
        actors.push("b".to_owned());
    }
    actors.sort();
    actors.dedup();
    actors
}

/// The configuration of the case with this number, where each actor is at its address.
pub(crate) fn parts(
    case: &Case,
    number: usize,
    addrs: &BTreeMap<String, SocketAddr>,
) -> (Parts, Names) {
    let mut names = Names::default();
    let mut conf = case.conf();
    // Longer names first: `@b` is the start of `@b2`.
    for (name, addr) in addrs.iter().rev() {
        conf = conf.replace(&format!("@{name}"), &addr.to_string());
        names.0.push((addr.to_string(), format!("@{name}")));
    }
    // Redirects name the port alone, and so do servers whose addresses are to be found.
    for (name, addr) in addrs {
        let port = format!(":{}", addr.port());
        conf = conf.replace(&format!(":port-of-{name};"), &format!("{port};"));
        conf = conf.replace(&format!(":port-of-{name} "), &format!("{port} "));
        names.0.push((port, format!(":port-of-{name}")));
    }
    for name in own_names(&conf) {
        let unique = format!("{name}_{number}");
        for before in ["upstream ", "://", "zone=", "zone ", "default "] {
            conf = conf.replace(&format!("{before}{name}"), &format!("{before}{unique}"));
        }
        names.0.push((unique, name));
    }
    (by_level(case, number, addrs["gateway"], &conf), names)
}

fn own_names(conf: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        let is_part = |char: &char| char.is_ascii_alphanumeric() || *char == '_';
        text.chars().take_while(is_part).collect()
    };
    let mut names: Vec<String> = statements(conf)
        .into_iter()
        .filter_map(|statement| match statement.strip_prefix("upstream ") {
            Some(upstream) => Some(word(upstream)),
            None if statement.starts_with("limit_req_zone ") => {
                let (_, zone) = statement.split_once("zone=")?;
                Some(word(zone))
            }
            None => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn by_level(case: &Case, number: usize, gateway: SocketAddr, conf: &str) -> Parts {
    let mut parts = Parts::default();
    let format = case.log_format().unwrap_or(LOG_FORMAT);
    writeln!(parts.http, "log_format case_{number} '{format}';").expect("a string takes all");
    let log = format!("access_log logs/{number}.log case_{number};");
    let mut of_server = String::new();
    let mut has_server = false;
    for statement in statements(conf) {
        let name = statement
            .split(|char: char| char.is_whitespace() || char == '{')
            .next();
        let name = name.unwrap_or_default();
        if name == "server" {
            has_server = true;
            parts.http += &statement.replacen('{', &format!("{{ {log}"), 1);
        } else if OF_HTTP.contains(&name) {
            parts.http += statement;
        } else if OF_MAIN.contains(&name) {
            parts.main += statement;
        } else {
            of_server += statement;
            of_server.push('\n');
            continue;
        }
        parts.http.push('\n');
    }
    if has_server {
        assert!(
            of_server.is_empty(),
            "{}: whose is this? {of_server}",
            case.name
        );
    } else {
        let server = format!("server {{ listen {gateway};\n{log}\n{of_server}}}\n");
        parts.http += &server;
    }
    parts
}

/// The statements at the top of a configuration, without the space between them.
fn statements(conf: &str) -> Vec<&str> {
    let (mut statements, mut start, mut depth, mut quote) = (Vec::new(), 0, 0, None);
    for (at, char) in conf.char_indices() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (None, '"' | '\'') => quote = Some(char),
            (None, '{') => depth += 1,
            (None, '}') => depth -= 1,
            (Some(_) | None, _) => {}
        }
        if quote.is_none() && depth == 0 && matches!(char, ';' | '}') {
            statements.push(conf[start..=at].trim());
            start = at + 1;
        }
    }
    assert!(
        conf[start..].trim().is_empty(),
        "unfinished: {}",
        &conf[start..]
    );
    statements
}

#[test]
fn statements_end_where_nginx_ends_them() {
    let conf = "a 1;\n b { c; }\n return 200 \"x;y}\";";
    assert_eq!(
        statements(conf),
        ["a 1;", "b { c; }", "return 200 \"x;y}\";"]
    );
}
