//! One rule set of the core: its rows through decode, engine and alerts, what silence and lost sources mean for
//! it, and its change to other rules.

use std::collections::HashMap;
use std::sync::Arc;

use crate::agent::condition;
use crate::agent::evidence::attach;
use crate::agent::meter::{Meter, Stage};
use crate::agent::source::Sources;
use crate::alert::{self, Book, SavedState, Stale};
use crate::decode::{self, Fate};
use crate::engine;
use crate::model::alerting::AlertSpec;
use crate::model::kept::StateChange;
use crate::model::label::{Fingerprint, Labels, as_label};
use crate::model::message::{Message, NODE_SOURCE};
use crate::model::row::{Observation, Row};
use crate::model::stream::StreamSpec;
use crate::model::time::{Mono, Now, Timestamp};
use crate::model::transition::{Reason, Transition};
use crate::model::value::Value;
use crate::plan::logical::{Plan, RulePlan};

use super::{IdleClock, Set, earlier, just_before};

impl Set {
    /// Reads a message into rows, in the place of those before.
    pub(super) fn decode(&mut self, message: &Message) -> Fate {
        let Self { rows, decoder, engine, .. } = self;
        rows.clear();
        let plan = &self.plan;
        // What is said of devices' connections is always of use.
        let cares = |stream: usize, known: &[(usize, &Value)]| {
            stream >= plan.streams.len() || engine.cares(stream, known)
        };
        decoder.decode_for(&cares, message, rows)
    }

    /// When something is due next, of what has to be done by `until`; windows that may wait do so where no more
    /// may be closed.
    pub(super) fn next_due(&self, idle: &IdleClock, until: Mono, most: usize) -> Option<Mono> {
        let engine = match most > 0 || self.must_go_on(until) {
            true => self.engine.next_deadline(),
            false => self.engine.next_urgent_deadline(),
        };
        let engine = engine.and_then(|due| idle.when(due));
        let own = [self.ceilings.next_deadline(), self.conditions.next_deadline()];
        own.into_iter().chain([engine, self.book.next_deadline()]).flatten().min()
    }

    /// Whether windows must be closed by `until`, since they may decide what a timer of an alert would
    /// decide then.
    pub(super) fn must_go_on(&self, until: Mono) -> bool {
        self.ahead && self.book.waits_for_windows(until)
    }

    /// Does what must be done before a row of this time: the windows that it must find closed, and the timers of
    /// alerts that began with them.
    pub(super) fn catch_up(
        &mut self,
        clock: &IdleClock,
        (stream, row): (usize, &Row),
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        let before = just_before(now);
        while let Some(due) = self.engine.overdue(stream, row, clock.of(before.mono)) {
            let at = earlier(before, clock.when(due).unwrap_or(before.mono));
            self.run_timers(just_before(at), out);
            let mut seen = Vec::new();
            self.engine.catch_up(stream, row, Now { mono: due, ..at }, &mut seen);
            self.observe(seen, at, out);
            if self.engine.overdue(stream, row, due).is_some() {
                break;
            }
        }
        self.run_timers(before, out);
        self.watch();
    }

    /// Runs out timers of alerts up to here, each at its own time.
    pub(super) fn run_timers(&mut self, until: Now, out: &mut Vec<Transition>) {
        while let Some(due) = self.book.next_deadline().filter(|due| *due <= until.mono) {
            self.tick_alerts(earlier(until, due), out);
        }
    }

    /// Notes that those streams were heard of which a message was not read.
    #[inline]
    pub(super) fn heard(&mut self, idle: Now) {
        if self.engine.listens() {
            for stream in self.decoder.skipped() {
                self.engine.heard(*stream, idle);
            }
        }
    }

    /// Sends the rows through engine and alerts. `clock` counts silence.
    pub(super) fn evaluate(
        &mut self,
        clock: &IdleClock,
        now: Now,
        meter: &mut Meter,
        out: &mut Vec<Transition>,
    ) {
        let idle = Now { mono: clock.of(now.mono), ..now };
        self.heard(idle);
        if self.rows.iter().any(|(stream, _)| stream >= self.plan.streams.len()) {
            self.connections(idle, now, out);
        }
        if self.ahead && self.engine.next_deadline().is_some_and(|due| due < idle.mono) {
            let rows = std::mem::take(&mut self.rows);
            for (stream, row) in rows.iter() {
                self.catch_up(clock, (stream, row), now, out);
                self.engine.push_ahead(stream, row, idle, &mut self.seen);
                meter.lap(Stage::Rules);
                let seen = std::mem::take(&mut self.seen);
                self.observe(seen, now, out);
                meter.lap(Stage::Alert);
            }
            self.rows = rows;
            return self.limits(now, out);
        }
        let (rows, mut seen) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.seen));
        for (stream, row) in rows.iter() {
            match self.ahead {
                true => self.engine.push_ahead(stream, row, idle, &mut seen),
                false => self.engine.push(stream, row, idle, &mut seen),
            }
            meter.lap(Stage::Rules);
            for observation in &mut seen {
                self.judge(observation, now, out);
            }
            self.engine.take_back(&mut seen);
            // The next row may be of the same message.
            self.watch();
            meter.lap(Stage::Alert);
        }
        (self.rows, self.seen) = (rows, seen);
        self.limits(now, out);
    }

    /// Takes what the rows at hand say of devices' connections. A device that comes back has said nothing so
    /// far for a reason that is known.
    #[cold]
    pub(super) fn connections(&mut self, idle: Now, now: Now, out: &mut Vec<Transition>) {
        let Self { rows, engine, conditions, agent, plan, .. } = self;
        for said in rows.iter().filter(|(stream, _)| *stream >= plan.streams.len()) {
            if let Some((stream, key)) = conditions.said((agent, plan), said, now, out) {
                engine.excuse(stream, key.as_deref(), idle);
            }
        }
    }

    /// Tells of streams that fell silent as a whole, or are heard again.
    pub(super) fn lulls(&mut self, now: Now, out: &mut Vec<Transition>) {
        for lull in self.engine.take_lulls() {
            if lull.silent && (self.is_explained(lull.stream) || self.is_lost(lull.stream)) {
                continue;
            }
            self.conditions.lull((&self.agent, &self.plan), lull, now, out);
        }
    }

    /// Whether it is known of every device of a stream that it is not connected.
    pub(super) fn is_explained(&self, stream: usize) -> bool {
        let Some(spec) = self.plan.streams.get(stream).filter(|spec| spec.availability.is_some()) else {
            return false;
        };
        let mut keys = self.engine.present(stream).peekable();
        match keys.peek() {
            None => self.conditions.explains(spec, stream, ""),
            Some(_) => keys.all(|key| self.conditions.explains(spec, stream, key)),
        }
    }

    /// Whether nothing can come on a stream, as the source that it names is not configured.
    pub(super) fn is_lost(&self, stream: usize) -> bool {
        let named = self.plan.streams.get(stream).and_then(|stream| stream.source.as_ref());
        named
            .zip(self.sources.as_ref())
            .is_some_and(|(source, sources)| **source != *NODE_SOURCE && !sources.contains(source))
    }

    /// Ends the alerts on readings of sources that are no longer configured.
    pub(super) fn lose(&mut self, now: Now, out: &mut Vec<Transition>) {
        let plan = self.plan.clone();
        let lost: Vec<bool> = (0..plan.streams.len()).map(|stream| self.is_lost(stream)).collect();
        for (place, rule) in plan.rules.iter().enumerate() {
            if rule.streams().any(|(_, stream)| lost.get(stream) == Some(&true)) {
                self.book.end_all(place, &|_| true, Reason::SourceLost, now, out);
            }
        }
        for (stream, _) in lost.iter().enumerate().filter(|(_, lost)| **lost) {
            self.conditions.lose(stream, now, out);
        }
        self.watch();
    }

    /// Tells of rules that reached a ceiling, and of those that no longer do; and of silent streams.
    pub(super) fn limits(&mut self, now: Now, out: &mut Vec<Transition>) {
        self.lulls(now, out);
        let reached = self.engine.take_limited() | self.book.take_limited();
        if !reached && self.ceilings.next_deadline().is_none_or(|due| due > now.mono) {
            return;
        }
        let refused = self.refused().into_iter().enumerate();
        self.ceilings.look((&self.agent, &self.plan), refused, now, out);
    }

    /// What each rule refused so far.
    pub(super) fn refused(&self) -> Vec<u64> {
        let figures = self.engine.accounts().into_iter().zip(self.book.counts());
        figures.map(|(account, counts)| account.refused + counts.refused).collect()
    }

    /// Takes note of the alerts about ceilings that are up.
    pub(super) fn resume_limits(&mut self, now: Now) {
        let refused = self.refused().into_iter().enumerate();
        self.ceilings.resume(refused, now);
    }

    /// Runs another plan from here on.
    pub(super) fn swap(&mut self, plan: Arc<Plan>, now: Now, out: &mut Vec<Transition>) {
        self.decoder.swap(condition::streams(&plan));
        self.engine.swap(plan.clone());
        self.book.swap(plan.clone(), now, out);
        self.ceilings.swap(&plan, now, out);
        self.conditions.swap(&plan, now, out);
        self.plan = plan;
        self.watch();
        self.resume_limits(now);
    }

    /// Runs the next version of the plan, in which these places are different.
    pub(super) fn change(
        &mut self,
        plan: Arc<Plan>,
        touched: &[usize],
        now: Now,
        out: &mut Vec<Transition>,
    ) -> engine::Leftover {
        let (was, is) = (&self.plan.streams, &plan.streams);
        if was.len() == is.len() && was.iter().zip(is).all(|(was, is)| Arc::ptr_eq(was, is)) {
            self.decoder.ask_again();
        } else {
            self.decoder.swap(condition::streams(&plan));
        }
        let left = self.engine.change(plan.clone(), touched);
        self.book.change(plan.clone(), touched, now, out);
        let Self { engine, book, ceilings, conditions, .. } = self;
        let refused = |at| engine.account(at).refused + book.counts_of(at).refused;
        ceilings.change(&plan, touched, refused, now, out);
        conditions.swap(&plan, now, out);
        self.plan = plan;
        self.watch();
        left
    }

    /// Puts kept states back.
    pub(super) fn restore(&mut self, states: Vec<(Arc<str>, SavedState)>, now: Now) {
        self.ceilings.restore((&self.agent, &self.plan), states.iter().cloned(), now);
        self.conditions.restore((&self.agent, &self.plan), states.iter().cloned(), now);
        self.book.restore(states, now);
        self.watch();
    }

    /// Lets the engine hold those streams for silent of which that was told: its own state may be older, or that
    /// of other streams.
    pub(super) fn agree(&mut self, idle: Now) {
        for stream in 0..self.plan.streams.len() {
            let silent = self.conditions.is_silent(stream);
            if silent || !self.is_explained(stream) {
                self.engine.hush(stream, silent, idle);
            }
        }
    }

    /// What a snapshot holds of the alerts.
    pub(super) fn saved(&self, now: Now) -> impl Iterator<Item = (Arc<str>, SavedState)> {
        let limits = self.ceilings.alerts().map(|book| book.snapshot(now)).unwrap_or_default();
        let conditions = self.conditions.alerts().map(|book| book.snapshot(now)).unwrap_or_default();
        self.book.snapshot(now).into_iter().chain(limits).chain(conditions)
    }

    /// Every state that is kept.
    pub(super) fn states(&self, now: Now) -> Vec<StateChange> {
        let companions = self.ceilings.alerts().into_iter().chain(self.conditions.alerts());
        std::iter::once(&self.book).chain(companions).flat_map(|book| book.states(now)).collect()
    }

    /// The last readings of all keys, or of those whose alerts are pending.
    pub(super) fn snapshot_evidence(&self, all: bool) -> Vec<u8> {
        self.engine.snapshot_evidence((!all).then(|| self.book.pending()))
    }

    pub(super) fn take_changes(&mut self, now: Now) -> Vec<StateChange> {
        let mut changes = self.book.take_changes(now);
        changes.extend(self.ceilings.alerts_mut().map(|book| book.take_changes(now)).unwrap_or_default());
        changes.extend(self.conditions.take_changes(now));
        changes
    }

    pub(super) fn observe(
        &mut self,
        seen: impl IntoIterator<Item = Observation>,
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        for mut observation in seen {
            self.judge(&mut observation, now, out);
        }
        self.watch();
    }

    /// Lets the alerts hear of an observation, unless a process before this one told of it.
    #[inline]
    fn judge(&mut self, seen: &mut Observation, now: Now, out: &mut Vec<Transition>) {
        if self.decided.stands(&self.plan, seen, now) {
            return;
        }
        let from = out.len();
        self.book.observe(seen, now, out);
        if out.len() > from {
            self.tell(&mut out[from..]);
        }
    }

    /// Takes note of what the book's last call told, and gives it the readings that it came of.
    fn tell(&mut self, told: &mut [Transition]) {
        attach(&self.engine, &self.book, self.evidence, told);
        for (told, whose) in told.iter().zip(self.book.told()) {
            self.decided.note(&self.plan, whose, told);
        }
    }

    /// Runs out the timers of alerts that are due.
    pub(super) fn tick_alerts(&mut self, now: Now, out: &mut Vec<Transition>) {
        let from = out.len();
        self.book.tick(now, out);
        self.tell(&mut out[from..]);
    }

    /// Tells the alerts of keys that were silent for long enough. `idle` is `now` by the clock that counts
    /// silence.
    pub(super) fn silences(&mut self, idle: Now, now: Now, out: &mut Vec<Transition>) {
        let mut absent = Vec::new();
        self.engine.silences(idle, &mut absent);
        for absence in absent {
            if self.is_offline(absence.rule, &absence.key) || self.is_lost(self.stream_of(absence.rule)) {
                continue;
            }
            let from = out.len();
            self.book.absent(absence, now, out);
            self.tell(&mut out[from..]);
        }
    }

    /// The stream that a rule reads, or the first of several.
    pub(super) fn stream_of(&self, rule: usize) -> usize {
        self.plan.rules.get(rule).map_or(0, |rule| rule.stream())
    }

    /// Whether it is known that the device of a rule's key is not connected.
    pub(super) fn is_offline(&self, rule: usize, key: &[Value]) -> bool {
        let Some(rule) = self.plan.rules.get(rule) else { return false };
        let place = rule.stream();
        let Some(stream) = self.plan.streams.get(place).filter(|stream| stream.availability.is_some()) else {
            return false;
        };
        let key = rule.keyed_by(stream.key).and_then(|keyed| key.get(keyed.at?)).map(as_label);
        self.conditions.explains(stream, place, key.as_deref().unwrap_or_default())
    }

    /// Why nothing new is heard of an alert, if that is known.
    pub(super) fn stale(&self, rule: &RulePlan, labels: &Labels, sources: &Sources) -> Option<Stale> {
        let streams = || rule.streams().filter_map(|(_, place)| Some((place, self.plan.streams.get(place)?)));
        let lost = |stream: &StreamSpec| match &stream.source {
            Some(source) => sources.is_down(source),
            None => sources.is_any_down(),
        };
        if streams().any(|(_, stream)| lost(stream)) {
            return Some(Stale::Source);
        }
        if streams().any(|(place, _)| self.conditions.is_silent(place)) {
            return Some(Stale::Silent);
        }
        let offline = streams().any(|(place, stream)| {
            let keyed = rule.keyed_by(stream.key).and_then(|keyed| rule.alert.key.get(keyed.at?));
            let key = keyed.and_then(|name| labels.get(name)).map_or("", |label| label);
            self.conditions.explains(stream, place, key)
        });
        offline.then_some(Stale::Offline)
    }

    /// Ends an alert by hand; says whether there was one.
    pub(super) fn resolve(
        &mut self,
        fingerprint: Fingerprint,
        why: &str,
        now: Now,
        out: &mut Vec<Transition>,
    ) -> bool {
        let from = out.len();
        if self.book.resolve(fingerprint, why, now, out) {
            self.tell(&mut out[from..]);
            self.watch();
            return true;
        }
        let mut companions = self.ceilings.alerts_mut().into_iter().chain(self.conditions.alerts_mut());
        companions.any(|book| book.resolve(fingerprint, why, now, out))
    }

    /// The alert side of the rule at a place, or of what is told of the streams.
    pub(in crate::agent) fn spec(&self, rule: &str, place: usize) -> Option<&AlertSpec> {
        match rule.contains('/') {
            true => self.conditions.spec(rule),
            false => self.plan.rules.get(place).map(|rule| &rule.alert),
        }
    }

    /// That of the rule of this id.
    pub(in crate::agent) fn spec_named(&self, rule: &str) -> Option<AlertSpec> {
        let place = if rule.contains('/') { Some(0) } else { self.place_of(rule) };
        place.and_then(|place| self.spec(rule, place)).cloned()
    }

    pub(super) fn place_of(&self, rule: &str) -> Option<usize> {
        self.plan.rules.iter().position(|known| *known.alert.rule == *rule)
    }

    /// The labels of every alert of a rule that is up.
    pub(in crate::agent) fn up(&self, rule: &str) -> impl Iterator<Item = Labels> {
        self.place_of(rule).into_iter().flat_map(|place| self.book.up(place))
    }

    /// Every alert that is up, with its rule; of those about the set itself, the devices that are not connected.
    pub(in crate::agent) fn all_up(&self) -> impl Iterator<Item = (Arc<str>, Fingerprint)> {
        self.book.all_up().chain(self.conditions.all_offline())
    }

    /// Tells once more that an alert is up.
    pub(in crate::agent) fn retell(
        &mut self,
        rule: &str,
        labels: &Labels,
        at: (Option<Timestamp>, Now),
        out: &mut Vec<Transition>,
    ) {
        if rule.contains('/') {
            return self.conditions.retell(rule, labels, at, out);
        }
        let Some(place) = self.place_of(rule) else { return };
        let from = out.len();
        self.book.retell(place, labels, at, out);
        self.tell(&mut out[from..]);
    }

    /// Tells the engine which alerts became active or quiet: of the others it gives only what raises them.
    pub(super) fn watch(&mut self) {
        for alert in self.book.take_activity() {
            self.engine.watch(alert.rule, &alert.key, alert.active);
        }
    }

    /// The streams, with what they took in.
    pub fn streams(&self) -> impl Iterator<Item = (&Arc<StreamSpec>, &decode::StreamStats)> {
        self.decoder.stats()
    }

    /// Readings that were too large to be kept as evidence.
    pub fn evidence_left_out(&self) -> u64 {
        self.engine.evidence_left_out()
    }

    /// What each rule did in the engine, in the order of the plan.
    pub fn accounts(&self) -> Vec<engine::Account> {
        self.engine.accounts()
    }

    /// What each rule's alerts did, in the order of the plan.
    pub fn alert_counts(&self) -> Vec<alert::Counts> {
        self.book.counts()
    }

    /// Every alert that is up, as it would be told anew.
    pub(super) fn announce(&self, now: Now, out: &mut Vec<Transition>) {
        self.book.announce(now, out);
        let companions = self.ceilings.alerts().into_iter().chain(self.conditions.alerts());
        companions.for_each(|book| book.announce(now, out));
    }

    /// The alerts that are pending or up.
    pub(super) fn active(&self, sources: &Sources) -> Vec<alert::Active> {
        let mut active = self.book.active();
        let places: HashMap<&str, &RulePlan> =
            self.plan.rules.iter().map(|rule| (&*rule.alert.rule, rule)).collect();
        for alert in &mut active {
            let rule = alert.labels.get("alertname").and_then(|name| places.get(&**name));
            alert.stale = rule.and_then(|rule| self.stale(rule, &alert.labels, sources));
        }
        active.extend(self.ceilings.alerts().map(Book::active).unwrap_or_default());
        active.extend(self.conditions.alerts().map(Book::active).unwrap_or_default());
        active.sort_by_key(|alert| alert.since);
        active
    }
}
