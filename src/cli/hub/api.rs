//! A client of the hub's API, and of its event stream.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rustls::ClientConfig;
use serde_json::Value as Json;

use super::Connection;
use crate::hub::Config;
use crate::hub::record::TransitionRecord;
use crate::reach;

const TIMEOUT: Duration = Duration::from_secs(30);
/// How long after a lost event stream it is asked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Api {
    client: Client,
    base: String,
    token: String,
}

/// What the hub answered: a success, or a rule set that it refused.
pub(super) struct Reply {
    pub(super) ok: bool,
    pub(super) body: Json,
}

impl Api {
    pub(super) fn connect(connection: &Connection) -> Result<Self> {
        // An error means that a provider was chosen already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut roots = reach::public_authorities();
        if let Some(ca) = &connection.ca {
            let pem = std::fs::read(ca).with_context(|| format!("read {}", ca.display()))?;
            let named = reach::authorities(&pem).map_err(|why| anyhow!("{}: {why}", ca.display()))?;
            roots.extend(named.roots);
        }
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let client =
            Client::builder().no_proxy().connect_timeout(TIMEOUT).tls_backend_preconfigured(tls).build()?;
        Ok(Self {
            client,
            base: format!("{}/api/v1", connection.hub.trim_end_matches('/')),
            token: token(connection.token_file.as_deref())?,
        })
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply> {
        let request = self.client.get(format!("{}{path}{}", self.base, query_text(query)));
        self.send(request).await
    }

    /// A list of transitions, whose values stay in the order of their columns.
    pub(super) async fn transitions(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<TransitionRecord>> {
        let request = self.client.get(format!("{}{path}{}", self.base, query_text(query)));
        let (status, text) = self.fetch(request).await?;
        if !status.is_success() {
            bail!("{}", refusal(status, &text));
        }
        serde_json::from_str(&text).context("read the hub's answer")
    }

    pub(super) async fn put(&self, path: &str, query: &[(&str, &str)], body: String) -> Result<Reply> {
        let request = self.client.put(format!("{}{path}{}", self.base, query_text(query)));
        self.send(request.body(body)).await
    }

    /// The transitions after the hub's number `after`, without an end.
    pub(super) fn follow(&self, after: i64) -> Follower<'_> {
        Follower { api: self, after, stream: None, buffer: Vec::new(), ready: VecDeque::new() }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply> {
        let (status, text) = self.fetch(request).await?;
        if status.is_success() || status == StatusCode::UNPROCESSABLE_ENTITY {
            let body = serde_json::from_str(&text).context("read the hub's answer")?;
            return Ok(Reply { ok: status.is_success(), body });
        }
        bail!("{}", refusal(status, &text))
    }

    async fn fetch(&self, request: RequestBuilder) -> Result<(StatusCode, String)> {
        let response = request.bearer_auth(&self.token).timeout(TIMEOUT).send().await;
        let response = response.with_context(|| format!("reach the hub at {}; does it run?", self.base))?;
        Ok((response.status(), response.text().await?))
    }
}

fn refusal(status: StatusCode, text: &str) -> String {
    let body: Json = serde_json::from_str(text).unwrap_or_default();
    match (body["error"].as_str(), body["hint"].as_str()) {
        (Some(error), Some(hint)) => format!("the hub says: {error}; {hint}"),
        _ => format!("the hub answers {status}: {text}"),
    }
}

/// Follows the event stream through lost connections: nothing is skipped.
pub(super) struct Follower<'a> {
    api: &'a Api,
    after: i64,
    stream: Option<Response>,
    buffer: Vec<u8>,
    ready: VecDeque<TransitionRecord>,
}

impl Follower<'_> {
    pub(super) async fn next(&mut self) -> Result<TransitionRecord> {
        loop {
            if let Some(transition) = self.ready.pop_front() {
                self.after = transition.id;
                return Ok(transition);
            }
            if self.stream.is_none() {
                self.open().await?;
            }
            let Some(stream) = &mut self.stream else {
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            };
            match stream.chunk().await {
                Ok(Some(chunk)) => {
                    self.buffer.extend_from_slice(&chunk);
                    self.split();
                }
                Ok(None) | Err(_) => {
                    self.stream = None;
                    self.buffer.clear();
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Opens the stream; leaves it closed where the hub cannot be reached at the moment.
    async fn open(&mut self) -> Result<()> {
        let request = self.api.client.get(format!("{}/events?after={}", self.api.base, self.after));
        match request.bearer_auth(&self.api.token).send().await {
            Ok(response) if response.status().is_success() => self.stream = Some(response),
            Ok(response) if response.status().is_client_error() => {
                bail!("the hub answers {}", response.status())
            }
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }

    /// Takes the whole events out of the buffer.
    fn split(&mut self) {
        while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let event = String::from_utf8_lossy(&event);
            if event.lines().any(|line| line == "event: transition") {
                let data: String = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                self.ready.extend(serde_json::from_str::<TransitionRecord>(&data));
            }
        }
    }
}

fn token(file: Option<&Path>) -> Result<String> {
    if file.is_none()
        && let Ok(token) = std::env::var("WEIR_HUB_TOKEN")
    {
        return Ok(token.trim().to_owned());
    }
    let path = file.map_or_else(|| Config::default().api_token_path(), Path::to_owned);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("read the API's token from {}; name its file with --token-file", path.display())
    })?;
    Ok(text.trim().to_owned())
}

fn query_text(query: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (i, (name, value)) in query.iter().enumerate() {
        text.push(if i == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    text
}
