//! Every directive that the table calls supported is taken, in every context that it names.

use super::super::super::directive::{Arity, Context, Known, Support};
use super::super::super::table::DIRECTIVES;
use crate::conf::outside::Memory;
use crate::conf::{ConfErrors, Document, Paths};

/// Arguments that a directive takes, where they do not follow from its arity.
const EXAMPLES: &[(&str, &str)] = &[
    ("access_log", "log combined buffer=1k flush=1s if=$host"),
    ("add_header", "X-A $host always"),
    ("add_trailer", "X-A b"),
    ("allow", "10.0.0.0/8"),
    ("chunked_transfer_encoding", "off"),
    ("client_body_in_file_only", "clean"),
    ("client_body_temp_path", "temp 1 2"),
    ("client_max_body_size", "1m"),
    ("default_type", "text/html"),
    ("deny", "all"),
    ("early_hints", "$http_x"),
    ("error_log", "e.log warn"),
    ("error_page", "404 =200 /x"),
    ("expires", "modified 1h"),
    ("hash", "$host consistent"),
    ("if", "($host = a)"),
    ("index", "a.html /b.html"),
    ("keepalive_disable", "msie6 safari"),
    ("keepalive_timeout", "1m 30s"),
    ("large_client_header_buffers", "4 16k"),
    ("limit_except", "GET"),
    ("limit_rate", "100k"),
    ("limit_req", "zone=z burst=5 nodelay"),
    ("limit_req_log_level", "warn"),
    ("limit_req_status", "429"),
    ("limit_req_zone", "$host zone=y:1m rate=1r/s"),
    ("lingering_close", "always"),
    ("listen", "127.0.0.1:8080"),
    ("location", "~ x"),
    ("log_format", "f escape=json $host x"),
    ("map", "$host $m"),
    ("pid", "n.pid"),
    ("proxy_bind", "127.0.0.1"),
    ("proxy_buffer_size", "8k"),
    ("proxy_buffers", "8 4k"),
    ("proxy_busy_buffers_size", "8k"),
    ("proxy_cookie_domain", "a b"),
    ("proxy_cookie_flags", "a secure"),
    ("proxy_cookie_path", "/a /b"),
    ("proxy_http_version", "1.0"),
    ("proxy_ignore_headers", "X-Accel-Redirect"),
    ("proxy_next_upstream", "error http_503 non_idempotent"),
    ("proxy_pass", "http://127.0.0.1:1"),
    ("proxy_redirect", "/a /b"),
    ("proxy_set_header", "Host $host"),
    ("proxy_ssl_protocols", "TLSv1.3"),
    ("proxy_ssl_verify", "off"),
    ("proxy_temp_path", "temp"),
    ("random", "two least_conn"),
    ("real_ip_header", "X-Forwarded-For"),
    ("resolver", "127.0.0.1 valid=5s ipv6=off"),
    ("return", "200 x"),
    ("rewrite", "^ /x last"),
    ("server_name", "a *.b ~c"),
    ("server_tokens", "off"),
    ("set", "$s $host"),
    ("set_real_ip_from", "10.0.0.1"),
    ("ssl_certificate", "/cert"),
    ("ssl_certificate_key", "/key"),
    ("ssl_protocols", "TLSv1 TLSv1.2"),
    ("stub_status", ""),
    ("try_files", "$uri $uri/ =404"),
    ("types", ""),
    ("upstream", "u2"),
    ("user", "a b"),
    ("worker_processes", "auto"),
];

fn arguments(known: &Known) -> &'static str {
    let context = |context| known.contexts.has(context);
    match known.name {
        "server" if context(Context::Upstream) => "127.0.0.1:81 weight=2 max_fails=0",
        "keepalive_timeout" if context(Context::Upstream) => "1m",
        "keepalive" => "8 local",
        name => match EXAMPLES.iter().find(|(example, _)| *example == name) {
            Some((_, arguments)) => arguments,
            None if known.arity == Arity::Flag => "on",
            None if known.syntax == "time" => "30s",
            None if known.syntax == "size" => "16k",
            None if known.syntax == "number" => "7",
            None => match known.arity {
                Arity::Exactly(0) | Arity::Between(0, _) => "",
                Arity::Exactly(2) | Arity::Between(2, _) | Arity::AtLeast(2) => "value value",
                Arity::Exactly(3) => "value value value",
                _ => "value",
            },
        },
    }
}

/// A configuration with the directive in this context.
pub(super) fn configuration(known: &Known, context: Context) -> String {
    use crate::conf::directive::Body;
    let arguments = arguments(known);
    let name = known.name;
    let written = match (known.body, name) {
        (Body::None, _) => format!("{name} {arguments};"),
        (_, "upstream") => format!("{name} {arguments} {{ server 127.0.0.1; }}"),
        _ => format!("{name} {arguments} {{ }}"),
    };
    let zone = "limit_req_zone $host zone=z:1m rate=1r/s;";
    let http = |text: &str| format!("events {{}} http {{ {zone} {text} }}");
    let server = |text: &str| http(&format!("server {{ {text} }}"));
    let location = |text: &str| server(&format!("location /l {{ {text} }}"));
    match context {
        Context::Main if matches!(name, "events" | "http") => format!("events {{}} {written}"),
        Context::Main => format!("events {{}} {written}"),
        Context::Events => format!("events {{ {written} }}"),
        Context::Http => http(&written),
        Context::Server => server(&written),
        Context::Location => location(&written),
        Context::IfInServer => server(&format!("if ($host) {{ {written} }}")),
        Context::IfInLocation => location(&format!("if ($host) {{ {written} }}")),
        Context::LimitExcept => location(&format!("limit_except GET {{ {written} }}")),
        Context::Upstream => http(&format!("upstream u {{ server 127.0.0.1; {written} }}")),
    }
}

pub(super) const fn is_supported(known: &Known) -> bool {
    matches!(known.support, Support::Full | Support::Partly(_))
}

fn read(text: &str) -> Result<Document, ConfErrors> {
    // Certificates without a pair are not looked at; pairs are the business of another test.
    let files = Memory::default().with("/n", text);
    Document::read_from(&Paths::of("/n"), "", &files)
}

#[test]
fn what_the_table_calls_supported_is_taken_wherever_it_may_stand() {
    let mut wrong = Vec::new();
    for known in DIRECTIVES {
        if !is_supported(known) {
            continue;
        }
        for context in known.contexts.iter() {
            let mut text = configuration(known, context);
            if known.name == "events" {
                text = "events { }".to_owned();
            }
            // A certificate has a key, which the example has not.
            let expected = match known.name {
                "ssl_certificate" if context == Context::Server => "no \"ssl_certificate_key\"",
                "proxy_ssl_certificate" if context != Context::Http => {
                    "no \"proxy_ssl_certificate_key\""
                }
                _ => "",
            };
            match read(&text) {
                Ok(_) if expected.is_empty() => {}
                Ok(_) => wrong.push(format!("{text}: no error")),
                Err(errors) if !expected.is_empty() && errors.to_string().contains(expected) => {}
                Err(errors) => wrong.push(format!("{text}: {errors}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_has_no_effect_is_accepted_and_listed() {
    for known in DIRECTIVES {
        let Support::NoEffect(_) = known.support else {
            continue;
        };
        for context in known.contexts.iter() {
            let text = configuration(known, context);
            let document = read(&text).unwrap_or_else(|errors| panic!("{text}: {errors}"));
            let listed = document.ignored().iter().any(|i| i.name == known.name);
            assert!(listed, "{text}");
        }
    }
}

#[test]
fn what_is_not_there_is_refused_and_says_so() {
    for known in DIRECTIVES {
        let Support::NotYet(instead) = known.support else {
            continue;
        };
        assert!(!instead.is_empty(), "{} has no advice", known.name);
        let context = known.contexts.iter().next().unwrap();
        let errors = read(&configuration(known, context)).unwrap_err();
        let expected = format!("\"{}\" is not supported yet", known.name);
        assert!(errors.to_string().contains(&expected), "{errors}");
    }
}

/// Words that are not what a directive takes never are accepted, and never panic.
#[test]
fn nonsense_is_refused_by_every_directive_that_takes_a_value() {
    let mut accepted = Vec::new();
    for known in DIRECTIVES {
        let takes_value = matches!(known.syntax, "time" | "size" | "number" | "on | off");
        if !is_supported(known) || !takes_value {
            continue;
        }
        for nonsense in ["x", "-1", "1.5", "''", "99999999999999999999"] {
            for context in known.contexts.iter() {
                let text = configuration(known, context);
                let written = format!("{} {};", known.name, arguments(known));
                let text = text.replace(&written, &format!("{} {nonsense};", known.name));
                if read(&text).is_ok() {
                    accepted.push(text);
                }
            }
        }
    }
    assert!(accepted.is_empty(), "{}", accepted.join("\n"));
}
