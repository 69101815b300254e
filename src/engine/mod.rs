//! Rows and time in, observations of rules out.
//!
//! One [`Engine`] runs one rule set. It is a pure state machine: what comes out depends on the
//! rows, their order and the `now` given with each, never on how they were batched. It cannot
//! fail on a checked plan, and no value of a row stops a rule. What it does not use it counts, in
//! the rule's [`Account`].
//!
//! A row goes through `front` (joins with tables, analytic functions, WHERE) into the rule's operator
//! (`op`); what a window gives goes through `op::close`, `judge` and `arrange` out again.

mod aggregate;
mod analytic;
mod arithmetic;
mod arrange;
mod budget;
mod expr;
mod feed;
mod front;
mod function;
mod gate;
mod held;
mod index;
mod join;
mod judge;
mod layout;
mod like;
mod op;
mod placement;
mod recent;
mod runner;
mod sampler;
mod snapshot;
mod table;
mod watch;
mod watermark;
mod work;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::model::cast;
use crate::model::row::{Observation, Order, Row};
use crate::model::stream::StreamSpec;
use crate::model::time::{Mono, Now};
use crate::plan::logical::{Aggregate, Arrange, Content, Expr, Plan, RulePlan, Side, WindowKind};

use self::feed::{Feed, feeds, streams};
use self::gate::Gate;
use self::index::Candidate;
use self::layout::{Layout, fingerprint};
use self::runner::Runner;
use self::sampler::Sampler;
use self::snapshot::{Reader, VERSION, Writer};
use self::table::Tables;
use self::watch::Watch;
use self::watermark::Mark;
use self::work::{MAX_LINES, Work};

pub use self::placement::{Open, Placement, Way};
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
        }
    }
}

/// What one rule has done since it began to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Rows of its streams.
    pub rows: u64,
    /// Output rows for which `when` was true; for a rule without it, all of them.
    pub matched: u64,
    /// Rows not used because their window was closed.
    pub late: u64,
    /// Rows not used because they are dated too far ahead of the node's clock.
    pub future: u64,
    /// Retained rows not used, since they tell a state and no event.
    pub retained: u64,
    /// What was not used or was forgotten because a ceiling was reached: rows, values of aggregates, rows
    /// of joins, groups, and keys of the tables it looks into.
    pub refused: u64,
    /// How often an expression asked for what has no value: overflow, division by zero, what is not
    /// finite.
    pub undefined: u64,
    /// Groups that have an open window at the moment.
    pub groups: usize,
    /// The bytes that its state takes at the moment, by estimate.
    pub bytes: usize,
    /// The nanoseconds that its rows took, extrapolated from some of them, chosen at random among all rows
    /// that a rule was asked for: what the index spared is not in it, and what finding the rule in the index
    /// took neither. Zero where [`Config::nanos`] is not set.
    pub ns: u64,
    /// Until when the rule counts as degraded, since it reached a ceiling; `None` if it never did.
    pub degraded_until: Option<Mono>,
}

/// For how long a rule counts as degraded after it reached a ceiling.
const DEGRADED: Duration = Duration::from_secs(300);

/// Runs the rules of one set.
#[derive(Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    config: Config,
    tables: Tables,
    /// The streams, each with the rules that read it.
    feeds: Vec<Feed>,
    gates: Vec<Gate>,
    watch: Watch,
    /// Those that the row at hand can matter to.
    candidates: Vec<Candidate>,
    sampler: Sampler,
    /// For each stream the tables that it feeds, with the rules that look into them.
    fed: Vec<Vec<(usize, Vec<usize>)>>,
    runners: Vec<Runner>,
    /// What is counted by stream is in here as its distance to the stream's count.
    accounts: Vec<Account>,
    /// When to look at which rule, never later than something of it is due.
    looks: BTreeSet<(Mark, usize)>,
    clock_trusted: bool,
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
        let contexts = (0..plan.rules.len()).map(|index| Context::new(&plan, index, &config));
        Self {
            runners: contexts.map(|ctx| Runner::new(ctx, 0)).collect(),
            tables: Tables::new(&plan, &config),
            feeds: feeds(&plan, &config),
            gates: plan.rules.iter().map(|rule| Gate::new(&plan, rule, &config)).collect(),
            watch: Watch::default(),
            candidates: Vec::new(),
            sampler: Sampler::default(),
            fed: fed(&plan),
            accounts: vec![Account::default(); plan.rules.len()],
            plan,
            config,
            looks: BTreeSet::new(),
            clock_trusted: true,
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
        for (runner, rule) in self.runners.iter_mut().zip(&self.plan.rules) {
            runner.seed(seed, &rule.alert.rule);
        }
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
                let account = &mut self.accounts[*rule];
                account.refused += refused;
                account.degraded_until = Some(now.mono.plus(DEGRADED));
                self.limited = true;
            }
            self.changed = true;
        }
        if future {
            return;
        }
        let older = feed.is_older(spec, row);
        let mut candidates = std::mem::take(&mut self.candidates);
        feed.candidates(&row.slots, &mut candidates);
        for candidate in &candidates {
            self.ask(*candidate, (stream, row, older), now, out);
        }
        self.candidates = candidates;
    }

    /// Gives a row, which may be older than one before it, to a rule that it can matter to.
    fn ask(
        &mut self,
        candidate: Candidate,
        (stream, row, older): (usize, &Row, bool),
        now: Now,
        out: &mut Vec<Observation>,
    ) {
        let index = candidate.reader() as usize;
        let clock = self.config.nanos.filter(|_| self.sampler.is_due());
        let began = clock.map(|clock| clock());
        let (runner, account) = (&mut self.runners[index], &mut self.accounts[index]);
        let ctx = Context::new(&self.plan, index, &self.config);
        let Runner { operator, ledger, .. } = runner;
        let (gate, proved) = (self.gates[index], candidate.is_proved());
        let (tables, watch, order) = (&self.tables, &mut self.watch, gate.order(older));
        let lines = MAX_LINES;
        let mut work = Work { ctx, gate, proved, watch, order, tables, now, account, ledger, lines, out };
        let Account { refused, late, .. } = *work.account;
        for (side, _) in ctx.rule.streams().filter(|(_, read)| *read == stream) {
            operator.push(&mut work, side, row);
        }
        // A row counts once, on however many sides it comes, and whatever partners it has.
        work.account.late = work.account.late.min(late + 1);
        self.limited |= work.note(refused);
        if let (Some(clock), Some(began)) = (clock, began) {
            let took = clock().saturating_sub(began);
            account.ns = account.ns.saturating_add(took.saturating_mul(Sampler::EACH));
        }
        self.changed |= runner.has_state(ctx);
        look(&mut self.looks, index, runner);
    }

    /// Closes the windows that the clock closes. Costs next to nothing before
    /// [`Self::next_deadline`].
    pub fn advance(&mut self, now: Now, out: &mut Vec<Observation>) {
        self.watch.heard();
        let mark = Mark::of(now.mono);
        let mut due = Vec::new();
        while self.looks.first().is_some_and(|(look, _)| *look <= mark) {
            due.extend(self.looks.pop_first().map(|(_, index)| index));
        }
        due.sort_unstable();
        for index in due {
            let runner = &mut self.runners[index];
            runner.look = None;
            if runner.operator.wake().is_some_and(|wake| wake <= mark) {
                let ctx = Context::new(&self.plan, index, &self.config);
                let (account, ledger) = (&mut self.accounts[index], &mut runner.ledger);
                let (gate, tables, watch) = (self.gates[index], &self.tables, &mut self.watch);
                let (proved, order, lines) = (false, Order::Newest, MAX_LINES);
                let mut work =
                    Work { ctx, gate, proved, watch, order, tables, now, account, ledger, lines, out };
                let refused = work.account.refused;
                runner.operator.advance(&mut work);
                self.limited |= work.note(refused);
                self.changed = true;
            }
            look(&mut self.looks, index, runner);
        }
    }

    fn look_at_all(&mut self) {
        self.looks.clear();
        for (index, runner) in self.runners.iter_mut().enumerate() {
            runner.look = None;
            look(&mut self.looks, index, runner);
        }
    }

    /// Whether state changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether a rule reached a ceiling of its state since this was last asked.
    pub fn take_limited(&mut self) -> bool {
        std::mem::take(&mut self.limited)
    }

    /// When [`Self::advance`] should be called if no row comes before. It may turn out that
    /// nothing is due then; it is never later than something is.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.looks.first().map(|(look, _)| look.mono())
    }

    /// Each rule's account, in the order of the plan.
    pub fn accounts(&self) -> Vec<Account> {
        let mut accounts = self.accounts.clone();
        for (account, rule) in accounts.iter_mut().zip(&self.plan.rules) {
            self.count(account, rule);
        }
        self.count_fed(&mut accounts);
        accounts
    }

    /// Adds what is counted once for all readers of a stream.
    fn count(&self, account: &mut Account, rule: &RulePlan) {
        for feed in streams(rule).filter_map(|stream| self.feeds.get(stream)) {
            account.rows += feed.rows;
            account.future += feed.future;
            account.retained += if gate::skips_retained(rule) { feed.retained } else { 0 };
        }
    }

    /// The same of what feeds the tables that a rule looks into.
    fn count_fed(&self, accounts: &mut [Account]) {
        for (feed, tables) in self.feeds.iter().zip(&self.fed) {
            for rule in tables.iter().flat_map(|(_, lookers)| lookers) {
                if let Some(account) = accounts.get_mut(*rule) {
                    account.future += feed.future;
                }
            }
        }
    }

    /// Runs another plan from here on. A rule whose id and [`RulePlan::state`] are the same keeps its
    /// state and its account, and a table whose name and stream are the same its rows; every
    /// other starts empty.
    pub fn swap(&mut self, plan: Arc<Plan>) {
        let old = std::mem::replace(self, Self::new(plan, self.config));
        let accounts = old.accounts();
        self.clock_trusted = old.clock_trusted;
        // What was written down before may hold state that went, and lack what came since.
        self.changed = true;
        self.seed(old.seed);
        self.tables.take_over(&self.plan, old.tables, &old.plan);
        self.take_over_recent(old.feeds, &old.plan);
        let states = old.runners.into_iter().zip(accounts).enumerate();
        let mut known: HashMap<(Arc<str>, u64), (usize, Runner, Account)> = states
            .map(|(index, (runner, account))| {
                let rule = &old.plan.rules[index];
                ((rule.alert.rule.clone(), rule.state), (index, runner, account))
            })
            .collect();
        for (index, rule) in self.plan.rules.iter().enumerate() {
            let Some((was, mut runner, account)) = known.remove(&(rule.alert.rule.clone(), rule.state))
            else {
                continue;
            };
            let before = Context::new(&old.plan, was, &self.config);
            let ctx = Context::new(&self.plan, index, &self.config);
            if before.shape() == ctx.shape() {
                runner.move_slots(&layouts(before), &layouts(ctx));
                self.runners[index] = runner;
                self.accounts[index] = account;
            }
        }
        self.look_at_all();
    }

    /// All state as bytes. Monotonic times are written as distances from `now`, so that another process
    /// can read them.
    pub fn snapshot(&self, now: Now) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        self.tables.write(&self.plan, &mut out);
        let stateful = || {
            let contexts = (0..self.runners.len()).map(|index| Context::new(&self.plan, index, &self.config));
            contexts.zip(&self.runners).filter(|(ctx, runner)| runner.has_state(*ctx))
        };
        out.len(stateful().count());
        for (ctx, runner) in stateful() {
            out.run(ctx.rule.alert.rule.as_bytes());
            out.u64(ctx.rule.state);
            out.u64(ctx.shape());
            let mut state = Writer::default();
            layouts(ctx).iter().for_each(|layout| layout.write(&mut state));
            runner.write(Mark::of(now.mono), &mut state);
            out.run(&state.into_bytes());
        }
        out.into_bytes()
    }

    /// Takes over what [`Self::snapshot`] wrote, for every rule whose id and [`RulePlan::state`] are the
    /// same, and every table whose name and stream are; the other rules stay as they are.
    ///
    /// # Errors
    /// Where the bytes are no snapshot that this program reads. Nothing has changed then.
    pub fn restore(&mut self, bytes: &[u8], now: Now) -> Result<(), SnapshotError> {
        let mut from = Reader::new(bytes);
        match from.u8()? {
            VERSION => {}
            other => return Err(SnapshotError::Version(other)),
        }
        let tables = Tables::read(&self.plan, &self.config, &mut from)?;
        let rules: HashMap<(&str, u64), usize> = self
            .plan
            .rules
            .iter()
            .enumerate()
            .map(|(index, rule)| ((rule.alert.rule.as_ref(), rule.state), index))
            .collect();
        let mut restored = Vec::new();
        for _ in 0..from.len()? {
            let name = from.text()?;
            let (hash, shape) = (from.u64()?, from.u64()?);
            let mut state = from.part()?;
            let Some(&index) = rules.get(&(name, hash)) else { continue };
            let ctx = Context::new(&self.plan, index, &self.config);
            if ctx.shape() != shape {
                continue;
            }
            let now_layouts = layouts(ctx);
            let before: Result<Vec<Layout>, _> =
                now_layouts.iter().map(|_| Layout::read(&mut state)).collect();
            let mut runner = Runner::read(ctx, Mark::of(now.mono), &mut state)?;
            if !state.is_at_end() {
                return Err(state.damaged());
            }
            runner.move_slots(&before?, &now_layouts);
            restored.push((index, runner));
        }
        if !from.is_at_end() {
            return Err(from.damaged());
        }
        // What was replayed before this stands on the clock of another process.
        self.accounts.iter_mut().for_each(|account| account.degraded_until = None);
        for (index, runner) in restored {
            self.accounts[index].groups = runner.operator.groups();
            self.accounts[index].bytes = runner.ledger.budget.used();
            self.runners[index] = runner;
        }
        self.tables = tables;
        self.look_at_all();
        Ok(())
    }
}

/// Sees to it that a rule is looked at in time.
fn look(looks: &mut BTreeSet<(Mark, usize)>, index: usize, runner: &mut Runner) {
    let Some(wake) = runner.operator.wake() else { return };
    if runner.look.is_some_and(|look| look <= wake) {
        return;
    }
    if let Some(look) = runner.look.replace(wake) {
        looks.remove(&(look, index));
    }
    looks.insert((wake, index));
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
