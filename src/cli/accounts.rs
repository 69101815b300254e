//! The accounts of rules: what each saw, gave, passed over, holds and costs.

use std::cmp::Reverse;

use crate::agent::status::RuleStatus;

use super::status::bytes;
use super::table::table;

/// What the rules are ordered by, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sort {
    /// The time that they took.
    Cost,
    /// The rows that they saw.
    Rows,
    /// The bytes of their state.
    Bytes,
}

/// Puts the rules into this order; without one they stay as they run.
pub(super) fn sort(rules: &mut [RuleStatus], by: Option<Sort>) {
    let figure = |rule: &RuleStatus| match by {
        Some(Sort::Cost) => rule.nanos,
        Some(Sort::Rows) => rule.rows,
        Some(Sort::Bytes) => rule.bytes,
        None => 0,
    };
    rules.sort_by_key(|rule| Reverse(figure(rule)));
}

/// The whole account of each rule, a line each.
pub(super) fn text(rules: &[RuleStatus]) -> String {
    if rules.is_empty() {
        return "no rules\n".to_owned();
    }
    let heading = [
        "set",
        "rule",
        "rows",
        "matches",
        "late",
        "future",
        "retained",
        "outdated",
        "refused",
        "undefined",
        "groups",
        "state",
        "time",
        "a row",
        "",
    ];
    let row = |r: &RuleStatus| {
        let counts =
            [r.rows, r.matched, r.late, r.future, r.retained, r.outdated, r.refused, r.undefined, r.groups];
        let mut row = vec![r.ruleset.clone(), r.rule.clone()];
        row.extend(counts.map(|n| n.to_string()));
        let each = r.nanos.checked_div(r.rows).unwrap_or(0);
        row.extend([bytes(r.bytes), time(r.nanos), time(each), degraded(r)]);
        row
    };
    table(&heading, &rules.iter().map(row).collect::<Vec<_>>())
}

/// A span for people, in the unit that fits it.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn time(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} us", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

/// What stands behind a rule that is not what it should be.
pub(super) fn degraded(rule: &RuleStatus) -> String {
    if rule.degraded { "DEGRADED: past a limit".to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, rows: u64, bytes: u64, nanos: u64) -> RuleStatus {
        RuleStatus {
            ruleset: "s".to_owned(),
            rule: name.to_owned(),
            rows,
            matched: 0,
            late: 0,
            future: 0,
            retained: 0,
            groups: 0,
            refused: 0,
            undefined: 0,
            bytes,
            nanos,
            degraded: nanos == 0,
            outdated: 0,
            firing: 0,
            pending: 0,
            transitions: 0,
        }
    }

    #[test]
    fn the_dearest_comes_first() {
        let mut rules = [rule("a", 1, 30, 0), rule("b", 3, 10, 2_500), rule("c", 2, 20, 3_000_000)];
        let mut order = |by| {
            sort(&mut rules, by);
            rules.iter().map(|rule| rule.rule.clone()).collect::<String>()
        };
        assert_eq!(order(Some(Sort::Cost)), "cba");
        assert_eq!(order(Some(Sort::Rows)), "bca");
        assert_eq!(order(Some(Sort::Bytes)), "acb");
    }

    #[test]
    fn an_account_is_a_line() {
        let shown = text(&[rule("a", 4, 1_500, 2_500_000_000), rule("b", 0, 0, 0)]);
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1].join(" "), "s a 4 0 0 0 0 0 0 0 0 1.5 kB 2.5 s 625.0 ms");
        assert_eq!(lines[2].join(" "), "s b 0 0 0 0 0 0 0 0 0 0 B 0 ns 0 ns DEGRADED: past a limit");
    }
}
