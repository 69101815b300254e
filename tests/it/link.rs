//! The link to the hub: a real uplink over real sockets, between an outbox and a hub that are simple enough to know what is
//! right, and a wire that is cut, or falls silent, at any place.

mod figures;
mod hub;
mod outbox;
mod recorded;
mod relay;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tonic::{Code, Status};
use weir::model::label::Fingerprint;
use weir::model::link::AgentReport;
use weir::tasks;
use weir::uplink::Config;
use weir::wire::digest::{Digest, item};
use weir::wire::v1;
use weir::wire::v1::hub_message::Message as Down;

use hub::{FakeHub, Known};
use outbox::{EPOCH, FakeAgent, firing};
use relay::{Relay, Way};

fn speaking(protocol: u32) -> Known {
    Known { protocol, ..Known::default() }
}

/// What the hub has is what happened: every number once, and each alert's in their order.
#[track_caller]
fn assert_right(hub: &FakeHub, epoch: u64, newest: u64) {
    let known = hub.known();
    assert_eq!(known.has[&epoch].floor(), newest, "all came");
    assert_eq!(known.lost, [], "nothing was said to be complete that was not");
    let seqs: BTreeSet<u64> = known.came.iter().map(|t| t.seq).collect();
    assert_eq!(seqs.len(), known.came.len(), "each once");
    let mut order: BTreeMap<u64, u64> = BTreeMap::new();
    for told in &known.came {
        let before = order.insert(told.fingerprint, told.seq);
        assert!(before.is_none_or(|before| before < told.seq), "{before:?} before {}", told.seq);
        assert_eq!(Fingerprint(told.fingerprint), firing(told.fingerprint_number()).fingerprint);
    }
}

trait Numbered {
    /// Which alert of [`firing`] it is.
    fn fingerprint_number(&self) -> u64;
}

impl Numbered for v1::Transition {
    fn fingerprint_number(&self) -> u64 {
        self.labels["device"][1..].parse().unwrap()
    }
}

/// One run over a wire that is cut at the n-th piece of a way. Gives whether it was.
async fn survives(protocol: u32, way: Way, n: u64) -> bool {
    let hub = FakeHub::start(speaking(protocol), true).await;
    let relay = Relay::start(hub.address, way, n).await;
    let agent = FakeAgent::start(relay.address, Config::default());
    for step in 0..12 {
        for i in 0..3 {
            agent.commit((step + i) % 4, (step * 3 + i) % 5 == 0);
        }
        if step != 7 {
            agent.until_empty().await;
        }
    }
    assert_right(&hub, EPOCH, 36);
    if protocol > 1 {
        agent.until("the digest is there", |_| !hub.known().digests.is_empty()).await;
    }
    relay.was_cut()
}

/// Fails the n-th call, for every n, until a run ends clean.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_that_is_cut_at_any_place_costs_nothing() {
    for protocol in [2, 1] {
        for way in [Way::Up, Way::Down] {
            let mut first = 1;
            loop {
                let runs: Vec<_> =
                    (first..first + 8).map(|n| tasks::spawn("run", survives(protocol, way, n))).collect();
                first += 8;
                let mut clean = false;
                for run in runs {
                    clean |= !run.await.unwrap();
                }
                if clean {
                    break;
                }
            }
            assert!(first > 9, "{way:?} has more than a few places");
        }
    }
}

/// From the silence of the wire to the end of the session.
async fn time_to_find(config: Config, busy: bool) -> Duration {
    let hub = FakeHub::start(speaking(2), true).await;
    let relay = Relay::start(hub.address, Way::Up, 0).await;
    let agent = FakeAgent::start(relay.address, config);
    agent.commit(1, false);
    agent.until_empty().await;
    relay.fall_silent();
    let start = weir::clock::Clock::start();
    if busy {
        (0..400).for_each(|i| agent.commit(i, false));
    }
    agent.until("the dead link is found", |agent| !agent.state().connected).await;
    start.uptime()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_link_is_found_within_half_a_minute() {
    let config = || Config { keep_alive: Duration::from_secs(3), ..Config::default() };
    let (idle, busy) = tokio::join!(time_to_find(config(), false), time_to_find(config(), true));
    for found in [idle, busy] {
        assert!(found > Duration::from_secs(5) && found < Duration::from_secs(15), "{found:?}");
    }
    assert_eq!(Config::default().keep_alive + Duration::from_secs(10), Duration::from_secs(30));
}

fn counters() -> AgentReport {
    AgentReport { metrics: vec![("weir_messages_total".to_owned(), 7.0)], ..AgentReport::default() }
}

#[tokio::test]
async fn urgent_ones_overtake_and_go_beyond_the_byte_budget() {
    let hub = FakeHub::start(speaking(2), true).await;
    let config = Config { bytes_per_hour: 4_000, ..Config::default() };
    let agent = FakeAgent::start(hub.address, config);
    (0..40).for_each(|i| agent.commit(i % 10, false));
    agent.until("the rest is held", |agent| agent.state().held.is_some_and(|held| held.alerts > 20)).await;
    let before = hub.known().came.len();
    agent.status.send_replace(counters());
    agent.commit(77, true);
    agent.commit(3, true);
    agent
        .until("the urgent ones are there", |_| {
            let known = hub.known();
            let has = |seq| known.came.iter().any(|told| told.seq == seq);
            has(41) && has(42)
        })
        .await;
    // What waited of the alert 3 went before, and nothing else.
    let known = hub.known();
    let came: Vec<u64> = known.came[before..].iter().map(|told| told.fingerprint_number()).collect();
    assert!(came.iter().all(|alert| [77, 3].contains(alert)), "{came:?}");
    assert!(known.has[&EPOCH].floor() < 40);
    assert_eq!(known.statuses, 0);
    drop(known);
    let state = agent.state();
    assert!(state.bytes_sent + state.bytes_received > 1_000, "{state:?}");
    assert!(state.held.unwrap().until > weir::clock::wall().micros(), "{state:?}");
}

#[tokio::test]
async fn alerts_wait_for_company_where_that_is_wanted_but_urgent_ones_do_not() {
    let hub = FakeHub::start(speaking(2), true).await;
    let config = Config { batch_age: Duration::from_millis(1_500), ..Config::default() };
    let agent = FakeAgent::start(hub.address, config);
    agent.commit(1, false);
    agent.until_empty().await;
    (0..5).for_each(|i| agent.commit(i, false));
    agent.commit(9, true);
    agent.until("the urgent one is there", |_| hub.known().came.iter().any(|told| told.seq == 7)).await;
    assert_eq!(hub.known().came.len(), 2);
    agent.until_empty().await;
    (0..250).for_each(|i| agent.commit(i % 10, false));
    agent.until("a full batch goes at once", |_| hub.known().came.len() >= 207).await;
    agent.until_empty().await;
    assert_right(&hub, EPOCH, 257);
}

#[tokio::test]
async fn a_hub_that_finds_another_digest_is_sent_the_set() {
    let hub = FakeHub::start(Known { differs: 1, ..speaking(2) }, true).await;
    let agent = FakeAgent::start(hub.address, Config::default());
    agent.rows().active = (0..450).map(firing).collect();
    agent.commit(1, false);
    agent.until("the digest comes again after the repair", |_| hub.known().digests.len() == 2).await;
    let known = hub.known();
    let own: Digest = (0..450).map(firing).map(|up| item(up.fingerprint, up.starts_at, "warning")).collect();
    let said = &known.digests[1];
    assert_eq!((said.seq, said.count, said.sum), (1, own.count, own.sum));
    let sets = &known.sets;
    assert_eq!(sets.iter().map(|set| set.alerts.len()).sum::<usize>(), 450);
    assert!(sets.iter().all(|set| (set.epoch, set.seq) == (EPOCH, 1)));
    assert_eq!(sets.iter().map(|set| set.last).collect::<Vec<_>>(), [false, false, true]);
    let first = &sets[0].alerts[0];
    assert_eq!((first.seq, first.starts_at, &*first.severity), (0, 5, "warning"));
}

#[tokio::test]
async fn a_hub_that_never_agrees_is_not_told_for_ever() {
    let hub = FakeHub::start(Known { differs: usize::MAX, ..speaking(2) }, true).await;
    let agent = FakeAgent::start(hub.address, Config::default());
    agent.commit(1, false);
    agent.until("it is told a few times", |_| hub.known().sets.len() == 4).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let known = hub.known();
    assert_eq!((known.sets.len(), known.digests.len()), (4, 4));
}

#[tokio::test]
async fn a_probe_is_answered_and_a_notice_is_shown() {
    let notice = v1::Notice { code: "clone".to_owned(), message: "two of one name".to_owned() };
    let says = vec![Down::Probe(v1::Probe {}), Down::Notice(notice)];
    let hub = FakeHub::start(Known { says, ..speaking(2) }, true).await;
    let agent = FakeAgent::start(hub.address, Config::default());
    agent.until("the notice is shown", |agent| !agent.state().notices.is_empty()).await;
    let notices = agent.state().notices;
    assert_eq!((&*notices[0].code, &*notices[0].message), ("clone", "two of one name"));
    agent.until("the probe is answered", |_| hub.known().alive == 1).await;
    agent.status.send_replace(counters());
    agent.until("counters come", |_| hub.known().statuses == 1).await;
}

#[tokio::test]
async fn an_older_copy_of_the_outbox_starts_anew() {
    // The hub has a number that this one never gave, beyond a hole.
    let mut known = speaking(2);
    known.has.insert(EPOCH, [(1, 3), (9, 9)].into_iter().collect());
    let hub = FakeHub::start(known, true).await;
    let agent = FakeAgent::start(hub.address, Config::default());
    (0..5).for_each(|i| agent.commit(i, i == 3));
    agent.until_empty().await;
    assert_right(&hub, EPOCH + 1, 5);

    // It has another one under the greatest number that both have.
    let mut known = Known { believes: Some(("another boot".to_owned(), 7)), ..speaking(2) };
    known.has.insert(EPOCH, [(1, 1), (4, 4)].into_iter().collect());
    let hub = FakeHub::start(known, true).await;
    let agent = FakeAgent::start(hub.address, Config::default());
    (0..5).for_each(|i| agent.commit(i, i == 3));
    agent.until("it dials again", |_| hub.known().hellos.len() >= 2).await;
    assert_eq!(hub.known().hellos[1].epoch, EPOCH + 1);
}

#[tokio::test]
async fn a_hub_that_lost_what_it_acknowledged_hears_of_the_gap() {
    let hub = FakeHub::start(speaking(2), true).await;
    let agent = FakeAgent::start(hub.address, Config::default());
    agent.rows().acknowledged = weir::model::ranges::Ranges::up_to(0);
    (0..3).for_each(|i| agent.commit(i, false));
    agent.until_empty().await;
    drop(agent);
    // The same agent, and a hub that was restored from before.
    let hub = FakeHub::start(speaking(2), true).await;
    let agent = FakeAgent::start(hub.address, Config::default());
    {
        let mut rows = agent.rows();
        rows.newest = 3;
        rows.acknowledged = weir::model::ranges::Ranges::up_to(3);
    }
    agent.commit(7, false);
    agent.until_empty().await;
    assert_eq!(hub.known().lost, [(1, 3)]);
    assert_eq!(hub.known().came[0].seq, 4);
}

#[tokio::test]
async fn what_the_hub_asks_for_is_obeyed() {
    let refusal = {
        let mut metadata = tonic::metadata::MetadataMap::new();
        metadata.insert("grpc-retry-pushback-ms", "1500".parse().unwrap());
        Status::with_metadata(Code::Unavailable, "full", metadata)
    };
    let hub = FakeHub::start(Known { refuses: Some(refusal), ..speaking(2) }, true).await;
    let start = weir::clock::Clock::start();
    let agent = FakeAgent::start(hub.address, Config::default());
    agent.commit(1, false);
    agent.until_empty().await;
    assert!(start.uptime() >= Duration::from_millis(1_500), "{:?}", start.uptime());
}

#[tokio::test]
async fn a_hub_that_takes_nothing_compressed_is_sent_nothing_compressed() {
    let hub = FakeHub::start(speaking(1), false).await;
    let agent = FakeAgent::start(hub.address, Config::default());
    (0..300).for_each(|i| agent.commit(i % 7, i % 3 == 0));
    agent.until_empty().await;
    assert_right(&hub, EPOCH, 300);
    let seqs: Vec<u64> = hub.known().came.iter().map(|told| told.seq).collect();
    assert!(seqs.is_sorted(), "a hub of the first version is told in order");
}

#[tokio::test]
async fn what_was_given_up_is_told_and_what_the_file_lost_is_a_gap() {
    let hub = FakeHub::start(speaking(2), true).await;
    let agent = FakeAgent::start(hub.address, Config::default());
    {
        let mut rows = agent.rows();
        rows.newest = 6;
        rows.evicted = [(1, 2), (4, 4)].into_iter().collect();
        rows.waiting.insert(5, (1, false, b"\xff\xff no transition".to_vec()));
    }
    // 3 and 6 are nowhere.
    agent.commit(1, false);
    let all = |hub: &FakeHub| hub.known().has.get(&EPOCH).map_or(0, weir::model::ranges::Ranges::floor) == 7;
    agent.until("all is known", |_| all(&hub)).await;
    assert_eq!(hub.known().lost, [(3, 3), (5, 6)]);
    assert_eq!(hub.known().came.len(), 1);
}

/// The socket's bytes are those that a wire in between carries.
#[tokio::test]
async fn the_bytes_of_the_link_are_those_on_the_wire() {
    let hub = FakeHub::start(speaking(2), true).await;
    let relay = Relay::start(hub.address, Way::Up, 0).await;
    let agent = FakeAgent::start(relay.address, Config::default());
    (0..500).for_each(|i| agent.commit(i % 20, false));
    agent.until_empty().await;
    let same = || {
        let state = agent.state();
        (state.bytes_sent, state.bytes_received) == (relay.bytes(Way::Up), relay.bytes(Way::Down))
    };
    agent.until("both counts agree", |_| same()).await;
    let state = agent.state();
    assert!(state.message_bytes_sent > 3 * state.bytes_sent, "it is compressed: {state:?}");
}
