//! What the format refuses, and that an update leaves everything but the answers as it was.

use super::*;

const RULES: &str = "ruleset:
  streams: [\"CREATE STREAM s (v FLOAT) WITH (DATASOURCE='t/{d}', KEY='d')\"]
  rules: [{id: hot, sql: SELECT v FROM s, when: v > 3, annotations: {summary: \"{{ v }} \u{b0}\"}}]
";

fn outcomes(text: &str, mode: Mode) -> (Suite, Vec<Outcome>) {
    let suite = Suite::parse(text).unwrap();
    let Rules::Text(rules) = &suite.rules else { panic!("the rules are in the file") };
    let rules = admit("set", rules).unwrap();
    let outcomes = suite.cases.iter().map(|case| run(case, &rules, mode).unwrap()).collect();
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
        ("rules: a.yaml\nruleset: {}\ncases: []".to_owned(), "keep one"),
        (case("    stepz: []"), "line 6"),
        (case("    steps:\n      - {at: 5x, tick: true}"), "line 7: `5x` is no time"),
        (case("    steps:\n      - {at: 5s}"), "line 7: a step is one of"),
        (case("    steps:\n      - {at: 5s, tick: true, restart: true}"), "line 7: a step is one of"),
        (case("    steps:\n      - {at: 5s, topic: t}"), "`payload`, `payloads`, `text`"),
        (case("    steps:\n      - {at: 5s, topic: t, payload: 1, repeat: 3}"), "need `every`"),
        (
            case("    steps:\n      - {at: 5s, topic: t, payload: 1, repeat: 0, every: 1s}"),
            "`repeat` is between",
        ),
        (case("    expect:\n      - {at: 5s}"), "line 7: an expected transition has one of"),
        (case("    firing: [5]"), "write a rule's id"),
    ] {
        let found = Suite::parse(&text).unwrap_err();
        assert!(found.contains(said), "{text}\n{found}");
    }
}

#[test]
fn times_read_back_as_they_are_written() {
    for text in ["0s", "1h30m", "250ms", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00.000001Z"] {
        assert_eq!(format_time(parse_time(text).unwrap()), text);
    }
    assert_eq!(format_time(parse_time("2026-01-01T00:00:05Z").unwrap()), "5s");
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
    assert_eq!(payloads, [r#"{"a":1767225600.5,"b":[1767225600500],"c":"at 2026-01-01T00:00:00.5Z"}"#, "5"]);
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
            "    - {at: 0s, firing: hot, summary: \"4 °\"}\n",
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
        assert!(compare(case, outcome).is_empty(), "{}", compare(case, outcome));
    }
}

#[test]
fn a_case_in_flow_style_is_left_to_its_author() {
    let text =
        format!("{RULES}cases:\n  - {{name: x, steps: [{{at: 0s, topic: t/a, payload: {{v: 4}}}}]}}\n");
    assert!(updated(&text).unwrap_err().contains("block style"));
}

/// A case of [`RULES`], and of streams in other forms.
fn series(body: &str) -> Result<Vec<String>, String> {
    let text = format!(
        "ruleset:
  streams:
    - CREATE STREAM s (v FLOAT, door STRING, ts DATETIME) WITH (DATASOURCE='s/{{d}}', KEY='d', TIMESTAMP='ts', TIMESTAMP_FORMAT='s')
    - CREATE STREAM deep (data STRUCT(v FLOAT), head STRUCT(at DATETIME)) WITH (DATASOURCE='deep', TIMESTAMP='head.at', TIMESTAMP_FORMAT='ms')
    - CREATE STREAM one () WITH (DATASOURCE='one', FORMAT='scalar')
    - CREATE STREAM lines (a FLOAT, b STRING, c FLOAT) WITH (DATASOURCE='lines', FORMAT='delimited', DELIMITER=';')
    - CREATE STREAM odd (v FLOAT, ts DATETIME) WITH (DATASOURCE='odd', TIMESTAMP='ts', TIMESTAMP_FORMAT='dd.MM.yyyy HH:mm')
  rules:
    - {{id: a, sql: 'SELECT v, door FROM s', when: v > 3}}
    - {{id: b, sql: 'SELECT data->v AS v FROM deep', when: v > 3}}
    - {{id: d, sql: 'SELECT b, c FROM lines', when: c > 3}}
    - {{id: e, sql: 'SELECT v FROM odd', when: v > 3}}
cases:
  - name: x
    series:
      - {body}
"
    );
    let suite = Suite::parse(&text)?;
    let Rules::Text(rules) = &suite.rules else { panic!("the rules are in the file") };
    let rules = admit("set", rules).map_err(|found| format!("{found:?}"))?;
    let mut events = Vec::new();
    suite.cases[0].series[0].messages(&rules.plan.streams, &mut events)?;
    let shown = events.into_iter().map(|event| match event.action {
        Action::Message { topic, payload, .. } => format!("{} {topic} {payload}", format_time(event.at)),
        other => panic!("{other:?}"),
    });
    Ok(shown.collect())
}

#[test]
fn a_series_is_messages_in_the_form_of_its_stream() {
    assert_eq!(
        series("{topic: 's/{a,b}', at: 1m, every: 30s, delay: 5s, fields: {door: open}, values: {v: 1 _ 3}}")
            .unwrap(),
        [
            r#"1m5s s/a {"door":"open","ts":1767225660.0,"v":1}"#,
            r#"2m5s s/a {"door":"open","ts":1767225720.0,"v":3}"#,
            r#"1m5s s/b {"door":"open","ts":1767225660.0,"v":1}"#,
            r#"2m5s s/b {"door":"open","ts":1767225720.0,"v":3}"#,
        ]
    );
    assert_eq!(
        series("{topic: s/a, every: 1s, values: {v: 1 2 _, door: '_ open _', ts: [5, 6, 7]}}").unwrap(),
        [r#"0s s/a {"ts":5,"v":1}"#, r#"1s s/a {"door":"open","ts":6,"v":2}"#, r#"2s s/a {"ts":7}"#]
    );
    assert_eq!(
        series("{topic: deep, every: 1s, values: {data.v: 1 2}}").unwrap(),
        [
            r#"0s deep {"data":{"v":1},"head":{"at":1767225600000}}"#,
            r#"1s deep {"data":{"v":2},"head":{"at":1767225601000}}"#,
        ]
    );
    assert_eq!(
        series("{topic: lines, every: 1s, values: {a: 1 2, b: \"x 'y;z'\", c: 5x2}}").unwrap(),
        ["0s lines ;x;5", "1s lines ;\"y;z\";5"]
    );
    assert_eq!(
        series("{topic: s/a, values: [{v: 1, ts: $t_iso}]}").unwrap(),
        [r#"0s s/a {"ts":"2026-01-01T00:00:00Z","v":1}"#]
    );
}

#[test]
fn a_series_that_cannot_be_says_why() {
    for (body, said) in [
        ("{topic: s/a, values: {v: 1 2}}", "line 16: `every` is missing"),
        ("{topic: s/a, every: 1s, values: {v: 1 2, door: open}}", "`door` has 1 readings and `v` 2"),
        ("{topic: s/a, every: 1s, values: {v: 1 2 stale}}", "add `until: 1h`"),
        ("{topic: s/a, every: 1s, values: {v: 20+5}}", "v: `20+5`: how many readings?"),
        ("{topic: s/a, every: 1s, values: {v: 0x54}}", "v: one reading, 84, where `every` asks for several"),
        ("{topic: s/a, every: 1s, values: 5x2, fields: {door: open}}", "beside named values"),
        ("{topic: s/a/b, values: {v: 1}}", "no stream of the rules reads the topic `s/a/b`"),
        ("{topic: odd, values: {v: 1}}", "follows a pattern"),
        ("{topic: 's/{1..1000}', every: 1s, values: {v: 1x2000}}", "more than 1000000 readings"),
        ("{topic: 's/{x}', values: {v: 1}}", "braces in a topic"),
    ] {
        let found = series(body).unwrap_err();
        assert!(found.contains(said), "{body}\n{found}");
    }
}

#[test]
fn a_check_tells_what_stands_and_why_it_is_not_as_expected() {
    let text = format!(
        "{}cases:
  - name: x
    series: [{{topic: t/a, every: 1m, values: {{v: 4x5 1}}}}]
    checks:
      - {{at: 30s, pending: [slow], firing: [{{rule: hot, severity: critical, values: {{v: 5}}, since: 1s}}]}}
      - {{at: 90s, pending: [], quiet: [slow]}}
      - {{at: 5m, resolved: [hot, {{rule: slow, reason: no_data}}], firing: [{{rule: hot, labels: {{d: b}}}}]}}
    expect: []
  - name: checks alone
    series: [{{topic: t/a, every: 1m, values: {{v: 4x5 1}}}}]
    checks: [{{at: 30s, firing: [hot]}}]
",
        RULES.replace("rules: [", "rules: [{id: slow, sql: SELECT v FROM s, when: v > 3, for: 2m}, ")
    );
    let (suite, outcomes) = outcomes(&text, Mode::Plain);
    let found = compare(&suite.cases[0], &outcomes[0]).to_string();
    assert_eq!(compare(&suite.cases[1], &outcomes[1]).to_string(), "");
    let (_, standing) = found.split_once("\n  at 30s:\n").unwrap();
    assert_eq!(
        standing,
        "  ~ firing hot d=a v=4.0 since 0s (line 8)
        severity: expected critical, found warning
        since: expected 1s, found 0s
        value v: expected 5, found 4.0
  at 1m30s:
  + pending slow d=a v=4.0 since 0s   <- not expected
  + pending slow d=a v=4.0 since 0s   <- it should be quiet (line 9)
  at 5m:
  - firing hot d=b   <- it is quiet (line 10)
  - resolved slow (no_data)   <- was not resolved by then (line 10)"
    );
}

#[test]
fn an_agent_that_is_down_hears_nothing_and_a_clock_that_steps_moves_nothing() {
    let text = format!(
        "{}cases:
  - name: x
    series: [{{topic: t/a, every: 1m, values: {{v: 4 1x3 4x2}}}}]
    steps:
      - {{at: 30s, restart: true, down: 3m}}
      - {{at: 40s, clock: -1d}}
      - {{at: 4m30s, clock: '2030-01-01T00:00:00Z'}}
    expect:
      - {{at: 0s, firing: hot}}
    firing: [hot]
",
        RULES
    );
    let (suite, outcomes) = outcomes(&text, Mode::Plain);
    assert!(compare(&suite.cases[0], &outcomes[0]).is_empty(), "{}", compare(&suite.cases[0], &outcomes[0]));
    for (step, said) in [
        (
            "{at: 10s, restart: true, down: 1m}\n      - {at: 20s, remove: true}",
            "at 20s the agent is down until 1m10s",
        ),
        ("{at: 10s, resolve: cold}", "no such alert stands at 10s"),
        ("{at: 10s, clock: later}", "no setting of a clock"),
        ("{at: 10s, tick: true, down: 1m}", "how long a `restart: true` takes"),
    ] {
        let text = format!("{RULES}cases:\n  - name: x\n    steps:\n      - {step}\n");
        let found = Suite::parse(&text).and_then(|suite| {
            let Rules::Text(rules) = &suite.rules else { panic!("the rules are in the file") };
            run(&suite.cases[0], &admit("set", rules).unwrap(), Mode::Plain)
        });
        assert!(found.as_ref().is_err_and(|why| why.contains(said)), "{step}\n{found:?}");
    }
}

#[test]
fn coverage_knows_what_options_make_possible() {
    let text = "ruleset:
  streams: [\"CREATE STREAM s (v FLOAT) WITH (DATASOURCE='t/{d}', KEY='d')\"]
  rules:
    - {id: all, sql: SELECT v FROM s, when: v > 3, for: 1m, keep_firing_for: 2m, no_data: {after: 5m, do: fire}}
    - {id: plain, sql: SELECT v FROM s, when: v > 99}
    - {id: each, sql: SELECT v FROM s WHERE v > 3}
cases:
  - name: x
    series: [{topic: t/a, every: 30s, values: {v: 4x4 1 stale}}]
    until: 3m
";
    let (suite, outcomes) = outcomes(text, Mode::Plain);
    let Rules::Text(rules) = &suite.rules else { panic!("the rules are in the file") };
    let shown: Vec<String> = admit("set", rules)
        .unwrap()
        .plan
        .rules
        .iter()
        .flat_map(|rule| {
            let id = rule.alert.rule.to_string();
            let of =
                |goal: Goal| format!("{id} {} {}", goal.name, outcomes[0].exercised.has(&id, &goal.name));
            goals(&rule.alert).into_iter().map(of).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(
        shown,
        [
            "all pending true",
            "all brief false",
            "all firing true",
            "all keeping true",
            "all recovered false",
            "all no_data false",
            "plain firing false",
            "plain recovered false",
            "each occurred true",
        ]
    );
}

#[test]
fn an_update_leaves_what_is_right_as_its_author_wrote_it() {
    let before = format!(
        "{RULES}cases:
  - name: one
    steps: [{{at: 0s, every: 1m, topic: t/a, payloads: [{{v: 4}}, {{v: 1}}, {{v: 5}}, {{v: 1}}]}}]
    expect:
      # It gets hot.
      - {{firing: hot, at: 0s}}   # at once
      - {{resolved: hot, at: 59s}}
      # And again.
      - firing: hot
        at: 2m

      # It ends.
      - {{at: 9m, firing: cold}}
"
    );
    let after = before
        .replace("      - {resolved: hot, at: 59s}\n", "      - {at: 1m, resolved: hot, reason: recovered}\n")
        .replace("      - {at: 9m, firing: cold}\n", "      - {at: 3m, resolved: hot, reason: recovered}\n");
    assert_eq!(updated(&before).unwrap(), after);
}

#[test]
fn a_check_of_what_is_not_there_is_none() {
    for (check, said) in [
        ("quiet: [hott]", "line 7: there is no rule `hott`"),
        (
            "quiet: [{rule: hot, labels: {device: a}}]",
            "line 7: alerts of the rule `hot` have no label `device`",
        ),
        ("quiet: [hot/limit]", ""),
        ("quiet: [{rule: hot, labels: {d: a, agent: test}}]", ""),
    ] {
        let text = format!("{RULES}cases:\n  - name: x\n    checks:\n      - {{at: 1s, {check}}}\n");
        let suite = Suite::parse(&text).unwrap();
        let Rules::Text(rules) = &suite.rules else { panic!("the rules are in the file") };
        let found =
            run(&suite.cases[0], &admit("set", rules).unwrap(), Mode::Plain).err().unwrap_or_default();
        assert_eq!(found, said, "{check}");
    }
}

#[test]
fn a_storm_is_compared_without_a_search() {
    let expected: String =
        (1..=2_000).map(|n| format!("      - {{occurred: hot, labels: {{d: {n}}}}}\n")).collect();
    // Of occurrences as many are told as there are.
    let rules = RULES.replace("when: v > 3,", "");
    let text = |series: &str, expected: &str| {
        format!(
            "{rules}cases:\n  - name: x\n    series: [{{topic: '{series}', values: {{v: 4}}}}]\n    expect:\n{expected}"
        )
    };
    for (series, lines, last) in [
        ("t/{1..2000}", 0, ""),
        ("t/{1..1999}", 8, "  - occurred hot d=2000   <- did not come (line 2007)"),
        ("t/{2..2001}", 4_000, "        label d: expected 2000, found 2001"),
    ] {
        let (suite, outcomes) = outcomes(&text(series, &expected), Mode::Plain);
        let found = compare(&suite.cases[0], &outcomes[0]);
        assert_eq!(found.lines.len(), lines, "{series}");
        assert_eq!(found.to_string().lines().last().unwrap_or_default(), last);
    }
}

#[test]
fn until_comes_after_the_last_reading() {
    let text = format!(
        "{}cases:
  - name: x
    series: [{{topic: t/a, every: 1m, values: {{v: 4 4 1}}}}]
    until: 2m
    expect: []
",
        RULES.replace("when: v > 3,", "when: v > 3, for: 2m,")
    );
    let (suite, outcomes) = outcomes(&text, Mode::Plain);
    assert_eq!(compare(&suite.cases[0], &outcomes[0]).to_string(), "");
}
