//! One look at an address: has its name an address, does something listen there, can its certificate be believed. For
//! people who ask why a connection does not come about; the connections themselves are their libraries' matter.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clock;
use crate::model::certificate::validity;
use crate::model::time::Timestamp;
use crate::tasks;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Target {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The client for TLS, and the name that the certificate must have; `None` where it is plain text.
    pub tls: Option<(Arc<ClientConfig>, String)>,
    /// How long each step may take.
    pub patience: Duration,
}

/// What answers there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Where.
    pub address: SocketAddr,
    /// How long the connection took, without the name.
    pub connect: Duration,
    /// Who answers, under TLS.
    pub peer: Option<Peer>,
}

/// The other end of a TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As in `TLS 1.3`.
    pub version: &'static str,
    /// From when until when its certificate is valid, where that can be read.
    pub valid: Option<(Timestamp, Timestamp)>,
}

/// How far it went, where nothing answers as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The name has no address.
    #[error("the name `{host}` has no address: {why}")]
    Name {
        /// The name.
        host: String,
        /// What the system said.
        why: String,
    },
    /// The machine is there, and nothing listens.
    #[error("nothing listens on {address}: the connection is refused")]
    Refused {
        /// Where.
        address: SocketAddr,
    },
    /// Nothing comes back.
    #[error("{address} does not answer within {} s", after.as_secs())]
    Silent {
        /// Where.
        address: SocketAddr,
        /// How long it was waited.
        after: Duration,
    },
    /// The network does not carry it.
    #[error("{address} cannot be reached: {why}")]
    Network {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        why: String,
    },
    /// It is not TLS that it speaks, or none that both know.
    #[error("TLS with {address} fails: {why}")]
    Tls {
        /// Where.
        address: SocketAddr,
        /// What the library said.
        why: String,
    },
    /// Its certificate is not to be believed.
    #[error("the certificate of {address} is not accepted: {distrust}")]
    Certificate {
        /// Where.
        address: SocketAddr,
        /// Why not.
        distrust: Distrust,
    },
}

/// Why a certificate is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// No known authority signed it.
    #[error("no authority that is trusted here has signed it")]
    Issuer,
    /// It is over.
    #[error("it expired{}", dated(*.0))]
    Expired(Option<Timestamp>),
    /// It is not good yet.
    #[error("it is not valid yet{}", dated(*.0))]
    TooEarly(Option<Timestamp>),
    /// It is another's.
    #[error("it is not for this name{}", if .0.is_empty() { String::new() } else { format!(", but for {}", .0.join(", ")) })]
    Name(Vec<String>),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

fn dated(at: Option<Timestamp>) -> String {
    at.map(|at| format!(" ({at})")).unwrap_or_default()
}

/// Looks.
///
/// # Errors
/// The first step that fails.
pub async fn reach(target: &Target) -> Result<Reached, Trouble> {
    let (address, connect, stream) = connect(target).await?;
    let peer = match &target.tls {
        None => None,
        Some((config, name)) => {
            let (config, name, patience) = (Arc::clone(config), name.clone(), target.patience);
            let shaken = tasks::spawn_blocking(move || shake_hands(stream, config, name, patience)).await;
            let tls = |why: String| Trouble::Tls { address, why };
            match shaken.map_err(|error| tls(error.to_string()))? {
                Ok(peer) => Some(peer),
                Err(error) => return Err(trouble(address, target.patience, &error)),
            }
        }
    };
    Ok(Reached { address, connect, peer })
}

/// Connects to the first address that takes it.
async fn connect(target: &Target) -> Result<(SocketAddr, Duration, TcpStream), Trouble> {
    let no_name = |why: String| Trouble::Name { host: target.host.clone(), why };
    let looked_up = tokio::net::lookup_host((target.host.as_str(), target.port));
    let addresses: Vec<SocketAddr> = match timeout(target.patience, looked_up).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(no_name(error.to_string())),
        Err(_) => {
            return Err(no_name(format!("no answer within {} s", target.patience.as_secs())));
        }
    };
    let mut last = no_name("the answer is empty".to_owned());
    for address in addresses {
        let began = clock::nanos();
        match timeout(target.patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let took = Duration::from_nanos(clock::nanos().saturating_sub(began));
                return Ok((address, took, stream));
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                last = Trouble::Refused { address };
            }
            Ok(Err(error)) => last = Trouble::Network { address, why: error.to_string() },
            Err(_) => last = Trouble::Silent { address, after: target.patience },
        }
    }
    Err(last)
}

/// The handshake; it blocks, and no longer than it is waited for.
fn shake_hands(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    name: String,
    patience: Duration,
) -> io::Result<Peer> {
    let mut stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        if connection.complete_io(&mut stream)? == (0, 0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let first = connection.peer_certificates().and_then(|chain| chain.first());
    Ok(Peer { version, valid: first.and_then(|certificate| validity(certificate)) })
}

fn trouble(address: SocketAddr, after: Duration, error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Trouble::Silent { address, after },
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            return Trouble::Tls { address, why: "it closed the connection".to_owned() };
        }
        _ => {}
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            Trouble::Certificate { address, distrust: distrust(why) }
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            Trouble::Tls { address, why: "what it speaks is no TLS".to_owned() }
        }
        _ => Trouble::Tls { address, why: error.to_string() },
    }
}

fn distrust(why: &CertificateError) -> Distrust {
    let at = |time: &UnixTime| {
        i64::try_from(time.as_secs()).ok().map(|s| Timestamp::from_millis(s.saturating_mul(1_000)))
    };
    match why {
        CertificateError::UnknownIssuer => Distrust::Issuer,
        CertificateError::Expired => Distrust::Expired(None),
        CertificateError::ExpiredContext { not_after, .. } => Distrust::Expired(at(not_after)),
        CertificateError::NotValidYet => Distrust::TooEarly(None),
        CertificateError::NotValidYetContext { not_before, .. } => Distrust::TooEarly(at(not_before)),
        CertificateError::NotValidForName => Distrust::Name(Vec::new()),
        CertificateError::NotValidForNameContext { presented, .. } => Distrust::Name(presented.clone()),
        other => Distrust::Other(other.to_string()),
    }
}

/// Whether a host is this machine itself, by its name or address.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The authorities that the system trusts. On a system that names none, those that the program was built with (Mozilla's).
pub fn public_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// The authorities of a PEM file.
///
/// # Errors
/// A sentence, where there is none, or one that is damaged.
pub fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|e| format!("it holds a certificate that cannot sign others ({e})"))?;
    }
    Ok(roots)
}

/// The certificates of a PEM file.
///
/// # Errors
/// A sentence, where there is none.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("it is damaged ({e})"))?;
    if list.is_empty() {
        return Err("it holds no certificate in PEM form".to_owned());
    }
    Ok(list)
}
