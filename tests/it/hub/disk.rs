//! The hub's disk, and its sudden end: what was not stored is not acknowledged, and what was is not stored twice.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tonic::Code;
use weir::wire::v1::hub_message::Message as Down;

use super::agent::{FakeAgent, hello, transition};
use crate::support::programs::HubProgram;

/// A program that becomes the hub after some lines of shell, and leaves its number in a file.
fn through(dir: &Path, lines: &str) -> PathBuf {
    let script = dir.join("hub.sh");
    let hub = env!("CARGO_BIN_EXE_weir-hub");
    let pid = dir.join("hub.pid");
    let text = format!("#!/bin/sh\n{lines}\necho $$ > {}\nexec {hub} \"$@\"\n", pid.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o700)).unwrap();
    script
}

/// Sets how large the program's files may become.
fn limit(dir: &Path, bytes: &str) {
    let pid = std::fs::read_to_string(dir.join("hub.pid")).unwrap().trim().to_owned();
    let status = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status();
    assert!(status.expect("there is prlimit, of util-linux").success());
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().len()
}

#[tokio::test]
async fn a_disk_that_takes_nothing_costs_time_and_no_transition() {
    let dir = tempfile::tempdir().unwrap();
    let token = weir::hub::tokens::add(&dir.path().join("agent-tokens"), "gw-1").unwrap();
    // A write beyond the limit is an error then, as on a disk that is ill, and not the program's end.
    let program = HubProgram::start_program(&through(dir.path(), "trap '' XFSZ"), dir.path(), &[]);
    let dial = || FakeAgent::dial(program.grpc, &token, hello("gw-1", 2, "a"));
    let mut gw = dial().await;
    for seq in 1..=50 {
        gw.offer(&[transition(seq, "a")], &[], seq).await;
        assert_eq!(gw.acked().await, (seq, vec![]));
    }
    limit(dir.path(), &size(&dir.path().join("hub.db-wal")).to_string());
    gw.offer(&[transition(51, "a")], &[], 51).await;
    let Down::RetryAfter(retry) = gw.next().await else { panic!("not asked to come back") };
    assert!(retry.milliseconds > 0 && retry.why.contains("database"), "{retry:?}");
    assert_eq!(gw.end().await.unwrap_err().code(), Code::Unavailable);
    // A new session is not taken either; people are still answered.
    let heard = FakeAgent::turned_away(program.grpc, &token, hello("gw-1", 2, "a")).await;
    assert!(matches!(&heard[..], [Down::RetryAfter(_)]), "{heard:?}");
    let metrics = program.desk().text("/metrics").await;
    for line in ["weir_hub_store_failing 1\n", "weir_hub_sessions_put_off_total{why=\"store\"} 2\n"] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    assert_eq!(program.desk().list("/transitions?after=0").await.len(), 50);

    limit(dir.path(), "unlimited");
    let mut gw = dial().await;
    assert_eq!(gw.welcome.committed, 50);
    gw.offer(&[transition(51, "a")], &[], 51).await;
    assert_eq!(gw.acked().await, (51, vec![]));
    assert!(program.desk().text("/metrics").await.contains("weir_hub_store_failing 0\n"));
    let log = std::fs::read_to_string(dir.path().join("hub.log")).unwrap();
    assert_eq!(log.matches("cannot write to the hub's database").count(), 1, "{log}");
    assert_eq!(log.matches("can be written to again").count(), 1, "{log}");
}

/// Ends the program at one of its places, and has what it did not acknowledge sent again.
async fn dies_at(place: &str, is_stored: bool) {
    let dir = tempfile::tempdir().unwrap();
    let token = weir::hub::tokens::add(&dir.path().join("agent-tokens"), "gw-1").unwrap();
    let armed = through(dir.path(), &format!("export WEIR_FAILPOINT={place}:3"));
    let mut program = HubProgram::start_program(&armed, dir.path(), &[]);
    let mut gw = FakeAgent::dial(program.grpc, &token, hello("gw-1", 2, "a")).await;
    for seq in 1..=2 {
        gw.offer(&[transition(seq, "a")], &[], seq).await;
        assert_eq!(gw.acked().await, (seq, vec![]), "{place}");
    }
    // One that overtakes, too.
    gw.offer(&[transition(3, "a"), transition(7, "b")], &[], 3).await;
    let acked = gw.last_words().await.iter().any(|message| matches!(message, Down::Ack(_)));
    assert!(!acked || is_stored, "{place}");
    program.kill();

    let program = HubProgram::start(dir.path(), &[]);
    let mut gw = FakeAgent::dial(program.grpc, &token, hello("gw-1", 2, "a")).await;
    assert_eq!(gw.welcome.committed, if is_stored { 3 } else { 2 }, "{place}");
    assert_eq!(gw.welcome.above.len(), usize::from(is_stored));
    gw.offer(&[transition(7, "b")], &[], 0).await;
    gw.acked().await;
    gw.offer(&(3..=6).map(|seq| transition(seq, "a")).collect::<Vec<_>>(), &[], 7).await;
    assert_eq!(gw.acked().await, (7, vec![]));
    let mut seqs: Vec<u64> = program
        .desk()
        .list("/transitions?after=0")
        .await
        .iter()
        .map(|t| t["seq"].as_u64().unwrap())
        .collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=7).collect::<Vec<_>>(), "{place}");
}

#[tokio::test]
async fn a_hub_that_dies_around_its_commit_has_each_transition_once() {
    dies_at("hub.before_commit", false).await;
    dies_at("hub.committed", true).await;
    dies_at("hub.acked", true).await;
}
