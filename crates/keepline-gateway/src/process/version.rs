//! `-v` and `-V`: which behaviour is matched, and what is there.
//!
//! Programs read `configure arguments` to decide what they may use, so it is derived from the table
//! of directives and cannot claim what is not there.

use std::fmt::Write;

use super::options::{BY_PACKAGE, PREFIX};
use crate::{NGINX_VERSION, conf};

/// The modules of HTTP that nginx has unless told otherwise, each with a directive that shows it.
const DEFAULT_MODULES: [(&str, &str); 26] = [
    ("charset", "charset"),
    ("gzip", "gzip"),
    ("ssi", "ssi"),
    ("userid", "userid"),
    ("access", "allow"),
    ("auth_basic", "auth_basic"),
    ("mirror", "mirror"),
    ("autoindex", "autoindex"),
    ("geo", "geo"),
    ("map", "map"),
    ("split_clients", "split_clients"),
    ("referer", "valid_referers"),
    ("rewrite", "rewrite"),
    ("proxy", "proxy_pass"),
    ("fastcgi", "fastcgi_pass"),
    ("uwsgi", "uwsgi_pass"),
    ("scgi", "scgi_pass"),
    ("grpc", "grpc_pass"),
    ("memcached", "memcached_pass"),
    ("limit_conn", "limit_conn"),
    ("limit_req", "limit_req"),
    ("empty_gif", "empty_gif"),
    ("browser", "modern_browser"),
    ("upstream_hash", "hash"),
    ("upstream_ip_hash", "ip_hash"),
    ("upstream_least_conn", "least_conn"),
];

/// More of them, which newer versions have.
const NEWER_MODULES: [(&str, &str); 6] = [
    ("upstream_random", "random"),
    ("upstream_keepalive", "keepalive"),
    ("upstream_zone", "zone"),
    ("upstream_sticky", "sticky"),
    ("upstream_least_time", "least_time"),
    ("tunnel", "tunnel_pass"),
];

/// The modules that nginx has only if told so.
const OPTIONAL_MODULES: [(&str, &str); 4] = [
    ("ssl", "ssl_certificate"),
    ("v2", "http2"),
    ("realip", "set_real_ip_from"),
    ("stub_status", "stub_status"),
];

/// The line of `-v`. The version in parentheses is keepline's own, where nginx has the name of a
/// build.
#[must_use]
pub fn version() -> String {
    let own = env!("CARGO_PKG_VERSION");
    format!("nginx version: nginx/{NGINX_VERSION} (keepline {own})\n")
}

/// What `-V` says.
#[must_use]
pub fn version_and_modules() -> String {
    let mut text = version();
    let _ = writeln!(text, "built with rustls and AWS-LC, no OpenSSL");
    let _ = writeln!(text, "TLS SNI support enabled");
    let _ = write!(
        text,
        "configure arguments: --prefix={PREFIX} --conf-path={} --error-log-path={} \
         --http-log-path={} --pid-path={} --http-client-body-temp-path={} --http-proxy-temp-path={}",
        BY_PACKAGE.configuration,
        BY_PACKAGE.error_log,
        BY_PACKAGE.access_log,
        BY_PACKAGE.pid,
        BY_PACKAGE.body_temp,
        BY_PACKAGE.proxy_temp,
    );
    for (module, directive) in OPTIONAL_MODULES {
        if conf::is_supported(directive) {
            let _ = write!(text, " --with-http_{module}_module");
        }
    }
    for (module, directive) in DEFAULT_MODULES.into_iter().chain(NEWER_MODULES) {
        if !conf::is_supported(directive) {
            let _ = write!(text, " --without-http_{module}_module");
        }
    }
    if !conf::is_supported("proxy_cache") {
        text.push_str(" --without-http-cache");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_nginxs() {
        assert!(version().starts_with("nginx version: nginx/1.31.5"));
        assert!(version_and_modules().starts_with(&version()));
    }

    #[test]
    fn what_is_there_is_named_and_what_is_not_is_denied() {
        let text = version_and_modules();
        let line = text.lines().last().unwrap();
        assert!(line.starts_with("configure arguments: --"));
        let has = |word: &str| line.split(' ').any(|argument| argument == word);
        for argument in [
            "--with-http_ssl_module",
            "--without-http_gzip_module",
            "--without-http_fastcgi_module",
            "--without-http-cache",
        ] {
            assert!(has(argument), "{argument} in {line}");
        }
        for argument in ["--with-http_v2_module", "--without-http_proxy_module"] {
            assert!(!has(argument), "{argument} in {line}");
        }
    }
}
