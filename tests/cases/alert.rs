//! Cases of kind `alert`, and those of the shipped rule packs: test files as `weir test` runs them,
//! each case as it is written and again with a restart between every two of its events.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use weir::agent::casefile::{self, Case, Exercised, Mode, Opened, Outcome, Refusal};

/// The trials of all test files under `folder`, named from `kind` on.
pub(crate) fn trials(kind: &str, folder: &Path) -> Vec<Trial> {
    let files = match casefile::test_files(folder) {
        Ok(files) => files,
        Err(why) => return vec![Trial::test(kind.to_owned(), move || Err(why.into()))],
    };
    files.into_iter().flat_map(|path| of_file(kind, path)).collect()
}

fn of_file(kind: &str, path: PathBuf) -> Vec<Trial> {
    let stem = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .trim_end_matches(casefile::TEST_SUFFIX)
        .to_owned();
    let name = format!("{kind}/{stem}");
    if std::env::var_os("UPDATE").is_some() {
        return vec![Trial::test(name, move || update(&path))];
    }
    let opened = match casefile::open(&path) {
        Ok(opened) => Arc::new(opened),
        Err(refusal) => return vec![Trial::test(name, move || Err(told(&path, &refusal)))],
    };
    let mut trials = Vec::new();
    for place in 0..opened.suite.cases.len() {
        for (mode, label) in [(Mode::Plain, "plain"), (Mode::Restart, "restart")] {
            let opened = opened.clone();
            let name = format!("{name}/{}/{label}", opened.suite.cases[place].name);
            let path = path.clone();
            trials.push(Trial::test(name, move || check(&path, &opened.suite.cases[place], &opened, mode)));
        }
    }
    if opened.pack.is_some() {
        trials.push(Trial::test(format!("{name}/every state is shown"), move || covered(&opened)));
    }
    trials
}

fn told(path: &Path, refusal: &Refusal) -> Failed {
    match refusal {
        Refusal::Unreadable(why) => format!("{}: {why}", path.display()).into(),
        Refusal::Rules { file, diagnostics, .. } => {
            let all: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            format!("{file} does not compile:\n{}", all.join("\n")).into()
        }
    }
}

fn check(path: &Path, case: &Case, opened: &Opened, mode: Mode) -> Result<(), Failed> {
    let outcome = casefile::run(case, &opened.rules, mode)?;
    let mismatch = casefile::compare(case, &outcome);
    if mismatch.is_empty() {
        return Ok(());
    }
    let hint = if mode == Mode::Plain { "\n(UPDATE=1 writes what came into the file)" } else { "" };
    Err(format!("{}:{}: {}\n{mismatch}{hint}", path.display(), case.line, case.name).into())
}

/// Every state that the rules' options make possible is shown by a case.
fn covered(opened: &Opened) -> Result<(), Failed> {
    let mut seen = Exercised::default();
    for case in &opened.suite.cases {
        seen.merge(&casefile::run(case, &opened.rules, Mode::Plain)?.exercised);
    }
    let rules = opened.rules.plan.rules.iter();
    let never: Vec<String> = rules
        .flat_map(|rule| {
            let goals = casefile::goals(&rule.alert).into_iter();
            goals.map(move |goal| (rule.alert.rule.to_string(), goal))
        })
        .filter(|(rule, goal)| !seen.has(rule, &goal.name))
        .map(|(rule, goal)| format!("{rule} {}: {}", goal.name, goal.how))
        .collect();
    if never.is_empty() { Ok(()) } else { Err(format!("no case shows\n{}", never.join("\n")).into()) }
}

fn update(path: &Path) -> Result<(), Failed> {
    let opened = casefile::open(path).map_err(|refusal| told(path, &refusal))?;
    let mut failing: Vec<(&Case, Outcome)> = Vec::new();
    for case in &opened.suite.cases {
        let outcome = casefile::run(case, &opened.rules, Mode::Plain)?;
        if !casefile::compare(case, &outcome).is_empty() {
            failing.push((case, outcome));
        }
    }
    if failing.is_empty() {
        return Ok(());
    }
    let failing: Vec<(&Case, &Outcome)> = failing.iter().map(|(case, outcome)| (*case, outcome)).collect();
    Ok(std::fs::write(path, casefile::update(&opened.text, &failing)?)?)
}

/// The trials of `weir test` itself.
pub(crate) fn command() -> Vec<Trial> {
    vec![
        Trial::test("command/weir test rules", || {
            let (code, said) = weir(&["test", concat!(env!("CARGO_MANIFEST_DIR"), "/rules")])?;
            let closing = said.lines().last().unwrap_or_default();
            if code == Some(0) && closing.ends_with(" passed, 0 failed") { Ok(()) } else { Err(said.into()) }
        }),
        Trial::test("command/weir test tells what differs, and mends it", mends),
        Trial::test("command/weir test tells which rule no case makes fire", idle),
    ]
}

const RULES: &str = "\
streams: [\"CREATE STREAM s (v FLOAT) WITH (DATASOURCE='t/{d}', KEY='d')\"]
rules:
  - {id: hot, sql: SELECT v FROM s, when: v > 3}
  - {id: cold, sql: SELECT v FROM s, when: v < 0}
";

fn weir(arguments: &[&str]) -> Result<(Option<i32>, String), Failed> {
    let output = Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).output()?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?))
}

fn has(said: &str, parts: &[&str]) -> Result<(), Failed> {
    match parts.iter().find(|part| !said.contains(**part)) {
        Some(part) => Err(format!("`{part}` is not in\n{said}").into()),
        None => Ok(()),
    }
}

fn mends() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("p.yaml"), RULES)?;
    let path = dir.path().join("p.test.yaml");
    let cases = "\
rules: p.yaml
cases:
  # Both rules.
  - name: up and down
    expect:
      - {at: 1s, firing: hot, values: {v: 4}}
      - {resolved: hot}

    steps: # with a remark
      - {at: 0s, every: 1s, topic: t/a, payloads: [{v: 4}, {v: -1}]}
";
    std::fs::write(&path, cases)?;
    let folder = dir.path().to_string_lossy().into_owned();
    let (code, said) = weir(&["test", &folder])?;
    has(
        &said,
        &[
            "up and down",
            "at: expected 1s, found 0s",
            "+ 1s firing cold d=a v=-1.0   <- not expected",
            "0 passed, 1 failed",
        ],
    )?;
    let (mended, _) = weir(&["test", &folder, "--update"])?;
    let (after, _) = weir(&["test", &folder])?;
    if (code, mended, after) != (Some(1), Some(0), Some(0)) {
        return Err(format!("exit codes {code:?}, {mended:?}, {after:?}").into());
    }
    let right = cases.replace(
        "      - {at: 1s, firing: hot, values: {v: 4}}\n      - {resolved: hot}\n",
        "      - {at: 0s, firing: hot, values: {v: 4.0}}
      - {resolved: hot}
      - {at: 1s, firing: cold, values: {v: -1.0}}\n",
    );
    let found = std::fs::read_to_string(&path)?;
    if found == right { Ok(()) } else { Err(found.into()) }
}

fn idle() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("p.yaml"), RULES)?;
    let case = "rules: p.yaml\ncases:\n  - name: up\n    steps: [{at: 0s, topic: t/a, payload: {v: 4}}]\n    expect: [{firing: hot}]\n";
    std::fs::write(dir.path().join("p.test.yaml"), case)?;
    let (code, said) = weir(&["test", &dir.path().to_string_lossy()])?;
    has(&said, &["rule cold is never exercised", "1 passed, 1 failed"])?;
    if code == Some(1) { Ok(()) } else { Err(format!("exit code {code:?}").into()) }
}
