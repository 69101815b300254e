//! The API for people and programs, under `/api/v1`, and the console page. Reads what came in,
//! calls, and writes what comes back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::check::{Checked, check};
use super::core::Core;
use super::fleet::Selector;
use super::store::transitions::AlertFilter;
use super::store::{self, agents, outbox, rulesets, transitions};
use super::tokens::{self, TokenDigest};
use super::{events, metrics, overview};
use crate::clock;
use crate::model::diagnostic::Diagnostic;
use crate::tasks;
use crate::wire::record::TransitionRecord;

/// The largest body that is read: a rule file as large as an agent takes one.
const LARGEST_BODY: usize = 16 << 20;
/// The largest set that is stored, in bytes of its items: a set goes to an agent as one message,
/// of which an agent takes 32 MiB, and a file may grow when its anchors are followed.
const LARGEST_SET: usize = 24 << 20;
/// What an item takes in a message besides its name and body: its hash, and the frames of both.
const ITEM_FRAME: usize = 48;
const DEFAULT_LIMIT: u32 = 200;
const LARGEST_LIMIT: u32 = 1_000;

type Shared = State<Arc<Core>>;
type Answer = Result<Response, ApiError>;

pub(super) fn router(core: Arc<Core>) -> Router {
    let api = Router::new()
        .route("/rulesets", get(list_rulesets))
        .route("/rulesets/{name}", put(put_ruleset).get(get_ruleset).delete(delete_ruleset))
        .route("/check", post(check_rules))
        .route("/agents", get(list_agents))
        .route("/agents/{id}", get(get_agent))
        .route("/alerts", get(list_alerts))
        .route("/transitions", get(list_transitions))
        .route("/events", get(follow))
        .route("/targets", get(list_targets))
        .fallback(async || {
            ApiError::not_found(
                "no such path",
                "there are /rulesets, /check, /agents, /alerts, /transitions, /events and /targets",
            )
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&core), guard));
    Router::new()
        .nest("/api/v1", api)
        .route("/", get(async || page("text/html; charset=utf-8", include_str!("console/console.html"))))
        .route(
            "/console.css",
            get(async || page("text/css; charset=utf-8", include_str!("console/console.css"))),
        )
        .route(
            "/console.js",
            get(async || page("text/javascript; charset=utf-8", include_str!("console/console.js"))),
        )
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(show_metrics))
        .with_state(core)
}

/// The page asks nobody but this hub, and nobody may put it into a frame.
fn page(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-cache"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text)
}

async fn guard(State(core): Shared, request: Request, next: Next) -> Response {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match header.and_then(tokens::bearer) {
        Some(token) if TokenDigest::of(token).same(&core.api_token) => next.run(request).await,
        _ => {
            let refusal = ApiError::new(
                StatusCode::UNAUTHORIZED,
                "the API's token is missing or wrong",
                "send `Authorization: Bearer <token>`; the token is in the file `api-token` of the hub's data directory",
            );
            ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response()
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutQuery {
    /// Whom the set is for. Left out: as before, and all agents for a new set.
    target: Option<String>,
    /// Stores the set although the check finds errors in it, to see how agents refuse it.
    #[serde(default)]
    force: bool,
}

async fn put_ruleset(
    State(core): Shared,
    Path(name): Path<String>,
    query: Result<Query<PutQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let Query(query) = query?;
    if !is_set_name(&name) {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("`{name}` cannot be the name of a rule set"),
            "use 1 to 100 letters, digits or `-_.`",
        ));
    }
    let source = text(body)?;
    let checked = judge(&name, &source).await?;
    if checked.items.is_empty() && !checked.is_bad() {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the rule file is empty",
            "to take a set away, DELETE it",
        ));
    }
    if checked.is_bad() && (!query.force || checked.items.is_empty()) {
        return Err(ApiError {
            diagnostics: Some(checked.diagnostics),
            ..ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "the rule set has errors; nothing was stored",
                "correct what `diagnostics` names, and push again",
            )
        });
    }
    let bytes: usize = checked.items.iter().map(|item| item.name.len() + item.body.len() + ITEM_FRAME).sum();
    if bytes > LARGEST_SET {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!(
                "the rule set has {bytes} bytes, once its anchors are followed; at most {LARGEST_SET} are taken"
            ),
            "split it into several sets",
        ));
    }
    let target = match &query.target {
        Some(target) => Selector::parse(target).map_err(|why| {
            ApiError::new(StatusCode::BAD_REQUEST, why, "leave `target` empty for all agents")
        })?,
        None => {
            let desired = core.desired.borrow();
            let before = desired.iter().find(|set| set.name == name);
            before.map(|set| set.target.clone()).unwrap_or_default()
        }
    };
    let stored = core.publish(&name, source, target.clone(), checked.items).await?;
    let known = core.store.call(|db| agents::list(db, None)).await?;
    let meant: Vec<String> = known
        .into_iter()
        .filter(|agent| target.matches(&agent.agent, &agent.labels))
        .map(|agent| agent.agent)
        .collect();
    Ok(Json(json!({
        "name": name,
        "revision": stored.revision,
        "hash": stored.hash.to_string(),
        "changed": stored.changed,
        "target": target.to_string(),
        "rules": checked.rules,
        "agents": meant,
        "diagnostics": checked.diagnostics,
    }))
    .into_response())
}

async fn check_rules(body: Result<Bytes, BytesRejection>) -> Answer {
    let checked = judge("check", &text(body)?).await?;
    Ok(Json(json!({
        "ok": !checked.is_bad(),
        "rules": checked.rules,
        "diagnostics": checked.diagnostics,
    }))
    .into_response())
}

async fn list_rulesets(State(core): Shared) -> Answer {
    let sets = core.store.call(|db| rulesets::list(db, None)).await?;
    let brief: Vec<_> = sets
        .into_iter()
        .map(|set| {
            json!({
                "name": set.name, "revision": set.revision, "hash": set.hash, "target": set.target,
                "created_at": set.created_at, "rules": set.rules,
            })
        })
        .collect();
    Ok(Json(brief).into_response())
}

async fn get_ruleset(State(core): Shared, Path(name): Path<String>) -> Answer {
    let set = name.clone();
    let (records, known, reports) = core
        .store
        .call(move |db| {
            Ok((
                rulesets::list(db, Some(&set))?,
                agents::list(db, None)?,
                agents::reports(db, None, Some(&set))?,
            ))
        })
        .await?;
    let record = records.into_iter().next().ok_or_else(|| no_set(&name))?;
    let desired = Arc::clone(&core.desired.borrow());
    let connected = core.sessions.connected();
    Ok(Json(overview::rule_set(record, &known, reports, &desired, &connected)).into_response())
}

async fn delete_ruleset(State(core): Shared, Path(name): Path<String>) -> Answer {
    if !core.withdraw(&name).await? {
        return Err(no_set(&name));
    }
    Ok(Json(json!({ "name": name, "deleted": true })).into_response())
}

async fn list_agents(State(core): Shared) -> Answer {
    Ok(Json(agent_views(&core, None).await?).into_response())
}

async fn get_agent(State(core): Shared, Path(id): Path<String>) -> Answer {
    let view = agent_views(&core, Some(id.clone())).await?.into_iter().next();
    let view = view.ok_or_else(|| {
        ApiError::not_found(
            format!("no agent `{id}` has ever come"),
            "GET /api/v1/agents lists those that have",
        )
    })?;
    Ok(Json(view).into_response())
}

async fn agent_views(core: &Core, only: Option<String>) -> Result<Vec<overview::AgentView>, ApiError> {
    let (records, reports) = core
        .store
        .call(move |db| Ok((agents::list(db, only.as_deref())?, agents::reports(db, only.as_deref(), None)?)))
        .await?;
    let desired = Arc::clone(&core.desired.borrow());
    let now = clock::wall();
    Ok(overview::agents(records, reports, &desired, &core.sessions.connected(), now))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertQuery {
    #[serde(default)]
    state: AlertState,
    agent: Option<String>,
    rule: Option<String>,
    limit: Option<u32>,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum AlertState {
    #[default]
    Firing,
    All,
}

async fn list_alerts(State(core): Shared, query: Result<Query<AlertQuery>, QueryRejection>) -> Answer {
    let Query(query) = query?;
    let filter = AlertFilter {
        firing: query.state == AlertState::Firing,
        agent: query.agent,
        rule: query.rule,
        limit: query.limit.unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT),
    };
    let found = core.store.call(move |db| transitions::alerts(db, &filter)).await?;
    let connected = core.sessions.connected();
    let shown = |alert: TransitionRecord| {
        let away = alert.state == "firing" && !connected.contains(&alert.agent);
        AlertView { stale: away.then_some("agent"), alert }
    };
    Ok(Json(found.into_iter().map(shown).collect::<Vec<_>>()).into_response())
}

/// An alert as it was told last.
#[derive(Serialize)]
struct AlertView {
    #[serde(flatten)]
    alert: TransitionRecord,
    /// Why nothing new would be heard of it: its agent is not connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<&'static str>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransitionQuery {
    after: Option<i64>,
    limit: Option<u32>,
}

async fn list_transitions(
    State(core): Shared,
    query: Result<Query<TransitionQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT);
    let newest = *core.newest.borrow();
    // Without `after`, the latest: what a person wants to see first.
    let after = query.after.unwrap_or_else(|| newest.saturating_sub(i64::from(limit)));
    Ok(Json(core.store.call(move |db| transitions::after(db, after, limit)).await?).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FollowQuery {
    after: Option<i64>,
}

async fn follow(
    State(core): Shared,
    headers: HeaderMap,
    query: Result<Query<FollowQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let newest = *core.newest.borrow();
    // A number beyond the newest is of a database that was started anew.
    let after = last.and_then(|text| text.trim().parse().ok()).or(query.after).unwrap_or(newest).min(newest);
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events::follow(core, after)).keep_alive(alive).into_response())
}

async fn list_targets(State(core): Shared) -> Answer {
    Ok(Json(core.store.call(outbox::list).await?).into_response())
}

async fn show_metrics(State(core): Shared) -> Answer {
    let text = metrics::text(&core).await;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Planning is work for a processor: it must not hold up the sessions.
async fn judge(name: &str, source: &str) -> Result<Checked, ApiError> {
    let (name, source) = (name.to_owned(), source.to_owned());
    tasks::spawn_blocking(move || check(&name, &source)).await.map_err(|error| {
        tracing::error!(%error, "the check of a rule set panicked");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the check of the rule set failed",
            "this is a fault of the hub; its log says more",
        )
    })
}

fn text(body: Result<Bytes, BytesRejection>) -> Result<String, ApiError> {
    let body = body.map_err(|rejection| {
        ApiError::new(rejection.status(), rejection.body_text(), "a rule file has at most 1 MiB")
    })?;
    String::from_utf8(body.into()).map_err(|_| {
        ApiError::new(StatusCode::BAD_REQUEST, "the body is not UTF-8", "send YAML or JSON as UTF-8")
    })
}

fn is_set_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        // Browsers and proxies take these for steps in a path.
        && name != "."
        && name != ".."
}

fn no_set(name: &str) -> ApiError {
    ApiError::not_found(
        format!("there is no rule set `{name}`"),
        "GET /api/v1/rulesets lists those that there are",
    )
}

/// What a client is told when it cannot have what it asked for.
#[derive(Debug, Serialize)]
struct ApiError {
    #[serde(skip)]
    status: StatusCode,
    error: String,
    hint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostics: Option<Vec<Diagnostic>>,
}

impl ApiError {
    fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: hint.into(), diagnostics: None }
    }

    fn not_found(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, hint)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        tracing::error!(%error, "cannot answer a request");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the hub cannot use its database at the moment",
            "its log says why",
        )
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text(), "look at the names and values after the `?`")
    }
}

#[cfg(test)]
mod tests {
    use super::is_set_name;

    #[test]
    fn a_set_name_is_one_step_of_a_path() {
        for name in ["a", "cold-chain", "a.b_c", "..a", "A1"] {
            assert!(is_set_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a b", "é", "a\0", &"a".repeat(101)] {
            assert!(!is_set_name(name), "{name}");
        }
    }
}
