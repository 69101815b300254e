//! The one alert that stands for what a rule could not take in. A rule that reaches a ceiling of its
//! state goes on with what it has; that its alerts are incomplete must not be a mere counter. So each
//! rule has a companion, named `<id>/limit`, whose alert is up while things are refused, and for some
//! minutes after.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::alert::{Book, SavedState};
use crate::model::alerting::{AlertShape, AlertSpec, Life, Named, Piece, Roster, RuleKind, Template};
use crate::model::time::{Mono, Now};
use crate::model::transition::Transition;
use crate::model::value::Value;
use crate::plan::logical::Plan;

/// How long nothing must have been refused for the alert to end.
const CALM: Duration = Duration::from_secs(300);

/// What is known of the ceilings of one set's rules, as far as they ever refused anything; and the alerts
/// that tell of it, once there is one.
#[derive(Debug, Default)]
pub(super) struct Ceilings {
    rules: BTreeMap<usize, Ceiling>,
    /// When the first alert may end.
    due: Option<Mono>,
    /// The alerts, each in the place of its rule.
    book: Option<Box<Book>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ceiling {
    /// What was refused when it was last looked at.
    refused: u64,
    /// When its alert ends, if it is up.
    until: Option<Mono>,
}

impl Ceilings {
    /// Looks at what rules have refused so far, and tells of each whose alert changes.
    pub(super) fn look(
        &mut self,
        (agent, plan): (&Arc<str>, &Arc<Plan>),
        refused: impl Iterator<Item = (usize, u64)>,
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        for (rule, refused) in refused {
            if refused == 0 && !self.rules.contains_key(&rule) {
                continue;
            }
            let ceiling = self.rules.entry(rule).or_default();
            let up = ceiling.until.is_some();
            if refused > ceiling.refused {
                ceiling.until = Some(now.mono.plus(CALM));
            } else if ceiling.until.is_some_and(|until| until <= now.mono) {
                ceiling.until = None;
            }
            ceiling.refused = refused;
            let raise = ceiling.until.is_some();
            if raise != up {
                let values = vec![i64::try_from(refused).map_or(Value::Null, Value::Int)];
                self.book(agent, plan).condition((rule, Box::default()), raise, values, now, out);
            }
        }
        self.settle();
    }

    /// When an alert may end.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.due
    }

    /// Goes on where other rules, or another process, left off: with what each rule has refused so far.
    pub(super) fn resume(&mut self, rules: impl Iterator<Item = (usize, u64)>, now: Now) {
        self.rules.clear();
        for (rule, refused) in rules {
            self.set(rule, refused, now);
        }
        self.settle();
    }

    fn set(&mut self, rule: usize, refused: u64, now: Now) {
        let up = self.book.as_ref().is_some_and(|book| book.is_up(rule, &[]));
        if up || refused > 0 {
            self.rules.insert(rule, Ceiling { refused, until: up.then(|| now.mono.plus(CALM)) });
        } else {
            self.rules.remove(&rule);
        }
    }

    fn settle(&mut self) {
        self.due = self.rules.values().filter_map(|ceiling| ceiling.until).min();
    }

    fn book(&mut self, agent: &Arc<str>, plan: &Arc<Plan>) -> &mut Book {
        self.book.get_or_insert_with(|| Box::new(Book::new(agent.clone(), Companions::of(plan))))
    }

    /// The alerts, if there ever was one.
    pub(super) fn alerts(&self) -> Option<&Book> {
        self.book.as_deref()
    }

    /// As [`Self::alerts`].
    pub(super) fn alerts_mut(&mut self) -> Option<&mut Book> {
        self.book.as_deref_mut()
    }

    /// Puts kept states back, of those that are of companions.
    pub(super) fn restore(
        &mut self,
        (agent, plan): (&Arc<str>, &Arc<Plan>),
        states: impl Iterator<Item = (Arc<str>, SavedState)>,
        now: Now,
    ) {
        let own: Vec<_> = states.filter(|(rule, _)| rule.ends_with(LIMIT)).collect();
        if self.book.is_some() || !own.is_empty() {
            self.book(agent, plan).restore(own, now);
        }
    }

    /// Goes over to the rules of another plan.
    pub(super) fn swap(&mut self, plan: &Arc<Plan>, now: Now, out: &mut Vec<Transition>) {
        if let Some(book) = &mut self.book {
            book.swap(Companions::of(plan), now, out);
        }
    }

    /// Goes over to other rules in these places of a plan, of which it can be asked what each has refused.
    pub(super) fn change(
        &mut self,
        plan: &Arc<Plan>,
        touched: &[usize],
        refused: impl Fn(usize) -> u64,
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        if let Some(book) = &mut self.book {
            book.change(Companions::of(plan), touched, now, out);
        }
        for rule in touched {
            self.set(*rule, refused(*rule), now);
        }
        self.settle();
    }
}

/// What the id of a companion ends with.
const LIMIT: &str = "/limit";

/// The alert sides of the companions of a plan's rules, each made when it is asked for.
#[derive(Debug)]
struct Companions {
    plan: Arc<Plan>,
    made: Vec<OnceLock<Box<AlertSpec>>>,
}

impl Companions {
    fn of(plan: &Arc<Plan>) -> Arc<Self> {
        let made = (0..plan.rules.len()).map(|_| OnceLock::new()).collect();
        Arc::new(Self { plan: plan.clone(), made })
    }
}

impl Roster for Companions {
    fn get(&self, rule: usize) -> Option<&AlertSpec> {
        (rule < self.made.len()).then(|| self.at(rule))
    }

    fn at(&self, rule: usize) -> &AlertSpec {
        self.made[rule].get_or_init(|| Box::new(companion(&self.plan.rules[rule].alert)))
    }

    fn len(&self) -> usize {
        self.made.len()
    }
}

fn companion(spec: &AlertSpec) -> AlertSpec {
    let text = |text: String| Piece::Text(text);
    let summary = Template {
        pieces: vec![
            text(format!("rule {} has reached a limit of its state: ", spec.rule)),
            Piece::Place(Named::Column(0), Vec::new()),
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
        no_data: None,
        life: Life::plain(),
    };
    // No rule can be called so, as an id holds no slash.
    AlertSpec { rule: format!("{}{LIMIT}", spec.rule).into(), hash: spec.hash, shape: Arc::new(shape) }
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
        let rules = "
streams: [CREATE STREAM s (v FLOAT) WITH (DATASOURCE='t')]
rules: [{id: a, sql: SELECT v FROM s}, {id: b, sql: SELECT v FROM s}]
";
        let plan = admit("set", rules).unwrap().plan;
        let mut ceilings = Ceilings::default();
        let mut look = |refused: [u64; 2], seconds| {
            let mut told = Vec::new();
            ceilings.look((&"edge".into(), &plan), refused.into_iter().enumerate(), at(seconds), &mut told);
            told.iter().map(|told| (told.rule.to_string(), told.state.name())).collect::<Vec<_>>()
        };
        assert_eq!(look([0, 0], 0), []);
        assert_eq!(look([0, 3], 10), [("b/limit".to_owned(), "firing")]);
        assert_eq!(look([0, 4], 100), []);
        assert_eq!(look([0, 4], 399), []);
        assert_eq!(look([0, 4], 400), [("b/limit".to_owned(), "resolved")]);
        assert_eq!(ceilings.next_deadline(), None);
    }
}
