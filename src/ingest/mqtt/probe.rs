//! One look at a broker, for a person who asks why nothing comes: as a client of its own, whose session is none of the
//! agent's, and which leaves nothing behind.

use std::time::Duration;

use tokio::time::timeout;

use super::face::{self, Events, Happening};
use super::tls;
use crate::clock;
use crate::ingest::config::{BrokerConfig, ConfigError};
use crate::reach::{self, Reached, Target};

/// What a broker grants to a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// How many unacknowledged messages it works with (MQTT 5).
    pub receive_maximum: Option<u16>,
    /// The greatest quality of service.
    pub max_qos: Option<u8>,
    /// The keep-alive that it insists on, seconds (MQTT 5).
    pub keep_alive: Option<u16>,
    /// Whether filters with `+` and `#` are refused as such.
    pub no_wildcards: bool,
}

/// What was found at a broker.
#[derive(Clone, Debug)]
pub struct Found {
    /// The way there.
    pub reached: Reached,
    /// How long it took from the connection to the broker's consent.
    pub login: Duration,
    /// What it grants.
    pub granted: Granted,
    /// The filters that it does not let this client subscribe to, and why.
    pub refused: Vec<(String, String)>,
    /// Whether it answered the subscription.
    pub subscribed: bool,
}

/// What is in the way.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The way there.
    #[error(transparent)]
    Reach(#[from] reach::Trouble),
    /// The broker says no, or goes: as a sentence, which may end with what to do, behind a semicolon.
    #[error("{0}")]
    Refused(String),
    /// It took the connection and says nothing.
    #[error("it takes the connection, and does not answer as a broker within {} s", .0.as_secs())]
    Silent(Duration),
}

/// Looks at a broker as it is configured, and asks whether the filters could be subscribed to. Each step may take as
/// long as `patience`.
///
/// # Errors
/// The first step that fails.
pub async fn probe(config: &BrokerConfig, filters: &[String], patience: Duration) -> Result<Found, Trouble> {
    let mut own = config.clone();
    let base = config.client_id.as_deref().unwrap_or("weir");
    // What begins as the agent's is allowed where rights go by the beginning of the client id.
    own.client_id = Some(format!("{base}-doctor-{:04x}", fastrand::u16(..)));
    own.session_expiry = Duration::ZERO;
    let settings = own.resolve()?;
    let tls = settings.tls.as_ref().map(|files| tls::client(&own.name, files)).transpose()?;
    let reached = reach::reach(&Target {
        host: settings.endpoint.host.clone(),
        port: settings.endpoint.port,
        tls: tls.clone().map(|tls| (tls, settings.endpoint.host.clone())),
        patience,
    })
    .await?;
    let began = clock::nanos();
    let (requests, mut events) = face::open(&own, &settings, tls).map_err(|why| ConfigError::Value {
        source_name: own.name.clone(),
        key: "url",
        why,
    })?;
    let granted = wait(&mut events, patience, |happening| match happening {
        Happening::Connected { granted, .. } => Some(granted),
        _ => None,
    })
    .await?;
    let login = Duration::from_nanos(clock::nanos().saturating_sub(began));
    let mut found = Found { reached, login, granted, refused: Vec::new(), subscribed: filters.is_empty() };
    if !filters.is_empty() && requests.subscribe(filters, own.qos) {
        let answered = wait(&mut events, patience, |happening| match happening {
            Happening::Subscribed(answers) => Some(answers),
            _ => None,
        });
        // A broker that ends the connection for a filter refuses them all.
        match answered.await {
            Ok(answers) => {
                found.subscribed = true;
                let refused = filters.iter().zip(answers);
                found.refused = refused.filter_map(|(filter, why)| Some((filter.clone(), why?))).collect();
            }
            Err(Trouble::Silent(_)) => {}
            Err(other) => {
                found.refused = filters.iter().map(|filter| (filter.clone(), other.to_string())).collect();
            }
        }
    }
    if requests.disconnect() {
        drop(timeout(GOODBYE, async { while events.poll().await.is_ok() {} }).await);
    }
    Ok(found)
}

/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_millis(300);

async fn wait<T>(
    events: &mut Events,
    patience: Duration,
    wanted: impl Fn(Happening) -> Option<T>,
) -> Result<T, Trouble> {
    let found = async {
        loop {
            match events.poll().await {
                Ok(happening) => {
                    if let Some(found) = wanted(happening) {
                        return Ok(found);
                    }
                }
                Err(lost) => return Err(Trouble::Refused(lost.why)),
            }
        }
    };
    timeout(patience, found).await.unwrap_or(Err(Trouble::Silent(patience)))
}
