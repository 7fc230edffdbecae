//! The certificate that is shown.

use keepline::tls::ServerTls;

use super::args::TlsArgs;
use crate::failure::Failure;

impl TlsArgs {
    /// https is served.
    pub(crate) fn is_on(&self) -> bool {
        self.tls_self_signed || self.tls_cert.is_some()
    }

    /// What is shown to clients, if https is served.
    pub(crate) fn server_tls(&self) -> Result<Option<ServerTls>, Failure> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => {
                ServerTls::from_pem_files(cert, key)
                    .map(Some)
                    .map_err(|error| {
                        Failure::new(error.to_string())
                            .help("--tls-cert and --tls-key take PEM files that belong together")
                    })
            }
            _ if self.tls_self_signed => Ok(Some(SelfSigned::make()?.server_tls()?)),
            _ => Ok(None),
        }
    }
}

/// A certificate for this machine, signed by nobody, and its key; in memory only.
pub(crate) struct SelfSigned {
    pub(crate) certificate_pem: String,
    key_pem: String,
}

impl SelfSigned {
    pub(crate) fn make() -> Result<Self, Failure> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names)
            .map_err(|error| Failure::new(format!("cannot make a certificate: {error}")))?;
        Ok(Self {
            certificate_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
        })
    }

    pub(crate) fn server_tls(&self) -> Result<ServerTls, Failure> {
        ServerTls::from_pem(self.certificate_pem.as_bytes(), self.key_pem.as_bytes())
            .map_err(|error| Failure::new(format!("cannot show the certificate: {error}")))
    }
}
