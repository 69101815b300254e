//! `weir demo`, as a stranger runs it: the real program, and what it prints.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::mosquitto::Mosquitto;

/// What a run of the demo printed, after it ended by itself and well.
fn demo(args: &[&str]) -> String {
    let temp = tempfile::tempdir().unwrap();
    // `timeout`, so that a demo that hangs ends the test and not the other way round.
    let mut child = Command::new("timeout")
        .args(["120", env!("CARGO_BIN_EXE_weir"), "demo"])
        .args(args)
        .env("TMPDIR", temp.path())
        .env_remove("WEIR_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    // Standard error holds warnings at most, which never fill its pipe while the other is read.
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}\n{out}\n{err}");
    let left: Vec<_> = std::fs::read_dir(temp.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    out
}

#[test]
fn tells_a_stranger_what_happens() {
    let out = demo(&["--for", "20s"]);
    let has = |words: &[&str]| out.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["hub", "http://127.0.0.1:", "/#token="]), "{out}");
    assert!(has(&["rules", "pushed to the hub, running on the agent"]), "{out}");
    assert!(has(&["FIRING", "critical", "freezer-too-warm", "freezer-2", " ms "]), "{out}");
    assert!(has(&["resolved", "freezer-too-warm", "recovered after"]), "{out}");
    assert!(has(&["occurred", "node-observed", "this machine"]), "{out}");
    assert!(has(&["in ", " readings, ", "out ", " alerts, "]), "{out}");
    assert!(has(&["The demo is over."]), "{out}");
    assert!(!out.contains('\u{1b}'), "colours are for terminals only");
}

#[test]
fn reads_from_a_broker_of_somebody_else() {
    let broker = Mosquitto::start();
    let out = demo(&["--for", "20s", "--json", "--broker", &broker.url()]);
    let lines: Vec<Json> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["kind"], &lines[0]["broker"]), (&"started".into(), &broker.url().into()), "{out}");
    let states: Vec<&str> = lines.iter().filter_map(|line| line["transition"]["state"].as_str()).collect();
    for state in ["firing", "resolved", "occurred"] {
        assert!(states.contains(&state), "{out}");
    }
    let last = lines.last().unwrap();
    assert_eq!(last["kind"], "summary", "{out}");
    let counts = &last["counts"];
    let counted: u64 =
        ["fired", "resolved", "occurred"].iter().map(|name| counts[*name].as_u64().unwrap()).sum();
    assert_eq!(counted, states.len() as u64, "{out}");
}

#[test]
fn ends_in_time_when_it_is_told_to() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["demo", "--for", "10m"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut said = Vec::new();
    let mut piece = [0; 4_096];
    // The first alert of the plant: everything runs.
    while !String::from_utf8_lossy(&said).contains("FIRING") {
        let length = out.read(&mut piece).unwrap();
        assert!(length > 0, "it ended by itself: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..length]);
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let clock = weir::clock::Clock::start();
    out.read_to_end(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(clock.uptime() < Duration::from_secs(30), "{:?}", clock.uptime());
    assert!(String::from_utf8_lossy(&said).contains("The demo is over."));
}

#[test]
fn says_what_is_wrong_with_a_broker() {
    let failed = |url: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_weir")).args(["demo", "--broker", url]).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = failed(&format!("mqtt://{closed}"));
    assert!(said.contains("connect the sensors to the broker") && said.contains("does it run"), "{said}");
    let said = failed("http://broker");
    assert!(said.contains("write it as in `mqtt://"), "{said}");
}
