//! A set that is planned on what runs means the same as one that is planned whole, and moves nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Limits, RulePlan};
use crate::plan::{Compiled, RuleSetDef, Running, compile, explain, file, recompile};

fn set(rules: &BTreeMap<u8, (u8, u8)>, streams: &str) -> RuleSetDef {
    let columns = ["temperature", "n", "room", "other"];
    let rule = |(id, (column, constant)): (&u8, &(u8, u8))| {
        let column = columns[usize::from(*column % 4)];
        let key = if *constant % 5 == 0 { "" } else { "device, " };
        serde_json::json!({
            "id": format!("r{id}"),
            "sql": format!("SELECT {key}{column} AS v FROM {} WHERE device = 'd{constant}'", if *id % 3 == 0 { "b" } else { "a" }),
            "when": "v > 5",
        })
    };
    let rules: Vec<_> = rules.iter().map(rule).collect();
    let file = serde_json::json!({
        "streams": [
            format!("CREATE STREAM a () WITH (DATASOURCE='a/{{device}}'{streams})"),
            "CREATE STREAM b () WITH (DATASOURCE='b/{device}')",
        ],
        "rules": rules,
    });
    file::parse(&file.to_string()).unwrap()
}

fn hashes(def: &RuleSetDef) -> Vec<u64> {
    def.rules.iter().map(|rule| rule.item().hash().short()).collect()
}

fn shown(compiled: &Compiled) -> BTreeMap<String, (String, u64, u64)> {
    let plan = compiled.plan.as_ref().unwrap();
    let rules = plan.rules.iter().filter(|rule| !rule.is_vacant());
    let tree = |rule: &RulePlan| {
        let text = explain::text(&explain::explain(plan, rule), false);
        let mut lines: Vec<&str> = text.lines().map(|line| line.trim_start_matches("reads").trim()).collect();
        lines.retain(|line| !line.is_empty());
        lines.sort_unstable();
        lines.join("\n").replace("reads ", "")
    };
    rules.map(|rule| (rule.alert.rule.to_string(), (tree(rule), rule.state, rule.alert.hash))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_set_planned_on_what_runs_is_as_if_planned_whole(
        steps in prop::collection::vec(prop::collection::vec((0_u8..40, prop::option::of((0_u8..4, 0_u8..4))), 0..12), 1..8),
    ) {
        let mut rules: BTreeMap<u8, (u8, u8)> = (0..30).map(|id| (id, (id, 1))).collect();
        let limits = Limits::default();
        let mut running = compile("set", &set(&rules, ""), &limits);
        for step in steps {
            for (id, to) in step {
                match to {
                    Some(to) => drop(rules.insert(id, to)),
                    None => drop(rules.remove(&id)),
                }
            }
            let def = set(&rules, "");
            let before = running.plan.clone().unwrap();
            let basis = running.basis.clone();
            let next = recompile("set", &(&def).into(), &hashes(&def), &limits, &Running { plan: &before, basis: &basis });
            let whole = compile("set", &def, &limits);
            prop_assert_eq!(shown(&next), shown(&whole));
            let messages = |compiled: &Compiled| {
                let mut all: Vec<_> = compiled.diagnostics.iter().map(|d| (d.item.clone(), d.message.clone())).collect();
                all.sort();
                all
            };
            prop_assert_eq!(messages(&next), messages(&whole));
            let plan = next.plan.as_ref().unwrap();
            let touched = next.touched.clone().unwrap();
            for (at, (was, is)) in before.rules.iter().zip(plan.rules.iter()).enumerate() {
                prop_assert!(touched.contains(&at) || was == is, "{}", at);
                if *was.alert.rule == *is.alert.rule {
                    continue;
                }
                prop_assert!(plan.rules.iter().all(|rule| was.is_vacant() || rule.alert.rule != was.alert.rule));
            }
            for (was, is) in before.streams.iter().zip(&plan.streams) {
                prop_assert_eq!(&was.fields[..], &is.fields[..was.fields.len()]);
            }
            running = next;
        }
    }
}

#[test]
fn a_stream_that_is_declared_otherwise_is_planned_whole() {
    let rules: BTreeMap<u8, (u8, u8)> = (0..4).map(|id| (id, (id, 1))).collect();
    let limits = Limits::default();
    let running = compile("set", &set(&rules, ""), &limits);
    let def = set(&rules, ", KEY='device'");
    let before = running.plan.clone().unwrap();
    let next = recompile(
        "set",
        &(&def).into(),
        &hashes(&def),
        &limits,
        &Running { plan: &before, basis: &running.basis },
    );
    assert!(next.touched.is_none());
    assert_eq!(shown(&next), shown(&compile("set", &def, &limits)));
}
