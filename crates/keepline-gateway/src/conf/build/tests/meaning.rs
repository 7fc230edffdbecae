//! Inheritance, defaults, and what the forms of directives mean.

use std::time::Duration;

use super::{location, read, server};
use crate::config::*;

/// Configurations of many kinds, for a look at what nginx says.
pub(super) const READ: &[&str] = &[
    "keepalive_timeout 60s 20s; server { location / { keepalive_timeout 30s; } }",
    "upstream u { server 127.0.0.1:81; } server { location /1/ { proxy_pass http://u; } \
     location /2/ { proxy_pass http://u/x?y; } location /3/ { proxy_pass https://127.0.0.1; } \
     location /5/ { proxy_pass http://unix:/s:/p; } location /7/ { proxy_pass http://$host; } }",
    "server { location / { proxy_pass http://127.0.0.1:81; proxy_redirect ~x y; proxy_redirect default; } }",
    "upstream u { server 127.0.0.1; keepalive 8; keepalive_requests 3; keepalive_timeout 5s; }",
    "upstream u { server 127.0.0.1; keepalive 8 local; } upstream v { server 127.0.0.1; keepalive 0; }",
    "upstream u { hash $uri consistent; server localhost:81 weight=5 max_conns=3 max_fails=0 \
     fail_timeout=1m; server unix:/s down; }",
    "upstream u { random two least_conn; server 127.0.0.1; } upstream v { random; server 127.0.0.1; }",
    "server { set $a x; if ($a ~* ^(?<word>X)$) { rewrite ^/(.*)$ /y?z=$1? last; return 204; } \
     if (!-f $document_root/x) { break; } if ($http_x != \"a b\") { return 301 http://h/; } \
     rewrite ^ https://$host$word permanent; return 200 \"$a${word}\"; \
     location / { if ($args) { set $args ''; } rewrite ^ http://h/ last; return $scheme://h/; } }",
    "server { location = /a { } location ^~ /b { } location /c { internal; } location ~ \\.php$ { } \
     location ~* x { } location @n { } location =/d { } location ~y { } }",
    "map $http_host $name { hostnames; default other; .example.com e; www.a.* w; ~^(?<x>\\d+)$ $x; \
     \\default d; Exact 1; }",
    "server { location / { error_page 404 497 /x; error_page 500 502 =200 @n; error_page 403 = /y; \
     error_page 401 http://h/; error_page 400 $scheme://h/; } }",
    "limit_req zone=z burst=5 delay=2; limit_req_zone $binary_remote_addr zone=z:10m rate=30r/m; \
     server { location / { limit_req zone=z nodelay; } }",
    "log_format f '$host ' \"$status\"; access_log a f; server { location /2 { access_log a f if=$host; } }",
    "server { root a/; location /x/ { alias /b/; } location /y { expires modified +1h; } \
     location /z { expires @1h; } location /v { expires $http_x; } }",
    "resolver 127.0.0.1 [::1]:5353 valid=30s ipv6=off; resolver_timeout 5s; server { resolver 127.0.0.1:54 ipv4=on; }",
    "resolver 127.0.0.1; upstream u { zone u 64k; server a.test:81 resolve weight=2; server 127.0.0.1 resolve; } \
     upstream v { zone v 64k; resolver 127.0.0.1:54 valid=5s; resolver_timeout 3s; server b.test resolve; }",
    "proxy_buffer_size 16k; server { proxy_buffers 8 16k; }",
    "server { listen 127.0.0.1:8001-8003; listen [::1]:8001; listen unix:/tmp/keepline-test.sock; \
     server_name a *.b .c d.* ~^(?<sub>.+)\\.e$ \"\" ~^\\Qx.y\\E$; }",
    "server { location /a { location /a/b { } location ~ x { } if ($host) { add_header X y; } \
     limit_except GET POST { deny all; } } }",
    "server { location ~ \"^/(?'a'x)(?P<b>y)[[:alpha:]]{2,3}$\" { return 200 $a$b; } }",
];

const PASS: &str = "proxy_pass http://127.0.0.1:81;";

#[test]
fn an_empty_server_has_nginxs_defaults() {
    let server = server("server { }");
    assert_eq!(server.names, [ServerName::Exact("".into())]);
    assert_eq!(server.listen.len(), 1);
    let scope = &server.scope;
    assert_eq!(scope.client.keepalive.timeout, Duration::from_secs(75));
    assert_eq!(scope.client.keepalive.requests, 1000);
    assert_eq!(scope.proxy.read_timeout, Duration::from_secs(60));
    assert_eq!(scope.proxy.http_version, HttpVersion::V11);
    assert_eq!(scope.settings.root.as_literal(), Some("/html"));
    assert_eq!(scope.settings.access_logs.len(), 1);
    assert_eq!(
        scope.settings.access_logs[0].format.name.as_ref(),
        "combined"
    );
}

#[test]
fn values_are_inherited_also_from_what_stands_below() {
    let scope = location(
        "server { location / { send_timeout 3s; } client_body_timeout 2s; } keepalive_time 1s;",
    );
    assert_eq!(scope.client.keepalive.time, Duration::from_secs(1));
    assert_eq!(scope.client.body_timeout, Duration::from_secs(2));
    assert_eq!(scope.client.send_timeout, Duration::from_secs(3));
}

#[test]
fn the_header_seconds_of_keepalive_timeout_are_inherited_separately() {
    let scope =
        location("keepalive_timeout 60s 20s; server { location / { keepalive_timeout 30s; } }");
    assert_eq!(scope.client.keepalive.timeout, Duration::from_secs(30));
    assert_eq!(scope.client.keepalive.told, Some(Duration::from_secs(20)));
}

#[test]
fn lists_are_inherited_only_where_there_is_none() {
    let text = |inner: &str| {
        format!(
            "add_header A 1; proxy_set_header A 1; access_log a; error_page 404 /a; deny all; \
             server {{ location / {{ {inner} }} }}"
        )
    };
    let inherited = location(&text(""));
    assert_eq!(inherited.settings.add_headers.len(), 1);
    assert_eq!(inherited.proxy.set_headers.len(), 1);
    let own = location(&text(
        "add_header B 2; add_header C 3; proxy_set_header B 2; access_log off; error_page 500 /b; allow all;",
    ));
    let names: Vec<_> = own.settings.add_headers.iter().map(|h| &*h.name).collect();
    assert_eq!(names, ["B", "C"]);
    assert_eq!(&*own.proxy.set_headers[0].0, "B");
    assert_eq!(own.settings.access_logs, []);
    assert_eq!(own.settings.error_pages[0].codes, [500]);
    assert!(own.settings.access[0].allows && own.settings.access.len() == 1);
}

#[test]
fn who_answers_is_not_inherited_but_by_parts_of_the_location() {
    let server = server(&format!(
        "server {{ location /a {{ {PASS} location /a/b {{ }} if ($host) {{ add_header X y; }} \
         limit_except GET {{ deny all; }} }} }}"
    ));
    let outer = &server.locations[0];
    assert!(matches!(outer.scope.content, Content::Proxy(_)));
    assert_eq!(outer.locations[0].scope.content, Content::Static);
    let Op::If {
        scope: Some(inner), ..
    } = &outer.rewrite.0[0]
    else {
        panic!("{:?}", outer.rewrite);
    };
    assert_eq!(inner.content, outer.scope.content);
    assert_ne!(inner.id, outer.scope.id);
    let limit = outer.limit_except.as_ref().unwrap();
    assert_eq!(limit.scope.content, outer.scope.content);
    assert_eq!(limit.scope.settings.access.len(), 1);
    assert_eq!(outer.scope.settings.access, []);
}

#[test]
fn scopes_are_numbered_alike_at_each_reading() {
    let text = format!("server {{ location /a {{ {PASS} }} location /b {{ {PASS} }} }}");
    assert_eq!(read(&text), read(&text));
    let server = server(&text);
    assert_ne!(server.locations[0].scope.id, server.locations[1].scope.id);
}

#[test]
fn proxy_pass_knows_blocks_addresses_paths_and_sockets() {
    let http = read(
        "upstream u { server 127.0.0.1:81; } server { \
         location /1/ { proxy_pass http://u; } \
         location /2/ { proxy_pass http://u/x?y; } \
         location /3/ { proxy_pass https://127.0.0.1; } \
         location /4/ { proxy_pass http://127.0.0.1:8080/; } \
         location /5/ { proxy_pass http://unix:/s:/p; } \
         location /6/ { proxy_pass http://127.0.0.1:8080; } \
         location /7/ { proxy_pass http://$host; } }",
    );
    let target = |index: usize| match &http.servers[0].locations[index].scope.content {
        Content::Proxy(pass) => pass.target.clone(),
        other => panic!("{other:?}"),
    };
    let fixed = |index| match target(index) {
        ProxyTarget::Fixed {
            scheme,
            upstream,
            host,
            port,
            uri,
        } => {
            let name = http.upstreams[upstream.0].name.to_string();
            (scheme, name, host.to_string(), port, uri.map(String::from))
        }
        ProxyTarget::Variable(template) => panic!("{template:?}"),
    };
    let text = str::to_owned;
    use Scheme::{Http, Https};
    assert_eq!(fixed(0), (Http, text("u"), text("u"), 80, None));
    assert_eq!(
        fixed(1),
        (Http, text("u"), text("u"), 80, Some(text("/x?y")))
    );
    assert_eq!(
        fixed(2),
        (Https, text("127.0.0.1"), text("127.0.0.1"), 443, None)
    );
    let other = text("127.0.0.1:8080");
    assert_eq!(
        fixed(3),
        (Http, other.clone(), other.clone(), 8080, Some(text("/")))
    );
    assert_eq!(
        fixed(4),
        (
            Http,
            text("unix:/s"),
            text("localhost"),
            80,
            Some(text("/p"))
        )
    );
    assert_eq!(fixed(5), (Http, other.clone(), other, 8080, None));
    assert!(matches!(target(6), ProxyTarget::Variable(_)));
    // The two that name one address share it.
    assert_eq!(http.upstreams.len(), 4);
    assert!(http.upstreams[1].is_implicit && !http.upstreams[0].is_implicit);
}

#[test]
fn redirects_follow_proxy_pass_unless_something_else_is_said() {
    let redirects = |text: &str| {
        let scope = location(&format!("server {{ location /l/ {{ {text} }} }}"));
        let told = |redirect: &Redirect| match &redirect.from {
            TemplateRule::Text(from) => {
                let to = redirect.to.as_literal().unwrap_or("?");
                format!("{} {to}", from.as_literal().unwrap_or("?"))
            }
            TemplateRule::Regex(pattern) => format!("~{}", pattern.source()),
        };
        scope.proxy.redirects.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(redirects(PASS), ["http://127.0.0.1:81/ /"]);
    assert_eq!(
        redirects("proxy_pass http://127.0.0.1/p/;"),
        ["http://127.0.0.1/p/ /l/"]
    );
    assert_eq!(redirects("proxy_pass http://$host;"), [""; 0]);
    assert_eq!(redirects(&format!("{PASS} proxy_redirect off;")), [""; 0]);
    let both = format!("{PASS} proxy_redirect ~x y; proxy_redirect default;");
    assert_eq!(redirects(&both), ["~x", "http://127.0.0.1:81/ /"]);
}

#[test]
fn keepalive_of_upstreams() {
    let keepalive = |text: &str| {
        let http = read(&format!("upstream u {{ server 127.0.0.1; {text} }}"));
        http.upstreams[0].keepalive.clone()
    };
    let default = keepalive("").unwrap();
    assert_eq!((default.connections, default.is_local), (32, true));
    let shared = keepalive("keepalive 8; keepalive_requests 3; keepalive_timeout 5s;").unwrap();
    assert_eq!(
        (shared.connections, shared.is_local, shared.requests),
        (8, false, 3)
    );
    assert_eq!(shared.timeout, Duration::from_secs(5));
    assert!(keepalive("keepalive 8 local;").unwrap().is_local);
    assert_eq!(keepalive("keepalive 0;"), None);
}

#[test]
fn name_servers_are_inherited_as_a_whole() {
    let server = server(
        "resolver localhost [::1]:5353 valid=30s ipv6=off; resolver_timeout 5s; \
         server { location /own { resolver 127.0.0.1:54; } }",
    );
    let address = |text: &str| text.parse().unwrap();
    let outer = server.scope.settings.resolver.as_ref().unwrap();
    let expected = Resolver {
        servers: vec![address("127.0.0.1:53"), address("[::1]:5353")],
        valid: Some(Duration::from_secs(30)),
        ipv4: true,
        ipv6: false,
    };
    assert_eq!(*outer, expected);
    let own = &server.locations[0].scope.settings;
    let expected = Resolver {
        servers: vec![address("127.0.0.1:54")],
        valid: None,
        ipv4: true,
        ipv6: true,
    };
    assert_eq!(own.resolver.as_ref(), Some(&expected));
    assert_eq!(own.resolver_timeout, Duration::from_secs(5));
}

#[test]
fn names_that_move_are_not_resolved_when_the_configuration_is_read() {
    let http = read(
        "resolver 127.0.0.1; resolver_timeout 7s; \
         upstream u { zone u 64k; server A.test:81 resolve; server 127.0.0.1 resolve; } \
         upstream v { zone v 64k; resolver 127.0.0.1:54; server b.test resolve; } \
         upstream w { server 127.0.0.1; }",
    );
    let [first, second, third] = &http.upstreams[..] else {
        panic!("three upstreams");
    };
    let moving = |host: &str, port| {
        let host = host.into();
        Some(MovingName { host, port })
    };
    assert_eq!(first.servers[0].moves, moving("a.test", 81));
    assert!(first.servers[0].addresses.is_empty());
    assert_eq!(first.servers[1].moves, None);
    assert_eq!(first.servers[1].addresses.len(), 1);
    assert_eq!(first.resolver_timeout, Duration::from_secs(7));
    let asked = |upstream: &Upstream| upstream.resolver.as_ref().map(|it| it.servers[0].port());
    assert_eq!(asked(first), Some(53));
    assert_eq!(second.servers[0].moves, moving("b.test", 80));
    assert_eq!(asked(second), Some(54));
    assert_eq!(asked(third), None);
}

#[test]
fn servers_of_upstreams() {
    let http = read(
        "upstream u { hash $uri consistent; server localhost:81 weight=5 max_conns=3 max_fails=0 \
         fail_timeout=1m; server unix:/s down; }",
    );
    let upstream = &http.upstreams[0];
    assert!(matches!(
        upstream.balance,
        Balance::Hash {
            is_consistent: true,
            ..
        }
    ));
    let first = &upstream.servers[0];
    assert_eq!(
        first.addresses,
        [Address::Inet("127.0.0.1:81".parse().unwrap())]
    );
    assert_eq!(
        (first.weight, first.max_conns, first.max_fails),
        (5, Some(3), 0)
    );
    assert_eq!(first.fail_timeout, Duration::from_secs(60));
    assert!(upstream.servers[1].is_down);
}

/// The directives of a rewrite phase, one word for each.
fn ops(program: &Program) -> String {
    let told: Vec<_> = program.0.iter().map(op).collect();
    told.join(" ")
}

fn op(op: &Op) -> String {
    match op {
        Op::Set { target, .. } => format!("{target:?}"),
        Op::If {
            condition,
            scope,
            then,
        } => {
            let condition = match condition {
                Condition::True(variable) => format!("{variable:?}"),
                Condition::Equal { is_negated, .. } => format!("equal({is_negated})"),
                Condition::Matches { is_negated, .. } => format!("matches({is_negated})"),
                Condition::File { is_negated, .. } => format!("file({is_negated})"),
            };
            let own = if scope.is_some() { "!" } else { "" };
            format!("if{own}-{condition}[{}]", ops(then))
        }
        Op::Rewrite {
            keeps_args, flag, ..
        } => format!("rewrite-{flag:?}({keeps_args})"),
        Op::Return(Return::Status(status)) => format!("return-{status}"),
        Op::Return(Return::Text { status, .. }) => format!("text-{status}"),
        Op::Return(Return::Redirect { status, .. }) => format!("redirect-{status}"),
        Op::Break => "break".to_owned(),
    }
}

#[test]
fn the_rewrite_phase_keeps_its_order() {
    let server = server(
        "server { set $a x; if ($a ~* ^(?<word>X)$) { rewrite ^/(.*)$ /y?z=$1? last; return 204; } \
         if (!-f $document_root/x) { break; } if ($http_x != \"a b\") { return 301 http://h/; } \
         rewrite ^ https://$host$word permanent; return 200 \"$a${word}\"; \
         location / { if ($args) { set $args ''; } rewrite ^ http://h/ last; return $scheme://h/; } }",
    );
    assert_eq!(
        ops(&server.rewrite),
        "Slot(SlotId(0)) if-matches(false)[rewrite-Last(false) return-204] if-file(true)[break] \
         if-equal(true)[redirect-301] rewrite-Permanent(true) text-200"
    );
    assert_eq!(
        ops(&server.locations[0].rewrite),
        "if!-Args[Args] rewrite-Redirect(true) redirect-302"
    );
}

#[test]
fn locations_of_all_kinds() {
    let server = server(
        "server { location = /a { } location ^~ /b { } location /c { internal; } location ~ \\.php$ { } \
         location ~* x { } location @n { } location =/d { } location ~y { } }",
    );
    let kinds: Vec<_> = server
        .locations
        .iter()
        .map(|location| &location.matcher)
        .collect();
    assert!(matches!(kinds[0], Matcher::Exact(path) if **path == *"/a"));
    assert!(matches!(kinds[1], Matcher::PrefixOnly(path) if **path == *"/b"));
    assert!(matches!(kinds[2], Matcher::Prefix(path) if **path == *"/c"));
    assert!(server.locations[2].is_internal && !server.locations[1].is_internal);
    assert!(matches!(kinds[3], Matcher::Regex(pattern) if !pattern.ignores_case()));
    assert!(matches!(kinds[4], Matcher::Regex(pattern) if pattern.ignores_case()));
    assert!(matches!(kinds[5], Matcher::Exact(path) if **path == *"/d"));
    assert!(matches!(kinds[6], Matcher::Regex(pattern) if pattern.source() == "y"));
    assert_eq!(&*server.named_locations[0].0, "@n");
}

#[test]
fn maps_and_their_keys() {
    let http = read(
        "map $http_host $name { hostnames; default other; .example.com e; www.a.* w; ~^(?<x>\\d+)$ $x; \
         \\default d; Exact 1; }",
    );
    let map = &http.maps[0];
    assert!(map.is_hostnames);
    assert_eq!(map.default.as_literal(), Some("other"));
    let keys: Vec<_> = map.rows.iter().map(|row| &row.key).collect();
    assert!(matches!(
        keys[0],
        MapKey::Host(ServerName::WithSubdomains(_))
    ));
    assert!(matches!(keys[1], MapKey::Host(ServerName::Prefix(_))));
    assert!(matches!(keys[2], MapKey::Regex(_)));
    assert_eq!(*keys[3], MapKey::Exact("default".into()));
    assert_eq!(*keys[4], MapKey::Exact("exact".into()));
    assert_eq!(http.slots, [Box::from("x")]);
}

#[test]
fn error_pages() {
    let scope = location(
        "server { location / { error_page 404 497 /x; error_page 500 502 =200 @n; error_page 403 = /y; \
         error_page 401 http://h/; error_page 400 $scheme://h/; } }",
    );
    let pages = &scope.settings.error_pages;
    assert_eq!(pages[0].response, ErrorResponse::Keep);
    assert_eq!(
        (&*pages[1].codes, pages[1].response),
        (&[497][..], ErrorResponse::Status(400))
    );
    assert_eq!(pages[2].codes, [500, 502]);
    assert_eq!(pages[2].response, ErrorResponse::Status(200));
    assert_eq!(pages[2].target, ErrorTarget::Named("@n".into()));
    assert_eq!(pages[3].response, ErrorResponse::FromTarget);
    assert!(matches!(pages[4].target, ErrorTarget::Redirect(_)));
    assert!(matches!(pages[5].target, ErrorTarget::Redirect(_)));
}

#[test]
fn limits_of_requests() {
    let http = read(
        "limit_req zone=z burst=5 delay=2; limit_req_zone $binary_remote_addr zone=z:10m rate=30r/m; \
         server { location / { limit_req zone=z nodelay; } }",
    );
    assert_eq!(http.limit_req_zones[0].rate, 500);
    let outer = &http.servers[0].scope.settings.limit_req[0];
    assert_eq!((outer.burst, outer.delay), (5, Delay::After(2)));
    let inner = &http.servers[0].locations[0].scope.settings.limit_req[0];
    assert_eq!((inner.burst, inner.delay), (0, Delay::None));
}

#[test]
fn logs_of_one_path_are_one_file() {
    let http = read(
        "log_format f '$host ' \"$status\"; access_log a f; server { location /1 { access_log /b; } \
         location /2 { access_log a f if=$host; } }",
    );
    let paths: Vec<_> = http
        .log_files
        .iter()
        .map(|file| file.path.display().to_string())
        .collect();
    assert_eq!(paths, ["/a", "/b"]);
    let log = |index: usize| &http.servers[0].locations[index].scope.settings.access_logs[0];
    assert_eq!(log(0).file, LogFileId(1));
    assert_eq!(log(1).file, LogFileId(0));
    assert!(log(1).condition.is_some() && log(0).condition.is_none());
    assert_eq!(log(1).format.line.pieces().len(), 3);
}

#[test]
fn paths_are_relative_to_the_prefix_or_to_the_configuration() {
    let scope = location("server { root a/; location / { proxy_ssl_trusted_certificate t.pem; } }");
    assert_eq!(scope.settings.root.as_literal(), Some("/a"));
    assert_eq!(scope.proxy.tls.trusted.as_deref(), Some("/t.pem".as_ref()));
    let scope = location("server { location /x/ { alias /b/; } }");
    assert_eq!(
        scope
            .settings
            .alias
            .and_then(|a| a.as_literal().map(str::to_owned)),
        Some("/b/".into())
    );
}

#[test]
fn times_of_expires() {
    let expires = |text: &str| {
        location(&format!("server {{ location / {{ expires {text}; }} }}"))
            .settings
            .expires
    };
    let hour = Duration::from_secs(3600);
    assert_eq!(expires("1h"), Expires::After(hour));
    assert_eq!(expires("-1h"), Expires::Before(hour));
    assert_eq!(expires("@1h"), Expires::Daily(hour));
    assert_eq!(expires("modified +1h"), Expires::AfterModified(hour));
    assert_eq!(expires("max"), Expires::Max);
    assert!(matches!(
        expires("$http_x"),
        Expires::Variable {
            from_modified: false,
            ..
        }
    ));
}

#[test]
fn large_configurations_take_no_more_than_their_size_asks_for() {
    use std::fmt::Write;
    let mut text = String::from("map $uri $to {");
    for row in 0..100_000 {
        let _ = write!(text, "/old/{row} /new/{row};");
    }
    text.push('}');
    for number in 0..300 {
        let _ = write!(
            text,
            "server {{ server_name s{number}; access_log l{number};"
        );
        for location in 0..20 {
            let _ = write!(
                text,
                "location /{location} {{ proxy_pass http://127.0.0.1:{number}1; }}"
            );
        }
        text.push('}');
    }
    let http = read(&text);
    assert_eq!(http.maps[0].rows.len(), 100_000);
    assert_eq!(http.servers.len(), 300);
    assert_eq!(http.upstreams.len(), 300);
    assert_eq!(http.log_files.len(), 301);
}
