//! The files of every version there was, opened by this one: `tests/compat` keeps them, and its README says how one
//! is added.

mod make;
mod scene;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value as Json;
use weir::clock;
use weir::engine::{self, Engine};
use weir::model::time::Now;
use weir::plan::{self, Limits};
use weir::spool::{self, Spool};

use crate::support::mosquitto::Mosquitto;
use crate::support::programs::{AgentProgram, HubProgram, weir};
use crate::support::within;

/// Each is a file of its own.
const DURABILITIES: [&str; 2] = ["processed", "durable"];

/// What a file is written in. All that it holds besides only ever gains members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Formats {
    schema: i64,
    engine: u8,
}

/// The part of a snapshot of the core that leads to those of the engine.
#[derive(Clone, PartialEq, prost::Message)]
struct CoreSnapshot {
    #[prost(message, repeated, tag = "1")]
    sets: Vec<SetSnapshot>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SetSnapshot {
    #[prost(bytes = "vec", tag = "2")]
    engine: Vec<u8>,
}

/// The oldest format whose open windows are taken over; from older ones they begin empty. It goes up with the version of
/// snapshots, and a change that needs it to go up needs another version.
const WINDOWS_SINCE: Formats = Formats { schema: 3, engine: 4 };

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat")
}

/// What a spool with a snapshot is written in.
fn formats(spool: &Path) -> Formats {
    let db = Connection::open(spool).unwrap();
    let schema = db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let body: Option<Vec<u8>> =
        db.query_row("SELECT body FROM snapshot", [], |row| row.get(0)).optional().unwrap();
    let core = CoreSnapshot::decode(&*body.expect("it holds a snapshot")).unwrap();
    Formats { schema, engine: core.sets[0].engine[0] }
}

/// What this version writes.
fn present() -> Formats {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool.db");
    drop(Spool::open(&spool, &spool::Config::default(), clock::spool_time()).unwrap());
    let db = Connection::open(&spool).unwrap();
    let schema = db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let plan = plan::compile_text("compat", scene::RULES, &Limits::default()).plan.unwrap();
    let engine = Engine::new(plan.into(), engine::Config::default()).snapshot(Now::default())[0];
    Formats { schema, engine }
}

/// The kept files of a durability, oldest first.
fn kept(durability: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.is_dir()).map(|path| path.join(format!("{durability}.db.gz"))).collect();
    files.sort();
    files
}

/// Unpacks a kept file to where an agent looks for it.
fn unpack(file: &Path, state: &Path) -> PathBuf {
    std::fs::create_dir_all(state).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_end(&mut bytes).unwrap();
    let spool = state.join("spool.db");
    std::fs::write(&spool, bytes).unwrap();
    spool
}

#[test]
fn every_format_there_was_has_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let present = present();
    for durability in DURABILITIES {
        let all: BTreeSet<Formats> =
            kept(durability).iter().map(|file| formats(&unpack(file, dir.path()))).collect();
        let missing = "no file of it is kept in tests/compat: run `make compat-fixture`";
        for schema in 1..=present.schema {
            assert!(all.iter().any(|f| f.schema == schema), "schema {schema} of the spool: {missing}");
        }
        for engine in 1..=present.engine {
            assert!(all.iter().any(|f| f.engine == engine), "version {engine} of snapshots: {missing}");
        }
        assert!(all.contains(&present), "{present:?}: {missing}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_goes_on_where_an_older_one_stood() {
    for file in kept("processed") {
        goes_on(&file).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_goes_on_where_an_older_one_stood_with_a_journal() {
    for file in kept("durable") {
        goes_on(&file).await;
    }
}

/// Runs this version's agent on a copy of a kept file.
async fn goes_on(file: &Path) {
    let (dir, name) = (tempfile::tempdir().unwrap(), file.display());
    let spool = unpack(file, &dir.path().join("agent/state"));
    let had = formats(&spool);
    let sets = opens(file);
    let broker = Mosquitto::start();
    let mut hub = HubProgram::start(&dir.path().join("hub"), &[]);
    let desk = hub.desk();
    for (set, rules) in [("compat", scene::RULES), ("later", scene::LATER)].into_iter().take(sets) {
        let (code, said) = desk.put(&format!("/rulesets/{set}"), rules).await;
        assert_eq!(code, 200, "{said}");
    }
    let token = hub.token("gw-1").display().to_string();
    hub.kill();
    let durability = file.file_name().unwrap().to_str().unwrap().split('.').next().unwrap();
    let config = format!(
        "[spool]\ndurability = {durability:?}\n[hub]\nurl = \"http://{}\"\ntoken_file = {:?}\n[[broker]]\nname = \"plant\"\nurl = {:?}\n",
        hub.grpc,
        token,
        broker.url(),
    );
    let mut agent = AgentProgram::start(&dir.path().join("agent"), "gw-1", &config);
    let runs = |s: &Json| s["core"]["rulesets"].as_array().is_some_and(|all| all.len() == sets);
    let alone = agent.until(&format!("{name}: the rules run"), runs).await;
    assert_eq!(scene::standing(&alone), scene::STANDING, "{name}: {:#}", alone["core"]["alerts"]);
    hub.run();
    let sent = |s: &Json| s["link"]["connected"] == true && s["core"]["spool"]["waiting"] == 0;
    let status = agent.until(&format!("{name}: all that waited is sent"), sent).await;
    assert_eq!(scene::standing(&status), scene::STANDING, "{name}: {:#}", status["core"]["alerts"]);

    let mut expected: Vec<Vec<String>> = scene::WAITING.iter().map(owned).collect();
    expected.extend((sets == 2).then(|| owned(&scene::MOTOR_WAITING)));
    expected.sort();
    let transitions = async || hub.desk().list("/transitions?limit=1000").await;
    // What the hub of the fixture had been told, this one learns by comparing what is up.
    let by_hub = |t: &&Json| t["epoch"] == "hub";
    let mut arrived: Vec<Vec<String>> = transitions().await.iter().filter(|t| !by_hub(t)).map(told).collect();
    arrived.sort();
    assert_eq!(arrived, expected, "{name}: each once");

    // What the rules say still holds, of alerts and windows that are older than this process.
    agent.until("the broker is there", |s| s["sources"][0]["connected"] == true).await;
    for (topic, payload) in scene::AFTER.into_iter().map(scene::message) {
        broker.publish(&topic, &payload, &["-q", "1"]);
    }
    let after = within("what follows", async {
        loop {
            let all = transitions().await;
            let find = |rule: &str, state: &str| {
                all.iter().find(|t| told(t) == [rule, "m1", state].map(str::to_owned)).cloned()
            };
            if let (Some(hot), Some(mean)) = (find("hot", "resolved"), find("mean", "firing")) {
                return [hot, mean];
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(after[0]["starts_at"], "2026-01-01T00:00:10Z", "{name}: {}", after[0]);
    let repaired: Vec<Vec<String>> = transitions().await.iter().filter(by_hub).map(told).collect();
    assert_eq!(repaired, [owned(&["held", "m0", "firing"])], "{name}");
    let readings = if had >= WINDOWS_SINCE { 2 } else { 1 };
    assert_eq!(after[1]["values"]["n"], readings, "{name}: {}", after[1]);
    agent.stop();
    assert_eq!(formats(&spool), present(), "{name}: it is a file of this version from then on");
}

/// The file as the spool reads it; gives the number of rule sets.
fn opens(file: &Path) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = unpack(file, dir.path());
    let (spool, loaded) = Spool::open(&path, &spool::Config::default(), clock::spool_time()).unwrap();
    let later = loaded.rulesets.len() - 1;
    let waiting = scene::WAITING.len() + later;
    assert_eq!(spool.stats(clock::spool_time()).waiting, waiting as u64, "{}", file.display());
    assert_eq!(spool.newest(), scene::TOLD_COUNT + waiting as u64, "{}", file.display());
    loaded.rulesets.len()
}

fn owned(parts: &[&str; 3]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// Rule, device and state of a transition that the hub has.
fn told(t: &Json) -> Vec<String> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    vec![text(&t["rule"]), text(&t["labels"]["device"]), text(&t["state"])]
}

#[test]
fn a_newer_versions_file_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let spool = unpack(kept("processed").last().unwrap(), &state);
    let newer = present().schema + 1;
    Connection::open(&spool).unwrap().pragma_update(None, "user_version", newer).unwrap();
    let before = std::fs::read(&spool).unwrap();
    let config = dir.path().join("weir.toml");
    let text = format!("agent.id = \"gw-1\"\nagent.state_dir = {:?}\n", state.display().to_string());
    std::fs::write(&config, text).unwrap();
    let (ok, _, said) = weir(&["run", "--config", config.to_str().unwrap()]);
    assert!(!ok && said.contains(&format!("it has schema {newer}")), "{said}");
    assert!(said.contains("run the newer version, or move the file away"), "{said}");
    assert_eq!(std::fs::read(&spool).unwrap(), before, "it is left as it was");
}
