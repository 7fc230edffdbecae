//! A TLS server whose connections the test serves itself.

use std::net::SocketAddr;
use std::sync::Arc;

use keepline_testkit::certs::Identity;
use keepline_testkit::{RawClient, within};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The server's end of a connection, in the hands of the test.
pub(super) type Far = RawClient<TlsStream<TcpStream>>;

/// What a server shows, and asks for.
pub(super) struct Setup<'a> {
    pub(super) identity: &'a Identity,
    pub(super) versions: &'a [&'static SupportedProtocolVersion],
    /// The authority of the clients; `None`: none is asked.
    pub(super) clients: Option<&'a [u8]>,
    pub(super) alpn: &'a [&'a [u8]],
    pub(super) tickets: usize,
}

impl<'a> Setup<'a> {
    pub(super) const fn of(identity: &'a Identity) -> Self {
        Self {
            identity,
            versions: rustls::DEFAULT_VERSIONS,
            clients: None,
            alpn: &[],
            tickets: 2,
        }
    }

    fn config(&self) -> ServerConfig {
        let certificate = CertificateDer::from(self.identity.cert.der.clone());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.identity.key_der.clone()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .unwrap();
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.to_vec().into()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = self.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.send_tls13_tickets = self.tickets;
        config
    }
}

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    connections: mpsc::UnboundedReceiver<TlsStream<TcpStream>>,
}

impl Server {
    pub(super) async fn start(identity: &Identity) -> Self {
        Self::with(&Setup::of(identity)).await
    }

    pub(super) async fn with(setup: &Setup<'_>) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(setup.config()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (accepted, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                // What is sent leaves at once, and does not wait for the client's next packet.
                tcp.set_nodelay(true).unwrap();
                let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
                tokio::spawn(async move {
                    // A client that does not trust us leaves: its error is what is looked at.
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        let _ = accepted.send(tls);
                    }
                });
            }
        });
        Self { addr, connections }
    }

    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}/", self.addr.port())
    }

    pub(super) async fn accept(&mut self) -> Far {
        RawClient::over(self.accept_with(|_| ()).await.0)
    }

    /// The next connection, and what the test wants to know of its session.
    pub(super) async fn accept_with<T>(
        &mut self,
        ask: impl FnOnce(&ServerConnection) -> T,
    ) -> (TlsStream<TcpStream>, T) {
        let tls = within("a TLS connection", self.connections.recv()).await;
        let tls = tls.expect("the server accepts");
        let told = ask(tls.get_ref().1);
        (tls, told)
    }
}
