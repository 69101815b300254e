//! The digest of what is up: compared, and repaired where the two ends differ.

use serde_json::{Value as Json, json};
use weir::hub::cloudevents::Target;
use weir::model::label::Fingerprint;
use weir::model::time::Timestamp;
use weir::wire::digest::{self, Digest};
use weir::wire::v1;
use weir::wire::v1::agent_message::Message as Up;
use weir::wire::v1::hub_message::Message as Down;

use super::Hub;
use super::agent::{EPOCH, FakeAgent, hello, transition};
use super::delivery::{Received, came, receiver};

fn digest_of(alerts: &[v1::Transition]) -> Digest {
    alerts
        .iter()
        .map(|alert| {
            let starts_at = Timestamp::from_micros(alert.starts_at);
            digest::item(Fingerprint(alert.fingerprint), starts_at, &alert.severity)
        })
        .collect()
}

async fn tell(gw: &FakeAgent, epoch: u64, seq: u64, up: &[v1::Transition]) {
    let Digest { count, sum } = digest_of(up);
    gw.send(Up::Digest(v1::Digest { epoch, seq, count, sum })).await;
}

/// Whether the hub asked for the set; it answers in order, so what it says to a batch comes after.
async fn was_asked(gw: &mut FakeAgent, epoch: u64) -> bool {
    gw.send(Up::Batch(v1::Batch { epoch, ..Default::default() })).await;
    match gw.next().await {
        Down::Ack(_) => false,
        Down::Active(request) => {
            assert!(matches!(gw.next().await, Down::Ack(_)));
            assert!(request.seq > 0);
            true
        }
        other => panic!("{other:?} came instead of an answer"),
    }
}

fn up(alert: v1::Transition) -> v1::Transition {
    v1::Transition { seq: 0, ..alert }
}

async fn firing(hub: &Hub) -> Vec<Json> {
    let mut firing = hub.desk().list("/alerts").await;
    firing.sort_by_key(|alert| alert["labels"]["device"].to_string());
    firing
}

#[tokio::test]
async fn where_the_digest_is_the_same_nothing_is_asked_and_nothing_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    tell(&gw, EPOCH, 1, &[]).await;
    assert!(!was_asked(&mut gw, EPOCH).await);
    let alerts = [transition(1, "a"), transition(2, "b")];
    gw.offer(&alerts, &[], 2).await;
    // Sent before the ack came: the hub keeps the order.
    tell(&gw, EPOCH, 2, &alerts).await;
    assert_eq!(gw.acked().await, (2, vec![]));
    assert!(!was_asked(&mut gw, EPOCH).await);
    assert_eq!(hub.desk().list("/transitions?after=0").await.len(), 2);
    let metrics = hub.desk().text("/metrics").await;
    assert!(metrics.contains("weir_hub_digests_equal_total 2\n"), "{metrics}");
    hub.stop().await;
}

#[tokio::test]
async fn a_hub_that_differs_sets_itself_right_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    let same = transition(1, "same");
    let earlier = v1::Transition { starts_at: 5_000_000, ..transition(0, "start") };
    let milder = v1::Transition { severity: "warning".to_owned(), ..transition(0, "severity") };
    gw.offer(
        &[same.clone(), transition(2, "ended"), transition(3, "start"), transition(4, "severity")],
        &[],
        4,
    )
    .await;
    gw.acked().await;
    let set = [up(same), up(earlier), up(milder), up(transition(0, "unknown"))];
    tell(&gw, EPOCH, 4, &set).await;
    assert!(was_asked(&mut gw, EPOCH).await);
    // What happens after the set was taken is not its business.
    gw.offer(&[transition(5, "later")], &[], 5).await;
    gw.acked().await;
    let part = |alerts: &[v1::Transition], last| {
        Up::Active(v1::ActiveSet { epoch: EPOCH, seq: 4, alerts: alerts.to_vec(), last })
    };
    gw.send(part(&set[..2], false)).await;
    gw.send(part(&set[2..], true)).await;
    let whole = [&set[..], &[transition(5, "later")]].concat();
    tell(&gw, EPOCH, 5, &whole).await;
    assert!(!was_asked(&mut gw, EPOCH).await);

    let alerts = firing(&hub).await;
    let named = |device: &str| alerts.iter().find(|alert| alert["labels"]["device"] == device).unwrap();
    let devices: Vec<_> = alerts.iter().map(|alert| alert["labels"]["device"].as_str().unwrap()).collect();
    assert_eq!(devices, ["later", "same", "severity", "start", "unknown"]);
    assert_eq!(named("start")["starts_at"], "1970-01-01T00:00:05Z");
    assert_eq!(named("severity")["severity"], "warning");
    assert_eq!(named("same")["seq"], 1);
    let desk = hub.desk();
    let own: Vec<Json> =
        desk.list("/transitions?after=0").await.into_iter().filter(|t| t["epoch"] == "hub").collect();
    assert_eq!(own.iter().map(|t| t["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let ended = own.iter().find(|t| t["state"] == "resolved").unwrap();
    assert_eq!((&ended["labels"]["device"], &ended["reason"]), (&json!("ended"), &json!("reconciled")));
    assert!(ended.get("evidence").is_none());
    let known = desk.get("/agents/gw-1").await;
    assert_eq!(
        (&known["tallies"]["repaired.firing"], &known["tallies"]["repaired.resolved"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(known["incidents"][0]["kind"], "reconciled");
    let metrics = desk.text("/metrics").await;
    assert!(metrics.contains("weir_hub_repairs_total{to=\"firing\"} 3\n"), "{metrics}");

    // What the agent tells of a repaired alert is later than the repair.
    let state = v1::transition::State::Resolved.into();
    gw.offer(&[v1::Transition { state, ..transition(6, "unknown") }], &[], 6).await;
    gw.acked().await;
    assert_eq!(firing(&hub).await.len(), 4);
    hub.stop().await;
}

#[tokio::test]
async fn what_fires_of_an_older_spool_ends_when_the_agent_does_not_know_it() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    gw.offer(&[transition(100, "old"), transition(101, "still")], &[(1, 99)], 101).await;
    gw.acked().await;
    drop(gw);
    let renewed = v1::Renewed {
        why: v1::renewed::Why::Damaged.into(),
        before: EPOCH,
        at: 1_594_512_095_000_000,
        note: "checksum".to_owned(),
    };
    let epoch = 7;
    let mut gw = hub.dial(v1::Hello { epoch, renewed: Some(renewed), ..hello("gw-1", 2, "a") }).await;
    assert_eq!(gw.welcome.committed, 0);
    // As of the start of a spool that has told nothing yet.
    let still = up(transition(0, "still"));
    tell(&gw, epoch, 0, std::slice::from_ref(&still)).await;
    assert!(matches!(gw.next().await, Down::Active(_)));
    gw.send(Up::Active(v1::ActiveSet { epoch, seq: 0, alerts: vec![still.clone()], last: true })).await;
    tell(&gw, epoch, 0, &[still]).await;
    assert!(!was_asked(&mut gw, epoch).await);
    let firing = firing(&hub).await;
    assert_eq!(firing.iter().map(|alert| &alert["labels"]["device"]).collect::<Vec<_>>(), ["still"]);
    hub.stop().await;
}

/// Two ends that cannot agree do not ask each other for ever.
#[tokio::test]
async fn an_agent_whose_set_is_not_its_digest_is_asked_a_few_times_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    for _ in 0..3 {
        tell(&gw, EPOCH, 1, &[transition(0, "a")]).await;
        assert!(was_asked(&mut gw, EPOCH).await);
        gw.send(Up::Active(v1::ActiveSet { epoch: EPOCH, seq: 1, alerts: Vec::new(), last: true })).await;
    }
    tell(&gw, EPOCH, 1, &[transition(0, "a")]).await;
    assert!(!was_asked(&mut gw, EPOCH).await);
    let metrics = hub.desk().text("/metrics").await;
    assert!(metrics.contains("weir_hub_unreconciled_total 1\n"), "{metrics}");
    hub.stop().await;
}

#[tokio::test]
async fn a_repair_goes_out_as_any_other_transition_does() {
    let dir = tempfile::tempdir().unwrap();
    let received = Received::default();
    let (addr, server) =
        receiver("127.0.0.1:0".parse().unwrap(), &received, |_| axum::http::StatusCode::OK).await;
    let hub = Hub::start(dir.path(), |config| {
        config.targets.push(Target::new("people", &format!("http://{addr}/in")));
    })
    .await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    gw.offer(&[transition(1, "a")], &[], 1).await;
    gw.acked().await;
    let set = [up(transition(0, "b"))];
    tell(&gw, EPOCH, 1, &set).await;
    assert!(was_asked(&mut gw, EPOCH).await);
    gw.send(Up::Active(v1::ActiveSet { epoch: EPOCH, seq: 1, alerts: set.to_vec(), last: true })).await;
    came(&received, 3).await;
    let events: Vec<String> = received
        .lock()
        .unwrap()
        .iter()
        .map(|(headers, body)| {
            let header = |name: &str| headers[name].to_str().unwrap().to_owned();
            format!("{} {} {}", header("ce-id"), header("ce-type"), body["reason"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        events,
        [
            "gw-1/feed000000000001/1 dev.weir.alert.firing ",
            "gw-1/hub/1 dev.weir.alert.firing ",
            "gw-1/hub/2 dev.weir.alert.resolved reconciled",
        ]
    );
    hub.stop().await;
    server.abort();
}
