//! `weir query` over recordings and on a live broker.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use serde_json::Value as Json;

use crate::support::PATIENCE;
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::programs::weir;

const ROOMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/environment.yaml");
const MACHINE: &str = "CREATE STREAM machine (at DATETIME, v FLOAT) \
    WITH (DATASOURCE='machine/{device}', TIMESTAMP='at', KEY='device')";
const READINGS: &str = "at,v\n\
    2026-01-01T00:00:01Z,1\n\
    2026-01-01T00:00:02Z,2.5\n\
    2026-01-01T00:00:12Z,3\n\
    2026-01-01T00:00:13Z,hot\n";

/// The real recording, unpacked into `dir`.
fn environment(dir: &Path) -> PathBuf {
    let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/env_sensors.jsonl.gz");
    let output = Command::new("gzip").args(["-dc", packed]).output();
    let output = output.expect("gzip: install it with `apt-get install gzip`");
    let file = dir.join("env.jsonl");
    std::fs::write(&file, &output.stdout).unwrap();
    file
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
}

/// Runs the program with a text on standard input.
fn piped(args: &[&str], input: &str) -> (bool, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_real_recording_answers_a_query_with_the_streams_of_a_rule_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = environment(dir.path());
    let sql = "SELECT device, count(*) AS n, round(avg(data->temp), 2) AS t, window_end() AS until \
        FROM rooms GROUP BY device, TUMBLINGWINDOW(mi, 10)";
    let topic = "site/lab/env/{device}";
    let args = ["query", sql, "--streams", ROOMS, "--topic", topic, "--input"];
    let (ok, out, err) = weir(&[&args[..], &[file.to_str().unwrap()]].concat());
    assert!(ok, "{err}");
    let rows = lines(&out);
    let readings: u64 = rows.iter().map(|row| row["n"].as_u64().unwrap()).sum();
    let recorded = std::fs::read_to_string(&file).unwrap();
    // The end of the recording closes the last windows, so every reading is in one.
    assert_eq!(readings, recorded.lines().count() as u64, "{err}");
    assert!(out.lines().all(|line| line.starts_with("{\"device\":")), "members stand in the order of SELECT");
    assert!(err.contains(&format!("{readings} rows in, {} rows out\n", rows.len())), "{err}");

    let (ok, from_pipe, _) = piped(&[&args[..], &["-"]].concat(), &recorded);
    assert!(ok);
    assert_eq!(from_pipe, out);
    let (_, some, err) = weir(&[&args[..], &[file.to_str().unwrap(), "--limit", "3"]].concat());
    assert_eq!(some, out.lines().take(3).map(|line| format!("{line}\n")).collect::<String>(), "{err}");
}

#[test]
fn csv_comes_in_and_every_form_goes_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("readings.csv");
    std::fs::write(&file, READINGS).unwrap();
    let file = file.to_str().unwrap();
    let sql = "SELECT device, sum(v) AS total FROM machine GROUP BY device, TUMBLINGWINDOW(ss, 10)";
    let query = |flags: &[&str]| {
        let args = ["query", sql, "--stream", MACHINE, "--topic", "machine/m1", "--input", file];
        weir(&[&args, flags].concat())
    };
    let (ok, table, err) = query(&["--format", "table", "--time"]);
    assert!(ok, "{err}");
    let expected = "\
time                  device  total
--------------------  ------  -----
2026-01-01T00:00:10Z  m1        3.5
2026-01-01T00:00:20Z  m1          3
";
    assert_eq!(table, expected);
    assert!(err.contains("weir: 4 messages, 3 rows in, 2 rows out; 1 rejected\n"), "{err}");
    assert!(err.contains("stream machine: 1 wrong_type, such as: column `v`"), "{err}");
    let (_, csv, _) = query(&["--format", "csv"]);
    assert_eq!(csv, "device,total\nm1,3.5\nm1,3\n");
    let (_, json, _) = query(&[]);
    assert_eq!(json, "{\"device\":\"m1\",\"total\":3.5}\n{\"device\":\"m1\",\"total\":3.0}\n");
}

#[test]
fn the_topic_may_come_from_the_stream() {
    let args = ["query", "SELECT device, v FROM machine", "--stream", MACHINE, "--input", "-"];
    let input = "{\"device\": \"m7\", \"at\": \"2026-01-01T00:00:00Z\", \"v\": 1}\n";
    let (ok, out, err) = piped(&args, input);
    assert!(ok, "{err}");
    assert_eq!(out, "{\"device\":\"m7\",\"v\":1.0}\n");
    let envelope = "{\"topic\": \"elsewhere/x\", \"payload\": {}}\n";
    let (_, _, err) = piped(&args, envelope);
    let said = "weir: the topics of the messages are others, such as elsewhere/x; what is read is machine/{device}\n";
    assert!(err.contains(said), "{err}");
}

#[test]
fn a_statement_may_make_a_table_which_feeds_before_the_query_runs() {
    let args = [
        "query",
        "SELECT m.device, m.v, l.most FROM machine m INNER JOIN limits l ON m.device = l.device AND m.v > l.most",
        "--stream",
        MACHINE,
        "--stream",
        "CREATE TABLE limits (most FLOAT) WITH (DATASOURCE='limit/{device}', KEY='device')",
        "--input",
        "-",
    ];
    let reading = |v: u32| {
        format!(r#"{{"topic": "machine/m1", "payload": {{"at": "2026-01-01T00:00:00Z", "v": {v}}}}}"#)
    };
    let limit = |most: u32| format!(r#"{{"topic": "limit/m1", "payload": {{"most": {most}}}}}"#);
    let input = [reading(9), limit(5), reading(6), limit(7), reading(6), reading(8)].join("\n");
    let (ok, out, err) = piped(&args, &input);
    assert!(ok, "{err}");
    assert_eq!(
        out,
        "{\"device\":\"m1\",\"v\":6.0,\"most\":5.0}\n{\"device\":\"m1\",\"v\":8.0,\"most\":7.0}\n"
    );
}

#[test]
fn what_a_query_groups_by_needs_no_name() {
    let sql = "SELECT count(*) AS n FROM machine GROUP BY v > 2, TUMBLINGWINDOW(ss, 10)";
    let topic = "machine/press";
    let args = ["query", sql, "--stream", MACHINE, "--topic", topic, "--input", "-", "--input-format", "csv"];
    let (ok, out, err) = piped(&args, READINGS);
    assert!(ok, "{err}");
    assert_eq!(out, "{\"n\":1}\n{\"n\":1}\n{\"n\":1}\n");
}

#[test]
fn what_is_wrong_is_shown_at_its_place() {
    let (ok, out, err) = weir(&["query", "SELECT device, w FROM machine", "--stream", MACHINE, "--explain"]);
    assert!(!ok && out.is_empty());
    assert!(err.contains("error[unknown-column]: no column `w` in stream `machine`"), "{err}");
    assert!(err.contains(" --> query:1:16\n"), "{err}");
    let (_, _, err) = weir(&["query", "SELECT x FROM rooms"]);
    assert!(err.contains("declare it with --stream"), "{err}");
    let (_, _, err) =
        weir(&["query", "SELECT 1 AS x FROM s", "--stream", "CREATE STREAM s () WITH (TOPIC='a')"]);
    assert!(err.contains(" --> --stream:1:"), "{err}");
    let (ok, _, err) = weir(&["query", "SELECT device FROM machine", "--stream", MACHINE]);
    assert!(!ok && err.contains("--broker mqtt://HOST:PORT"), "{err}");
}

#[test]
fn the_node_needs_no_broker() {
    let (ok, out, err) = weir(&["query", "SELECT cores, uptime FROM node", "--limit", "1", "--for", "60s"]);
    assert!(ok, "{err}");
    assert!(lines(&out)[0]["cores"].as_u64().unwrap() > 0);
}

/// A query that goes on until it is dropped.
pub(crate) struct Live {
    child: Child,
    pub(crate) rows: BufReader<ChildStdout>,
    said: Receiver<String>,
}

impl Live {
    /// Starts it, and waits until it is connected.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .arg("query")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let rows = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, said) = sync_channel(64);
        weir::tasks::thread("said", move || {
            for line in stderr.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        })
        .unwrap();
        Self { child, rows, said }
    }

    /// The next line on standard error.
    pub(crate) fn said(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("the query says something")
    }

    /// The next line on standard output.
    pub(crate) fn row(&mut self) -> String {
        let mut line = String::new();
        self.rows.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends it as Ctrl-C does; it must end well.
    pub(crate) fn interrupt(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn live_rows_come_as_messages_do_kept_ones_first() {
    let broker = Mosquitto::start();
    let url = broker.url();
    broker.publish("hall/3/press/p1", r#"{"bar": 180.5}"#, &["-r"]);
    let stream =
        "CREATE STREAM press (bar FLOAT) WITH (DATASOURCE='hall/{hall}/press/{device}', SOURCE='plant')";
    let mut query = Live::start(&[
        "SELECT hall, device, bar FROM press WHERE bar > 100",
        "--stream",
        stream,
        "--broker",
        &url,
    ]);
    assert_eq!(query.row(), r#"{"hall":"3","device":"p1","bar":180.5}"#);
    assert_eq!(query.said(), format!("weir: connected to {url}, reading hall/+/press/+"));
    broker.publish("hall/4/press/p2", r#"{"bar": 90}"#, &[]);
    broker.publish("hall/4/press/p2", r#"{"bar": "high"}"#, &[]);
    broker.publish("hall/4/press/p2", r#"{"bar": 101}"#, &[]);
    assert_eq!(query.row(), r#"{"hall":"4","device":"p2","bar":101.0}"#);
    query.interrupt();
    let mut rest = String::new();
    query.rows.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert_eq!(query.said(), "weir: 4 messages, 3 rows in, 2 rows out; 1 rejected");
    assert!(query.said().starts_with("weir: stream press: 1 wrong_type, such as: column `bar`"));
}

#[test]
fn a_window_on_arrival_time_closes_by_the_clock() {
    let broker = Mosquitto::start();
    let url = broker.url();
    let sql = "SELECT count(*) AS n FROM s GROUP BY TUMBLINGWINDOW(ms, 500)";
    let stream = "CREATE STREAM s () WITH (DATASOURCE='a')";
    let mut query = Live::start(&[sql, "--stream", stream, "--broker", &url, "--limit", "1"]);
    query.said();
    broker.publish("a", "{}", &[]);
    assert_eq!(query.row(), r#"{"n":1}"#);
    assert_eq!(query.said(), "weir: 1 message, 1 row in, 1 row out");
    assert!(query.child.wait().unwrap().success());
}

#[test]
fn a_broker_may_come_from_the_configuration_of_an_agent() {
    let options = Options { login: Some(("reader", "secret")), ..Options::default() };
    let broker = Mosquitto::with(&options);
    let (config, password) = (broker.file("weir.toml"), broker.file("password"));
    std::fs::write(&password, "secret\n").unwrap();
    let text = format!(
        "[[broker]]\nname = \"plant\"\nurl = {:?}\nusername = \"reader\"\npassword_file = {:?}\nversion = \"3.1.1\"\n",
        broker.url(),
        password.display().to_string()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let stream = "CREATE STREAM s (v BIGINT) WITH (DATASOURCE='a', FORMAT='scalar')";
    let args = ["SELECT v FROM s", "--stream", stream, "--config", config];
    let mut query = Live::start(&[&args[..], &["--source", "plant"]].concat());
    query.said();
    broker.publish("a", "7", &["-u", "reader", "-P", "secret"]);
    assert_eq!(query.row(), r#"{"v":7}"#);
    query.interrupt();

    let (ok, _, err) = weir(&[&["query"], &args[..], &["--source", "other"]].concat());
    assert!(!ok && err.contains("no broker `other`") && err.contains("there are plant"), "{err}");
    let wrong = Live::start(&["SELECT v FROM s", "--stream", stream, "--broker", &broker.url()]);
    let said = wrong.said();
    assert!(said.starts_with(&format!("weir: not connected to {}: ", broker.url())), "{said}");
}
