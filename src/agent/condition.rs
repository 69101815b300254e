//! Conditions of a stream as a whole, or of one of its devices, that explain what its readings do not say:
//! nothing comes from any of them (`<stream>/silent`), or a device is not connected (`<stream>/offline`).
//! While one holds, the alerts under it are stale: they stay as they are, and silence raises no others.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::alert::{Book, SavedState};
use crate::engine::Lull;
use crate::model::absence::OnSilence;
use crate::model::alerting::{AlertShape, AlertSpec, Life, Named, Piece, Roster, RuleKind, Template};
use crate::model::kept::StateChange;
use crate::model::label::{Fingerprint, Labels, as_label};
use crate::model::row::Row;
use crate::model::stream::StreamSpec;
use crate::model::time::{Mono, Now, Timestamp};
use crate::model::transition::{Reason, Transition};
use crate::model::value::Value;
use crate::plan::logical::Plan;

/// What the names of these alerts end with.
const SILENT: &str = "/silent";
pub(super) const OFFLINE: &str = "/offline";

/// The streams of a plan, and behind them what is said of their devices' connections, as streams too.
pub(super) fn streams(plan: &Plan) -> Vec<Arc<StreamSpec>> {
    let said = plan.streams.iter().filter_map(|stream| stream.availability()).map(Arc::new);
    plan.streams.iter().cloned().chain(said).collect()
}

/// The stream of a plan whose devices' connections a further stream tells.
fn stream_of(plan: &Plan, place: usize) -> Option<usize> {
    let nth = place.checked_sub(plan.streams.len())?;
    let with = plan.streams.iter().enumerate().filter(|(_, stream)| stream.availability.is_some());
    with.map(|(at, _)| at).nth(nth)
}

/// The conditions of the streams of a set.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// The alerts, once there is one: of each stream its silence, and its devices' connections.
    book: Option<Box<Book>>,
    /// What they are about.
    plan: Arc<Plan>,
}

impl Conditions {
    /// A stream fell silent as a whole, or is heard again.
    pub(super) fn lull(
        &mut self,
        (agent, plan): (&Arc<str>, &Arc<Plan>),
        lull: Lull,
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        if lull.silent || self.book.is_some() {
            let of = (2 * lull.stream, Box::default());
            self.book(agent, plan).condition(of, lull.silent, Vec::new(), now, out);
        }
    }

    /// Something is said of a device's connection, or of that of all devices of a stream. Returns the stream and
    /// the key where it is connected from now on.
    pub(super) fn said(
        &mut self,
        (agent, plan): (&Arc<str>, &Arc<Plan>),
        (place, row): (usize, &Row),
        now: Now,
        out: &mut Vec<Transition>,
    ) -> Option<(usize, Option<String>)> {
        let stream = stream_of(plan, place)?;
        let (online, key) = row.slots.split_first()?;
        let online = *online == Value::Bool(true);
        let was_offline = self.is_offline(stream, key);
        if !online || self.book.is_some() {
            // One that a person ended is told again when it is online in between.
            let of = (2 * stream + 1, key.into());
            self.book(agent, plan).condition(of, !online, Vec::new(), now, out);
        }
        (online && was_offline).then(|| (stream, key.first().map(|key| as_label(key).into_owned())))
    }

    fn is_offline(&self, stream: usize, key: &[Value]) -> bool {
        self.book.as_ref().is_some_and(|book| book.is_up(2 * stream + 1, key))
    }

    /// Whether it is known that a key of a stream is not connected.
    pub(super) fn explains(&self, stream: &StreamSpec, place: usize, key: &str) -> bool {
        let by_key = stream.availability.as_ref().map(|said| said.key.is_some());
        match by_key {
            Some(true) => self.is_offline(place, &[Value::str(key)]),
            Some(false) => self.is_offline(place, &[]),
            None => false,
        }
    }

    /// Whether the whole of a stream is silent.
    pub(super) fn is_silent(&self, stream: usize) -> bool {
        self.book.as_ref().is_some_and(|book| book.is_up(2 * stream, &[]))
    }

    fn book(&mut self, agent: &Arc<str>, plan: &Arc<Plan>) -> &mut Book {
        self.book.get_or_insert_with(|| {
            self.plan = plan.clone();
            Box::new(Book::new(agent.clone(), Watched::of(plan)))
        })
    }

    /// The alerts, if there ever was one.
    pub(super) fn alerts(&self) -> Option<&Book> {
        self.book.as_deref()
    }

    /// As [`Self::alerts`].
    pub(super) fn alerts_mut(&mut self) -> Option<&mut Book> {
        self.book.as_deref_mut()
    }

    /// When a timer of an alert is due.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.book.as_ref().and_then(|book| book.next_deadline())
    }

    /// What changed of the alerts, to be kept.
    pub(super) fn take_changes(&mut self, now: Now) -> Vec<StateChange> {
        self.alerts_mut().map(|book| book.take_changes(now)).unwrap_or_default()
    }

    /// Puts kept states back, of those that are of conditions.
    pub(super) fn restore(
        &mut self,
        (agent, plan): (&Arc<str>, &Arc<Plan>),
        states: impl Iterator<Item = (Arc<str>, SavedState)>,
        now: Now,
    ) {
        let own: Vec<_> =
            states.filter(|(rule, _)| rule.ends_with(SILENT) || rule.ends_with(OFFLINE)).collect();
        if self.book.is_some() || !own.is_empty() {
            self.book(agent, plan).restore(own, now);
        }
    }

    /// Goes over to another plan. What nobody watches any more ends.
    pub(super) fn swap(&mut self, plan: &Arc<Plan>, now: Now, out: &mut Vec<Transition>) {
        let Some(book) = &mut self.book else { return };
        let said = |stream: &StreamSpec| (stream.availability.clone(), stream.source.clone());
        for (place, stream) in self.plan.streams.iter().enumerate() {
            let new = plan.streams.iter().find(|new| new.name == stream.name);
            if new.is_some_and(|new| said(new) != said(stream)) {
                // Nobody would say elsewhere that these are online again.
                book.end_all(2 * place + 1, &|_| true, Reason::RuleChanged, now, out);
            }
        }
        book.swap(Watched::of(plan), now, out);
        self.plan = plan.clone();
    }

    /// The source of a stream is gone.
    pub(super) fn lose(&mut self, stream: usize, now: Now, out: &mut Vec<Transition>) {
        if let Some(book) = &mut self.book {
            for place in [2 * stream, 2 * stream + 1] {
                book.end_all(place, &|_| true, Reason::SourceLost, now, out);
            }
        }
    }

    /// The alert side of the condition of this name.
    pub(super) fn spec(&self, name: &str) -> Option<&AlertSpec> {
        let book = self.book.as_ref()?;
        book.place_of(name).and_then(|place| book.spec(place))
    }

    /// Every device that is not connected: the name of the alert, and its fingerprint.
    pub(super) fn all_offline(&self) -> impl Iterator<Item = (Arc<str>, Fingerprint)> {
        let all = self.book.iter().flat_map(|book| book.all_up());
        all.filter(|(rule, _)| rule.ends_with(OFFLINE))
    }

    /// Tells once more that an alert is up.
    pub(super) fn retell(
        &mut self,
        name: &str,
        labels: &Labels,
        at: (Option<Timestamp>, Now),
        out: &mut Vec<Transition>,
    ) {
        if let Some(book) = &mut self.book
            && let Some(place) = book.place_of(name)
        {
            book.retell(place, labels, at, out);
        }
    }
}

/// The alert sides of the conditions of a plan's streams, two a stream, each made when it is asked for.
#[derive(Debug)]
struct Watched {
    plan: Arc<Plan>,
    /// Whether any rule reads a stream, and whether anybody asks for its silence.
    reads: Vec<(bool, bool)>,
    made: Vec<OnceLock<Box<AlertSpec>>>,
}

impl Watched {
    fn of(plan: &Arc<Plan>) -> Arc<Self> {
        let mut reads: Vec<(bool, bool)> =
            plan.streams.iter().map(|stream| (false, stream.silence.is_some())).collect();
        for rule in plan.rules.iter().filter(|rule| !rule.is_vacant()) {
            let expects = rule.alert.no_data.is_some_and(|no_data| no_data.action != OnSilence::Keep);
            for (_, stream) in rule.streams() {
                if let Some((read, listens)) = reads.get_mut(stream) {
                    (*read, *listens) = (true, *listens || expects);
                }
            }
        }
        let made = (0..2 * plan.streams.len()).map(|_| OnceLock::new()).collect();
        Arc::new(Self { plan: plan.clone(), reads, made })
    }
}

impl Roster for Watched {
    fn get(&self, place: usize) -> Option<&AlertSpec> {
        let stream = self.plan.streams.get(place / 2)?;
        let (read, listens) = self.reads[place / 2];
        let is = if place.is_multiple_of(2) { listens } else { stream.availability.is_some() };
        (read && is).then(|| self.at(place))
    }

    fn at(&self, place: usize) -> &AlertSpec {
        self.made[place].get_or_init(|| {
            let stream = &self.plan.streams[place / 2];
            let ruleset = self.plan.rules.iter().find(|rule| !rule.is_vacant());
            let ruleset = ruleset.map(|rule| rule.alert.ruleset.clone()).unwrap_or_default();
            Box::new(if place.is_multiple_of(2) { silent(stream, ruleset) } else { offline(stream, ruleset) })
        })
    }

    fn len(&self) -> usize {
        self.made.len()
    }
}

fn silent(stream: &StreamSpec, ruleset: Arc<str>) -> AlertSpec {
    let text = format!("nothing comes from any device of the stream `{}`", stream.name);
    spec(stream, (SILENT, "critical"), ruleset, Vec::new(), vec![Piece::Text(text)])
}

fn offline(stream: &StreamSpec, ruleset: Arc<str>) -> AlertSpec {
    let key = stream.availability.as_ref().and_then(|said| said.key.as_ref()).map(|key| key.name.clone());
    let text = match &key {
        Some(key) => vec![
            Piece::Text(format!("{key} ")),
            Piece::Place(Named::Label(key.clone()), Vec::new()),
            Piece::Text(" is offline".to_owned()),
        ],
        None => vec![Piece::Text(format!("the devices of the stream `{}` are offline", stream.name))],
    };
    spec(stream, (OFFLINE, "warning"), ruleset, key.into_iter().collect(), text)
}

fn spec(
    stream: &StreamSpec,
    (what, severity): (&str, &str),
    ruleset: Arc<str>,
    key: Vec<Arc<str>>,
    summary: Vec<Piece>,
) -> AlertSpec {
    let shape = AlertShape {
        ruleset,
        kind: RuleKind::State { for_: Duration::ZERO, keep_firing_for: Duration::ZERO },
        severity: severity.into(),
        labels: [("stream".into(), stream.name.clone())].into_iter().collect(),
        annotations: vec![("summary".into(), Template { pieces: summary })],
        key,
        columns: Vec::new(),
        cadence: None,
        no_data: None,
        life: Life::plain(),
    };
    // No rule can be called so, as an id holds no slash.
    AlertSpec { rule: format!("{}{what}", stream.name).into(), hash: 0, shape: Arc::new(shape) }
}
