//! The server's side of TLS: a certificate, and the handshake that shows it.
//!
//! It does not choose deadlines: whoever calls the handshake bounds it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::ReadBuf;
use tokio_rustls::TlsAcceptor;

use crate::error::{BoxError, Error, ErrorKind};
use crate::net::Stream;

const HTTP_1_1: &[u8] = b"http/1.1";

/// What a server shows to its clients.
#[derive(Clone)]
pub struct ServerTls(Source);

/// Where the configuration of a handshake comes from.
#[derive(Clone)]
enum Source {
    Fixed(Arc<ServerConfig>),
    Asked(Arc<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>),
}

impl ServerTls {
    /// From a certificate chain and its private key, both in PEM; the server's own certificate
    /// comes first. TLS 1.2 and 1.3, no client certificates, ALPN `http/1.1`.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`]: they do not parse, or do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(tls_error)?;
        if chain.is_empty() {
            return Err(tls_error("there is no certificate in the chain"));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(tls_error)?;
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(tls_error)?;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self(Source::Fixed(Arc::new(config))))
    }

    /// From two PEM files.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem); also if a file cannot be read.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, Error> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| tls_error(format!("{}: {error}", path.display())))
        };
        Self::from_pem(&read(chain.as_ref())?, &read(key.as_ref())?)
    }

    /// From a configuration of one's own, taken as it is: its ALPN list has to offer `http/1.1`
    /// (or nothing).
    #[must_use]
    pub const fn from_config(config: Arc<ServerConfig>) -> Self {
        Self(Source::Fixed(config))
    }

    /// From a configuration that is asked for at the begin of each handshake, so that it can change while
    /// the server runs: certificates are renewed. `None` is no TLS: the connection is plain. The ALPN list
    /// is as in [`from_config`](Self::from_config).
    ///
    /// `ask` is called by the task of the connection and must not block.
    pub fn from_fn(ask: impl Fn() -> Option<Arc<ServerConfig>> + Send + Sync + 'static) -> Self {
        Self(Source::Asked(Arc::new(ask)))
    }

    /// The same offering HTTP/2 first, unless its own configuration says what it offers.
    pub(crate) fn with_http2(&self) -> Self {
        // One that is asked for says itself what it offers.
        let Source::Fixed(config) = &self.0 else {
            return self.clone();
        };
        if config.alpn_protocols != [HTTP_1_1] {
            return self.clone();
        }
        let mut config = ServerConfig::clone(config);
        config.alpn_protocols = vec![b"h2".to_vec(), HTTP_1_1.to_vec()];
        Self(Source::Fixed(Arc::new(config)))
    }

    /// Shakes hands on a stream that has none of it.
    pub(crate) async fn handshake(&self, mut stream: Stream) -> Result<Handshake, Error> {
        let config = match &self.0 {
            Source::Fixed(config) => Arc::clone(config),
            Source::Asked(ask) => match ask() {
                Some(config) => config,
                None => return Ok(Handshake::Done(stream)),
            },
        };
        if is_plain_http(&mut stream).await? {
            return Ok(Handshake::PlainHttp(stream));
        }
        let plain = stream.into_plain();
        let tls = TlsAcceptor::from(config)
            .accept(plain)
            .await
            .map_err(tls_error)?;
        Ok(Handshake::Done(Stream::tls(tls)))
    }
}

/// How a handshake went that did not fail.
#[derive(Debug)]
pub(crate) enum Handshake {
    /// What was to be spoken is: TLS, unless there is to be none.
    Done(Stream),
    /// The client speaks plain HTTP; nothing has been read.
    PlainHttp(Stream),
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

fn tls_error(error: impl Into<BoxError>) -> Error {
    Error::caused(ErrorKind::Tls, error)
}

/// A TLS handshake begins with byte 22; a letter is the method of somebody who forgot the `s`.
#[expect(
    clippy::needless_pass_by_ref_mut,
    reason = "a shared reference to a stream cannot go to another thread"
)]
async fn is_plain_http(stream: &mut Stream) -> io::Result<bool> {
    poll_fn(move |cx| {
        let Some(tcp) = stream.tcp() else {
            return Poll::Ready(Ok(false));
        };
        let mut byte = [0];
        let peeked = tcp.poll_peek(cx, &mut ReadBuf::new(&mut byte));
        peeked.map_ok(|read| read > 0 && byte[0].is_ascii_uppercase())
    })
    .await
}
