//! One look at the hub, for a person who asks why the link does not stand: with the agent's token, beside the session
//! that may stand.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Uri;

use super::dial::Dial;
use super::{Config, Error};
use crate::clock;
use crate::model::causes::with_causes;
use crate::reach::{self, Reached, Target};
use crate::wire::v1;

/// What was found at a hub.
#[derive(Clone, Debug)]
pub struct Found {
    /// The way there.
    pub reached: Reached,
    /// What it says; `None` where it is too old to be asked.
    pub answer: Option<Answer>,
}

/// What a hub says to an agent whose token it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its version.
    pub version: String,
    /// The newest protocol that it speaks.
    pub protocol: u32,
    /// Its clock less this one's, ms.
    pub ahead_ms: i64,
    /// How long the answer took; the clocks are compared to half of it.
    pub took: Duration,
    /// Whether a session of the agent stands there.
    pub connected: bool,
    /// The boot of the agent's newest session there; empty where it never had one.
    pub boot_id: String,
}

/// What is in the way.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] Error),
    /// The way there.
    #[error(transparent)]
    Reach(#[from] reach::Trouble),
    /// The hub does not know the token.
    #[error("the hub does not take the token: {0}")]
    Token(String),
    /// The token is that of another agent.
    #[error("{0}")]
    NotYours(String),
    /// What answers there is no hub, or one that cannot answer at the moment.
    #[error("{0}")]
    Other(String),
    /// It took the connection and says nothing.
    #[error("it takes the connection, and does not answer as a hub within {} s", .0.as_secs())]
    Silent(Duration),
}

/// Looks at the hub as it is configured. Each step may take as long as `patience`.
///
/// # Errors
/// The first step that fails.
pub async fn probe(config: &Config, agent: &str, patience: Duration) -> Result<Found, Trouble> {
    let dial = Dial::new(config, agent)?;
    let reached = reach::reach(&target(config, patience)?).await?;
    let token = dial.token()?;
    let asked = async {
        let channel = dial.endpoint.connect().await.map_err(|e| Trouble::Other(with_causes(&e)))?;
        let mut request = tonic::Request::new(v1::CheckRequest { agent: agent.to_owned() });
        request.metadata_mut().insert("authorization", token);
        let (began, sent) = (clock::nanos(), clock::wall().micros());
        let answer = v1::hub_client::HubClient::new(channel).check(request).await;
        let took = Duration::from_nanos(clock::nanos().saturating_sub(began));
        match answer {
            Ok(answer) => {
                let answer = answer.into_inner();
                let half = i64::try_from(took.as_micros() / 2).unwrap_or(0);
                Ok(Some(Answer {
                    ahead_ms: answer.time.saturating_sub(sent.saturating_add(half)) / 1_000,
                    version: answer.version,
                    protocol: answer.protocol,
                    took,
                    connected: answer.connected,
                    boot_id: answer.boot_id,
                }))
            }
            Err(status) => match status.code() {
                Code::Unauthenticated => Err(Trouble::Token(status.message().to_owned())),
                Code::PermissionDenied => Err(Trouble::NotYours(status.message().to_owned())),
                // A web server says so too, in its own words, which the library translates.
                Code::Unimplemented if !status.message().contains("HTTP status") => Ok(None),
                Code::Unimplemented => {
                    Err(Trouble::Other("what answers there is a web server, and no hub".to_owned()))
                }
                code => Err(Trouble::Other(format!("{code:?}: {}", status.message()))),
            },
        }
    };
    let answer = timeout(patience, asked).await.unwrap_or(Err(Trouble::Silent(patience)))?;
    Ok(Found { reached, answer })
}

/// The address as it is looked at before gRPC is spoken.
fn target(config: &Config, patience: Duration) -> Result<Target, Error> {
    let wrong = |why: String| Error::Url { url: config.url.clone(), why };
    let uri: Uri = config.url.parse().map_err(|e| wrong(format!("{e}")))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    if !is_tls {
        return Ok(Target { host, port, tls: None, patience });
    }
    let roots = match &config.ca_file {
        Some(path) => {
            let unusable = |why: String| Error::File { key: "hub.ca_file", path: path.clone(), why };
            let pem = std::fs::read(path).map_err(|e| unusable(e.to_string()))?;
            reach::authorities(&pem).map_err(unusable)?
        }
        None => reach::public_authorities(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let name = config.server_name.clone().unwrap_or_else(|| host.clone());
    Ok(Target { host, port, tls: Some((Arc::new(tls), name)), patience })
}
