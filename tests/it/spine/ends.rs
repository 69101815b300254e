//! How an agent ends: in order, in a hurry, by a panic; and who watches over it meanwhile.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::{PLAIN, Site, assert_gapless, connected, counter};

/// Transitions of a device, one a message.
fn publish(site: &Site, count: usize) {
    let lines: Vec<String> =
        (0..count).map(|i| format!(r#"{{"v": {}}}"#, if i % 2 == 0 { 61 } else { 50 })).collect();
    site.broker.publish_lines("plant/m1/t", &lines, &["-q", "1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_anywhere_ends_the_agent_with_its_place_and_loses_nothing() {
    let places = [
        ("core.before_commit", "core", 6),
        ("core.committed", "core", 6),
        ("core.acked", "core", 6),
        ("ingest.batch", "mqtt-plant", 3),
        ("uplink.sent", "main", 3),
        ("uplink.acked", "main", 3),
    ];
    for (place, thread, nth) in places {
        let mut site = Site::start(&[], "").await;
        site.push("plain", PLAIN).await;
        site.agent.stop();
        site.agent.env = vec![("WEIR_FAILPOINT".to_owned(), format!("panic.{place}:{nth}"))];
        site.agent.run();
        site.agent.until("it is back", connected).await;
        for _ in 0..10 {
            publish(&site, 2);
        }
        let status = site.agent.ended();
        assert!(!status.success(), "{status}");
        let log = site.agent.log();
        assert!(log.contains(&format!("panic: failpoint {place}")), "{log}");
        assert!(log.contains("src/failpoint.rs:") && log.contains(thread), "{log}");
        site.agent.env.clear();
        site.agent.run();
        let all = site.transitions(20).await;
        assert_gapless(&all);
        let states: Vec<&str> = all.iter().map(|t| t["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["firing", "resolved"].repeat(10), "{place}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_a_thread_that_comes_and_goes_ends_the_agent_too() {
    let armed = [("WEIR_FAILPOINT", "panic.rules.compile:1")];
    let mut site = Site::start_through(&[], &("", ""), &armed, &|_| Vec::new());
    site.agent.until("it is connected", connected).await;
    let (code, said) = site.desk().put("/rulesets/plain", PLAIN).await;
    assert_eq!(code, 200, "{said}");
    assert!(!site.agent.ended().success());
    let log = site.agent.log();
    assert!(log.contains("panic: failpoint rules.compile") && log.contains("thread=\"rules\""), "{log}");
    // What it was sent is sent again.
    site.agent.env.clear();
    site.agent.run();
    site.agent
        .until("the rules run", |s| s["core"]["rulesets"].as_array().is_some_and(|sets| sets.len() == 1))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_agent_at_once_and_loses_nothing() {
    let mut site = Site::start(&[], "").await;
    site.push("plain", PLAIN).await;
    // A hub that does not answer holds an end in order up.
    site.hub.signal("STOP");
    publish(&site, 20);
    site.agent.until("they wait", |s| s["core"]["spool"]["newest"] == 20).await;
    site.agent.signal("TERM");
    tokio::time::sleep(Duration::from_millis(500)).await;
    site.agent.signal("INT");
    let status = site.agent.ended();
    assert_eq!(status.code(), Some(130), "{}", site.agent.log());
    site.hub.signal("CONT");
    site.agent.run();
    let all = site.transitions(20).await;
    assert_gapless(&all);
    assert_eq!(all.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_in_order_keeps_its_deadline_though_nobody_answers() {
    let mut site = Site::start(&[], "").await;
    site.push("plain", PLAIN).await;
    site.hub.signal("STOP");
    publish(&site, 10);
    site.agent.until("they wait", |s| s["core"]["spool"]["newest"] == 10).await;
    site.agent.stop();
    site.hub.signal("CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_hears_of_start_life_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let heard = || {
        let mut text = [0; 64];
        let count = manager.recv(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text[..count]).into_owned())
    };
    let socket = path.display().to_string();
    let watched = [("NOTIFY_SOCKET", &*socket), ("WATCHDOG_USEC", "600000")];
    let mut site = Site::start_through(&[], &("", ""), &watched, &|_| Vec::new());
    assert_eq!(heard().as_deref(), Some("READY=1"));
    site.agent.until("it is connected", connected).await;
    for _ in 0..5 {
        assert_eq!(heard().as_deref(), Some("WATCHDOG=1"));
    }
    site.agent.stop();
    let rest: Vec<String> = std::iter::from_fn(|| {
        manager.set_nonblocking(true).unwrap();
        heard()
    })
    .collect();
    manager.set_nonblocking(false).unwrap();
    assert!(rest.contains(&"STOPPING=1".to_owned()), "{rest:?}");

    // A core that is stuck is not fed for.
    site.agent.env.push(("WEIR_FAILPOINT".to_owned(), "stuck.core.before_commit:2".to_owned()));
    site.agent.run();
    assert_eq!(heard().as_deref(), Some("READY=1"));
    site.push("plain", PLAIN).await;
    while !site.agent.log().contains("the service manager's watchdog is not fed") {
        publish(&site, 2);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    manager.set_nonblocking(true).unwrap();
    while heard().is_some() {}
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(heard(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_broker_lost_is_a_gap_at_the_first_connection_too() {
    let mut site = Site::start(&[], "").await;
    site.push("plain", PLAIN).await;
    publish(&site, 2);
    site.transitions(2).await;
    site.agent.stop();
    site.agent.run();
    let status = site.agent.until("it is back", connected).await;
    assert_eq!(counter(&status, "plant", "gaps"), 0, "the broker kept the session");
    site.agent.stop();
    site.broker.kill();
    site.broker.run();
    site.agent.run();
    let status = site.agent.until("it is back", connected).await;
    assert_eq!(counter(&status, "plant", "gaps"), 1);
    publish(&site, 2);
    assert_gapless(&site.transitions(4).await);
}
