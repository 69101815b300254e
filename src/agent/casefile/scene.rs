//! What stands at a moment beside what must stand then.

use crate::alert::Active;
use crate::model::transition::Transition;
use crate::plan::logical::Plan;

use super::compare::{Line, Mark, OWN_LABELS, is, labels_text, values_text};
use super::{Action, Case, Moment, Outcome, Scene, Standing, format_time};

/// Whether the rules and labels that scenes name are there: a slip of the pen under `quiet` would be right for
/// ever. Of rules that come later nothing is known, nor of what the agent raises by itself.
///
/// # Errors
/// The first name that is none, with its line.
pub(super) fn check_names(case: &Case, plan: &Plan) -> Result<(), String> {
    if case.events.iter().any(|event| matches!(event.action, Action::Swap(_))) {
        return Ok(());
    }
    let scenes = case.checks.iter().map(|check| &check.scene).chain([&case.end]);
    for one in scenes.flat_map(Scene::all).filter(|one| !one.rule.contains('/')) {
        let Some(rule) = plan.rules.iter().find(|rule| *rule.alert.rule == *one.rule) else {
            return Err(format!("line {}: there is no rule `{}`", one.line, one.rule));
        };
        let spec = &rule.alert;
        let known = |name: &str| {
            OWN_LABELS.contains(&name)
                || spec.labels.contains_key(name)
                || spec.key.iter().any(|key| **key == *name)
        };
        if let Some(name) = one.labels.keys().find(|name| !known(name)) {
            let line = one.line;
            return Err(format!("line {line}: alerts of the rule `{}` have no label `{name}`", one.rule));
        }
    }
    Ok(())
}

/// How far from the scene the moment is; nothing where it is as it must be.
pub(super) fn compare(scene: &Scene, moment: &Moment, outcome: &Outcome) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut exact = |what: &str, expected: &Option<Vec<Standing>>, is: fn(&str) -> bool| {
        if let Some(expected) = expected {
            let found = moment.active.iter().filter(|alert| is(alert.phase)).collect();
            list(what, expected, found, moment, &mut lines);
        }
    };
    exact("pending", &scene.pending, |phase| phase == "pending");
    exact("firing", &scene.firing, |phase| phase != "pending");
    exact("keeping", &scene.keeping, |phase| phase == "keeping");
    for one in &scene.quiet {
        if let Some(alert) = moment.active.iter().find(|alert| one.is_about(alert)) {
            lines.push(Line::extra(found_line(alert.phase, alert), "it should be quiet").at(one.line));
        }
    }
    for one in &scene.resolved {
        let told = outcome.transitions.get(..moment.told).unwrap_or_default();
        if let Some(alert) = moment.active.iter().find(|alert| one.is_about(alert)) {
            lines.push(Line::extra(found_line(alert.phase, alert), "it should be resolved").at(one.line));
        } else if !told.iter().any(|transition| one.was_resolved_by(transition)) {
            lines.push(Line::missing(one.text("resolved"), "was not resolved by then").at(one.line));
        }
    }
    lines
}

fn list(what: &str, expected: &[Standing], found: Vec<&Active>, moment: &Moment, lines: &mut Vec<Line>) {
    let mut left = found;
    let mut alone = Vec::new();
    for one in expected {
        match left.iter().position(|alert| one.is_about(alert) && one.differences(alert).is_empty()) {
            Some(place) => drop(left.remove(place)),
            None => alone.push(one),
        }
    }
    for one in alone {
        if let Some(place) = left.iter().position(|alert| one.is_about(alert)) {
            let alert = left.remove(place);
            lines.push(Line::new(Mark::Differs, found_line(what, alert)).at(one.line));
            lines.extend(one.differences(alert).into_iter().map(|text| Line::new(Mark::Detail, text)));
            continue;
        }
        let other = moment.active.iter().find(|alert| one.is_about(alert));
        let why = other.map_or("it is quiet".to_owned(), |alert| {
            format!("it is {} since {}", alert.phase, format_time(alert.since))
        });
        lines.push(Line::missing(one.text(what), &why).at(one.line));
    }
    lines.extend(left.into_iter().map(|alert| Line::extra(found_line(what, alert), "not expected")));
}

fn found_line(what: &str, alert: &Active) -> String {
    let rule = alert.labels.get("alertname").map_or("", |rule| rule);
    let labels = labels_text(alert.labels.iter().map(|(k, v)| (&**k, &**v)));
    let values = values_text(&alert.values, &alert.labels);
    format!("{what} {rule}{labels}{values} since {}", format_time(alert.since))
}

impl Scene {
    /// All that it names.
    fn all(&self) -> impl Iterator<Item = &Standing> {
        let exact = [&self.pending, &self.firing, &self.keeping];
        exact.into_iter().flatten().flatten().chain(&self.resolved).chain(&self.quiet)
    }
}

impl Standing {
    /// Whether the alert is the one that is meant.
    pub(super) fn is_about(&self, alert: &Active) -> bool {
        alert.labels.get("alertname").is_some_and(|rule| **rule == *self.rule)
            && self
                .labels
                .iter()
                .all(|(k, v)| alert.labels.get(k.as_str()).is_some_and(|found| **found == **v))
    }

    fn was_resolved_by(&self, transition: &Transition) -> bool {
        *transition.rule == *self.rule
            && transition.state.name() == "resolved"
            && self.reason.as_deref().is_none_or(|reason| reason == transition.state.reason())
            && self
                .labels
                .iter()
                .all(|(k, v)| transition.labels.get(k.as_str()).is_some_and(|found| **found == **v))
    }

    fn differences(&self, alert: &Active) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(severity) = self.severity.as_deref().filter(|severity| **severity != *alert.severity) {
            all.push(format!("severity: expected {severity}, found {}", alert.severity));
        }
        if let Some(since) = self.since.filter(|since| *since != alert.since) {
            all.push(format!("since: expected {}, found {}", format_time(since), format_time(alert.since)));
        }
        for (name, value) in &self.values {
            match alert.values.iter().find(|(column, _)| **column == *name.as_str()) {
                None => all.push(format!("value {name}: the rule has no such column")),
                Some((_, got)) if is(value, got) => {}
                Some((_, got)) => {
                    all.push(format!("value {name}: expected {value}, found {}", got.to_json()))
                }
            }
        }
        all
    }

    fn text(&self, what: &str) -> String {
        let labels: String = self.labels.iter().map(|(k, v)| format!(" {k}={v}")).collect();
        let values: String = self.values.iter().map(|(k, v)| format!(" {k}={v}")).collect();
        let reason = self.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        format!("{what} {}{labels}{values}{reason}", self.rule)
    }
}
