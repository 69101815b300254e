//! The one alert that stands for what a rule could not take in. A rule that reaches a ceiling of its
//! state goes on with what it has; that its alerts are incomplete must not be a mere counter. So each
//! rule has a companion, named `<id>/limit`, whose alert is up while things are refused, and for some
//! minutes after.

use std::sync::Arc;
use std::time::Duration;

use crate::model::alerting::{AlertShape, AlertSpec, Piece, RuleKind, Template};
use crate::model::row::{Observation, Order};
use crate::model::time::{Mono, Now};
use crate::model::value::Value;
use crate::plan::logical::Plan;

/// How long nothing must have been refused for the alert to end.
const CALM: Duration = Duration::from_secs(300);

/// What is known of the ceilings of one set's rules.
#[derive(Debug, Default)]
pub(super) struct Ceilings {
    rules: Vec<Ceiling>,
    /// When the first alert may end.
    due: Option<Mono>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ceiling {
    /// What was refused when it was last looked at.
    refused: u64,
    /// When its alert ends, if it is up.
    until: Option<Mono>,
}

impl Ceilings {
    /// Nothing refused yet by so many rules.
    pub(super) fn new(rules: usize) -> Self {
        Self { rules: vec![Ceiling::default(); rules], due: None }
    }

    /// Looks at what each rule has refused so far, and gives an observation for each whose alert
    /// changes. Rules are counted as in the plan, their companions behind them.
    pub(super) fn look(&mut self, refused: impl Iterator<Item = u64>, now: Now) -> Vec<Observation> {
        let companions = self.rules.len();
        let mut seen = Vec::new();
        for (rule, (ceiling, refused)) in self.rules.iter_mut().zip(refused).enumerate() {
            let up = ceiling.until.is_some();
            if refused > ceiling.refused {
                ceiling.until = Some(now.mono.plus(CALM));
            } else if ceiling.until.is_some_and(|until| until <= now.mono) {
                ceiling.until = None;
            }
            ceiling.refused = refused;
            let raise = ceiling.until.is_some();
            if raise != up {
                seen.push(Observation {
                    rule: companions + rule,
                    key: Box::default(),
                    values: Box::new([i64::try_from(refused).map_or(Value::Null, Value::Int)]),
                    at: now.wall,
                    raise: Some(raise),
                    clear: Some(!raise),
                    retained: false,
                    order: Order::Newest,
                });
            }
        }
        self.due = self.rules.iter().filter_map(|ceiling| ceiling.until).min();
        seen
    }

    /// When an alert may end.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.due
    }

    /// Goes on where other rules, or another process, left off: with what each rule has refused so far,
    /// and whether its alert is up.
    pub(super) fn resume(rules: impl Iterator<Item = (u64, bool)>, now: Now) -> Self {
        let until = |up: bool| up.then(|| now.mono.plus(CALM));
        let rules: Vec<Ceiling> = rules.map(|(refused, up)| Ceiling { refused, until: until(up) }).collect();
        let due = rules.iter().find_map(|ceiling| ceiling.until);
        Self { rules, due }
    }

    /// The alert sides of a plan's rules, and of their companions behind them.
    pub(super) fn specs(plan: &Plan) -> Vec<Arc<AlertSpec>> {
        let own = || plan.rules.iter().map(|rule| rule.alert.clone());
        own().chain(own().map(|spec| Arc::new(companion(&spec)))).collect()
    }
}

fn companion(spec: &AlertSpec) -> AlertSpec {
    let text = |text: String| Piece::Text(text);
    let summary = Template {
        pieces: vec![
            text(format!("rule {} has reached a limit of its state: ", spec.rule)),
            Piece::Column(0),
            text(" rows, keys or values were not used so far, and its alerts may be incomplete".to_owned()),
        ],
    };
    let shape = AlertShape {
        ruleset: spec.ruleset.clone(),
        kind: RuleKind::State { for_: Duration::ZERO, keep_firing_for: Duration::ZERO },
        severity: "warning".into(),
        labels: spec.labels.clone(),
        annotations: vec![("summary".into(), summary)],
        key: Vec::new(),
        columns: vec!["refused".into()],
        cadence: None,
    };
    // No rule can be called so, as an id holds no slash.
    AlertSpec { rule: format!("{}/limit", spec.rule).into(), hash: spec.hash, shape: Arc::new(shape) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::casefile::admit;
    use crate::agent::core::{Core, Input, Limits};
    use crate::model::message::Message;
    use crate::model::time::Timestamp;

    fn at(seconds: u64) -> Now {
        let wall = Timestamp::from_millis(i64::try_from(seconds * 1_000).unwrap());
        Now { wall, mono: Mono::from_micros(seconds * 1_000_000) }
    }

    #[test]
    fn a_rule_past_its_ceiling_says_so_once_and_the_others_go_on() {
        let rules = "
streams:
  - CREATE STREAM s (v FLOAT) WITH (DATASOURCE='t/{device}', KEY='device')
rules:
  - id: mean
    sql: SELECT device, avg(v) AS m FROM s GROUP BY device, TUMBLINGWINDOW(ss, 10)
    when: m > 5
  - {id: each, sql: SELECT v FROM s, when: v > 100}
";
        let engine = crate::engine::Config { max_groups: 1, watched: true, ..Default::default() };
        let limits = Limits { engine, ..Limits::default() };
        let mut core = Core::new("edge".into(), limits);
        core.apply(Input::Run(Box::new(admit("set", rules).unwrap())), at(0));
        let mut told = Vec::new();
        let mut step = |core: &mut Core, input, seconds| {
            let effects = core.apply(input, at(seconds));
            told.extend(effects.transitions.iter().map(|t| (seconds, t.rule.to_string(), t.state.name())));
        };
        for (device, seconds) in [("a", 1), ("b", 2), ("c", 3)] {
            let message = Message {
                source: "test".into(),
                topic: format!("t/{device}").into(),
                payload: r#"{"v":9}"#.into(),
                received: at(seconds).wall,
                retained: false,
                dup: false,
                qos: 0,
                properties: Box::default(),
                ack: None,
            };
            step(&mut core, Input::Messages(vec![message]), seconds);
        }
        for seconds in [60, 302, 303, 900] {
            step(&mut core, Input::Tick, seconds);
        }
        let expected = [(2, "mean/limit", "firing"), (60, "mean", "firing"), (303, "mean/limit", "resolved")];
        assert_eq!(told, expected.map(|(seconds, rule, state)| (seconds, rule.to_owned(), state)));
    }

    #[test]
    fn an_alert_is_up_while_things_are_refused_and_some_minutes_longer() {
        let mut ceilings = Ceilings::new(2);
        let mut look = |refused: [u64; 2], seconds| {
            let seen = ceilings.look(refused.into_iter(), at(seconds));
            seen.iter().map(|seen| (seen.rule, seen.raise)).collect::<Vec<_>>()
        };
        assert_eq!(look([0, 0], 0), []);
        assert_eq!(look([0, 3], 10), [(3, Some(true))]);
        assert_eq!(look([0, 4], 100), []);
        assert_eq!(look([0, 4], 399), []);
        assert_eq!(look([0, 4], 400), [(3, Some(false))]);
        assert_eq!(ceilings.next_deadline(), None);
    }
}
