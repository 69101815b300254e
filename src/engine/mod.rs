//! Rows and time in, observations of rules out.
//!
//! One [`Engine`] runs one rule set. It is a pure state machine: what comes out depends on the
//! rows, their order and the `now` given with each, never on how they were batched. It cannot
//! fail on a checked plan, and no value of a row stops a rule. What it does not use it counts, in
//! the rule's [`Account`].
//!
//! A row goes through `front` (joins with tables, analytic functions, WHERE) into the rule's operator
//! (`op`); what a window gives goes through `op::close`, `judge` and `arrange` out again.

mod account;
mod aggregate;
mod analytic;
mod arithmetic;
mod arrange;
mod behind;
mod budget;
mod change;
mod expr;
mod feed;
mod front;
mod function;
mod functions;
mod gate;
mod held;
mod index;
mod join;
mod judge;
mod layout;
mod light;
mod like;
mod op;
mod placement;
mod presence;
mod readers;
mod recall;
mod recent;
mod recorder;
mod sampler;
mod snapshot;
mod table;
mod unit;
mod watch;
mod watermark;
mod work;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::cast;
use crate::model::row::{Observation, Order, Row};
use crate::model::stream::StreamSpec;
use crate::model::time::{Mono, Now};
use crate::plan::logical::{Aggregate, Arrange, Content, Expr, Plan, RulePlan, Side, WindowKind};

use self::account::{Accounts, DEGRADED};
use self::feed::{Feed, feeds, streams};
use self::gate::Gates;
use self::index::Candidate;
use self::layout::{Layout, fingerprint};
use self::recall::Recalled;
use self::sampler::Sampler;
use self::table::Tables;
use self::unit::{Unit, Units, look};
use self::watch::Watch;
use self::watermark::Mark;
use self::work::{MAX_LINES, Peers, Work};

pub use self::account::Account;
pub use self::change::Leftover;
pub use self::placement::{Open, Placement, Way};
pub use self::presence::Lull;
pub use self::snapshot::SnapshotError;

/// The ceilings of one rule's state, and how its cost is measured. What finds no room is counted as
/// refused.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The most groups that may have an open window, the most partitions of analytic functions, the most
    /// keys whose progress is remembered, and the most keys of a table; 10,000 by default. Beyond it,
    /// those that wait for nothing are forgotten, the longest quiet first; if there are none, the
    /// rows of further groups are refused.
    pub max_groups: usize,
    /// The most open windows of all groups together, where they are aligned; 100,000 by default. It
    /// bounds what a long `lateness` over a short window can take, and a short hop in a long window.
    pub max_states: usize,
    /// The most bytes that a rule's state may take, by estimate; 16 MiB by default. A table may take
    /// as much. Beyond it the same are forgotten, and then rows are refused.
    pub max_bytes: usize,
    /// A clock that counts nanoseconds from anywhere, to measure what rules cost; none by default, and
    /// then nothing is measured.
    pub nanos: Option<fn() -> u64>,
    /// Whether rows are looked up in an index of the rules' conditions; so by default. Without it each rule
    /// is asked for each row of its streams. What comes out is the same.
    pub index: bool,
    /// Whether whoever takes the observations tells with [`Engine::watch`] which alerts are active; not so by
    /// default. Then an observation that raises nothing, of an alert that is not active, is not given:
    /// nothing would come of it.
    pub watched: bool,
    /// Whether rules that make the same of every row share one operator, with its ceilings; true by
    /// default. No answer depends on it, but where a ceiling is reached.
    pub share: bool,
    /// How many shared windows the clock may close at once, about; all by default. The others wait for the
    /// next call: until then [`Engine::next_deadline`] stands where it stood. What a row's own key waits
    /// for is done before the row, and only windows wait that go to different alerts, so only the order
    /// between these depends on it.
    pub spread: usize,
    /// The bytes in which each stream keeps its last readings, for [`Engine::evidence`]; none by default.
    pub evidence: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_groups: 10_000,
            max_states: 100_000,
            max_bytes: 16 << 20,
            nanos: None,
            index: true,
            watched: false,
            share: true,
            spread: usize::MAX,
            evidence: 0,
        }
    }
}

/// Runs the rules of one set.
#[derive(Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    config: Config,
    tables: Tables,
    /// The streams, each with the rules that read it.
    feeds: Vec<Feed>,
    gates: Gates,
    watch: Watch,
    /// Those that the row at hand can matter to.
    candidates: Vec<Candidate>,
    /// Observations that wait to be used again.
    spare: Vec<Observation>,
    /// What a row and the functions of a unit say, and which of its rules that can matter to.
    recalled: Recalled,
    sampler: Sampler,
    /// For each stream the tables that it feeds, with the rules that look into them.
    fed: Vec<Vec<(usize, Vec<usize>)>>,
    units: Units,
    /// What is counted by stream, or by unit, is in here as its distance to that count.
    accounts: Accounts,
    clock_trusted: bool,
    /// When a key has been silent for long enough at the earliest, µs of the monotonic clock.
    silence_due: Option<i64>,
    /// Whether the silence of any stream is noticed.
    listens: bool,
    /// Streams that fell silent as a whole, or are heard again.
    lulls: Vec<Lull>,
    /// Whether state changed since somebody asked.
    changed: bool,
    /// Whether a rule reached a ceiling since somebody asked.
    limited: bool,
    seed: u64,
}

/// What an operator needs to know of its rule.
#[derive(Clone, Copy, Debug)]
struct Context<'a> {
    index: usize,
    plan: &'a Plan,
    rule: &'a RulePlan,
    config: &'a Config,
}

impl<'a> Context<'a> {
    fn new(plan: &'a Plan, index: usize, config: &'a Config) -> Self {
        Self { index, plan, rule: &plan.rules[index], config }
    }

    /// The rule as the index counts it.
    fn reader(self) -> u32 {
        u32::try_from(self.index).unwrap_or(u32::MAX)
    }

    /// The stream on a side of FROM; the first one where there is a table.
    fn stream_of(self, side: usize) -> &'a StreamSpec {
        match self.rule.from.sides.get(side) {
            Some(Side::Stream(stream)) => &self.plan.streams[*stream],
            _ => &self.plan.streams[self.rule.stream()],
        }
    }

    fn streams(self) -> impl Iterator<Item = &'a StreamSpec> {
        self.rule.streams().map(move |(_, stream)| &*self.plan.streams[stream])
    }

    /// How late a row of this side may be. On arrival time one clock serves all streams, so the most
    /// patient one decides.
    fn lateness(self, side: usize) -> Duration {
        let own = self.stream_of(side);
        match own.timestamp {
            Some(_) => own.lateness,
            None => self.streams().map(|stream| stream.lateness).max().unwrap_or_default(),
        }
    }

    /// The silence after which a window of this length closes.
    fn idle_for(self, length: Duration) -> Duration {
        self.streams().map(|stream| stream.idle_for(length)).max().unwrap_or_default()
    }

    fn by_key(self) -> bool {
        self.rule.window.as_ref().is_some_and(|window| window.by_key)
    }

    fn group(self) -> &'a [Expr] {
        self.rule.window.as_ref().map_or(&[], |window| &window.group)
    }

    fn aggregates(self) -> &'a [Aggregate] {
        self.rule.window.as_ref().map_or(&[], |window| &window.aggregates)
    }

    fn having(self) -> Option<&'a Expr> {
        self.rule.window.as_ref().and_then(|window| window.having.as_ref())
    }

    fn arrange(self) -> Option<&'a Arrange> {
        self.rule.arrange.as_ref()
    }

    /// Writes which rule it is, and of which text: what has a state of its own goes by that.
    fn write_name(self, out: &mut snapshot::Writer) {
        out.run(self.rule.alert.rule.as_bytes());
        out.u64(self.rule.state);
        out.u64(self.shape());
    }

    /// What the bytes of a state depend on, besides the rule's text. It only has to differ where the plan
    /// does: after an update of the program, windows may start empty. Slots may differ: what
    /// holds rows says which it holds.
    fn shape(self) -> u64 {
        let analytics = |list: &[crate::plan::logical::Analytic]| -> Vec<_> {
            list.iter().map(|a| (a.function, a.args.len(), a.partition.len())).collect()
        };
        let window = self.rule.window.as_ref().map(|window| {
            let aggregates: Vec<_> = window.aggregates.iter().map(|a| (a.function, a.distinct)).collect();
            let kind = match &window.kind {
                WindowKind::Tumbling { length } => (0, *length, Duration::ZERO, 0, 0),
                WindowKind::Hopping { length, hop } => (1, *length, *hop, 0, 0),
                WindowKind::Sliding { length, delay, .. } => (2, *length, *delay, 0, 0),
                WindowKind::Session { length, timeout } => (3, *length, *timeout, 0, 0),
                WindowKind::Count { count, every } => (4, Duration::ZERO, Duration::ZERO, *count, *every),
                WindowKind::State { end, partition, .. } => {
                    (5, Duration::ZERO, Duration::ZERO, usize::from(end.is_some()), partition.len())
                }
            };
            let groups = analytics(&window.analytics);
            (kind, window.gives, window.by_key, window.group.len(), aggregates, groups)
        });
        let streams: Vec<String> = self.streams().map(StreamSpec::signature).collect();
        let from = (self.rule.from.sides.len(), self.rule.from.at_close);
        fingerprint(&(streams, from, analytics(&self.rule.analytics), window))
    }
}

impl Engine {
    /// An engine with empty windows and tables.
    pub fn new(plan: Arc<Plan>, config: Config) -> Self {
        let gates = Gates::new(&plan, &config);
        let mut units = Units::new(&plan);
        units.begin((&plan, &gates), &config, 0..plan.rules.len(), 0);
        units.look_at_all();
        Self {
            feeds: feeds(&plan, &config, &gates, &units),
            units,
            tables: Tables::new(&plan, &config),
            gates,
            watch: Watch::default(),
            candidates: Vec::new(),
            spare: Vec::new(),
            recalled: Recalled::default(),
            sampler: Sampler::default(),
            fed: fed(&plan),
            accounts: Accounts::new(plan.rules.len()),
            plan,
            config,
            clock_trusted: true,
            silence_due: None,
            listens: false,
            lulls: Vec::new(),
            changed: false,
            limited: false,
            seed: 0,
        }
    }

    /// Says whether the node's calendar clock is right. While it is not, no row counts as dated
    /// in the future. It is trusted until told otherwise.
    pub fn trust_clock(&mut self, trusted: bool) {
        self.clock_trusted = trusted;
    }

    /// Where the generator behind `rand` and `newuuid` starts; at 0 until told otherwise. Each rule has
    /// its own sequence. A snapshot carries those of rules with state on, so who wants other numbers after
    /// a restart says so behind [`Self::restore`].
    pub fn seed(&mut self, seed: u64) {
        self.seed = seed;
        self.units.seed(&self.plan, seed);
    }

    /// Gives a row to the tables that its stream feeds, and then to every rule that reads it; does
    /// first what is due by `now`. Time must not go back from call to call, except for the calendar.
    pub fn push(&mut self, stream: usize, row: &Row, now: Now, out: &mut Vec<Observation>) {
        self.advance(now, out);
        self.take(stream, row, now, out);
    }

    fn take(&mut self, stream: usize, row: &Row, now: Now, out: &mut Vec<Observation>) {
        let (Some(feed), Some(spec)) = (self.feeds.get_mut(stream), self.plan.streams.get(stream)) else {
            return;
        };
        let horizon = spec.max_future.filter(|_| self.clock_trusted && spec.timestamp.is_some());
        let future = horizon.is_some_and(|ahead| row.time > now.wall.plus(ahead));
        feed.rows += 1;
        feed.future += u64::from(future);
        feed.retained += u64::from(row.retained && !future);
        for (table, lookers) in self.fed.get(stream).into_iter().flatten() {
            let refused = if future { 0 } else { self.tables.feed(*table, row) };
            for rule in lookers.iter().filter(|_| refused > 0) {
                let account = self.accounts.get_mut(*rule);
                account.refused += refused;
                account.degraded_until = Some(now.mono.plus(DEGRADED));
                self.limited = true;
            }
            self.changed = true;
        }
        if future {
            return;
        }
        if let Some(recorder) = &mut feed.recorder {
            recorder.note(spec.key, row);
        }
        if let Some(presence) = &mut feed.presence {
            let noted = presence.note(spec.key, row, now);
            self.silence_due = self.silence_due.into_iter().chain(noted.due).min();
            self.changed |= noted.changed;
            self.limited |= noted.refused;
            if noted.woke {
                self.lulls.push(Lull { stream, silent: false });
            }
        }
        let older = feed.is_older(spec, row);
        let from = out.len();
        if let Some(candidate) = feed.readers.only() {
            self.ask(candidate, (stream, row, older), now, out);
            return in_order(out, from);
        }
        let mut candidates = std::mem::take(&mut self.candidates);
        feed.readers.candidates(&row.slots, &mut candidates);
        for candidate in &candidates {
            self.ask(*candidate, (stream, row, older), now, out);
        }
        self.candidates = candidates;
        in_order(out, from);
    }

    /// Gives a row, which may be older than one before it, to the rules of a unit that it can matter to.
    fn ask(
        &mut self,
        candidate: Candidate,
        (stream, row, older): (usize, &Row, bool),
        now: Now,
        out: &mut Vec<Observation>,
    ) {
        let leader = candidate.reader() as usize;
        if self.gates[leader].is_light() {
            return self.ask_light(candidate, (row, older), now, out);
        }
        if self.gates[leader].recalls() {
            return self.ask_recall(leader, (row, older), now, out);
        }
        let at = self.units.place(leader);
        let Units { list, looks, .. } = &mut self.units;
        let Some(unit) = list.get_mut(at).and_then(Option::as_mut) else { return };
        let clock = self.config.nanos.filter(|_| self.sampler.is_due());
        let began = clock.map(|clock| clock());
        if let op::Operator::Sliced(sliced) = &mut unit.operator
            && sliced.is_quick(row, candidate.is_proved(), Mark::of(now.mono), &mut unit.ledger.budget)
        {
            self.changed = true;
            if let (Some(clock), Some(began)) = (clock, began) {
                unit.count_nanos(clock().saturating_sub(began));
            }
            return;
        }
        let ctx = Context::new(&self.plan, leader, &self.config);
        let Unit { rules, operator, ledger, account, .. } = unit;
        let (gate, proved) = (self.gates[leader], candidate.is_proved());
        let (tables, watch, order) = (&self.tables, &mut self.watch, gate.order(older));
        let peers = Peers { rules, own: Some(&mut self.accounts), gates: &self.gates };
        let lines = MAX_LINES;
        let mut work =
            Work { ctx, gate, proved, watch, order, tables, now, account, peers, ledger, lines, out };
        let Account { refused, late, .. } = *work.account;
        for (side, _) in ctx.rule.streams().filter(|(_, read)| *read == stream) {
            operator.push(&mut work, side, row);
        }
        // A row counts once, on however many sides it comes, and whatever partners it has.
        work.account.late = work.account.late.min(late + 1);
        self.limited |= work.note(refused);
        if let (Some(clock), Some(began)) = (clock, began) {
            unit.count_nanos(clock().saturating_sub(began));
        }
        self.changed |= unit.has_state(ctx);
        look(looks, at, unit);
    }

    /// Closes the windows that the clock closes. Costs next to nothing before
    /// [`Self::next_deadline`].
    pub fn advance(&mut self, now: Now, out: &mut Vec<Observation>) {
        self.advance_by(now, self.config.spread, out);
    }

    /// The same, where so many of the windows that may wait are closed, about; says how many were. Time may go
    /// back here, to where something waits.
    pub fn advance_by(&mut self, now: Now, most: usize, out: &mut Vec<Observation>) -> usize {
        self.watch.heard();
        let mark = Mark::of(now.mono);
        if self.units.next_look().is_none_or(|look| look > mark) {
            return 0;
        }
        let from = out.len();
        let due = self.units.take_due(mark, most > 0);
        let mut left = most;
        let Units { list, looks, .. } = &mut self.units;
        for at in due {
            let Some(unit) = &mut list[at] else { continue };
            unit.look = None;
            if unit.operator.wake().is_some_and(|wake| wake <= mark) {
                let leader = unit.leader();
                let ctx = Context::new(&self.plan, leader, &self.config);
                let Unit { rules, operator, ledger, account, .. } = unit;
                let peers = Peers { rules, own: Some(&mut self.accounts), gates: &self.gates };
                let (gate, tables, watch) = (self.gates[leader], &self.tables, &mut self.watch);
                let (proved, order, lines) = (false, Order::Newest, MAX_LINES);
                let mut work =
                    Work { ctx, gate, proved, watch, order, tables, now, account, peers, ledger, lines, out };
                let refused = work.account.refused;
                if operator.is_patient() {
                    left = left.saturating_sub(operator.advance(&mut work, left));
                } else {
                    operator.advance(&mut work, usize::MAX);
                }
                self.limited |= work.note(refused);
                self.changed = true;
            }
            look(looks, at, unit);
        }
        in_order(out, from);
        most - left
    }

    /// Whether state changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether a rule reached a ceiling of its state since this was last asked.
    pub fn take_limited(&mut self) -> bool {
        std::mem::take(&mut self.limited)
    }

    /// When [`Self::advance`] and [`Self::silences`] should be called if no row comes before. It may turn out that
    /// nothing is due then; it is never later than something is.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.units.next_look().map(Mark::mono).into_iter().chain(self.silence_due()).min()
    }

    /// Each rule's account, in the order of the plan.
    pub fn accounts(&self) -> Vec<Account> {
        self.counted(self.accounts.all())
    }

    /// What rules show whose own parts are these.
    fn counted(&self, mut accounts: Vec<Account>) -> Vec<Account> {
        for (index, (account, rule)) in accounts.iter_mut().zip(self.plan.rules.iter()).enumerate() {
            if let Some(unit) = self.units.of(index) {
                *account = account.with(&unit.counted(index), unit.rules.len());
            }
            self.count(account, rule);
        }
        self.count_fed(&mut accounts);
        accounts
    }

    /// Lets the rules show these accounts from here on.
    fn show(&mut self, accounts: &[Account]) {
        let none = self.counted(vec![Account::default(); self.plan.rules.len()]);
        self.accounts = Accounts::of(accounts.iter().zip(&none).map(|(account, none)| account.without(none)));
    }

    /// Adds what is counted once for all readers of a stream.
    fn count(&self, account: &mut Account, rule: &RulePlan) {
        for feed in streams(rule).filter_map(|stream| self.feeds.get(stream)) {
            account.rows = account.rows.wrapping_add(feed.rows);
            account.future = account.future.wrapping_add(feed.future);
            let retained = if gate::skips_retained(rule) { feed.retained } else { 0 };
            account.retained = account.retained.wrapping_add(retained);
            if let Some(presence) = feed.presence.as_ref().filter(|_| presence::expects(rule).is_some()) {
                account.refused = account.refused.wrapping_add(presence.refused);
            }
        }
    }

    /// The same of what feeds the tables that a rule looks into.
    fn count_fed(&self, accounts: &mut [Account]) {
        for (feed, tables) in self.feeds.iter().zip(&self.fed) {
            for rule in tables.iter().flat_map(|(_, lookers)| lookers) {
                if let Some(account) = accounts.get_mut(*rule) {
                    account.future = account.future.wrapping_add(feed.future);
                }
            }
        }
    }
}

/// Puts what came out since `from` in the order of the rules, as if each had run by itself. What one
/// rule gives stays as it is.
fn in_order(out: &mut [Observation], from: usize) {
    let new = out.get_mut(from..).unwrap_or_default();
    if !new.is_sorted_by_key(|observation| observation.rule) {
        new.sort_by_key(|observation| observation.rule);
    }
}

/// The rules by what their state goes by.
fn known(plan: &Plan) -> HashMap<(&str, u64), usize> {
    let rules = plan.rules.iter().enumerate();
    rules.map(|(index, rule)| ((rule.alert.rule.as_ref(), rule.state), index)).collect()
}

fn layouts(ctx: Context<'_>) -> Vec<Layout> {
    Layout::sides(ctx.plan, ctx.rule)
}

fn fed(plan: &Plan) -> Vec<Vec<(usize, Vec<usize>)>> {
    let mut fed = vec![Vec::new(); plan.streams.len()];
    for (at, table) in plan.tables.iter().enumerate() {
        let Content::Latest { stream } = table.content else { continue };
        let looks = |rule: &RulePlan| rule.from.sides.contains(&Side::Table(at));
        let rules = plan.rules.iter().enumerate().filter(|(_, rule)| looks(rule));
        fed[stream].push((at, rules.map(|(index, _)| index).collect()));
    }
    fed
}

#[cfg(test)]
mod tests;
