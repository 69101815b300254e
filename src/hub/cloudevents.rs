//! Transitions out to people and functions: CloudEvents 1.0 over HTTP to configured targets, each
//! with its own cursor, its own task, and its own retries. In order, and each until the target
//! took it or refused it for good.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};

use super::core::Core;
use super::record::TransitionRecord;
use super::store::{self, outbox};
use crate::clock;
use crate::model::backoff::Backoff;
use crate::model::causes::with_causes;
use crate::model::time::span_text;
use crate::reach;

/// How long a target may take for one event.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many events are read from the outbox at once.
const PAGE: u32 = 64;
/// The longest that a target's `Retry-After` is obeyed: a wrong header must not stop a target for
/// good.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Where events go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The target's name, under which its place in the outbox is kept. A new name starts with
    /// what happens from then on.
    pub name: String,
    /// Where to POST to.
    pub url: String,
    /// A file with a token, sent as `Authorization: Bearer`. Read for each event, so that it may
    /// be renewed in place.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// More headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Whether the whole event goes into the body (`application/cloudevents+json`); else its
    /// attributes go into `ce-` headers and the body holds the data alone. Default: false.
    #[serde(default)]
    pub structured: bool,
    /// The ceiling of the wait before the second attempt; doubles with each further one. Each
    /// wait is a random part of its ceiling. Default: 1s.
    #[serde(default = "Target::backoff", with = "span_text")]
    pub backoff: Duration,
    /// The most that the ceiling grows to. Default: 1m.
    #[serde(default = "Target::backoff_max", with = "span_text")]
    pub backoff_max: Duration,
}

impl Target {
    /// A target with defaults.
    pub fn new(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            token_file: None,
            headers: BTreeMap::new(),
            structured: false,
            backoff: Self::backoff(),
            backoff_max: Self::backoff_max(),
        }
    }

    const fn backoff() -> Duration {
        Duration::from_secs(1)
    }

    const fn backoff_max() -> Duration {
        Duration::from_secs(60)
    }

    fn header_map(&self) -> Result<HeaderMap, String> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name).map_err(|_| format!("`{name}` is no header's name"))?;
            let value = HeaderValue::try_from(value)
                .map_err(|_| format!("the value of the header `{name}` has characters that none may have"))?;
            map.insert(name, value);
        }
        Ok(map)
    }
}

/// One target's delivery, checked and ready to run.
pub(super) struct Delivery {
    target: Target,
    client: reqwest::Client,
}

impl Delivery {
    /// Checks a target.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(super) fn prepare(target: Target) -> Result<Self, String> {
        let context = |why: String| format!("target `{}`: {why}", target.name);
        let url = reqwest::Url::parse(&target.url)
            .map_err(|error| context(format!("`{}` is no URL: {error}", target.url)))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(context(format!("`{url}` is neither http:// nor https://")));
        }
        let tls =
            ClientConfig::builder().with_root_certificates(reach::public_authorities()).with_no_client_auth();
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .tls_backend_preconfigured(tls)
            // A redirected POST may lose its body on the way.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("weir-hub/", env!("CARGO_PKG_VERSION")))
            .default_headers(target.header_map().map_err(context)?)
            .build()
            .map_err(|error| context(error.to_string()))?;
        Ok(Self { target, client })
    }

    /// Delivers until the hub stops.
    pub(super) async fn run(self, core: Arc<Core>) {
        let mut newest = core.newest.subscribe();
        loop {
            newest.mark_unchanged();
            match self.deliver_page(&core).await {
                Ok(0) => tokio::select! {
                    _ = newest.changed() => {}
                    () = core.stop.stopped() => return,
                },
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, target = self.target.name, "cannot use the outbox");
                    if !pause(&core, self.target.backoff_max).await {
                        return;
                    }
                }
            }
            if core.stop.is_stopped() {
                return;
            }
        }
    }

    /// Settles the next events; returns how many.
    async fn deliver_page(&self, core: &Core) -> Result<usize, store::Error> {
        let name = self.target.name.clone();
        let page = core.store.call(move |db| outbox::waiting(db, &name, PAGE)).await?;
        for (settled, transition) in page.iter().enumerate() {
            if !self.settle(core, transition).await? {
                return Ok(settled);
            }
        }
        Ok(page.len())
    }

    /// Tries one event until the target took it or refused it for good. False when the hub stops
    /// before.
    async fn settle(&self, core: &Core, transition: &TransitionRecord) -> Result<bool, store::Error> {
        let id = transition.id;
        let mut backoff = Backoff::new(self.target.backoff, self.target.backoff_max);
        while !core.stop.is_stopped() {
            let outcome = tokio::select! {
                outcome = self.attempt(transition) => outcome,
                () = core.stop.stopped() => break,
            };
            let name = self.target.name.clone();
            match outcome {
                Outcome::Taken => {
                    core.store.call(move |db| outbox::delivered(db, &name, id)).await?;
                    return Ok(true);
                }
                Outcome::Refused(why) => {
                    tracing::warn!(target = name, id, why, "the target refuses an event for good");
                    let at = clock::wall();
                    core.store.call(move |db| outbox::dead(db, &name, id, &why, at)).await?;
                    return Ok(true);
                }
                Outcome::Later { why, after } => {
                    tracing::debug!(target = name, id, why, "delivery failed and is repeated");
                    core.store.call(move |db| outbox::retried(db, &name, &why)).await?;
                    let failed = core.clock.mono();
                    let wait = after.unwrap_or_else(|| backoff.lost(failed, fastrand::f64()));
                    if !pause(core, wait).await {
                        break;
                    }
                }
            }
        }
        Ok(false)
    }

    async fn attempt(&self, transition: &TransitionRecord) -> Outcome {
        let event = Event::of(transition);
        let mut request = self.client.post(&self.target.url);
        if let Some(file) = &self.target.token_file {
            match std::fs::read_to_string(file) {
                Ok(token) => request = request.bearer_auth(token.trim()),
                Err(error) => {
                    return Outcome::Later {
                        why: format!("read the token file {}: {error}", file.display()),
                        after: None,
                    };
                }
            }
        }
        let body = if self.target.structured { event.structured() } else { event.data() };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Outcome::Refused(format!("write the event as JSON: {error}")),
        };
        if self.target.structured {
            request = request.header(CONTENT_TYPE, "application/cloudevents+json; charset=UTF-8");
        } else {
            request = request.header(CONTENT_TYPE, "application/json");
            for (name, value) in event.attributes() {
                request = request.header(format!("ce-{name}"), value);
            }
        }
        match request.body(body).send().await {
            Ok(response) => judge(&response),
            // A request that cannot be made will not get better.
            Err(error) if error.is_builder() => Outcome::Refused(with_causes(&error)),
            Err(error) => Outcome::Later { why: with_causes(&error), after: None },
        }
    }
}

enum Outcome {
    Taken,
    Refused(String),
    Later { why: String, after: Option<Duration> },
}

fn judge(response: &Response) -> Outcome {
    let status = response.status();
    if status.is_success() {
        return Outcome::Taken;
    }
    if is_final(status) {
        return Outcome::Refused(format!("the target answers {status}"));
    }
    let why = match response.headers().get(LOCATION).and_then(|value| value.to_str().ok()) {
        Some(place) if status.is_redirection() => {
            format!(
                "the target answers {status} and names {place}; redirects are not followed, so give that as its url"
            )
        }
        _ => format!("the target answers {status}"),
    };
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    // Only the form in seconds: the form with a date would trust two clocks to agree.
    let after = header.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    Outcome::Later { why, after: after.map(|after| after.min(LONGEST_RETRY_AFTER)) }
}

/// Whether the answer is about the event, so that a repeat cannot help. Others are about the
/// target, its address or its token, which a person can put right while the events wait.
const fn is_final(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::GONE
            | StatusCode::LENGTH_REQUIRED
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    )
}

/// Waits; false when the hub stops before.
async fn pause(core: &Core, span: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(span) => true,
        () = core.stop.stopped() => false,
    }
}

/// A transition as a CloudEvent.
struct Event<'a> {
    transition: &'a TransitionRecord,
    id: String,
    source: String,
    kind: String,
}

#[derive(Serialize)]
struct Structured<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    r#type: &'a str,
    subject: &'a str,
    time: &'a str,
    datacontenttype: &'static str,
    data: &'a TransitionRecord,
}

const SPEC_VERSION: &str = "1.0";

impl<'a> Event<'a> {
    fn of(transition: &'a TransitionRecord) -> Self {
        Self {
            transition,
            id: format!("{}/{}/{}", transition.agent, transition.epoch, transition.seq),
            source: format!("/weir/agents/{}", transition.agent),
            kind: format!("dev.weir.alert.{}", transition.state),
        }
    }

    fn attributes(&self) -> [(&'static str, &str); 6] {
        [
            ("specversion", SPEC_VERSION),
            ("id", &self.id),
            ("source", &self.source),
            ("type", &self.kind),
            ("subject", &self.transition.fingerprint),
            ("time", &self.transition.occurred_at),
        ]
    }

    fn data(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self.transition)
    }

    fn structured(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Structured {
            specversion: SPEC_VERSION,
            id: &self.id,
            source: &self.source,
            r#type: &self.kind,
            subject: &self.transition.fingerprint,
            time: &self.transition.occurred_at,
            datacontenttype: "application/json",
            data: self.transition,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;
    use crate::wire::v1;

    #[test]
    fn an_event_names_its_transition() {
        let wire = v1::Transition { seq: 7, state: 1, occurred_at: 1_000_000, ..Default::default() };
        let record = TransitionRecord::from_wire("gw", 1, wire, Some(Timestamp::from_micros(0)));
        let event = Event::of(&record);
        assert_eq!(
            event.attributes(),
            [
                ("specversion", "1.0"),
                ("id", "gw/0000000000000001/7"),
                ("source", "/weir/agents/gw"),
                ("type", "dev.weir.alert.firing"),
                ("subject", "0000000000000000"),
                ("time", "1970-01-01T00:00:01Z"),
            ]
        );
        let whole: serde_json::Value = serde_json::from_slice(&event.structured().unwrap()).unwrap();
        assert_eq!(whole["type"], "dev.weir.alert.firing");
        assert_eq!(whole["data"]["seq"], 7);
    }

    #[test]
    fn only_answers_about_the_event_are_final() {
        for code in [400, 405, 410, 413, 415, 422] {
            assert!(is_final(StatusCode::from_u16(code).unwrap()), "{code}");
        }
        for code in [301, 307, 401, 402, 403, 404, 407, 408, 409, 425, 429, 500, 501, 503] {
            assert!(!is_final(StatusCode::from_u16(code).unwrap()), "{code}");
        }
    }

    #[test]
    fn a_target_that_cannot_work_is_refused_at_the_start() {
        for (url, said) in [("nowhere", "no URL"), ("ftp://host/", "neither")] {
            let error = Delivery::prepare(Target::new("t", url)).err().unwrap();
            assert!(error.contains(said) && error.contains("target `t`"), "{error}");
        }
    }
}
