//! `inhibited_by`: rules name others of their set, which only the whole set shows to be right.

use std::collections::HashMap;

use crate::model::alerting::AlertSpec;
use crate::model::diagnostic::{Diagnostic, Place};
use crate::model::label::OWN_LABELS;

use super::definition::InhibitorDef;
use super::report::{Problem, Report};
use super::rules::Rules;
use super::text::Text;

/// What is wrong with it.
pub(super) fn check(inhibited: &[(String, Vec<InhibitorDef>)], rules: &Rules) -> Vec<Diagnostic> {
    if inhibited.is_empty() {
        return Vec::new();
    }
    let known: HashMap<&str, &AlertSpec> =
        rules.iter().map(|rule| (&*rule.alert.rule, &rule.alert)).collect();
    let mut by: HashMap<&str, Vec<&str>> = HashMap::new();
    for (id, all) in inhibited {
        by.insert(id, all.iter().map(|one| one.rule.as_str().trim()).collect());
    }
    let mut found = Vec::new();
    for (id, all) in inhibited {
        let mut report = Report::new(format!("rule {id}"));
        for one in all {
            let name = one.rule.as_str().trim();
            let mut wrong = |text: &Text, code, message: String, hint: String| {
                let problem = Problem::new(code, Place::START, message);
                report.error_at_start("inhibited_by", text, problem.hint(hint));
            };
            let Some(other) = known.get(name) else {
                let problem =
                    Problem::new("unknown-rule", Place::START, format!("no rule `{name}` in this set"));
                let problem = problem.did_you_mean(name, known.keys().copied());
                report.error_at_start("inhibited_by", &one.rule, problem);
                continue;
            };
            if leads_to(&by, name, id) {
                let message = format!("`{id}` and `{name}` would each explain the other");
                wrong(
                    &one.rule,
                    "inhibition-cycle",
                    message,
                    "let the cause inhibit its effects only".to_owned(),
                );
            }
            if !other.is_state() {
                let message = format!("`{name}` has no `when`, so none of its alerts is up for any time");
                wrong(&one.rule, "bad-value", message, "name a rule with `when`".to_owned());
            }
            let Some(own) = known.get(&**id) else { continue };
            for label in one.on.iter().flatten() {
                for (spec, whose) in [(own, id.as_str()), (other, name)] {
                    if !has_label(spec, label.as_str().trim()) {
                        let labels: Vec<&str> =
                            spec.key.iter().chain(spec.labels.keys()).map(|name| &**name).collect();
                        let hint = match labels.as_slice() {
                            [] => "leave `on` out".to_owned(),
                            labels => format!("they have {}", labels.join(", ")),
                        };
                        let message = format!("the alerts of `{whose}` have no label `{}`", label.as_str());
                        wrong(label, "unknown-label", message, hint);
                    }
                }
            }
        }
        found.extend(report.into_found());
    }
    found
}

fn has_label(spec: &AlertSpec, name: &str) -> bool {
    OWN_LABELS.contains(&name) || spec.key.iter().any(|key| **key == *name) || spec.labels.contains_key(name)
}

/// Whether an alert of the one rule is explained by the other, over however many in between.
fn leads_to<'a>(by: &HashMap<&'a str, Vec<&'a str>>, from: &'a str, to: &str) -> bool {
    let (mut seen, mut next) = (Vec::new(), vec![from]);
    while let Some(rule) = next.pop() {
        if rule == to {
            return true;
        }
        if !seen.contains(&rule) {
            seen.push(rule);
            next.extend(by.get(rule).into_iter().flatten());
        }
    }
    false
}
