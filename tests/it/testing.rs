//! `weir test`, and the page about it: its files are written down, its cases pass, its commands print what
//! stands below them. `UPDATE=1` writes that there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

/// The blocks of a document under this mark.
fn blocks<'t>(text: &'t str, mark: &str) -> Vec<&'t str> {
    let mark = format!("```{mark}\n");
    text.split(&mark).skip(1).map(|part| part.split("```").next().unwrap()).collect()
}

/// Runs a command of a shell; whether it went well, and what it printed.
fn shell(command: &str, dir: &Path) -> (bool, String) {
    let programs = Path::new(env!("CARGO_BIN_EXE_weir")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output =
        Command::new("sh").args(["-c", command]).env("PATH", path).current_dir(dir).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The document, its path, and a folder with the files that it shows: those blocks whose first line is the
/// name of a file.
fn page() -> (String, PathBuf, tempfile::TempDir) {
    let document = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/testing.md");
    let text = fs::read_to_string(&document).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for block in blocks(&text, "yaml") {
        let first = block.lines().next().unwrap_or_default();
        if let Some(name) = first.strip_prefix("# ").filter(|name| name.ends_with(".yaml")) {
            fs::write(dir.path().join(name), block).unwrap();
        }
    }
    (text, document, dir)
}

#[test]
fn the_commands_of_the_page_print_what_it_shows() {
    let (text, document, dir) = page();
    let mut mended = text.clone();
    let shown = blocks(&text, "console");
    assert!(!shown.is_empty());
    for block in shown {
        let (command, _) = block.split_once('\n').unwrap();
        let command = command.strip_prefix("$ ").expect("a command");
        let found = format!("$ {command}\n{}", shell(command, dir.path()).1);
        mended = mended.replace(block, &found);
    }
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(&document, &mended).unwrap();
    }
    assert!(text == mended, "not as docs/testing.md has it (UPDATE=1 writes it there):\n{mended}");
}

#[test]
fn the_cases_of_the_page_pass() {
    let (text, _, dir) = page();
    let cases: String =
        blocks(&text, "yaml").into_iter().filter(|block| block.starts_with("- name:")).collect();
    fs::write(dir.path().join("all.test.yaml"), format!("rules: freezers.yaml\ncases:\n{cases}")).unwrap();
    let (ok, said) = shell("weir test all.test.yaml", dir.path());
    assert!(ok, "{said}");
}

#[test]
fn coverage_that_is_missed_fails_where_it_is_asked_for() {
    let (_, _, dir) = page();
    let run = |flags: &str| shell(&format!("weir test freezers.test.yaml {flags}"), dir.path());
    let (ok, said) = run("--filter warms");
    assert!(ok && said.contains("1 passed, 0 failed"), "{said}");
    let (ok, said) = run("--coverage");
    assert!(ok && said.contains("freezers.yaml: 6 of 7 states shown, 85 %"), "{said}");
    let (ok, said) = run("--coverage=85");
    assert!(ok, "{said}");
    let (ok, said) = run("--coverage=full");
    assert!(
        !ok && said
            .contains("never: freezer-too-warm no_data: let a device that was heard of be silent for 15m"),
        "{said}"
    );
    let (_, said) = run("--coverage=full --json");
    let all: Json = serde_json::from_str(&said).unwrap();
    let coverage = &all["coverage"][0];
    assert_eq!((&coverage["shown"], &coverage["of"]), (&Json::from(6), &Json::from(7)));
    assert_eq!(coverage["states"][0]["states"]["keeping"], true);
    assert_eq!(coverage["never"][0]["state"], "no_data");
    assert_eq!(all["failed"], 1);
    let (ok, said) = run("--coverage=most");
    assert!(!ok && said.contains("write `full`, or a percentage"), "{said}");
}

#[test]
fn the_first_failure_can_be_the_last() {
    let (_, _, dir) = page();
    fs::copy(dir.path().join("wrong.test.yaml"), dir.path().join("also-wrong.test.yaml")).unwrap();
    let (ok, said) = shell("weir test also-wrong.test.yaml wrong.test.yaml --fail-fast", dir.path());
    assert!(!ok && said.ends_with("0 passed, 1 failed\n"), "{said}");
}

#[test]
fn the_packs_show_every_state() {
    let (ok, said) = shell("weir test rules --coverage=full", Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(ok, "{said}");
}
