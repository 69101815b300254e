//! Everything that dialling takes, read and checked once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri};
use tonic::{Code, Status, Streaming};

use crate::model::causes::with_causes;
use crate::model::link::LinkStatus;
use crate::reach::{self, is_loopback};
use crate::wire::pack::Packing;
use crate::wire::v1;

use super::retry::End;
use super::socket::Connector;
use super::{Config, Error};

/// How long a dial may take, up to the hub's welcome. That is three ways there and back, each of which a lost packet
/// makes longer: over a link that takes 2 s each way and loses a third no shorter one would ever come through.
pub(super) const PATIENCE: Duration = Duration::from_secs(45);

/// How long a sign of life may take that was asked for.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// The largest message that the hub may send: a rule set, whose file is 16 MiB at most, with the
/// addresses of its items and what JSON adds.
const LARGEST_MESSAGE: usize = 32 << 20;

/// See the module.
pub(super) struct Dial {
    pub(super) endpoint: Endpoint,
    token_file: PathBuf,
    /// Whether the hub takes compressed messages, as far as is known.
    packs: AtomicBool,
}

impl Dial {
    pub(super) fn new(config: &Config, agent: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::Url { url: config.url.clone(), why };
        let uri: Uri = config.url.parse().map_err(|e| wrong(format!("{e}")))?;
        let mut endpoint = Endpoint::from(uri.clone())
            .connect_timeout(PATIENCE)
            .http2_keep_alive_interval(config.keep_alive)
            .keep_alive_timeout(SIGN_OF_LIFE)
            .keep_alive_while_idle(true)
            // Small windows: rules come in small pieces, and memory is dear here.
            .initial_stream_window_size(64 * 1024)
            .initial_connection_window_size(128 * 1024);
        match uri.scheme_str() {
            Some("https") => {
                endpoint = endpoint.tls_config(tls(config)?).map_err(|e| wrong(e.to_string()))?;
            }
            Some("http") if is_loopback(uri.host().unwrap_or("")) => {}
            Some("http") => return Err(Error::Plain { url: config.url.clone() }),
            _ => return Err(wrong("it has no scheme that is known here".to_owned())),
        }
        let token_file =
            config.token_file.clone().ok_or_else(|| Error::NoToken { agent: agent.to_owned() })?;
        let dial = Self { endpoint, token_file, packs: AtomicBool::new(true) };
        dial.token()?;
        Ok(dial)
    }

    /// Dials, and opens the session that sends what comes out of `outgoing`. What the connection carries is counted in
    /// the link's state.
    pub(super) async fn open(
        &self,
        link: &watch::Sender<LinkStatus>,
        outgoing: ReceiverStream<v1::AgentMessage>,
    ) -> Result<Streaming<v1::HubMessage>, End> {
        let connector = Connector::new(PATIENCE, link.clone());
        let connecting = self.endpoint.connect_with_connector(connector);
        let channel: Channel =
            connecting.await.map_err(|e| End::because(format!("dial: {}", with_causes(&e))))?;
        let mut request = tonic::Request::new(outgoing);
        let token = self.token().map_err(|error| End::because(error.to_string()))?;
        request.metadata_mut().insert("authorization", token);
        let opened = if self.packs.load(Ordering::Relaxed) {
            let client = v1::hub_client::HubClient::new(Packing(channel));
            let client = client.accept_compressed(tonic::codec::CompressionEncoding::Zstd);
            client.max_decoding_message_size(LARGEST_MESSAGE).session(request).await
        } else {
            let client = v1::hub_client::HubClient::new(channel);
            client.max_decoding_message_size(LARGEST_MESSAGE).session(request).await
        };
        Ok(opened.map_err(|status| self.refused(status))?.into_inner())
    }

    /// A hub that takes nothing compressed says so, and is dialled again without.
    fn refused(&self, status: Status) -> End {
        if status.code() == Code::Unimplemented
            && status.metadata().contains_key("grpc-accept-encoding")
            && self.packs.swap(false, Ordering::Relaxed)
        {
            return End::because("the hub takes no zstd; dialling again without it");
        }
        status.into()
    }

    /// The token as the file has it at the moment: it may have been renewed.
    pub(super) fn token(&self) -> Result<MetadataValue<Ascii>, Error> {
        let file = &self.token_file;
        let unusable = |why: String| Error::File { key: "hub.token_file", path: file.clone(), why };
        let token = std::fs::read_to_string(file).map_err(|e| unusable(e.to_string()))?;
        format!("Bearer {}", token.trim())
            .parse()
            .map_err(|_| unusable("it holds characters that no token has".to_owned()))
    }
}

fn tls(config: &Config) -> Result<ClientTlsConfig, Error> {
    let mut tls = ClientTlsConfig::new();
    tls = match &config.ca_file {
        Some(file) => tls.ca_certificate(Certificate::from_pem(read("hub.ca_file", file)?)),
        None => tls.trust_anchors(reach::public_authorities().roots),
    };
    if let Some(name) = &config.server_name {
        tls = tls.domain_name(name.clone());
    }
    Ok(tls)
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| Error::File { key, path: path.to_owned(), why: e.to_string() })
}
