//! The transcripts of docs/query.md: its commands are run on its own files, and print what stands
//! below them. `UPDATE=1` writes that there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::query::Live;
use crate::support::mosquitto::Mosquitto;

/// What the broker of the document gets, one after the other; the first is retained.
const LIVE: &[(&str, &str)] = &[
    ("plant/3/freezer/f1", r#"{"ts": "2026-07-01T12:00:00Z", "temperature": -17.4, "door": "closed"}"#),
    ("plant/3/freezer/f2", r#"{"ts": "2026-07-01T12:00:01Z", "temperature": -16.5, "door": "open"}"#),
    ("plant/4/freezer/f9", r#"{"ts": "2026-07-01T12:00:02Z", "temperature": -11.75}"#),
    ("plant/3/freezer/f2", r#"{"ts": "2026-07-01T12:00:03Z", "temperature": -14.0, "door": "open"}"#),
];

/// The blocks of a document under this mark.
fn blocks<'t>(text: &'t str, mark: &str) -> Vec<&'t str> {
    let mark = format!("```{mark}\n");
    let parts = text.split(&mark).skip(1);
    parts.map(|part| part.split("```").next().unwrap()).collect()
}

/// What a command prints, errors first as far as the program says them first.
fn printed(command: &str, dir: &Path) -> String {
    match command.contains("--broker") {
        true => live(command, dir),
        false => {
            let programs = Path::new(env!("CARGO_BIN_EXE_weir")).parent().unwrap();
            let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
            // A reader sees the table of a terminal.
            let command = match command.contains("--input ") && !command.contains("--format") {
                true => format!("{command} --format table"),
                false => command.to_owned(),
            };
            let output = Command::new("sh")
                .args(["-c", &command])
                .env("PATH", path)
                .current_dir(dir)
                .output()
                .unwrap();
            String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
        }
    }
}

/// The query of a live command, run against a broker that gets [`LIVE`].
fn live(command: &str, dir: &Path) -> String {
    let broker = Mosquitto::start();
    let url = broker.url();
    let sql = command.split('\'').nth(1).expect("a query in single quotes");
    let streams = dir.join("freezers.yaml");
    let (first, rest) = LIVE.split_first().unwrap();
    broker.publish(first.0, first.1, &["-r"]);
    let limit = LIVE.len().to_string();
    assert!(command.ends_with(&format!("--limit {limit}")), "{command}");
    let streams = streams.to_str().unwrap();
    let mut query =
        Live::start(&[sql, "--streams", streams, "--broker", &url, "--limit", &limit, "--format", "table"]);
    let mut text = query.said() + "\n";
    // A heading of two lines, and a row.
    for _ in 0..3 {
        text.push_str(&format!("{}\n", query.row()));
    }
    for (topic, payload) in rest {
        broker.publish(topic, payload, &[]);
        text.push_str(&format!("{}\n", query.row()));
    }
    text.push_str(&format!("{}\n", query.said()));
    text.replace(&url, "mqtt://localhost")
}

#[test]
fn the_commands_of_the_document_print_what_it_shows() {
    let document = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/query.md");
    let text = fs::read_to_string(&document).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("freezers.yaml"), blocks(&text, "yaml")[0]).unwrap();
    fs::write(dir.path().join("readings.csv"), blocks(&text, "csv")[0]).unwrap();
    let mut mended = text.clone();
    let shown = blocks(&text, "console");
    assert!(!shown.is_empty());
    for block in shown {
        let (command, _) = block.split_once('\n').unwrap();
        let command = command.strip_prefix("$ ").expect("a command");
        let found = format!("$ {command}\n{}", printed(command, dir.path()));
        mended = mended.replace(block, &found);
    }
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(&document, &mended).unwrap();
    }
    assert!(text == mended, "not as docs/query.md has it (UPDATE=1 writes it there):\n{mended}");
}
