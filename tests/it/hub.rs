//! A hub in the process or as the real program, with hand-written agents, people and receivers.

mod agent;
mod console;
mod delivery;
mod disk;
mod doubles;
mod numbers;
mod reconciling;
mod way;

use std::path::Path;

use serde_json::{Value as Json, json};
use weir::clock::Clock;
use weir::hub::{self, Config, Running, tokens};
use weir::tasks::StopSource;
use weir::wire::v1;

use crate::support::desk::Desk;
use crate::support::within;
use agent::{FakeAgent, transition};

struct Hub {
    running: Running,
    source: StopSource,
    token: String,
}

impl Hub {
    async fn start(dir: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            grpc_listen: "127.0.0.1:0".parse().unwrap(),
            http_listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: dir.to_owned(),
            ..Config::default()
        };
        change(&mut config);
        let token = tokens::add(&config.agent_tokens_path(), "*").unwrap();
        let (source, stop) = StopSource::new();
        let running = hub::start(config, Clock::start(), stop).await.unwrap();
        Self { running, source, token }
    }

    fn desk(&self) -> Desk {
        Desk::new(&format!("http://{}", self.running.http_addr), &self.running.api_token)
    }

    async fn agent(&self, id: &str, running: Vec<v1::RunningSet>) -> FakeAgent {
        FakeAgent::connect(self.running.grpc_addr, &self.token, id, running).await
    }

    /// With protocol 2.
    async fn dial(&self, hello: v1::Hello) -> FakeAgent {
        FakeAgent::dial(self.running.grpc_addr, &self.token, hello).await
    }

    async fn stop(self) {
        self.source.stop();
        within("stopping the hub", self.running.join).await.unwrap().unwrap();
    }
}

/// A rule file with these rules.
fn rules(ids: &[&str]) -> String {
    let rules: Vec<Json> =
        ids.iter().map(|id| json!({ "id": id, "sql": "SELECT device, t FROM env WHERE t > 50" })).collect();
    json!({
        "streams": ["CREATE STREAM env (device STRING, t FLOAT) WITH (DATASOURCE='env', FORMAT='json')"],
        "rules": rules,
    })
    .to_string()
}

#[tokio::test]
async fn a_session_takes_each_transition_once() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.agent("gw-1", Vec::new()).await;
    assert_eq!(gw.welcome.committed, 0);
    gw.batch(&[transition(1, "a"), transition(2, "b")]).await;
    assert_eq!(gw.ack().await, 2);
    gw.batch(&[transition(1, "a"), transition(2, "b"), transition(3, "a")]).await;
    assert_eq!(gw.ack().await, 3);
    gw.batch(&[transition(6, "a")]).await;
    assert_eq!(gw.ack().await, 6);

    let desk = hub.desk();
    let seqs: Vec<u64> =
        desk.list("/transitions?after=0").await.iter().map(|t| t["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 6]);
    let known = desk.get("/agents/gw-1").await;
    assert_eq!(known["connected"], true);
    assert_eq!((&known["gaps"][0]["first"], &known["gaps"][0]["last"]), (&json!(4), &json!(5)));
    let alerts = desk.list("/alerts").await;
    assert_eq!(alerts.len(), 2);
    assert_eq!(alerts[0]["values"].to_string(), r#"{"a":1,"t":50.5}"#);
    assert_eq!(alerts[0]["starts_at"], "2020-07-12T00:01:34.5Z");
    let readings = json!([{ "at": "2020-07-12T00:01:34Z", "values": [49.5] }]);
    assert_eq!(alerts[0]["evidence"], json!({ "columns": ["t"], "readings": readings }));
    assert!(desk.text("/metrics").await.contains("weir_hub_duplicates_total 2\n"));

    drop(gw);
    desk.until("/agents/gw-1", |agent| agent["connected"] == false).await;
    let mut back = hub.agent("gw-1", Vec::new()).await;
    assert_eq!(back.welcome.committed, 6);
    back.batch(&[transition(6, "a"), transition(7, "a")]).await;
    assert_eq!(back.ack().await, 7);
    hub.stop().await;
}

/// What no honest agent sends, and a broken one may: it hurts itself at most.
#[tokio::test]
async fn absurd_messages_of_an_agent_are_taken_or_refused_and_hurt_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let desk = hub.desk();
    let mut odd = hub.agent("odd", Vec::new()).await;
    let mut all = Vec::new();
    for (i, times) in [i64::MIN, i64::MAX, 0, -1].into_iter().enumerate() {
        let mut t = transition(i as u64 + 1, "\u{0}\n\"'<b>\u{202e}");
        (t.starts_at, t.occurred_at, t.recorded_at) = (times, times, times);
        t.state = i32::MAX - i as i32;
        t.reason = "<script>".repeat(1_000);
        t.values.push(v1::NamedValue { name: String::new(), value: None });
        for kind in [
            v1::value::Kind::Float(f64::NAN),
            v1::value::Kind::Float(f64::NEG_INFINITY),
            v1::value::Kind::Integer(i64::MIN),
            v1::value::Kind::Time(i64::MAX),
            v1::value::Kind::Json("[".repeat(5_000)),
            v1::value::Kind::Data(vec![0xff; 10]),
        ] {
            t.values.push(v1::NamedValue {
                name: "same".to_owned(),
                value: Some(v1::Value { kind: Some(kind) }),
            });
        }
        all.push(t);
    }
    odd.batch(&all).await;
    assert_eq!(odd.ack().await, 4);
    assert_eq!(desk.list("/transitions?after=0").await.len(), 4);
    odd.batch(&[transition(3, "a"), transition(2, "a"), transition(3, "a"), transition(0, "a")]).await;
    assert_eq!(odd.ack().await, 4);
    let ranges = (0..1_000).map(|i| v1::SeqRange { first: u64::MAX - i, last: i }).collect();
    odd.send(v1::agent_message::Message::Batch(v1::Batch {
        epoch: 0xfeed_0000_0000_0001,
        evicted: ranges,
        ..Default::default()
    }))
    .await;
    assert_eq!(odd.ack().await, 4);
    odd.batch(&[transition(u64::MAX, "a"), transition(u64::MAX, "b")]).await;
    assert_eq!(odd.ack().await, u64::MAX);
    let status = v1::Status {
        time: i64::MIN,
        uptime_seconds: u64::MAX,
        metrics: [("x\n{}\"".to_owned(), f64::NAN), ("y".to_owned(), f64::INFINITY)].into(),
        sources: vec![v1::SourceStatus { since: i64::MAX, ..Default::default() }],
        running: vec![v1::RunningSet { hash: vec![1; 5], name: "../x".to_owned(), ..Default::default() }; 2],
        ..Default::default()
    };
    odd.send(v1::agent_message::Message::Status(status)).await;
    odd.send(v1::agent_message::Message::Rules(v1::RuleReport {
        outcome: 77,
        set: "\n".to_owned(),
        ..Default::default()
    }))
    .await;
    desk.until("/agents/odd", |agent| agent["status"].is_object()).await;

    let mut gw = hub.agent("gw-1", Vec::new()).await;
    gw.batch(&[transition(1, "a")]).await;
    assert_eq!(gw.ack().await, 1);
    for path in ["/agents", "/alerts?state=all", "/transitions?after=0", "/rulesets"] {
        desk.list(path).await;
    }
    assert!(desk.text("/metrics").await.contains("weir_hub_"));
    let mut back = hub.agent("odd", Vec::new()).await;
    assert_eq!(back.welcome.committed, u64::MAX);
    back.batch(&[transition(5, "a")]).await;
    assert_eq!(back.ack().await, u64::MAX);
    hub.stop().await;
}

#[tokio::test]
async fn an_event_stream_that_knows_more_than_the_hub_hears_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let gw = hub.agent("gw-1", Vec::new()).await;
    // The client's number is of a database that is gone.
    let mut stream = hub.desk().follow(Some("1000")).await;
    gw.batch(&[transition(1, "a")]).await;
    assert_eq!(stream.next("transition").await.data["seq"], 1);
    hub.stop().await;
}

#[tokio::test]
async fn a_name_that_an_agents_directory_gives_back_is_the_hubs() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let own = v1::RunningSet {
        name: "plant".to_owned(),
        hash: vec![7; 32],
        origin: "directory".to_owned(),
        ..Default::default()
    };
    let mut gw = hub.agent("gw-1", vec![own]).await;
    hub.desk().put("/rulesets/plant", &rules(&["a"])).await;
    let set = gw.desired().await.sets.remove(0);
    gw.answer(&set, v1::rule_report::Outcome::Rejected, "a rule file of the agent has that name").await;
    gw.send(v1::agent_message::Message::Status(v1::Status::default())).await;
    assert_eq!(gw.desired().await.sets, [set]);
    hub.stop().await;
}

#[tokio::test]
async fn wrong_tokens_are_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let own = tokens::add(&dir.path().join("agent-tokens"), "gw-1").unwrap();
    let status = FakeAgent::refused(hub.running.grpc_addr, "wrong", "gw-1").await;
    assert_eq!(status.code(), tonic::Code::Unauthenticated, "{status}");
    let status = FakeAgent::refused(hub.running.grpc_addr, &own, "gw-2").await;
    assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status}");
    let status = FakeAgent::refused(hub.running.grpc_addr, &hub.token, "gw 1").await;
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    FakeAgent::connect(hub.running.grpc_addr, &own, "gw-1", Vec::new()).await;

    let stranger = Desk::new(&format!("http://{}", hub.running.http_addr), "wrong");
    let (status, body) = stranger.put("/rulesets/x", &rules(&["a"])).await;
    assert_eq!(status, 401);
    assert!(body["error"].is_string() && body["hint"].is_string());
    assert_eq!(stranger.text("/healthz").await, "ok\n");
    assert!(stranger.text("/").await.contains("<!doctype html>"));
    hub.stop().await;
}

#[tokio::test]
async fn plain_text_stays_on_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        grpc_listen: "0.0.0.0:0".parse().unwrap(),
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    let (_source, stop) = StopSource::new();
    let error = hub::start(config, Clock::start(), stop).await.unwrap_err();
    assert!(error.to_string().contains("plain text"), "{error}");
}

#[tokio::test]
async fn a_push_reaches_agents_as_the_change_that_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let desk = hub.desk();
    let mut gw = hub.agent("gw-1", Vec::new()).await;
    let mut other = hub.agent("gw-2", Vec::new()).await;

    let (status, first) = desk.put("/rulesets/plant?target=agent%3Dgw-1", &rules(&["a", "b"])).await;
    assert_eq!((status, &first["agents"]), (200, &json!(["gw-1"])), "{first}");
    let set = gw.desired().await.sets.remove(0);
    assert_eq!((set.name.as_str(), set.revision, set.items.len(), set.added.len()), ("plant", 1, 3, 3));
    gw.accept(&set).await;
    desk.until("/rulesets/plant", |set| set["agents"][0]["progress"] == "running").await;
    let (_, again) = desk.put("/rulesets/plant", &rules(&["a", "b"])).await;
    assert_eq!((&again["revision"], &again["changed"]), (&json!(1), &json!(false)));

    desk.put("/rulesets/plant", &rules(&["a", "c"])).await;
    let set = gw.desired().await.sets.remove(0);
    let added: Vec<&str> = set.added.iter().map(|item| item.name.as_str()).collect();
    assert_eq!((set.revision, set.items.len(), added.as_slice()), (2, 3, ["c"].as_slice()));
    // The agent cannot put it together: it is sent the whole.
    gw.answer(&set, v1::rule_report::Outcome::Failed, "").await;
    let set = gw.desired().await.sets.remove(0);
    assert_eq!(set.added.len(), 3);
    gw.accept(&set).await;
    desk.until("/rulesets/plant", |set| set["agents"][0]["running_revision"] == 2).await;

    let runs = v1::RunningSet {
        name: "plant".to_owned(),
        hash: set.hash.clone(),
        origin: "hub".to_owned(),
        revision: 2,
        ..Default::default()
    };
    drop(gw);
    // One that comes back with what is desired is told nothing; what is taken away, is.
    let mut gw = hub.agent("gw-1", vec![runs]).await;
    desk.delete("/rulesets/plant").await;
    assert_eq!(gw.desired().await.removed, ["plant"]);
    desk.put("/rulesets/all?target=", &rules(&["z"])).await;
    assert_eq!(gw.desired().await.sets[0].name, "all");
    assert_eq!(other.desired().await.sets[0].name, "all");
    hub.stop().await;
}

#[tokio::test]
async fn sets_that_are_large_together_reach_an_agent_that_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let desk = hub.desk();
    let note = "x".repeat(600_000);
    let text =
        |id: &str| rules(&[id]).replace("\"id\"", &format!("\"annotations\":{{\"note\":\"{note}\"}},\"id\""));
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let (status, said) = desk.put(&format!("/rulesets/{name}"), &text(name)).await;
        assert_eq!(status, 200, "{said}");
    }
    let mut gw = hub.agent("gw-1", Vec::new()).await;
    let mut names = Vec::new();
    while names.len() < 8 {
        names.extend(gw.desired().await.sets.into_iter().map(|set| set.name));
    }
    names.sort();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g", "h"]);

    // One that no message could hold, though its file is small.
    let many: String = (0..450)
        .map(|i| format!("  - {{id: r{i}, sql: &q{i} 'SELECT t FROM env', annotations: *n}}\n"))
        .collect();
    let env = "CREATE STREAM env (t FLOAT) WITH (DATASOURCE='env', KEY='t')";
    let long = "y".repeat(60_000);
    let grown = format!(
        "streams: [\"{env}\"]\nrules:\n  - {{id: first, sql: SELECT t FROM env, annotations: &n {{note: {long}}}}}\n{many}"
    );
    let (status, said) = desk.put("/rulesets/grown", &grown).await;
    assert_eq!(status, 422, "{said}");
    assert!(said["error"].as_str().unwrap().contains("anchors"), "{said}");
    hub.stop().await;
}

/// Those who take it compressed are told in fewer bytes, and the same.
#[tokio::test]
async fn rules_travel_compressed_to_those_who_take_them_so() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let ids: Vec<String> = (0..500).map(|i| format!("rule-{i}")).collect();
    let text = rules(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let (status, said) = hub.desk().put("/rulesets/plant", &text).await;
    assert_eq!(status, 200, "{said}");
    let mut sets = Vec::new();
    let mut bytes = Vec::new();
    for (id, compressed) in [("gw-1", true), ("gw-2", false)] {
        let way = way::Way::to(hub.running.grpc_addr).await;
        let greeting = agent::hello(id, 2, "a");
        let mut gw = if compressed {
            FakeAgent::dial_compressed(way.addr, &hub.token, greeting).await
        } else {
            FakeAgent::dial(way.addr, &hub.token, greeting).await
        };
        sets.push(gw.desired().await.sets);
        gw.offer(&[transition(1, "a")], &[], 1).await;
        assert_eq!(gw.acked().await, (1, vec![]));
        bytes.push(way.bytes_from_hub());
    }
    assert_eq!((sets[0][0].added.len(), &sets[0]), (501, &sets[1]));
    assert!(bytes[0] * 2 < bytes[1], "{bytes:?}");
    hub.stop().await;
}

#[tokio::test]
async fn a_bad_set_is_not_stored_and_a_forced_one_shows_its_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let desk = hub.desk();
    let mut gw = hub.agent("gw-1", Vec::new()).await;
    let bad = rules(&["a"]).replace("SELECT device", "SELEC device");
    let (status, body) = desk.put("/rulesets/plant", &bad).await;
    assert_eq!(status, 422, "{body}");
    assert!(body["diagnostics"][0]["place"]["line"].as_u64().unwrap() >= 1, "{body}");
    assert!(desk.list("/rulesets").await.is_empty());
    assert_eq!(desk.put("/rulesets/no%2Fname", &rules(&["a"])).await.0, 400);
    assert_eq!(desk.put("/rulesets/plant", "rules: [").await.0, 422);
    assert_eq!(desk.put("/rulesets/plant?force=true", "rules: [").await.0, 422);
    assert_eq!(desk.put("/rulesets/plant?force=perhaps", &bad).await.0, 400);

    let (status, _) = desk.put("/rulesets/plant?force=true", &bad).await;
    assert_eq!(status, 200);
    let set = gw.desired().await.sets.remove(0);
    gw.answer(&set, v1::rule_report::Outcome::Rejected, "no such thing as SELEC").await;
    let shown = desk.until("/rulesets/plant", |set| set["agents"][0]["progress"] == "refused").await;
    assert_eq!(shown["agents"][0]["diagnostics"][0]["message"], "no such thing as SELEC");
    assert_eq!(shown["agents"][0]["rules"][0], json!({"rule": "a", "outcome": "rejected"}));
    hub.stop().await;
}

#[tokio::test]
async fn a_newer_session_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut first = hub.agent("gw-1", Vec::new()).await;
    let mut second = hub.agent("gw-1", Vec::new()).await;
    assert!(first.retry_after().await.contains("taken over"));
    second.batch(&[transition(1, "a")]).await;
    assert_eq!(second.ack().await, 1);
    hub.source.stop();
    assert!(second.retry_after().await.contains("stopping"));
    within("stopping the hub", hub.running.join).await.unwrap().unwrap();
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let token = hub.running.api_token.clone();
    let mut gw = hub.agent("gw-1", Vec::new()).await;
    gw.batch(&[transition(1, "a"), transition(2, "b")]).await;
    assert_eq!(gw.ack().await, 2);
    hub.desk().put("/rulesets/plant", &rules(&["a"])).await;
    let set = gw.desired().await.sets.remove(0);
    hub.stop().await;

    let hub = Hub::start(dir.path(), |_| ()).await;
    assert_eq!(hub.running.api_token, token);
    assert_eq!(hub.desk().list("/alerts").await.len(), 2);
    let mut gw = hub.agent("gw-1", Vec::new()).await;
    assert_eq!(gw.welcome.committed, 2);
    assert_eq!(gw.desired().await.sets, [set]);
    hub.stop().await;
}

#[tokio::test]
async fn the_event_stream_resumes_where_it_broke() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let desk = hub.desk();
    let mut gw = hub.agent("gw-1", Vec::new()).await;
    let mut stream = desk.follow(None).await;
    gw.batch(&[transition(1, "a")]).await;
    let last = stream.next("transition").await;
    assert_eq!(last.data["seq"], 1);
    drop(stream);
    gw.batch(&[transition(2, "a"), transition(3, "a")]).await;
    gw.ack().await;
    gw.ack().await;
    let mut stream = desk.follow(last.id.as_deref()).await;
    for seq in [2, 3] {
        assert_eq!(stream.next("transition").await.data["seq"], seq);
    }
    desk.put("/rulesets/plant", &rules(&["a"])).await;
    assert_eq!(stream.next("ruleset").await.data["ruleset"], "plant");
    gw.batch(&[transition(4, "a")]).await;
    assert_eq!(stream.next("transition").await.data["seq"], 4);
    hub.stop().await;
}
