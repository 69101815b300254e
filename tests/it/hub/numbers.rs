//! Sequence numbers: what overtakes, what is given up, what is lost, and the series that transitions refer to.

use serde_json::{Value as Json, json};
use weir::wire::series::Compactor;
use weir::wire::v1;
use weir::wire::v1::agent_message::Message as Up;

use super::Hub;
use super::agent::{EPOCH, hello, pairs, transition};

fn resolved(seq: u64, device: &str) -> v1::Transition {
    let state = v1::transition::State::Resolved.into();
    v1::Transition { state, reason: "recovered".to_owned(), ..transition(seq, device) }
}

#[tokio::test]
async fn what_overtakes_is_taken_once_and_nothing_is_lost_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    assert_eq!((gw.welcome.committed, gw.welcome.above.len()), (0, 0));
    gw.offer(&[transition(5, "e"), transition(7, "g")], &[], 0).await;
    assert_eq!(gw.acked().await, (0, vec![(5, 5), (7, 7)]));
    gw.offer(&[transition(1, "a"), transition(2, "b")], &[], 2).await;
    assert_eq!(gw.acked().await, (2, vec![]));
    drop(gw);
    hub.stop().await;

    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    assert_eq!((gw.welcome.committed, pairs(&gw.welcome.above)), (2, vec![(5, 5), (7, 7)]));
    // The greatest that the hub has tells the agent whether its outbox is an older copy.
    assert_eq!((gw.welcome.boot_id.as_str(), gw.welcome.recorded_at), ("boot", 1_594_512_094_500_000));
    gw.offer(&[transition(3, "c"), transition(4, "d"), transition(5, "e")], &[], 5).await;
    assert_eq!(gw.acked().await, (5, vec![]));
    gw.offer(&[transition(6, "f")], &[], 7).await;
    assert_eq!(gw.acked().await, (7, vec![]));
    let desk = hub.desk();
    let came: Vec<u64> =
        desk.list("/transitions?after=0").await.iter().map(|t| t["seq"].as_u64().unwrap()).collect();
    assert_eq!(came, [5, 7, 1, 2, 3, 4, 6]);
    assert_eq!(desk.get("/agents/gw-1").await["gaps"], json!([]));
    hub.stop().await;
}

#[tokio::test]
async fn what_is_lacking_when_all_was_sent_is_lost_and_what_was_given_up_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    gw.offer(&[transition(1, "a"), transition(5, "a")], &[(2, 3)], 0).await;
    assert_eq!(gw.acked().await, (3, vec![(5, 5)]));
    // It came after all was said: nothing is lost twice, and what is settled stays so.
    gw.offer(&[], &[(1, 3), (5, 6)], 6).await;
    assert_eq!(gw.acked().await, (6, vec![]));
    gw.offer(&[transition(4, "a"), transition(6, "a")], &[], 6).await;
    assert_eq!(gw.acked().await, (6, vec![]));
    let desk = hub.desk();
    let known = desk.get("/agents/gw-1").await;
    let gaps: Vec<Json> = known["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| json!([gap["first"], gap["last"], gap["cause"]]))
        .collect();
    assert_eq!(gaps, [json!([6, 6, "evicted"]), json!([4, 4, "lost"]), json!([2, 3, "evicted"])]);
    assert_eq!((&known["tallies"]["lost"], &known["tallies"]["evicted"]), (&json!(1), &json!(3)));
    assert!(known["drops"].as_array().unwrap().iter().any(|drop| drop["what"] == "lost"), "{known}");
    let metrics = desk.text("/metrics").await;
    for line in ["weir_hub_missing_total{why=\"lost\"} 1\n", "weir_hub_missing_total{why=\"evicted\"} 3\n"] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    hub.stop().await;
}

#[tokio::test]
async fn an_alert_is_as_its_latest_transition_says_whatever_came_first() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    gw.offer(&[resolved(9, "a")], &[], 0).await;
    gw.acked().await;
    gw.offer(&[transition(3, "a"), transition(4, "b")], &[], 0).await;
    gw.acked().await;
    let firing = hub.desk().list("/alerts").await;
    assert_eq!(firing.iter().map(|alert| &alert["labels"]["device"]).collect::<Vec<_>>(), ["b"]);
    hub.stop().await;
}

#[tokio::test]
async fn transitions_of_a_series_are_whole_at_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    let mut compactor = Compactor::default();
    for (seq, last) in [(1, 2), (3, 3)] {
        let whole: Vec<_> = (seq..=last).map(|seq| transition(seq, "a")).collect();
        let (series, transitions) = compactor.compact(whole);
        assert_eq!(series.len(), usize::from(seq == 1));
        let batch = v1::Batch { epoch: EPOCH, transitions, series, complete: last, ..Default::default() };
        gw.send(Up::Batch(batch)).await;
        assert_eq!(gw.acked().await, (last, vec![]));
    }
    for record in hub.desk().list("/transitions?after=0").await {
        assert_eq!(record["labels"], json!({ "alertname": "hot", "device": "a" }));
        assert_eq!(record["values"].to_string(), r#"{"a":1,"t":50.5}"#);
        assert_eq!(record["evidence"]["columns"], json!(["t"]));
        assert_eq!((&record["boot_id"], &record["severity"]), (&json!("boot"), &json!("critical")));
    }
    // One that nobody defined: whatever comes after it could not be trusted either.
    let stray = v1::Transition { series: 99, ..transition(4, "a") };
    gw.offer(&[stray], &[], 4).await;
    assert!(gw.last_words().await.is_empty());
    let desk = hub.desk();
    desk.until("/agents/gw-1", |agent| agent["connected"] == false).await;
    assert!(desk.text("/metrics").await.contains("weir_hub_sessions_broken_total 1\n"));
    hub.stop().await;
}
