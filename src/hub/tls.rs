//! HTTPS for the API: connections are accepted and shake hands beside each other, so that a client
//! that stalls in its handshake holds up nobody.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tasks::{self, Stop};

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How many finished handshakes may wait for the server to take them.
const WAITING: usize = 64;
/// How long accepting rests after an error such as too many open files.
const REST: Duration = Duration::from_millis(200);

/// A certificate chain and its key, PEM.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl Identity {
    /// # Errors
    /// Where a file cannot be read.
    pub(super) fn read(cert: &Path, key: &Path) -> io::Result<Self> {
        let read = |path: &Path| {
            fs::read(path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        };
        Ok(Self { cert: read(cert)?, key: read(key)? })
    }

    /// # Errors
    /// Where the PEM holds no certificate or key, or they do not fit each other.
    pub(super) fn server_config(&self) -> Result<ServerConfig, String> {
        let chain = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("the certificate file: {error}"))?;
        let key =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| format!("the key file: {error}"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// A listener whose connections have shaken hands.
pub(super) struct TlsListener {
    local: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    pub(super) fn start(tcp: TcpListener, config: ServerConfig, stop: Stop) -> io::Result<Self> {
        let local = tcp.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (done, ready) = mpsc::channel(WAITING);
        // Ends with the stop signal; its handshakes end by their own time limit.
        drop(tasks::spawn("hub-tls", accept(tcp, acceptor, done, stop)));
        Ok(Self { local, ready })
    }
}

async fn accept(
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    done: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
    stop: Stop,
) {
    loop {
        let accepted = tokio::select! {
            accepted = tcp.accept() => accepted,
            () = stop.stopped() => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTPS connection");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        super::at_once(&stream);
        let (acceptor, done) = (acceptor.clone(), done.clone());
        drop(tasks::spawn("hub-tls-handshake", async move {
            match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(done.send((stream, from)).await),
                Ok(Err(error)) => tracing::debug!(%error, %from, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%from, "a TLS handshake took too long"),
            }
        }));
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The hub stops: there will be no more.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.local)
    }
}
