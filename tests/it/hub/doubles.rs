//! One id twice, and files that were put back: what the hub notices, and tells.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use weir::wire::v1;
use weir::wire::v1::agent_message::Message as Up;
use weir::wire::v1::hub_message::Message as Down;
use weir::{clock, tasks};

use super::Hub;
use super::agent::{EPOCH, FakeAgent, hello, transition};
use super::way::Way;
use crate::support::programs::HubProgram;
use crate::support::within;

/// How long ago that was.
fn since(begun: u64) -> Duration {
    Duration::from_nanos(clock::nanos().saturating_sub(begun))
}

#[tokio::test]
async fn of_two_agents_with_one_id_the_newer_is_turned_away_and_both_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let token = weir::hub::tokens::add(&dir.path().join("agent-tokens"), "gw-1").unwrap();
    let program = HubProgram::start(dir.path(), &[]);
    let mut first = FakeAgent::dial(program.grpc, &token, hello("gw-1", 2, "boot-a")).await;
    for _ in 0..2 {
        let clone = tasks::spawn("clone", {
            let (grpc, token) = (program.grpc, token.clone());
            async move { FakeAgent::turned_away(grpc, &token, hello("gw-1", 2, "boot-b")).await }
        });
        assert!(matches!(first.next().await, Down::Probe(_)));
        first.send(Up::Alive(v1::Alive {})).await;
        let heard = within("the refusal", clone).await.unwrap();
        assert!(matches!(&heard[0], Down::Notice(notice) if notice.code == "clone"), "{heard:?}");
        let Down::RetryAfter(retry) = &heard[1] else { panic!("{heard:?}") };
        assert!(
            retry.milliseconds >= 10_000 && retry.why.contains("two agents have the id gw-1"),
            "{retry:?}"
        );
        let Down::Notice(notice) = first.next().await else { panic!("the older is not told") };
        assert!(notice.message.contains("boot-a") && notice.message.contains("boot-b"), "{notice:?}");
    }
    // The older goes on.
    first.offer(&[transition(1, "a")], &[], 1).await;
    assert_eq!(first.acked().await, (1, vec![]));
    let known = program.desk().until("/agents/gw-1", |agent| agent["incidents"][0]["times"] == 2).await;
    assert_eq!((&known["incidents"][0]["kind"], &known["connected"]), (&json!("clone"), &json!(true)));
    let (_, said) = program.verb(&["agents"]);
    assert!(said.contains("clone at") && said.contains(", 2 times: two agents have the id gw-1"), "{said}");
    let metrics = program.desk().text("/metrics").await;
    assert!(metrics.contains("weir_hub_sessions_put_off_total{why=\"clone\"} 2\n"), "{metrics}");
    assert!(metrics.contains("weir_hub_incidents_total{kind=\"clone\"} 2\n"), "{metrics}");
}

#[tokio::test]
async fn an_older_session_that_does_not_answer_is_dead_and_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut dead = hub.dial(hello("gw-1", 2, "boot-a")).await;
    let begun = clock::nanos();
    let mut second = hub.dial(hello("gw-1", 2, "boot-b")).await;
    let waited = since(begun);
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(15), "{waited:?}");
    assert!(matches!(dead.next().await, Down::Probe(_)));
    assert!(dead.retry_after().await.contains("taken over"));
    // The same boot knows that its older session is gone.
    let begun = clock::nanos();
    let _third = hub.dial(hello("gw-1", 2, "boot-b")).await;
    assert!(since(begun) < Duration::from_secs(4));
    assert!(second.retry_after().await.contains("taken over"));
    assert_eq!(hub.desk().get("/agents/gw-1").await["incidents"], json!([]));
    hub.stop().await;
}

#[tokio::test]
async fn an_older_session_that_ends_while_it_is_asked_makes_room_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let first = hub.dial(hello("gw-1", 2, "boot-a")).await;
    let begun = clock::nanos();
    let ends = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(first);
    };
    let (_second, ()) = tokio::join!(hub.dial(hello("gw-1", 2, "boot-b")), ends);
    assert!(since(begun) < Duration::from_secs(4));
    hub.stop().await;
}

#[tokio::test]
async fn a_spool_that_was_put_back_or_set_aside_is_in_the_agents_record() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    gw.offer(&[transition(1, "a"), transition(2, "a"), transition(5, "a")], &[], 2).await;
    gw.acked().await;
    drop(gw);
    let renewed = |why: v1::renewed::Why, before| {
        Some(v1::Renewed {
            why: why.into(),
            before,
            at: 1_594_512_095_000_000,
            note: "it said so".to_owned(),
        })
    };
    // Sent with every Hello of the epoch, and one incident.
    for boot in ["a", "b"] {
        let renewed = renewed(v1::renewed::Why::Rewound, EPOCH);
        drop(hub.dial(v1::Hello { epoch: 2, renewed, ..hello("gw-1", 2, boot) }).await);
    }
    let renewed = renewed(v1::renewed::Why::Damaged, 0);
    drop(hub.dial(v1::Hello { epoch: 3, renewed, ..hello("gw-1", 2, "b") }).await);
    drop(hub.dial(v1::Hello { epoch: 4, ..hello("gw-1", 2, "b") }).await);
    drop(hub.dial(v1::Hello { epoch: 3, ..hello("gw-1", 2, "b") }).await);
    let known = hub.desk().until("/agents/gw-1", |agent| agent["epoch"] == "0000000000000003").await;
    let incidents = known["incidents"].as_array().unwrap();
    let of = |kind: &str| {
        let all: Vec<_> = incidents.iter().filter(|incident| incident["kind"] == kind).collect();
        assert_eq!((all.len(), &all[0]["times"]), (1, &json!(1)), "{kind}");
        all[0]["note"].as_str().unwrap().to_owned()
    };
    let rewound = of("rewound");
    for said in ["feed000000000001", "up to 5", "from 6 on", "it said so", "2020-07-12T00:01:35Z"] {
        assert!(rewound.contains(said), "{said} is missing in {rewound}");
    }
    assert!(of("damaged").contains("(0000000000000002)"));
    assert!(of("replaced").contains("0000000000000004 after 0000000000000003"));
    assert!(of("returned").contains("two machines"));
    // What the hub lacked of the old spool will not come.
    assert_eq!((&known["gaps"][0]["first"], &known["gaps"][0]["last"]), (&json!(3), &json!(4)));
    hub.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_hub_that_is_an_older_copy_of_itself_notices_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (now, then) = (dir.path().join("now"), dir.path().join("then"));
    let hub = Hub::start(&now, |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    gw.offer(&[transition(1, "a")], &[], 1).await;
    gw.acked().await;
    hub.stop().await;
    copy(&now, &then);
    let hub = Hub::start(&now, |_| ()).await;
    let mut gw = hub.dial(hello("gw-1", 2, "a")).await;
    gw.offer(&[transition(2, "b"), transition(3, "c"), transition(5, "d")], &[], 3).await;
    assert_eq!(gw.acked().await, (3, vec![(5, 5)]));
    hub.stop().await;

    let hub = Hub::start(&then, |_| ()).await;
    let greeting = v1::Hello { newest: 5, acknowledged: 3, ..hello("gw-1", 2, "a") };
    let mut gw = hub.dial(greeting.clone()).await;
    assert_eq!(gw.welcome.committed, 3);
    let known = hub.desk().get("/agents/gw-1").await;
    let gap = &known["gaps"][0];
    assert_eq!((&gap["first"], &gap["last"], &gap["cause"]), (&json!(2), &json!(3), &json!("hub_restored")));
    let incident = &known["incidents"][0];
    assert_eq!(incident["kind"], "hub_restored");
    assert!(incident["note"].as_str().unwrap().contains("the transitions 2 to 3"), "{incident}");
    // What overtook is found missing when all was sent.
    gw.offer(&[transition(4, "a")], &[], 5).await;
    assert_eq!(gw.acked().await, (5, vec![]));
    let known = hub.desk().get("/agents/gw-1").await;
    assert_eq!((&known["gaps"][0]["first"], &known["gaps"][0]["cause"]), (&json!(5), &json!("lost")));
    drop(gw);
    drop(hub.dial(v1::Hello { acknowledged: 5, ..greeting }).await);
    assert_eq!(hub.desk().get("/agents/gw-1").await["tallies"]["incident.hub_restored"], 1);
    hub.stop().await;
}

#[tokio::test]
async fn an_agent_behind_a_dead_link_is_found_out_in_half_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let way = Way::to(hub.running.grpc_addr).await;
    let gw = FakeAgent::dial(way.addr, &hub.token, hello("gw-1", 2, "a")).await;
    let desk = hub.desk();
    assert_eq!(desk.get("/agents/gw-1").await["connected"], true);
    way.silence.send_replace(true);
    let begun = clock::nanos();
    desk.until("/agents/gw-1", |agent| agent["connected"] == false).await;
    assert!(since(begun) < Duration::from_secs(35), "{:?}", since(begun));
    drop(gw);
    hub.stop().await;
}
