//! CloudEvents to a receiver that fails, goes away and comes back; and the real program, killed.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use weir::hub::cloudevents::Target;
use weir::tasks;

use super::Hub;
use super::agent::{FakeAgent, transition};
use crate::support::programs::HubProgram;
use crate::support::within;

pub(super) type Received = Arc<Mutex<Vec<(HeaderMap, Json)>>>;

/// A receiver that answers each event as `answer` says.
pub(super) async fn receiver(
    addr: SocketAddr,
    received: &Received,
    answer: impl Fn(&Json) -> StatusCode + Clone + Send + Sync + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(addr).await.unwrap();
    let local = listener.local_addr().unwrap();
    let received = Arc::clone(received);
    let router = Router::new().route(
        "/in",
        post(async move |headers: HeaderMap, body: Bytes| {
            let body: Json = serde_json::from_slice(&body).unwrap();
            let status = answer(&body);
            if status.is_success() {
                received.lock().unwrap().push((headers, body));
            }
            status
        }),
    );
    let server = tasks::spawn("receiver", async move { axum::serve(listener, router).await.unwrap() });
    (local, server)
}

pub(super) async fn came(received: &Received, count: usize) {
    within("the events", async {
        while received.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_was_down_gets_all_in_order_once() {
    let dir = tempfile::tempdir().unwrap();
    let received = Received::default();
    let (addr, up) = receiver("127.0.0.1:0".parse().unwrap(), &received, |_| StatusCode::OK).await;
    let target = |structured| {
        let mut target = Target::new("people", &format!("http://{addr}/in"));
        target.backoff = Duration::from_millis(20);
        target.backoff_max = Duration::from_millis(100);
        target.structured = structured;
        target
    };
    let hub = Hub::start(dir.path(), |config| config.targets.push(target(false))).await;
    let mut gw = hub.agent("gw-1", Vec::new()).await;
    gw.batch(&[transition(1, "a")]).await;
    came(&received, 1).await;
    up.abort();
    drop(up.await);

    for seq in 2..=20 {
        gw.batch(&[transition(seq, "a")]).await;
        gw.ack().await;
    }
    let desk = hub.desk();
    desk.until("/targets", |targets| targets[0]["retries"].as_u64() > Some(0) && targets[0]["depth"] == 19)
        .await;
    // The hub goes too, and comes back before the receiver does.
    hub.stop().await;
    let hub = Hub::start(dir.path(), |config| config.targets.push(target(true))).await;
    // The receiver comes back ill at first, and refuses one event for good.
    let failures = Mutex::new(3);
    let failures = Arc::new(failures);
    let (_, up) = receiver(addr, &received, move |event| {
        let mut left = failures.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        if event["data"]["seq"] == 10 { StatusCode::BAD_REQUEST } else { StatusCode::ACCEPTED }
    })
    .await;
    came(&received, 19).await;
    let targets = hub.desk().until("/targets", |targets| targets[0]["depth"] == 0).await;
    assert_eq!((&targets[0]["delivered"], &targets[0]["dead"]), (&Json::from(19), &Json::from(1)));
    let events = received.lock().unwrap().clone();
    let seqs: Vec<u64> = events
        .iter()
        .map(|(_, body)| body["seq"].as_u64().or(body["data"]["seq"].as_u64()).unwrap())
        .collect();
    let expected: Vec<u64> = (1..=20).filter(|seq| *seq != 10).collect();
    assert_eq!(seqs, expected);
    let (headers, body) = &events[0];
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "gw-1/feed000000000001/1"),
        ("ce-source", "/weir/agents/gw-1"),
        ("ce-type", "dev.weir.alert.firing"),
        ("ce-time", "2020-07-12T00:01:34.5Z"),
        ("ce-subject", body["fingerprint"].as_str().unwrap()),
        ("content-type", "application/json"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    let (headers, body) = &events[1];
    assert!(headers["content-type"].to_str().unwrap().starts_with("application/cloudevents+json"));
    assert_eq!(body["id"], "gw-1/feed000000000001/2");
    hub.stop().await;
    up.abort();
}

#[tokio::test]
async fn the_program_loses_nothing_that_it_acknowledged_when_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let token = weir::hub::tokens::add(&dir.path().join("agent-tokens"), "gw-1").unwrap();
    let mut seq = 0;
    for _ in 0..3 {
        let program = HubProgram::start(dir.path(), &[]);
        let mut gw = FakeAgent::connect(program.grpc, &token, "gw-1", Vec::new()).await;
        assert_eq!(gw.welcome.committed, seq);
        for _ in 0..5 {
            seq += 1;
            gw.batch(&[transition(seq, "a")]).await;
            assert_eq!(gw.ack().await, seq);
        }
    }
    let program = HubProgram::start(dir.path(), &[]);
    let desk = program.desk();
    let seqs: Vec<u64> =
        desk.list("/transitions?after=0").await.iter().map(|t| t["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seq).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_program_ends_in_order_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let token = weir::hub::tokens::add(&dir.path().join("agent-tokens"), "gw-1").unwrap();
    let mut program = HubProgram::start(dir.path(), &[]);
    let mut gw = FakeAgent::connect(program.grpc, &token, "gw-1", Vec::new()).await;
    let stream = program.desk().follow(None).await;
    let ended = tasks::spawn_blocking(move || program.stop());
    assert!(gw.retry_after().await.contains("stopping"));
    within("the end of the program", ended).await.unwrap();
    drop(stream);
}

#[tokio::test]
async fn the_programs_verbs_speak_to_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    let token = weir::hub::tokens::add(&dir.path().join("agent-tokens"), "gw-1").unwrap();
    let program = HubProgram::start(dir.path(), &[]);
    let mut gw = FakeAgent::connect(program.grpc, &token, "gw-1", Vec::new()).await;
    gw.batch(&[transition(1, "motor-3")]).await;
    gw.ack().await;
    let file = dir.path().join("plant.yaml");
    let path = file.to_str().unwrap();
    let verb = |args: &[&str]| program.verb(args);

    std::fs::write(&file, super::rules(&["hot"]).replace("SELECT device", "SELEC device")).unwrap();
    let (ok, said) = verb(&["rules", "push", path]);
    assert!(!ok && said.contains(&format!("{path}:1:")), "{said}");
    std::fs::write(&file, super::rules(&["hot"])).unwrap();
    let (ok, said) = verb(&["rules", "push", path, "--target", "agent=gw-1"]);
    assert!(ok && said.contains("plant: revision 1 for 1 agents"), "{said}");
    let (_, said) = verb(&["rules", "list"]);
    assert!(said.contains("plant") && said.contains("agent=gw-1"), "{said}");
    let (_, said) = verb(&["alerts"]);
    assert!(said.contains("FIRING") && said.contains("device=motor-3"), "{said}");
    let (_, said) = verb(&["alerts", "--json"]);
    assert_eq!(serde_json::from_str::<Json>(&said).unwrap()["seq"], 1);
    let (_, said) = verb(&["agents"]);
    assert!(said.contains("gw-1") && said.contains("connected"), "{said}");
    let (_, said) = verb(&["rules", "list", "--json"]);
    let set: Json = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&set["name"], &set["revision"], &set["target"]),
        (&"plant".into(), &1.into(), &"agent=gw-1".into())
    );
    let (_, said) = verb(&["agents", "--json"]);
    let agent: Json = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&agent["agent"], &agent["connected"], &agent["sets"][0]["name"]),
        (&"gw-1".into(), &true.into(), &"plant".into())
    );
}

#[tokio::test]
async fn the_alerts_verb_follows_what_comes_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let token = weir::hub::tokens::add(&dir.path().join("agent-tokens"), "gw-1").unwrap();
    let program = HubProgram::start(dir.path(), &[]);
    let mut gw = FakeAgent::connect(program.grpc, &token, "gw-1", Vec::new()).await;
    gw.batch(&[transition(1, "motor-3")]).await;
    gw.ack().await;
    let people = program.follow(&["alerts", "--follow"]);
    let programs = program.follow(&["alerts", "--follow", "--json"]);
    assert!(people.line().contains("device=motor-3"));
    assert_eq!(serde_json::from_str::<Json>(&programs.line()).unwrap()["seq"], 1);
    gw.batch(&[transition(2, "pump-1")]).await;
    gw.ack().await;
    let said = people.line();
    assert!(said.contains("FIRING") && said.contains("device=pump-1"), "{said}");
    assert_eq!(serde_json::from_str::<Json>(&programs.line()).unwrap()["seq"], 2);
}

#[test]
fn the_tokens_verb_takes_only_what_can_be_an_agents_id() {
    let dir = tempfile::tempdir().unwrap();
    for (agent, taken) in [("gw-1", true), ("*", true), ("gw 1", false), ("a/b", false)] {
        let output = Command::new(env!("CARGO_BIN_EXE_weir-hub"))
            .args(["tokens", "add", agent, "--data-dir"])
            .arg(dir.path())
            .output()
            .unwrap();
        assert_eq!(output.status.success(), taken, "{agent}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(taken || said.contains("is no agent id; use 1 to 128"), "{said}");
    }
}

#[tokio::test]
async fn what_a_person_can_put_right_waits_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let received = Received::default();
    let closed = Arc::new(AtomicBool::new(true));
    let door = Arc::clone(&closed);
    let answer =
        move |_: &Json| if door.load(Ordering::Relaxed) { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    let (addr, server) = receiver("127.0.0.1:0".parse().unwrap(), &received, answer).await;
    let hub = Hub::start(dir.path(), |config| {
        let mut target = Target::new("people", &format!("http://{addr}/in"));
        target.backoff = Duration::from_millis(20);
        target.backoff_max = Duration::from_millis(100);
        config.targets.push(target);
    })
    .await;
    let mut gw = hub.agent("gw-1", Vec::new()).await;
    gw.batch(&[transition(1, "a"), transition(2, "a")]).await;
    gw.ack().await;
    let desk = hub.desk();
    let told = |targets: &Json| targets[0]["last_error"].as_str().is_some_and(|why| why.contains("401"));
    let targets = desk.until("/targets", told).await;
    assert_eq!((&targets[0]["dead"], &targets[0]["depth"]), (&Json::from(0), &Json::from(2)));
    closed.store(false, Ordering::Relaxed);
    came(&received, 2).await;
    let targets = desk.until("/targets", |targets| targets[0]["depth"] == 0).await;
    assert_eq!((&targets[0]["dead"], &targets[0]["last_error"]), (&Json::from(0), &Json::from("")));
    hub.stop().await;
    server.abort();
}

#[tokio::test]
async fn both_listeners_speak_tls() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let hub = Hub::start(dir.path(), |config| {
        config.tls_cert = Some(cert.clone());
        config.tls_key = Some(key);
    })
    .await;
    assert!(hub.running.tls);
    let ca = tonic::transport::Certificate::from_pem(made.cert.pem());
    let channel =
        tonic::transport::Channel::from_shared(format!("https://localhost:{}", hub.running.grpc_addr.port()))
            .unwrap()
            .tls_config(tonic::transport::ClientTlsConfig::new().ca_certificate(ca))
            .unwrap();
    let channel = within("a TLS connection", channel.connect()).await.unwrap();
    FakeAgent::over(channel, &hub.token, "gw-1", Vec::new()).await;

    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()])
        .build()
        .unwrap();
    let url = |scheme: &str| format!("{scheme}://localhost:{}/healthz", hub.running.http_addr.port());
    let answer = within("HTTPS", client.get(url("https")).send()).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok\n");
    assert!(within("plain text", client.get(url("http")).send()).await.is_err());
    hub.stop().await;
}
