//! What the documents show against what the programs do: rule files are accepted, examples of
//! expressions have the values that are written beside them, tables are complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use weir::model::node::NODE_STREAMS;

use crate::support::programs::weir;

/// The row that the examples of the language reference are evaluated over, as it shows it.
const ROW: &str =
    r#"{"device": "f1", "t": 21.5, "n": 7, "door": "open", "pos": {"lat": 52.5}, "list": [10, 20, 30]}"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn reference() -> String {
    fs::read_to_string(root().join("docs/language.md")).unwrap()
}

/// The tables of functions.
fn functions() -> String {
    fs::read_to_string(root().join("docs/functions.md")).unwrap()
}

/// The documents for people.
fn documents() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    found.sort();
    found.push(root().join("README.md"));
    found
}

/// The blocks marked `yaml` that are rule files, each with the line it begins at.
fn rule_files(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for (n, line) in text.lines().enumerate() {
        match &mut block {
            None if line.trim_end() == "```yaml" => block = Some((n + 2, String::new())),
            Some(_) if line.starts_with("```") => found.extend(block.take()),
            Some((_, body)) => {
                body.push_str(line);
                body.push('\n');
            }
            None => {}
        }
    }
    let whole = |body: &str| ["streams:", "rules:", "# rules"].iter().any(|start| body.starts_with(start));
    found.retain(|(_, body)| whole(body) && !body.contains("..."));
    found
}

#[test]
fn every_rule_file_in_the_documents_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let mut shown = 0;
    for path in documents() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for (line, body) in rule_files(&fs::read_to_string(&path).unwrap()) {
            let file = dir.path().join(format!("{name}-line-{line}.yaml"));
            fs::write(&file, body).unwrap();
            let (_, _, said) = weir(&["check", file.to_str().unwrap()]);
            assert!(said.contains(": all right"), "{said}");
            shown += 1;
        }
    }
    assert!(shown > 0, "the documents show no rule file");
}

/// The pairs of a line that read `` `expression` → `value` ``.
fn examples(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("` → `") {
        let expression = before.rsplit('`').next().unwrap_or(before);
        let (value, tail) = after.split_once('`').expect("a value between backticks");
        found.push((expression.replace("\\|", "|"), value.to_owned()));
        rest = tail;
    }
    found
}

#[test]
fn every_example_has_the_value_beside_it() {
    let mut examples = Vec::new();
    for page in [reference(), functions()] {
        assert!(page.contains(ROW), "the page shows the row that its examples are about: {ROW}");
        let before = examples.len();
        examples.extend(page.lines().flat_map(self::examples));
        assert!(examples.len() > before, "the page shows no example");
    }

    // JSON is YAML, and needs no care for quotes.
    let rules: Vec<Json> = examples
        .iter()
        .enumerate()
        .map(|(n, (expression, _))| {
            serde_json::json!({"id": format!("e{n}"), "sql": format!("SELECT {expression} AS x FROM one")})
        })
        .collect();
    let stream = "CREATE STREAM one () WITH (DATASOURCE='one')";
    let dir = tempfile::tempdir().unwrap();
    let (file, recording) = (dir.path().join("examples.yaml"), dir.path().join("one.jsonl"));
    fs::write(&file, serde_json::json!({"streams": [stream], "rules": rules}).to_string()).unwrap();
    fs::write(&recording, format!("{ROW}\n")).unwrap();
    let (file, recording) = (file.to_str().unwrap(), recording.to_str().unwrap());
    let (ok, printed, said) = weir(&["replay", recording, "--topic", "one", "--json", "--rules", file]);
    assert!(ok, "{said}");

    let given: Vec<Json> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (n, (expression, expected)) in examples.iter().enumerate() {
        let rule = format!("e{n}");
        let one = given.iter().find(|transition| transition["rule"] == *rule);
        let value = &one.unwrap_or_else(|| panic!("{expression} gave no row"))["values"]["x"];
        let expected: Json = match expected.as_str() {
            "NULL" => Json::Null,
            text if text.starts_with('\'') => Json::from(text.trim_matches('\'')),
            text => serde_json::from_str(text).unwrap_or_else(|e| panic!("{expression} → {text}: {e}")),
        };
        assert_eq!(*value, expected, "{expression}");
    }
}

#[test]
fn the_tables_name_every_function_and_no_other() {
    let page = functions();
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let named: BTreeSet<String> = cells
        .filter_map(|cell| cell.split_once('(').map(|(name, _)| name.to_owned()))
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    let known: BTreeSet<String> = weir::plan::function_names().map(str::to_owned).collect();
    let missing: Vec<&String> = known.difference(&named).collect();
    assert!(missing.is_empty(), "in no table of docs/functions.md: {missing:?}");
    let unknown: Vec<&String> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "in a table of docs/functions.md, but no function: {unknown:?}");
}

#[test]
fn every_function_has_a_case() {
    let folder = root().join("tests/cases/sql");
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let cases = files.collect::<String>().to_lowercase();
    let called = |name: &str| {
        cases.match_indices(&format!("{name}(")).any(|(at, _)| {
            !cases[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '_')
        })
    };
    let missing: Vec<&str> = weir::plan::function_names().filter(|name| !called(name)).collect();
    assert!(missing.is_empty(), "in no case of tests/cases/sql: {missing:?}");
}

#[test]
fn the_reference_shows_every_column_of_the_built_in_streams() {
    let reference = reference();
    for stream in NODE_STREAMS {
        let heading = format!("#### `{}`", stream.name);
        let (_, after) = reference.split_once(&heading).unwrap_or_else(|| panic!("no heading {heading}"));
        let section = after.split("\n#").next().unwrap();
        for column in stream.columns {
            let ty = weir::model::value::DataType::from(column.ty);
            let row = format!("| `{}` | {ty} | {} |", column.name, column.about);
            assert!(section.contains(&row), "{}: the table lacks\n{row}", stream.name);
        }
    }
}

#[test]
fn every_figure_is_explained_and_no_other() {
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let names = |text: &str, mark: char| -> BTreeSet<String> {
        let name = |word: &str| {
            word.starts_with("weir_") && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        text.split(mark).filter(|word| name(word)).map(str::to_owned).collect()
    };
    let known: BTreeSet<String> = ["src/agent/metrics.rs", "src/hub/metrics.rs"]
        .iter()
        .flat_map(|file| names(&fs::read_to_string(root().join(file)).unwrap(), '"'))
        .collect();
    let explained = names(&page, '`');
    assert!(known.len() > 40, "{known:?}");
    assert_eq!(known.difference(&explained).collect::<Vec<_>>(), Vec::<&String>::new(), "not explained");
    assert_eq!(explained.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "no such figure");
}
