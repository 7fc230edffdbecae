//! TLS towards upstreams: `proxy_ssl_*`.

use keepline::Error;
use keepline::tls::{ClientTls, TlsVersion as Version};

use crate::config::{ProxyTls, TlsVersion};

/// How a scope speaks TLS to its upstream. Equal ones share connections and sessions.
pub(super) fn client_tls(tls: &ProxyTls) -> Result<ClientTls, Error> {
    let mut builder = ClientTls::builder()
        .send_server_name(tls.server_name)
        .resumption(tls.session_reuse);
    if !tls.verify {
        builder = builder.danger_skip_verification();
    } else if let Some(path) = &tls.trusted {
        builder = builder.root_pem(&std::fs::read(path)?);
    }
    if let Some(certificate) = &tls.certificate {
        let chain = std::fs::read(&certificate.chain)?;
        let key = std::fs::read(&certificate.key)?;
        builder = builder.client_certificate_pem(&chain, &key);
    }
    let version = |version: &TlsVersion| match version {
        TlsVersion::V12 => Version::Tls12,
        TlsVersion::V13 => Version::Tls13,
    };
    if let (Some(oldest), Some(newest)) = (tls.versions.iter().min(), tls.versions.iter().max()) {
        builder = builder.versions(version(oldest), version(newest));
    }
    builder.build()
}
