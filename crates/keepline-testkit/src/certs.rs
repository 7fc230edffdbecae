//! Certificates for tests: an authority that nobody trusts by default, and what it has signed.
//!
//! Made once per process and never stored, so there is no key to leak and none to expire. TLS
//! itself is not here: a test hands the PEM or DER to whatever library or program it tests.

use std::path::PathBuf;
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::ScratchDir;

/// A certificate.
#[derive(Debug, Clone)]
pub struct Cert {
    /// The certificate as PEM.
    pub pem: String,
    /// The certificate as DER.
    pub der: Vec<u8>,
}

/// A certificate with its private key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, signed by [`authority`].
    pub cert: Cert,
    /// The key as PEM (PKCS #8).
    pub key_pem: String,
    /// The key as DER (PKCS #8).
    pub key_der: Vec<u8>,
}

impl Identity {
    /// Writes the certificate and the key as PEM, for programs that want files, and answers their
    /// paths in this order.
    #[must_use]
    pub fn write_to(&self, dir: &ScratchDir) -> (PathBuf, PathBuf) {
        (
            dir.write("cert.pem", &self.cert.pem),
            dir.write("key.pem", &self.key_pem),
        )
    }
}

/// The authority that signed the identities of this module: what a client must trust.
#[must_use]
pub fn authority() -> &'static Cert {
    &authority_and_identities().authority
}

/// A good server: `localhost`, 127.0.0.1 and ::1.
#[must_use]
pub fn server() -> &'static Identity {
    &authority_and_identities().server
}

/// As [`server`], but expired since the year 2001.
#[must_use]
pub fn expired() -> &'static Identity {
    &authority_and_identities().expired
}

/// A server that is valid, but only as `elsewhere.test`.
#[must_use]
pub fn wrong_name() -> &'static Identity {
    &authority_and_identities().wrong_name
}

/// A client, for servers that ask for a certificate.
#[must_use]
pub fn client() -> &'static Identity {
    &authority_and_identities().client
}

struct Made {
    authority: Cert,
    client: Identity,
    server: Identity,
    expired: Identity,
    wrong_name: Identity,
}

fn authority_and_identities() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| make().expect("the parameters are valid"))
}

fn make() -> Result<Made, rcgen::Error> {
    const HERE: &[&str] = &["localhost", "127.0.0.1", "::1"];
    let issuer = CertifiedIssuer::self_signed(authority_params()?, KeyPair::generate()?)?;
    let mut out_of_date = server_params(HERE)?;
    out_of_date.not_before = date_time_ymd(2000, 1, 1);
    out_of_date.not_after = date_time_ymd(2001, 1, 1);
    Ok(Made {
        authority: Cert {
            pem: issuer.pem(),
            der: issuer.der().to_vec(),
        },
        client: sign(&client_params()?, &issuer)?,
        server: sign(&server_params(HERE)?, &issuer)?,
        expired: sign(&out_of_date, &issuer)?,
        wrong_name: sign(&server_params(&["elsewhere.test"])?, &issuer)?,
    })
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    params
        .distinguished_name
        .push(DnType::CommonName, "keepline test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server_params(names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "keepline test server");
    // Strict verifiers (Python's since 3.13) insist on these.
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn client_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = server_params(&[])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "keepline test client");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn sign(
    params: &CertificateParams,
    issuer: &CertifiedIssuer<'_, KeyPair>,
) -> Result<Identity, rcgen::Error> {
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, issuer)?;
    Ok(Identity {
        cert: Cert {
            pem: cert.pem(),
            der: cert.der().to_vec(),
        },
        key_pem: key.serialize_pem(),
        key_der: key.serialize_der(),
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::peers;

    #[test]
    fn they_are_made_once() {
        assert!(std::ptr::eq(server(), server()));
        assert!(authority().pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(server().key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    }

    /// OpenSSL's opinion, which shares no code with the library that made them.
    #[test]
    fn openssl_accepts_the_good_one_and_says_what_is_wrong_with_the_others() {
        let Some(openssl) = peers::require("openssl") else {
            return;
        };
        let scratch = ScratchDir::new("certs");
        let authority = scratch.write("authority.pem", &authority().pem);
        let verdict = |identity: &Identity, name: &str| {
            let cert = scratch.write("cert.pem", &identity.cert.pem);
            let output = Command::new(&openssl)
                .args([
                    "verify",
                    "-x509_strict",
                    "-purpose",
                    "sslserver",
                    "-verify_hostname",
                    name,
                ])
                .arg("-CAfile")
                .args([&authority, &cert])
                .output()
                .expect("openssl runs");
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        assert!(verdict(server(), "localhost").ends_with("OK\n"));
        assert!(verdict(expired(), "localhost").contains("certificate has expired"));
        assert!(verdict(wrong_name(), "localhost").contains("hostname mismatch"));
        assert!(verdict(wrong_name(), "elsewhere.test").ends_with("OK\n"));
    }
}
