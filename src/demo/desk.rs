//! The demo's person at the hub: pushes rules and reads alerts through the API, as anybody would.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, RequestBuilder};
use serde_json::Value as Json;

use crate::hub::record::TransitionRecord;
use crate::model::diagnostic::Diagnostic;

const TIMEOUT: Duration = Duration::from_secs(10);
/// How many transitions are read at once.
const PAGE: u32 = 200;

/// A client of the hub's API.
pub(super) struct Desk {
    client: Client,
    base: String,
    token: String,
    /// The hub's number of the last transition that was read.
    last: i64,
}

/// What the hub made of a pushed rule set.
pub(super) struct Pushed {
    pub(super) rules: usize,
    pub(super) revision: u64,
}

impl Desk {
    pub(super) fn new(hub: SocketAddr, token: String) -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { client, base: format!("http://{hub}/api/v1"), token, last: 0 })
    }

    /// Pushes a rule file under a name.
    pub(super) async fn push(&self, name: &str, text: &str) -> Result<Pushed> {
        let request = self.client.put(format!("{}/rulesets/{name}", self.base)).body(text.to_owned());
        let body = self.send(request).await.with_context(|| format!("push the rule set `{name}`"))?;
        Ok(Pushed {
            rules: body["rules"].as_array().map_or(0, Vec::len),
            revision: body["revision"].as_u64().unwrap_or(0),
        })
    }

    /// Whether an agent runs all that is meant for it.
    ///
    /// # Errors
    /// Also where it refused something.
    pub(super) async fn runs_everything(&self, agent: &str) -> Result<bool> {
        let agents = self.get("/agents").await?;
        let known = agents.as_array().into_iter().flatten().find(|known| known["agent"] == agent);
        let Some(known) = known.filter(|known| known["connected"] == true) else {
            return Ok(false);
        };
        let sets = known["sets"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(refused) = sets.iter().find(|set| set["progress"] == "refused") {
            bail!(
                "the agent refused the rule set `{}`: {}",
                text(&refused["name"]),
                findings(&refused["diagnostics"])
            );
        }
        Ok(!sets.is_empty() && sets.iter().all(|set| set["progress"] == "running"))
    }

    /// The transitions since the last call, in the order in which the hub received them.
    pub(super) async fn news(&mut self) -> Result<Vec<TransitionRecord>> {
        let answer = self.get(&format!("/transitions?after={}&limit={PAGE}", self.last)).await?;
        let news: Vec<TransitionRecord> =
            serde_json::from_value(answer).context("understand the hub's transitions")?;
        self.last = news.last().map_or(self.last, |last| last.id);
        Ok(news)
    }

    async fn get(&self, path: &str) -> Result<Json> {
        self.send(self.client.get(format!("{}{path}", self.base))).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Json> {
        let response = request.bearer_auth(&self.token).send().await.context("reach the hub")?;
        let status = response.status();
        let body: Json = response.json().await.context("understand the hub's answer")?;
        if !status.is_success() {
            bail!("the hub says: {} {}", text(&body["error"]), findings(&body["diagnostics"]));
        }
        Ok(body)
    }
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

fn findings(list: &Json) -> String {
    let found: Vec<Diagnostic> = serde_json::from_value(list.clone()).unwrap_or_default();
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
