//! Makes the files of one version with its own programs, and keeps them small.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{DURABILITIES, Formats, folder, formats, scene};
use crate::support::mosquitto::Mosquitto;
use crate::support::programs::{AgentProgram, HubProgram};

/// Where the programs of another version lie, for `make compat-fixture PROGRAMS=…`.
const PROGRAMS: &str = "WEIR_COMPAT_PROGRAMS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes into the tree: `make compat-fixture`"]
async fn make_the_files_of_this_version() {
    let (agent, hub) = match std::env::var_os(PROGRAMS).filter(|dir| !dir.is_empty()) {
        Some(dir) => (Path::new(&dir).join("weir"), Path::new(&dir).join("weir-hub")),
        None => (env!("CARGO_BIN_EXE_weir").into(), env!("CARGO_BIN_EXE_weir-hub").into()),
    };
    for durability in DURABILITIES {
        let dir = tempfile::tempdir().unwrap();
        let spool = play(dir.path(), durability, &agent, &hub).await;
        let Formats { schema, engine } = formats(&spool);
        let folder = folder().join(format!("spool-{schema}-engine-{engine}"));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{durability}.db.gz"));
        keep(&spool, &file);
        println!("{}: {} bytes", file.display(), std::fs::metadata(&file).unwrap().len());
    }
}

/// Lets the story happen, and gives the spool that it leaves.
async fn play(dir: &Path, durability: &str, agent: &Path, hub: &Path) -> PathBuf {
    let broker = Mosquitto::start();
    let mut hub = HubProgram::start_program(hub, &dir.join("hub"), &[]);
    let config = format!(
        "[spool]\ndurability = {durability:?}\n[hub]\nurl = \"http://{}\"\ntoken_file = {:?}\n[[broker]]\nname = \"plant\"\nurl = {:?}\n",
        hub.grpc,
        hub.token("gw-1").display().to_string(),
        broker.url(),
    );
    let mut agent = AgentProgram::start_program(agent, &dir.join("agent"), "gw-1", &config);
    let desk = hub.desk();
    let (code, said) = desk.put("/rulesets/compat", scene::RULES).await;
    assert_eq!(code, 200, "{said}");
    let (code, _) = desk.put("/rulesets/later", scene::LATER).await;
    let later = code == 200;
    let sets = 1 + usize::from(later);
    agent.until("the rules run", |s| s["core"]["rulesets"].as_array().is_some_and(|a| a.len() == sets)).await;
    let mut taken = 0;
    while taken == 0 {
        // Until the subscription stands, nothing arrives; what is no reading changes nothing.
        broker.publish("plant/probe/t", "probe", &["-q", "1"]);
        let status = agent.until("it answers", |s| s["core"]["messages"].is_u64()).await;
        taken = status["core"]["messages"].as_u64().unwrap_or(0);
    }
    let publish = |(topic, payload): (String, String)| broker.publish(&topic, &payload, &["-q", "1"]);
    scene::TOLD.into_iter().map(scene::message).for_each(publish);
    let told = |s: &serde_json::Value| {
        let spool = &s["core"]["spool"];
        spool["newest"] == scene::TOLD_COUNT && spool["waiting"] == 0
    };
    agent.until("the hub is told", told).await;
    hub.kill();
    scene::WAITS.into_iter().map(scene::message).for_each(publish);
    if later {
        publish((scene::MOTOR.0.to_owned(), scene::MOTOR.1.to_owned()));
    }
    let newest = |count: usize| {
        let count = scene::TOLD_COUNT + count as u64 + u64::from(later);
        move |s: &serde_json::Value| s["core"]["spool"]["newest"] == count
    };
    agent.until("all is decided", newest(scene::WAITING.len() - 2)).await;
    agent.stop();
    agent.run();
    agent.until("the broker is back", |s| s["sources"][0]["connected"] == true).await;
    publish(scene::message(scene::LAST));
    let status = agent.until("the last is decided", newest(scene::WAITING.len())).await;
    assert_eq!(scene::standing(&status), scene::STANDING, "{:#}", status["core"]["alerts"]);
    agent.kill();
    dir.join("agent/state/spool.db")
}

/// Without its log and the room that it does not use, packed.
fn keep(spool: &Path, file: &Path) {
    let db = rusqlite::Connection::open(spool).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(db);
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&std::fs::read(spool).unwrap()).unwrap();
    std::fs::write(file, packed.finish().unwrap()).unwrap();
}
