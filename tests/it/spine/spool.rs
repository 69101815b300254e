//! The spool when it is too small, and when it is an old one.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{PLAIN, Site};
use crate::support::programs::weir;

/// The copy of a spool gives numbers again that the hub has seen; also where it has given so many
/// meanwhile that it is not behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_spool_loses_nothing_that_it_decides() {
    let mut site = Site::start(&[], "").await;
    site.push("plain", PLAIN).await;
    let publish = |site: &Site, device: &str, count: u64| {
        for i in 0..count {
            let value = if i % 2 == 0 { 61 } else { 50 };
            site.broker.publish(&format!("plant/{device}/t"), &format!(r#"{{"v": {value}}}"#), &["-q", "1"]);
        }
    };
    site.agent.stop();
    let spool = site.path().join("agent/state/spool.db");
    let copy = std::fs::read(&spool).unwrap();
    for (restored, device, count) in [(false, "m1", 4), (true, "m2", 6), (true, "m3", 1)] {
        if restored {
            site.agent.kill();
            site.hub.kill();
            let wal = spool.with_extension("db-wal");
            std::fs::remove_file(&wal).or_else(|e| if wal.exists() { Err(e) } else { Ok(()) }).unwrap();
            std::fs::write(&spool, &copy).unwrap();
        }
        site.agent.run();
        site.agent.until("the broker is back", |s| s["sources"][0]["connected"] == true).await;
        publish(&site, device, count);
        if restored {
            site.agent.until("all wait", |s| s["core"]["spool"]["newest"] == count).await;
            site.hub.run();
        }
        site.agent.until("all went", |s| super::connected(s) && s["core"]["spool"]["waiting"] == 0).await;
        let all = site.transitions(0).await;
        let of_device = all.iter().filter(|t| t["labels"]["device"] == device).count() as u64;
        assert_eq!(of_device, count, "{device}: {all:#?}");
    }
    // Each restored copy counted in a number space of its own, and the hub keeps them all.
    let all = site.transitions(11).await;
    let mut spaces: BTreeMap<&str, Vec<Json>> = BTreeMap::new();
    for t in &all {
        spaces.entry(t["epoch"].as_str().unwrap()).or_default().push(t.clone());
    }
    assert_eq!(spaces.len(), 3, "{:?}", spaces.keys());
    spaces.values().for_each(|of_one| super::assert_gapless(of_one));
    let agent = site.desk().get("/agents/gw-1").await;
    assert_eq!(agent["gaps"].as_array().map(Vec::len), Some(0), "{agent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_over_its_bound_gives_up_the_oldest_and_the_hub_is_told_which() {
    let mut site = Site::start(&[], "spool.max_bytes = 20_000").await;
    site.push("plain", PLAIN).await;
    site.hub.kill();
    let lines: Vec<String> =
        (0..400).map(|i| format!(r#"{{"v": {}}}"#, if i % 2 == 0 { 61 } else { 50 })).collect();
    site.broker.publish_lines("plant/m1/t", &lines, &["-q", "1"]);
    let status = site.agent.until("all are decided", |s| s["core"]["spool"]["newest"] == 400).await;
    let figure = |name: &str| status["core"]["spool"][name].as_u64().unwrap();
    let evicted = figure("evicted");
    assert!(evicted > 0 && figure("waiting") == 400 - evicted, "{}", status["core"]["spool"]);
    assert!(figure("waiting_bytes") <= 20_000, "{}", status["core"]["spool"]);
    let shown = site.agent.shown();
    assert!(shown.contains(&format!("{evicted} given up")), "{shown}");

    site.hub.run();
    site.agent.until("all went", |s| super::connected(s) && s["core"]["spool"]["waiting"] == 0).await;
    let all = site.transitions(usize::try_from(400 - evicted).unwrap()).await;
    let seqs: Vec<u64> = all.iter().map(|t| t["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (evicted + 1..=400).collect::<Vec<_>>(), "the rest, in order");
    let agent = site.desk().get("/agents/gw-1").await;
    let gaps: Vec<(u64, u64, bool)> = agent["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| (g["first"].as_u64().unwrap(), g["last"].as_u64().unwrap(), g["evicted"].as_bool().unwrap()))
        .collect();
    assert_eq!(gaps, [(1, evicted, true)], "{agent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_what_waits_since_when_and_why() {
    let mut site = Site::start(&[], "").await;
    site.push("plain", PLAIN).await;
    let config = site.path().join("agent/weir.toml").display().to_string();
    let spool = |args: &[&str]| {
        let (verb, rest) = args.split_at(args.len().min(1));
        weir(&[&["spool"][..], verb, &["--config", &config], rest.get(..).unwrap_or_default()].concat())
    };
    let (ok, shown, err) = weir(&["spool", "--config", &config]);
    assert!(
        ok && shown.contains("nothing waits for the hub") && shown.contains("connected to"),
        "{shown}{err}"
    );
    site.hub.kill();
    for v in [61, 50, 62] {
        site.broker.publish("plant/m1/t", &format!(r#"{{"v": {v}}}"#), &["-q", "1"]);
    }
    let status = site.agent.until("all wait", |s| s["core"]["spool"]["waiting"] == 3).await;
    assert_eq!(status["core"]["spool"]["newest"], 3);
    site.agent.until("the loss shows", |s| s["link"]["connected"] == false).await;
    let (_, shown, _) = weir(&["spool", "--config", &config, "--limit", "2"]);
    for part in ["3 transitions wait for the hub", "no link to http://", "device=m1", "… 1 more"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (_, whole, _) = spool(&["show", "2"]);
    let whole: Json = serde_json::from_str(&whole).unwrap();
    assert_eq!(
        (&whole["seq"], &whole["state"], &whole["rule"]),
        (&2.into(), &"resolved".into(), &"hot".into())
    );
    let (ok, _, err) = spool(&["show", "9"]);
    assert!(!ok && err.contains("the newest is 3"), "{err}");
    let (_, lines, said) = spool(&["export"]);
    let seqs: Vec<u64> =
        lines.lines().map(|l| serde_json::from_str::<Json>(l).unwrap()["seq"].as_u64().unwrap()).collect();
    assert_eq!((seqs, said.trim()), (vec![1, 2, 3], "3 transitions"));
    site.hub.run();
    site.agent.until("all went", |s| super::connected(s) && s["core"]["spool"]["waiting"] == 0).await;
    let (ok, _, err) = spool(&["show", "2"]);
    assert!(!ok && err.contains("does not wait"), "{err}");
}
