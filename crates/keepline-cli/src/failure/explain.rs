//! Whose fault it is that a request failed, and what to do about it.
//!
//! What fails on the way to a proxy, or at it, is not the origin's fault: whoever is blamed is
//! the one that the socket led to.

use std::error::Error as StdError;
use std::io;

use http::Uri;
use keepline::{ErrorKind, Phase, ProxyRefusal};

/// The system's error below one of the library, if there is one.
pub(crate) fn io_cause(error: &keepline::Error) -> Option<io::ErrorKind> {
    Cause::of(error).io
}

/// What lies below an error of the library, as far as it decides what to advise.
#[derive(Debug, Default)]
struct Cause {
    io: Option<io::ErrorKind>,
    text: String,
}

impl Cause {
    fn of(error: &keepline::Error) -> Self {
        let mut cause = Self::default();
        let mut next = error.source();
        while let Some(error) = next {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                cause.io = Some(io.kind());
            }
            cause.text = error.to_string();
            next = error.source();
        }
        cause
    }
}

/// The other end of the connection at which it went wrong.
#[derive(Debug)]
enum Peer {
    /// The server of the URL.
    Server(Uri),
    /// A proxy, as a URL.
    Proxy(Uri),
}

impl Peer {
    fn of(error: &keepline::Error, uri: &Uri) -> Self {
        match error.proxy() {
            None => Self::Server(uri.clone()),
            Some(proxy) => Self::Proxy(proxy.parse().unwrap_or_default()),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Server(_) => "server",
            Self::Proxy(_) => "proxy",
        }
    }

    const fn uri(&self) -> &Uri {
        match self {
            Self::Server(uri) | Self::Proxy(uri) => uri,
        }
    }

    fn host(&self) -> &str {
        self.uri().host().unwrap_or_default()
    }

    /// Host and port.
    fn place(&self) -> &str {
        self.uri().authority().map_or("", |place| place.as_str())
    }

    /// What to do besides, if it is a proxy that somebody has chosen.
    fn or_another(&self, help: String) -> String {
        match self {
            Self::Server(_) => help,
            Self::Proxy(_) => format!("{help}; -x PROXY asks another one, -x '' none"),
        }
    }
}

type Explained = (String, Option<String>);

/// Whose fault it is, and what to do.
pub(super) fn explain(error: &keepline::Error, uri: &Uri) -> Explained {
    let uri = error.redirected().unwrap_or(uri);
    explain_kind(error.kind(), &Cause::of(error), &Peer::of(error, uri))
}

fn explain_kind(kind: ErrorKind, cause: &Cause, peer: &Peer) -> Explained {
    let name = peer.name();
    match kind {
        ErrorKind::Resolve => explain_resolve(peer),
        ErrorKind::Connect => explain_connect(cause, peer),
        ErrorKind::Tls => explain_tls(cause, peer),
        ErrorKind::Proxy(refusal) => explain_proxy(refusal),
        ErrorKind::Timeout(phase) => explain_timeout(phase, peer),
        ErrorKind::Protocol(error) if error.is_incomplete() => (
            format!("the {name}'s: it closed the connection before the end of its answer"),
            None,
        ),
        ErrorKind::Protocol(keepline_proto::RemoteError::InvalidStatusLine) => (
            format!("the {name}'s: what it sent is not HTTP/1.1"),
            (peer.uri().scheme_str() == Some("http")).then(|| {
                let name = match peer {
                    Peer::Server(_) => "write",
                    Peer::Proxy(_) => "write -x",
                };
                format!("if TLS is expected on this port, {name} https://")
            }),
        ),
        ErrorKind::Protocol(_) => (
            format!("the {name}'s: its answer breaks the protocol"),
            None,
        ),
        ErrorKind::Http2 => (
            format!("the {name}'s: it reset the stream or ended the session"),
            Some("--http1 asks it without HTTP/2".to_owned()),
        ),
        ErrorKind::Io if cause.io == Some(io::ErrorKind::TimedOut) => (
            format!("the network's or the {name}'s: it acknowledged nothing for too long"),
            Some("--tcp-user-timeout and --tcp-keep-alive tell for how long".to_owned()),
        ),
        ErrorKind::Io => (
            format!("the network's or the {name}'s: the connection broke"),
            None,
        ),
        ErrorKind::Redirect => (
            "the server's: its redirects lead nowhere, or in a circle".to_owned(),
            Some("without -L the redirect itself is the answer; --trace shows the way".to_owned()),
        ),
        ErrorKind::InvalidRequest | ErrorKind::Misuse(_) | ErrorKind::Body => (
            "the request's: it cannot be sent as it was given".to_owned(),
            Some("look at -X, -H and -d".to_owned()),
        ),
        _ => ("ours".to_owned(), None),
    }
}

fn explain_resolve(peer: &Peer) -> Explained {
    let host = peer.host();
    let help = format!("is it spelt right? 'getent hosts {host}' asks this machine's resolver");
    (
        match peer {
            Peer::Server(_) => format!("the name's: no address is known for '{host}'"),
            Peer::Proxy(_) => format!("the proxy's name's: no address is known for '{host}'"),
        },
        Some(peer.or_another(help)),
    )
}

fn explain_connect(cause: &Cause, peer: &Peer) -> Explained {
    let (name, place) = (peer.name(), peer.place());
    match cause.io {
        Some(io::ErrorKind::ConnectionRefused) => {
            let help = format!(
                "is the {name} running, and on this port? 'ss -ltn' lists the open ports"
            );
            (
                format!("the {name}'s: nothing listens at {place}"),
                Some(peer.or_another(help)),
            )
        }
        Some(io::ErrorKind::AddrNotAvailable) => (
            "this machine's: no local port is free".to_owned(),
            Some(
                "closed connections keep their port for a minute (TIME-WAIT, see 'ss -s'): wait, or reuse connections"
                    .to_owned(),
            ),
        ),
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => (
            format!("the network's: there is no way to {place}"),
            Some("is this machine connected, and is a firewall in between?".to_owned()),
        ),
        _ => (
            format!("the network's or the {name}'s: {place} does not take connections"),
            None,
        ),
    }
}

fn explain_tls(cause: &Cause, peer: &Peer) -> Explained {
    const ACCEPT: &str =
        "--cacert FILE names the authority that signed it; -k accepts any certificate";
    let (name, text) = (peer.name(), &cause.text);
    // The words are rustls's; where they change, the general advice is what remains.
    if text.contains("UnknownIssuer") || text.contains("not trusted") {
        return (
            format!("the {name}'s certificate is signed by nobody that this machine trusts"),
            Some(ACCEPT.to_owned()),
        );
    }
    if text.contains("not valid for name") || text.contains("NotValidForName") {
        return (
            format!(
                "the {name}'s certificate is for another name than '{}'",
                peer.host()
            ),
            Some("ask it by a name in its certificate; -k accepts any certificate".to_owned()),
        );
    }
    if text.contains("xpired") {
        return (
            format!("the {name}'s certificate has expired, or this machine's clock is wrong"),
            Some("'date' tells the clock; -k accepts any certificate".to_owned()),
        );
    }
    if text.contains("CertificateRequired") {
        return (
            format!("ours: the {name} wants a certificate of the client"),
            Some(
                "--cert FILE shows one, with its key in the same file or in --key FILE".to_owned(),
            ),
        );
    }
    if text.contains("NoApplicationProtocol") || text.contains("by ALPN") {
        return (
            format!("the {name} speaks none of the versions of HTTP that it was offered"),
            Some("without --http2 or --http1 it has the choice".to_owned()),
        );
    }
    if text.contains("InvalidContentType") || text.contains("corrupt message") {
        let flag = match peer {
            Peer::Server(_) => "",
            Peer::Proxy(_) => "-x ",
        };
        return (
            format!("the {name} does not speak TLS on this port"),
            Some(format!("try {flag}http://{}", peer.place())),
        );
    }
    (
        format!("the {name}'s, or of the two sides together: they found no way to trust and talk"),
        Some(ACCEPT.to_owned()),
    )
}

fn explain_proxy(refusal: ProxyRefusal) -> Explained {
    const OTHER: &str = "-x PROXY asks another one, -x '' none";
    let credentials = "give it credentials: -x http://USER:PASSWORD@HOST:PORT";
    let (fault, help) = match refusal {
        ProxyRefusal::Status(status) if status.as_u16() == 407 => (
            "it wants credentials, or others than it was given",
            credentials,
        ),
        ProxyRefusal::Authentication => (
            "it wants credentials, or others than it was given",
            credentials,
        ),
        ProxyRefusal::Protocol => ("what it said opens no tunnel: is it a proxy?", OTHER),
        _ => ("it does not let us through", OTHER),
    };
    (format!("the proxy's: {fault}"), Some(help.to_owned()))
}

fn explain_timeout(phase: Phase, peer: &Peer) -> Explained {
    let name = peer.name();
    let (fault, flag) = match phase {
        Phase::Resolve => (
            format!("the resolver's: it said nothing of '{}'", peer.host()),
            "--connect-timeout",
        ),
        Phase::Connect => (
            format!("the network's or the {name}'s: nothing answers there, not even a refusal"),
            "--connect-timeout",
        ),
        Phase::Proxy => (
            "the proxy's: it opened no tunnel in time".to_owned(),
            "--tunnel-timeout",
        ),
        Phase::Handshake => (
            format!("the {name}'s, or the network's: TLS was not agreed on in time"),
            "--tls-timeout",
        ),
        Phase::Acquire => ("ours: all connections were busy".to_owned(), "--timeout"),
        _ => (
            format!("the {name}'s, or the network's: it did not answer in time"),
            "--timeout",
        ),
    };
    let help = format!("{flag} DUR gives it longer");
    (fault, Some(peer.or_another(help)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keepline_proto::RemoteError;

    fn explained(kind: ErrorKind, io: Option<io::ErrorKind>, text: &str) -> (String, String) {
        let server = Peer::Server(Uri::from_static("http://example.com:81/x"));
        explained_at(&server, kind, io, text)
    }

    fn explained_at(
        peer: &Peer,
        kind: ErrorKind,
        io: Option<io::ErrorKind>,
        text: &str,
    ) -> (String, String) {
        let cause = Cause {
            io,
            text: text.to_owned(),
        };
        let (fault, help) = explain_kind(kind, &cause, peer);
        (fault, help.unwrap_or_default())
    }

    #[test]
    fn a_refused_port_asks_whether_the_server_runs() {
        let (fault, help) = explained(
            ErrorKind::Connect,
            Some(io::ErrorKind::ConnectionRefused),
            "",
        );
        assert_eq!(fault, "the server's: nothing listens at example.com:81");
        assert!(help.contains("is the server running"));
    }

    /// Nothing that the proxy does is blamed on the server behind it.
    #[test]
    fn a_proxy_is_blamed_for_what_it_does() {
        let refused = Some(io::ErrorKind::ConnectionRefused);
        let status = |code| ErrorKind::Proxy(ProxyRefusal::Status(code));
        let timeout = ErrorKind::Timeout;
        let (wants, forbids) = (
            http::StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            http::StatusCode::FORBIDDEN,
        );
        let no_http = ErrorKind::Protocol(RemoteError::InvalidStatusLine);
        for (kind, fault, help) in [
            (ErrorKind::Resolve, "for 'proxy'", "-x ''"),
            (
                timeout(Phase::Proxy),
                "opened no tunnel in time",
                "--tunnel-timeout",
            ),
            (
                timeout(Phase::Connect),
                "the proxy's: nothing answers",
                "--connect-timeout",
            ),
            (
                timeout(Phase::Handshake),
                "the proxy's, or",
                "--tls-timeout",
            ),
            (status(wants), "wants credentials", "USER:PASSWORD"),
            (status(forbids), "does not let us through", "-x ''"),
            (no_http, "the proxy's: what it sent", "write -x https://"),
        ] {
            proxy_is_told(kind, None, "", (fault, help));
        }
        let nobody = (
            "the proxy's: nothing listens at proxy:3128",
            "is the proxy running",
        );
        proxy_is_told(ErrorKind::Connect, refused, "", nobody);
        for (text, fault, help) in [
            ("UnknownIssuer", "the proxy's certificate", "--cacert"),
            ("Expired", "has expired", "-k"),
            ("not valid for name", "for another name than 'proxy'", "-k"),
            (
                "InvalidContentType",
                "the proxy does not speak TLS",
                "try -x http://proxy:3128",
            ),
        ] {
            proxy_is_told(ErrorKind::Tls, None, text, (fault, help));
        }
    }

    fn proxy_is_told(
        kind: ErrorKind,
        io: Option<io::ErrorKind>,
        text: &str,
        (fault, help): (&str, &str),
    ) {
        let proxy = Peer::Proxy(Uri::from_static("http://proxy:3128"));
        let told = explained_at(&proxy, kind, io, text);
        assert!(told.0.contains(fault) && told.1.contains(help), "{told:?}");
        assert!(!told.0.contains("server"), "{told:?}");
    }

    #[test]
    fn an_unknown_host_is_named() {
        let (fault, help) = explained(ErrorKind::Resolve, None, "");
        assert!(fault.contains("'example.com'") && help.contains("getent hosts example.com"));
    }

    #[test]
    fn an_untrusted_certificate_leads_to_the_flags() {
        let text = "invalid peer certificate: UnknownIssuer";
        let (_, help) = explained(ErrorKind::Tls, None, text);
        assert!(help.contains("-k") && help.contains("--cacert"));
    }

    #[test]
    fn a_server_that_wants_a_certificate_leads_to_the_flag() {
        let text = "received fatal alert: CertificateRequired";
        let (_, help) = explained(ErrorKind::Tls, None, text);
        assert!(help.contains("--cert FILE"));
    }

    #[test]
    fn no_tls_there_leads_to_http() {
        let text = "received corrupt message of type InvalidContentType";
        let (_, help) = explained(ErrorKind::Tls, None, text);
        assert_eq!(help, "try http://example.com:81");
    }

    #[test]
    fn a_peer_that_breaks_off_is_blamed() {
        let incomplete = RemoteError::IncompleteBody { missing: Some(3) };
        let (fault, _) = explained(ErrorKind::Protocol(incomplete), None, "");
        assert!(fault.starts_with("the server's"));
    }

    #[test]
    fn used_up_ports_explain_time_wait() {
        let (_, help) = explained(
            ErrorKind::Connect,
            Some(io::ErrorKind::AddrNotAvailable),
            "",
        );
        assert!(help.contains("TIME-WAIT"));
    }
}
