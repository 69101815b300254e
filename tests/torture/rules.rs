//! The rules of a run: every way in which a rule remembers something, in several severities, so that alerts
//! overtake each other on their way.

/// The rule set, as it is pushed to the hub.
pub(crate) const TEXT: &str = "
streams:
  - CREATE STREAM r (n BIGINT, v FLOAT, ts BIGINT)
      WITH (DATASOURCE='torture/{device}', KEY='device', TIMESTAMP='ts', TIMESTAMP_FORMAT='s', IDLE='24h')
  - CREATE STREAM marks (n BIGINT) WITH (DATASOURCE='mark/{of}', KEY='of')
rules:
  - id: plain
    sql: SELECT device, v FROM r
    when: v > 60
    clear: v < 50
    severity: critical
    flapping: off
  - id: held
    sql: SELECT device, v FROM r
    when: v > 55
    for: 25m
    flapping: off
  - id: kept
    sql: SELECT device, v FROM r
    when: v > 65
    clear: v < 60
    keep_firing_for: 25m
    severity: error
    flapping: off
  - id: thrice
    sql: SELECT device, v FROM r
    when: v > 45
    times: 3
    severity: info
    flapping: off
  - id: levels
    sql: SELECT device, v FROM r
    levels:
      - {severity: warning, when: v > 60, clear: v < 55}
      - {severity: critical, when: v > 80, clear: v < 75}
    flapping: off
  - id: every
    sql: SELECT device, n, v FROM r WHERE v > 70
    repeat: 0
    severity: info
  - id: seldom
    sql: SELECT device, n, v FROM r WHERE v > 70
    repeat: 45m
    severity: critical
  - id: counted
    sql: SELECT device, count(*) AS c, sum(n) AS s FROM r GROUP BY device, TUMBLINGWINDOW(hh, 1)
    repeat: 0
    severity: notice
  - id: fives
    sql: SELECT device, count(*) AS c, sum(n) AS s FROM r GROUP BY device, COUNTWINDOW(5)
    repeat: 0
    severity: info
  - id: mean
    sql: SELECT device, avg(v) AS a FROM r GROUP BY device, TUMBLINGWINDOW(hh, 1)
    when: a > 60
    clear: a < 50
    flapping: off
  - id: peak
    sql: SELECT device, max(v) AS p FROM r GROUP BY device, HOPPINGWINDOW(hh, 2, 1)
    when: p > 85
    severity: critical
    flapping: off
  - id: mark
    sql: SELECT of, n FROM marks
    repeat: 0
    severity: info
";

/// The rule by which a run hears that everything before it has come.
pub(crate) const MARK: &str = "mark";

/// Rules over windows: of these alone `processed` may lose something.
pub(crate) fn has_window(rule: &str) -> bool {
    matches!(rule, "counted" | "fives" | "mean" | "peak")
}

/// Rules over windows of hours: each of them ends once, and in order.
pub(crate) fn ends_hours(rule: &str) -> bool {
    matches!(rule, "counted" | "mean" | "peak")
}

/// Rules to which a reading that comes once more, after newer ones of its device, makes no difference.
pub(crate) fn bears_repeats(rule: &str) -> bool {
    matches!(rule, "plain" | "held" | "kept" | "levels" | "seldom" | "peak")
}

/// Rules whose alerts stay up; the others are occurrences.
pub(crate) fn has_state(rule: &str) -> bool {
    !matches!(rule, "every" | "seldom" | "counted" | "fives" | MARK)
}
