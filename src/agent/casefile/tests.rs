//! What the format refuses, and that an update leaves everything but the answers as it was.

use super::*;

const RULES: &str = "ruleset:
  streams: [\"CREATE STREAM s (v FLOAT) WITH (DATASOURCE='t/{d}', KEY='d')\"]
  rules: [{id: hot, sql: SELECT v FROM s, when: v > 3, annotations: {summary: \"{{ v }} \u{b0}\"}}]
";

fn outcomes(text: &str, mode: Mode) -> (Suite, Vec<Outcome>) {
    let suite = Suite::parse(text).unwrap();
    let Rules::Text(rules) = &suite.rules else {
        panic!("the rules are in the file")
    };
    let rules = admit("set", rules).unwrap();
    let outcomes = suite
        .cases
        .iter()
        .map(|case| run(case, &rules, mode).unwrap())
        .collect();
    (suite, outcomes)
}

fn updated(text: &str) -> Result<String, String> {
    let (suite, outcomes) = outcomes(text, Mode::Plain);
    update(text, &suite.cases.iter().zip(&outcomes).collect::<Vec<_>>())
}

#[test]
fn wrong_files_say_where() {
    let case = |body: &str| format!("{RULES}cases:\n  - name: x\n{body}");
    for (text, said) in [
        ("cases: []".to_owned(), "the rules are missing"),
        (
            "rules: a.yaml\nruleset: {}\ncases: []".to_owned(),
            "keep one",
        ),
        (case("    stepz: []"), "line 6"),
        (
            case("    steps:\n      - {at: 5x, tick: true}"),
            "line 7: `5x` is no time",
        ),
        (
            case("    steps:\n      - {at: 5s}"),
            "line 7: a step is one of",
        ),
        (
            case("    steps:\n      - {at: 5s, tick: true, restart: true}"),
            "line 7: a step is one of",
        ),
        (
            case("    steps:\n      - {at: 5s, topic: t}"),
            "`payload`, `payloads`, `text`",
        ),
        (
            case("    steps:\n      - {at: 5s, topic: t, payload: 1, repeat: 3}"),
            "need `every`",
        ),
        (
            case("    steps:\n      - {at: 5s, topic: t, payload: 1, repeat: 0, every: 1s}"),
            "`repeat` is between",
        ),
        (
            case("    expect:\n      - {at: 5s}"),
            "line 7: an expected transition has one of",
        ),
        (case("    firing: [5]"), "write a rule's id"),
    ] {
        let found = Suite::parse(&text).unwrap_err();
        assert!(found.contains(said), "{text}\n{found}");
    }
}

#[test]
fn times_read_back_as_they_are_written() {
    for text in [
        "0s",
        "1h30m",
        "250ms",
        "2025-12-31T23:59:59Z",
        "2026-01-01T00:00:00.000001Z",
    ] {
        assert_eq!(format_time(parse_time(text).unwrap()), text);
    }
    assert_eq!(
        format_time(parse_time("2026-01-01T00:00:05Z").unwrap()),
        "5s"
    );
}

#[test]
fn places_in_payloads_take_the_time() {
    let text = format!(
        "{RULES}cases:\n  - name: x\n    steps:\n      - {{at: 1s, event: 500ms, every: 1s, topic: t/a, payloads: [{{a: $t, b: [$t_ms], c: 'at $t_iso'}}, 5]}}\n"
    );
    let suite = Suite::parse(&text).unwrap();
    let payloads: Vec<&str> = suite.cases[0]
        .events
        .iter()
        .filter_map(|event| match &event.action {
            Action::Message { payload, .. } => Some(payload.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        payloads,
        [
            r#"{"a":1767225600.5,"b":[1767225600500],"c":"at 2026-01-01T00:00:00.5Z"}"#,
            "5"
        ]
    );
}

#[test]
fn steps_are_taken_in_the_order_of_their_times() {
    let text = format!(
        "{RULES}cases:
  - name: x
    steps:
      - {{at: 0s, every: 2s, topic: t/a, payloads: [{{v: 4}}, {{v: 1}}]}}
      - {{at: 1s, every: 2s, topic: t/b, payloads: [{{v: 4}}, {{v: 1}}]}}
"
    );
    for mode in [Mode::Plain, Mode::Restart] {
        let (_, outcomes) = outcomes(&text, mode);
        let found: Vec<String> = outcomes[0].transitions.iter().map(found_line).collect();
        assert_eq!(
            found,
            [
                "0s firing hot d=a v=4.0",
                "1s firing hot d=b v=4.0",
                "2s resolved hot d=a v=1.0 (recovered)",
                "3s resolved hot d=b v=1.0 (recovered)",
            ]
        );
    }
}

#[test]
fn an_update_touches_nothing_but_expect() {
    let before = format!(
        "{RULES}cases:
  # A remark.
  - name: one
    expect:
    - {{at: 1s, firing: hot, summary: old}}   # gone with its line

    # Another remark.
    steps:
      - {{at: 0s, topic: t/a, payload: {{v: 4}}}} # stays

  -   name: fresh
      steps:
        - {{at: 0s, topic: t/a, payload: {{v: 4}}}}

  - name: none
    expect: [{{firing: hot}}]
    steps: []
"
    );
    let after = before
        .replace(
            "    - {at: 1s, firing: hot, summary: old}   # gone with its line\n",
            "      - {at: 0s, firing: hot, summary: \"4 °\"}\n",
        )
        .replace(
            "      steps:\n        - {at: 0s, topic: t/a, payload: {v: 4}}\n",
            "      steps:\n        - {at: 0s, topic: t/a, payload: {v: 4}}\n      expect:\n        - {at: 0s, firing: hot, labels: {d: a}, values: {v: 4.0}}\n",
        )
        .replace("    expect: [{firing: hot}]\n", "    expect: []\n");
    assert_eq!(updated(&before).unwrap(), after);
    assert_eq!(updated(&after).unwrap(), after);
    let (suite, outcomes) = outcomes(&after, Mode::Plain);
    for (case, outcome) in suite.cases.iter().zip(&outcomes) {
        assert!(
            compare(case, outcome).is_empty(),
            "{}",
            compare(case, outcome)
        );
    }
}

#[test]
fn a_case_in_flow_style_is_left_to_its_author() {
    let text = format!(
        "{RULES}cases:\n  - {{name: x, steps: [{{at: 0s, topic: t/a, payload: {{v: 4}}}}]}}\n"
    );
    assert!(updated(&text).unwrap_err().contains("block style"));
}
