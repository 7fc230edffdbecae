//! What the user is told when something fails: what, whose fault, and what to do about it.

use std::error::Error as StdError;
use std::io;
use std::process::ExitCode;

use http::Uri;
use keepline::{ErrorKind, Phase, ProxyRefusal};

/// Exit status for a command line that cannot be understood.
pub(crate) const WRONG_USAGE: u8 = 2;

/// How a sub-command that ran to its end turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Exit status 0.
    AllWell,
    /// Exit status 1; what failed has been said.
    SomethingFailed,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::AllWell => Self::SUCCESS,
            Verdict::SomethingFailed => Self::FAILURE,
        }
    }
}

/// Why a sub-command ended before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was called wrongly, in a way that only shows when arguments are seen together.
    Usage(clap::Error),
    /// Standard output could not be written; a closed pipe among others.
    Output(io::Error),
    /// It could not do what it was asked for.
    Failed(Failure),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Stop {
    /// Arguments that do not go together.
    pub(crate) fn conflict(subcommand: &str, message: impl std::fmt::Display) -> Self {
        use clap::CommandFactory;
        let mut command = crate::args::Cli::command();
        // Built, so that the usage line names the sub-command in full.
        command.build();
        let command = command
            .find_subcommand_mut(subcommand)
            .expect("a sub-command names itself");
        Self::Usage(command.error(clap::error::ErrorKind::ArgumentConflict, message))
    }
}

/// A message in three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What failed, in one line.
    pub(crate) what: String,
    /// Whose fault it is, and why.
    pub(crate) fault: Option<String>,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fault: None,
            help: None,
        }
    }

    pub(crate) fn fault(mut self, fault: impl Into<String>) -> Self {
        self.fault = Some(fault.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Standard output, or the file that stands for it, cannot be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        Self::new(format!("cannot write the output: {error}"))
    }

    /// A file that was named cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::new(format!("{}: {error}", path.display()))
    }

    /// A request failed.
    pub(crate) fn request(error: &keepline::Error, url: &str) -> Self {
        let uri = url.parse().unwrap_or_default();
        let (fault, help) = explain(error.kind(), &Cause::of(error), &uri);
        Self {
            what: format!("{url}: {error}"),
            fault: Some(fault),
            help,
        }
    }
}

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

/// Whose fault it is, and what to do.
fn explain(kind: ErrorKind, cause: &Cause, uri: &Uri) -> (String, Option<String>) {
    let host = uri.host().unwrap_or_default();
    match kind {
        ErrorKind::Resolve => (
            format!("the name's: no address is known for '{host}'"),
            Some(format!(
                "is it spelt right? 'getent hosts {host}' asks this machine's resolver"
            )),
        ),
        ErrorKind::Connect => explain_connect(cause, uri),
        ErrorKind::Tls => explain_tls(cause, uri),
        ErrorKind::Proxy(refusal) => explain_proxy(refusal),
        ErrorKind::Timeout(phase) => explain_timeout(phase),
        ErrorKind::Protocol(error) if error.is_incomplete() => (
            "the server's: it closed the connection before the end of its answer".to_owned(),
            None,
        ),
        ErrorKind::Protocol(keepline_proto::RemoteError::InvalidStatusLine) => (
            "the server's: what it sent is not HTTP/1.1".to_owned(),
            (uri.scheme_str() == Some("http"))
                .then(|| "if the server expects TLS on this port, write https://".to_owned()),
        ),
        ErrorKind::Protocol(_) => (
            "the server's: its answer breaks the protocol".to_owned(),
            None,
        ),
        ErrorKind::Io => (
            "the network's or the server's: the connection broke".to_owned(),
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

fn explain_connect(cause: &Cause, uri: &Uri) -> (String, Option<String>) {
    let place = uri.authority().map_or("", |authority| authority.as_str());
    match cause.io {
        Some(io::ErrorKind::ConnectionRefused) => (
            format!("the server's: nothing listens at {place}"),
            Some("is the server running, and on this port? 'ss -ltn' lists the open ports".to_owned()),
        ),
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
        _ => (format!("the network's or the server's: {place} does not take connections"), None),
    }
}

fn explain_tls(cause: &Cause, uri: &Uri) -> (String, Option<String>) {
    // The words are rustls's; where they change, the general advice is what remains.
    let text = &cause.text;
    if text.contains("UnknownIssuer") || text.contains("not trusted") {
        return (
            "the server's certificate is signed by nobody that this machine trusts".to_owned(),
            Some(
                "--cacert FILE names the authority that signed it; -k accepts any certificate"
                    .to_owned(),
            ),
        );
    }
    if text.contains("CertificateRequired") {
        return (
            "ours: the server wants a certificate of the client".to_owned(),
            Some(
                "--cert FILE shows one, with its key in the same file or in --key FILE".to_owned(),
            ),
        );
    }
    if text.contains("InvalidContentType") || text.contains("corrupt message") {
        return (
            "the server does not speak TLS on this port".to_owned(),
            Some(format!(
                "try http://{}",
                uri.authority().map_or("", |authority| authority.as_str())
            )),
        );
    }
    (
        "the server's, or of the two sides together: they found no way to trust and talk"
            .to_owned(),
        Some(
            "-k accepts any certificate; --cacert FILE names the authority that signed it"
                .to_owned(),
        ),
    )
}

fn explain_proxy(refusal: ProxyRefusal) -> (String, Option<String>) {
    let wants_credentials = match refusal {
        ProxyRefusal::Status(status) => status.as_u16() == 407,
        ProxyRefusal::Authentication => true,
        _ => false,
    };
    (
        "the proxy's: it does not let us through".to_owned(),
        Some(if wants_credentials {
            "give it credentials: -x http://USER:PASSWORD@HOST:PORT".to_owned()
        } else {
            "-x PROXY asks another one, -x '' none".to_owned()
        }),
    )
}

fn explain_timeout(phase: Phase) -> (String, Option<String>) {
    let fault = match phase {
        Phase::Connect => {
            "the network's or the server's: nothing answers there, not even a refusal"
        }
        Phase::Acquire => "ours: all connections were busy",
        _ => "the server's, or the network's: it did not answer in time",
    };
    (
        fault.to_owned(),
        Some("--timeout DUR gives it longer".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use keepline_proto::RemoteError;

    fn explained(kind: ErrorKind, io: Option<io::ErrorKind>, text: &str) -> (String, String) {
        let cause = Cause {
            io,
            text: text.to_owned(),
        };
        let uri = Uri::from_static("http://example.com:81/x");
        let (fault, help) = explain(kind, &cause, &uri);
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
