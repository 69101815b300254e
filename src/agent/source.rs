//! The connections to the sources. One that is lost for longer than it may be is told as one alert of the agent,
//! `weir/source`; the alerts of the devices behind it are stale meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::{Active, Book, SavedState};
use crate::model::alerting::{AlertShape, AlertSpec, Life, Named, Piece, RuleKind, Template};
use crate::model::kept::{StateChange, StateKey};
use crate::model::time::{Mono, Now};
use crate::model::transition::{Reason, Transition};
use crate::model::value::Value;

use super::outlet::OWN_SET;

/// The name of the alert.
const LOST: &str = "weir/source";

/// See the module.
#[derive(Debug)]
pub(super) struct Sources {
    /// Those that are not connected.
    down: BTreeSet<Arc<str>>,
    /// All there are, where that is known.
    known: Option<Arc<[Arc<str>]>>,
    /// Whether a loss is told at all.
    tells: bool,
    book: Book,
}

impl Sources {
    /// All are connected. A loss is told after so long; zero: never.
    pub(super) fn new(agent: Arc<str>, after: Duration) -> Self {
        Self {
            down: BTreeSet::new(),
            known: None,
            tells: !after.is_zero(),
            book: Book::new(agent, Arc::new(vec![lost(after)])),
        }
    }

    /// A source is connected, or is not, and why.
    pub(super) fn set(
        &mut self,
        source: &Arc<str>,
        connected: bool,
        why: Option<&str>,
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        if connected {
            self.down.remove(source);
        } else {
            self.down.insert(source.clone());
        }
        if self.tells || connected {
            let values = vec![Value::str(why.unwrap_or("it is not connected"))];
            self.book.condition((0, [Value::Str(source.clone())].into()), !connected, values, now, out);
        }
    }

    /// Whether a source is not connected.
    pub(super) fn is_down(&self, source: &str) -> bool {
        self.down.contains(source)
    }

    /// Whether any is not.
    pub(super) fn is_any_down(&self) -> bool {
        !self.down.is_empty()
    }

    /// All are connected, and nothing else happens.
    pub(super) fn reconnect(&mut self) {
        self.down.clear();
    }

    /// These are the sources there are: what is told of others ends.
    pub(super) fn are(&mut self, sources: Arc<[Arc<str>]>, now: Now, out: &mut Vec<Transition>) {
        self.down.retain(|source| sources.contains(source));
        let is = |key: &[Value]| matches!(key, [Value::Str(source)] if !sources.contains(source));
        self.book.end_all(0, &is, Reason::SourceLost, now, out);
        self.known = Some(sources);
    }

    /// The sources there are, where that is known.
    pub(super) fn known(&self) -> Option<Arc<[Arc<str>]>> {
        self.known.clone()
    }

    /// Those that are not connected.
    pub(super) fn down(&self) -> impl Iterator<Item = &Arc<str>> {
        self.down.iter()
    }

    /// These are not connected until something else is said.
    pub(super) fn lost(&mut self, sources: impl Iterator<Item = Arc<str>>) {
        self.down.extend(sources);
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.book.next_deadline()
    }

    pub(super) fn tick(&mut self, now: Now, out: &mut Vec<Transition>) {
        if self.book.next_deadline().is_some_and(|due| due <= now.mono) {
            self.book.tick(now, out);
        }
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    pub(super) fn book_mut(&mut self) -> &mut Book {
        &mut self.book
    }

    pub(super) fn active(&self) -> Vec<Active> {
        self.book.active()
    }

    pub(super) fn take_changes(&mut self, now: Now) -> Vec<StateChange> {
        self.book.take_changes(now)
    }

    /// Whether a kept state is one of these.
    pub(super) fn keeps(key: &StateKey) -> bool {
        *key.ruleset == *OWN_SET && *key.rule == *LOST
    }

    /// What a snapshot holds.
    pub(super) fn saved(&self, now: Now) -> Vec<(Arc<str>, SavedState)> {
        self.book.snapshot(now)
    }

    pub(super) fn restore(&mut self, states: Vec<(Arc<str>, SavedState)>, now: Now) {
        self.book.restore(states, now);
    }
}

fn lost(after: Duration) -> AlertSpec {
    let place = |named| Piece::Place(named, Vec::new());
    let text = |text: &str| Piece::Text(text.to_owned());
    let summary = vec![text("no connection to the broker "), place(Named::Label("source".into()))];
    let annotations = [("summary", summary), ("error", vec![place(Named::Column(0))])];
    let shape = AlertShape {
        ruleset: OWN_SET.into(),
        kind: RuleKind::State {
            for_: if after.is_zero() { Duration::MAX } else { after },
            keep_firing_for: Duration::ZERO,
        },
        severity: "critical".into(),
        labels: [].into_iter().collect(),
        annotations: annotations.map(|(name, pieces)| (name.into(), Template { pieces })).into(),
        key: vec!["source".into()],
        columns: vec!["error".into()],
        cadence: None,
        no_data: None,
        life: Life::plain(),
    };
    AlertSpec { rule: LOST.into(), hash: 0, shape: Arc::new(shape) }
}
