//! What is refused, and how that is told.

use super::http;

/// What is said of a configuration, on one line, without the places.
fn told(text: &str) -> Vec<String> {
    match http(text) {
        Ok(_) => vec!["accepted".to_owned()],
        Err(errors) => errors.iter().map(|error| error.what().to_owned()).collect(),
    }
}

/// What is in `http`, and the one thing that is said of it.
pub(super) const REFUSED: &[(&str, &str)] = &[
    (
        "server { location / { proxy_pass http://$nonsense; } }",
        "unknown \"nonsense\" variable",
    ),
    (
        "server { location / { return 200 $; } }",
        "invalid variable name",
    ),
    (
        "server { location / { } location / { } }",
        "duplicate location \"/\"",
    ),
    (
        "server { location = /a { location /a/b { } } }",
        "location \"/a/b\" cannot be inside the exact location \"/a\"",
    ),
    (
        "server { location /a { location /b { } } }",
        "location \"/b\" is outside location \"/a\"",
    ),
    (
        "server { location /a { location @n { } } }",
        "named location \"@n\" can be on the server level only",
    ),
    (
        "server { location !~ a { } }",
        "invalid location modifier \"!~\"",
    ),
    (
        "server { location ~ ( { } }",
        "regular expression \"(\" cannot be used: unclosed group",
    ),
    (
        "server { location ~ (?=x) { } }",
        "regular expression \"(?=x)\" cannot be used: look-around, (?=, is not supported",
    ),
    (
        "server { location ~ \\.php$ { proxy_pass http://127.0.0.1/x; } }",
        "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, or inside \"if\" statement, or inside \"limit_except\" block",
    ),
    (
        "server { location / { proxy_pass ftp://127.0.0.1; } }",
        "invalid URL prefix",
    ),
    (
        "server { location / { proxy_pass http://nowhere.invalid; } }",
        "host not found in upstream \"nowhere.invalid\"",
    ),
    ("upstream u { }", "no servers are inside upstream \"u\""),
    (
        "upstream u { server 127.0.0.1; } upstream u { server 127.0.0.1; }",
        "duplicate upstream \"u\"",
    ),
    (
        "upstream u { server 127.0.0.1; } server { location / { proxy_pass http://u:80; } }",
        "upstream \"u\" may not have port 80",
    ),
    (
        "upstream u { server 127.0.0.1 wieght=2; }",
        "invalid parameter \"wieght=2\" in \"server\" directive",
    ),
    (
        "resolver 127.0.0.1 ipv4=off ipv6=off;",
        "\"ipv4\" and \"ipv6\" cannot both be \"off\"",
    ),
    ("resolver valid=30s;", "no name servers defined"),
    (
        "resolver 127.0.0.1 valid=x;",
        "invalid value \"valid=x\" in \"resolver\" directive",
    ),
    (
        "resolver 127.0.0.1 vaild=5s;",
        "invalid parameter \"vaild=5s\" in \"resolver\" directive",
    ),
    (
        "resolver nowhere.invalid;",
        "host not found in resolver \"nowhere.invalid\"",
    ),
    (
        "resolver 127.0.0.1; upstream u { server a.test resolve; }",
        "resolving names at run time requires upstream \"u\" to be in shared memory",
    ),
    (
        "upstream u { zone u 64k; server a.test resolve; }",
        "no resolver defined to resolve names at run time in upstream \"u\"",
    ),
    (
        "upstream u { server 127.0.0.1 drain; }",
        "\"drain\" of \"server\" is not supported yet",
    ),
    (
        "upstream u { ip_hash; server 127.0.0.1; server 127.0.0.1:81 backup; }",
        "balancing method does not support parameter \"backup\"",
    ),
    (
        "upstream u { server 127.0.0.1; keepalive 1; keepalive 2; }",
        "\"keepalive\" directive is duplicate",
    ),
    (
        "upstream u { server 127.0.0.1; keepalive 1 single; }",
        "invalid parameter \"single\" in \"keepalive\" directive",
    ),
    (
        "keepalive_timeout 1; keepalive_timeout 2;",
        "\"keepalive_timeout\" directive is duplicate",
    ),
    (
        "keepalive_timeout soon;",
        "invalid value \"soon\" in \"keepalive_timeout\" directive",
    ),
    (
        "server { limit_req zone=a; }",
        "no \"limit_req_zone\" has the name \"a\"",
    ),
    (
        "limit_req_zone $host zone=a:1k rate=1r/s;",
        "zone \"a\" is too small, 32k is the least",
    ),
    ("access_log x nonsense;", "unknown log format \"nonsense\""),
    (
        "access_log syslog:server=127.0.0.1;",
        "\"syslog:server=127.0.0.1\" of \"access_log\" is not supported yet",
    ),
    (
        "server { listen 80 http2; }",
        "\"http2\" of \"listen\" is not supported yet",
    ),
    (
        "server { listen 80; listen 80; }",
        "a duplicate listen 0.0.0.0:80",
    ),
    (
        "server { listen 80 default_server; } server { listen 80 default_server; }",
        "a duplicate default server for 0.0.0.0:80",
    ),
    (
        "server { listen 443 ssl; }",
        "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive",
    ),
    (
        "server { listen 443 ssl; ssl_certificate a; ssl_certificate_key b; }",
        "cannot load certificate or key \"/a\": entity not found",
    ),
    ("ssl_protocols TLSv1;", "no version of TLS remains"),
    (
        "server { location / { root /a; alias /b; } }",
        "\"root\" and \"alias\" exclude each other, and there is one of them already",
    ),
    (
        "server { error_page 200 /x; }",
        "invalid value \"200\" in \"error_page\" directive",
    ),
    (
        "server { return x; }",
        "invalid value \"x\" in \"return\" directive",
    ),
    (
        "server { rewrite a b c; }",
        "invalid parameter \"c\" in \"rewrite\" directive",
    ),
    (
        "server { if $a { } }",
        "the condition of \"if\" has to stand in parentheses",
    ),
    ("server { if ($host == a) { } }", "invalid condition \"==\""),
    ("server { set host x; }", "invalid variable name \"host\""),
    ("server { set $host x; }", "the duplicate \"host\" variable"),
    ("map $host $uri { }", "the duplicate \"uri\" variable"),
    ("map $host $m { a b; A c; }", "conflicting parameter \"A\""),
    (
        "map $host $m { a; }",
        "invalid number of the map parameters",
    ),
    (
        "server { proxy_ssl_verify on; location / { proxy_pass https://127.0.0.1; } }",
        "no \"proxy_ssl_trusted_certificate\" for \"proxy_ssl_verify\"",
    ),
    (
        "proxy_redirect default;",
        "\"proxy_redirect default\" should be placed after the \"proxy_pass\" directive, and that must have no variables",
    ),
    ("add_header \"a b\" c;", "\"a b\" is no field name"),
    (
        "server { allow 10.0.0.0/33; }",
        "invalid value \"10.0.0.0/33\" in \"allow\" directive",
    ),
    (
        "proxy_http_version 2;",
        "\"2\" of \"proxy_http_version\" is not supported yet",
    ),
];

/// What is refused here and not by nginx.
pub(super) const ONLY_HERE: &[&str] = &[
    "is not supported yet",
    "look-around",
    "no version of TLS remains",
    "is no field name",
];

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    for (text, expected) in REFUSED {
        assert_eq!(told(text), [*expected], "{text}");
    }
}

#[test]
fn several_mistakes_are_told_together() {
    let text =
        "keepalive_timeout x; server { send_timeout y; location / { proxy_buffering maybe; } }";
    // What is wrong with the form of the file comes first, and alone.
    assert_eq!(told(text).len(), 1);
    let text = "keepalive_timeout x; server { send_timeout y; location / { return 1 $z; } }";
    assert_eq!(told(text).len(), 3);
}

#[test]
fn a_mistake_is_shown_with_its_place_and_a_remedy() {
    let errors = http("\n  server {\n\tlocation / { return 200 $hots; }\n} ").unwrap_err();
    let shown = format!("{errors:#}");
    assert_eq!(
        shown,
        "unknown \"hots\" variable in /n:3:26\n  3 |  location / { return 200 $hots; }\n    \
         |                          ^^^^^\n  did you mean \"host\"?"
    );
}
