//! The loop: rounds of a plan, and a check after each segment of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use weir::clock;

use super::checker::{Checker, Fault, Promise, Since};
use super::plan::{Deed, Plan, Round, Segment};
use super::publisher::Publisher;
use super::relay::Wire;
use super::rules;
use super::site::{self, Site, pause};

/// How many devices measure.
const DEVICES: usize = 24;
/// How long an agent or a hub is given to come to the place where it is to end.
const REACHES: Duration = Duration::from_millis(1_500);

/// What a run is made of.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) seed: u64,
    /// Readings a second.
    pub(crate) per_second: f64,
    /// The promise that the agents break.
    pub(crate) sabotage: Option<&'static str>,
    pub(crate) promises: Vec<Promise>,
    /// How long a check waits for what must come.
    pub(crate) patience: Duration,
    /// Deeds in the place of those of the plan.
    pub(crate) only: Option<fn(&mut fastrand::Rng) -> Deed>,
    /// Whether it tells how far it is.
    pub(crate) tell: bool,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) rounds: usize,
    pub(crate) deeds: BTreeMap<String, u64>,
    /// Places that were not reached in time; the program was killed there.
    pub(crate) not_reached: u64,
    pub(crate) readings: u64,
    pub(crate) sent_again: u64,
    pub(crate) agreed: u64,
    pub(crate) excused: u64,
    pub(crate) redelivered: Vec<u64>,
    pub(crate) gaps: Vec<u64>,
    pub(crate) seconds: u64,
    pub(crate) faults: Vec<Fault>,
    pub(crate) segment: Vec<String>,
}

impl Outcome {
    /// How often something was ended, held up or cut.
    pub(crate) fn blows(&self) -> u64 {
        self.deeds.values().sum()
    }
}

/// A run under way.
pub(crate) struct Run<'a> {
    options: &'a Options,
    pub(crate) site: Site,
    publisher: Publisher,
    checker: Checker,
    generation: u64,
    marks: u64,
    pub(crate) outcome: Outcome,
    begun: u64,
    told: u64,
    /// How often each agent had subscribed, and reported a gap, when the broker lost its file.
    subscribed: Vec<(usize, u64)>,
}

/// Runs until the rounds are over, or something is wrong.
pub(crate) fn run(options: &Options, dir: &Path) -> Outcome {
    let mut run = Run::start(options, dir);
    run.rounds();
    run.end()
}

impl<'a> Run<'a> {
    /// Everything runs; the devices do not measure yet.
    pub(crate) fn start(options: &'a Options, dir: &Path) -> Self {
        let site = Site::start(dir, &options.promises, rules::TEXT, options.sabotage);
        let publisher =
            Publisher::start(site.runtime.handle(), site.broker.port(), options.seed, options.per_second);
        let names: Vec<String> = (0..options.promises.len()).map(site::name).collect();
        let agents: Vec<(&str, Promise)> =
            names.iter().map(String::as_str).zip(options.promises.iter().copied()).collect();
        let mut run = Self {
            options,
            checker: Checker::new(&agents),
            site,
            publisher,
            generation: 0,
            marks: 0,
            outcome: Outcome::default(),
            begun: clock::nanos(),
            told: 0,
            subscribed: Vec::new(),
        };
        run.new_devices();
        run
    }

    /// Whether devices measure.
    pub(crate) fn load(&self, on: bool) {
        self.publisher.pause(!on);
    }

    /// How many transitions the hub has.
    pub(crate) fn heard(&mut self) -> u64 {
        self.hear();
        self.checker.after.unsigned_abs()
    }

    fn new_devices(&mut self) {
        self.generation += 1;
        self.checker.forget_devices();
        let (seed, generation) = (self.options.seed, self.generation);
        let device = |i| {
            let i = i as u64;
            (format!("d{i:02}-{generation}"), seed.wrapping_mul(1_000_003) ^ (generation << 32) ^ i)
        };
        self.publisher.devices((0..DEVICES).map(device).collect());
    }

    fn rounds(&mut self) {
        let mut plan = Plan::new(self.options.seed);
        while self.outcome.rounds < self.options.rounds && self.outcome.faults.is_empty() {
            let mut segment = plan.segment(self.options.rounds - self.outcome.rounds);
            if let Some(only) = self.options.only {
                let mut rng = fastrand::Rng::with_seed(self.options.seed ^ self.outcome.rounds as u64);
                segment.repeats = false;
                segment.rounds.truncate(4);
                segment.rounds.iter_mut().for_each(|round| round.deeds = vec![only(&mut rng)]);
            }
            self.segment(&segment);
        }
    }

    fn segment(&mut self, segment: &Segment) {
        self.outcome.segment.clear();
        self.load(true);
        for round in &segment.rounds {
            self.round(round);
            self.outcome.rounds += 1;
            self.tell();
        }
        self.check(segment.repeats);
        if segment.repeats {
            self.new_devices();
        }
    }

    pub(crate) fn round(&mut self, round: &Round) {
        pause(Duration::from_millis(round.before));
        for which in 0..self.site.agents.len() {
            self.site.look(which);
        }
        let agents = self.site.agents.len();
        let deeds: Vec<Deed> = round.deeds.iter().map(|deed| deed.clone().among(agents)).collect();
        let what: Vec<String> = deeds.iter().map(ToString::to_string).collect();
        self.outcome.segment.push(format!("round {}: {}", self.outcome.rounds, what.join(" and ")));
        for deed in &deeds {
            *self.outcome.deeds.entry(deed.kind()).or_default() += 1;
            self.begin(deed);
        }
        pause(Duration::from_millis(round.down));
        // An agent that is to report a lost session lives to be asked.
        let (last, others): (Vec<&Deed>, Vec<&Deed>) =
            deeds.iter().partition(|deed| **deed == Deed::BrokerLost);
        for deed in others {
            self.finish(deed);
        }
        for deed in last {
            self.finish(deed);
            self.begin_anew();
        }
    }

    /// The broker has lost everything: once the agents have subscribed again, and have said that their input may have a
    /// gap, all is published again since the last check, when nothing was under way.
    fn begin_anew(&mut self) {
        let deadline = clock::nanos() + u64::try_from(self.options.patience.as_nanos()).unwrap();
        for which in 0..self.site.agents.len() {
            let (subscribed, gaps) = self.subscribed[which];
            while self.site.subscriptions(which) == subscribed && clock::nanos() < deadline {
                pause(Duration::from_millis(20));
            }
            self.site.look(which);
            while self.site.figures(which).1 == gaps && clock::nanos() < deadline {
                pause(Duration::from_millis(20));
                self.site.look(which);
            }
        }
        self.demand(
            clock::nanos() < deadline,
            "an agent reports no gap of its input, though its session was lost",
        );
        self.publisher.lost_since(0);
        self.publisher.hold(false);
    }

    /// Does it.
    fn begin(&mut self, deed: &Deed) {
        match deed {
            Deed::AgentKilled(which) => self.site.kill_agent(*which),
            Deed::AgentAt(which, point, nth) => {
                self.site.kill_agent(*which);
                self.site.start_agent(*which, Some(&format!("{point}:{nth}")));
            }
            Deed::AgentStopped(which) => {
                let ended = site::terminate(&mut self.site.agents[*which].program.child);
                self.site.note_end(*which);
                self.demand(ended, "an agent did not end within ten seconds when it was told to");
            }
            Deed::HubKilled => self.site.hub.kill(),
            Deed::HubAt(point, nth) => {
                self.site.hub.kill();
                self.site.hub.run_with(&[("WEIR_FAILPOINT", &format!("{point}:{nth}"))]);
            }
            Deed::HubStopped => {
                let ended = site::terminate(&mut self.site.hub.child);
                self.demand(ended, "the hub did not end within ten seconds when it was told to");
            }
            Deed::BrokerStopped => self.site.broker.stop(),
            Deed::BrokerKilled => {
                let since = self.site.kill_broker();
                self.publisher.lost_since(since);
            }
            Deed::BrokerLost => {
                self.publisher.hold(true);
                self.site.kill_broker();
                drop(std::fs::remove_file(self.site.broker.file("mosquitto.db")));
                let before = |which| (self.site.subscriptions(which), self.site.figures(which).1);
                self.subscribed = (0..self.site.agents.len()).map(before).collect();
            }
            Deed::Cut(which) => self.site.agents[*which].wire.set(Wire::Cut),
            Deed::Still(which, _) => self.site.agents[*which].wire.set(Wire::Still),
        }
    }

    /// Puts it right.
    fn finish(&mut self, deed: &Deed) {
        match deed {
            Deed::AgentKilled(which) | Deed::AgentStopped(which) => self.site.start_agent(*which, None),
            Deed::AgentAt(which, ..) => {
                let reached = reached(&mut self.site.agents[*which].program.child);
                self.outcome.not_reached += u64::from(!reached);
                self.site.kill_agent(*which);
                self.site.start_agent(*which, None);
            }
            Deed::HubKilled | Deed::HubStopped => self.site.hub.run(),
            Deed::HubAt(..) => {
                let reached = reached(&mut self.site.hub.child);
                self.outcome.not_reached += u64::from(!reached);
                self.site.hub.kill();
                self.site.hub.run();
            }
            Deed::BrokerStopped | Deed::BrokerKilled | Deed::BrokerLost => self.site.broker.run(),
            Deed::Still(which, true) => {
                self.site.agents[*which].wire.set(Wire::Cut);
                pause(Duration::from_millis(20));
                self.site.mend();
            }
            Deed::Cut(_) | Deed::Still(_, false) => self.site.mend(),
        }
    }

    fn demand(&mut self, holds: bool, what: &str) {
        if !holds {
            self.outcome.faults.push(Fault { may_pass: false, what: what.to_owned() });
        }
    }

    /// Waits until everything has come, and compares.
    pub(crate) fn check(&mut self, repeats: bool) {
        self.load(false);
        if repeats || self.outcome.rounds >= self.options.rounds {
            self.publisher.farewell();
        }
        self.drain();
        let readings = self.publisher.take();
        self.checker.published(readings);
        let deadline = clock::nanos() + u64::try_from(self.options.patience.as_nanos()).unwrap();
        loop {
            self.hear();
            let faults = self.compare(repeats);
            let settled = faults.iter().any(|fault| !fault.may_pass) || clock::nanos() > deadline;
            if faults.is_empty() || settled {
                self.outcome.faults.extend(faults);
                break;
            }
            pause(Duration::from_millis(100));
        }
        let complaints = self.site.complaints();
        self.outcome.faults.extend(complaints.into_iter().map(|what| Fault { may_pass: false, what }));
    }

    fn compare(&mut self, repeats: bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !self.is_drained() {
            let what = "an agent has not told of the last mark, or transitions wait in its outbox".to_owned();
            faults.push(Fault { may_pass: true, what });
        }
        let ends: Vec<Vec<i64>> = self.site.agents.iter().map(|agent| agent.ends.clone()).collect();
        let snapshots: Vec<i64> = self.site.agents.iter().map(|agent| agent.snapshot_age()).collect();
        if faults.is_empty() {
            for which in 0..self.site.agents.len() {
                let alerts = self.site.ask(&format!("/alerts?agent={}&limit=1000", site::name(which)));
                faults.extend(self.checker.compare_standing(which, &alerts, repeats));
                faults.extend(self.gaps(which));
            }
        }
        let since = Since { repeats, ends: &ends, snapshots: &snapshots };
        let mut more = self.checker.compare(&since);
        more.append(&mut faults);
        more
    }

    /// What the hub says that it lacks.
    fn gaps(&mut self, which: usize) -> Vec<Fault> {
        let agents = self.site.ask("/agents");
        let agent = agents.iter().find(|agent| agent["agent"] == site::name(which).as_str());
        let gaps = agent.map(|agent| agent["gaps"].clone()).unwrap_or_default();
        let any = gaps.as_array().is_some_and(|gaps| !gaps.is_empty());
        let what = format!("{}: the hub notes gaps: {gaps}", site::name(which));
        any.then_some(Fault { may_pass: false, what }).into_iter().collect()
    }

    /// Sends a mark behind everything, and waits for it.
    fn drain(&mut self) {
        let deadline = clock::nanos() + u64::try_from(self.options.patience.as_nanos()).unwrap();
        while !self.publisher.is_idle() && clock::nanos() < deadline {
            pause(Duration::from_millis(10));
        }
        self.marks += 1;
        self.publisher.mark(self.marks);
        while !self.is_drained() && clock::nanos() < deadline {
            pause(Duration::from_millis(50));
            self.hear();
        }
    }

    fn is_drained(&self) -> bool {
        (0..self.site.agents.len()).all(|which| {
            self.checker.has_mark(which, self.marks)
                && self.site.agents[which]
                    .program
                    .status()
                    .is_some_and(|s| s["core"]["spool"]["waiting"] == 0)
        })
    }

    /// Reads what is new at the hub.
    fn hear(&mut self) {
        loop {
            let page = self.site.ask(&format!("/transitions?after={}&limit=1000", self.checker.after));
            self.checker.heard(&page);
            if page.len() < 1_000 {
                return;
            }
        }
    }

    fn tell(&mut self) {
        let seconds = (clock::nanos() - self.begun) / 1_000_000_000;
        if self.options.tell && seconds >= self.told + 5 {
            self.told = seconds;
            let (readings, _) = self.publisher.counts();
            println!(
                "{seconds:>5} s  round {:>4} of {}  blows {:>4}  readings {readings:>6}  transitions checked {:>7}  seed {}",
                self.outcome.rounds,
                self.options.rounds,
                self.outcome.blows(),
                self.checker.agreed,
                self.options.seed,
            );
        }
    }

    pub(crate) fn end(mut self) -> Outcome {
        for which in 0..self.site.agents.len() {
            self.site.look(which);
            let (redelivered, gaps) = self.site.figures(which);
            self.outcome.redelivered.push(redelivered);
            self.outcome.gaps.push(gaps);
        }
        (self.outcome.readings, self.outcome.sent_again) = self.publisher.counts();
        (self.outcome.agreed, self.outcome.excused) = (self.checker.agreed, self.checker.excused);
        self.outcome.seconds = (clock::nanos() - self.begun) / 1_000_000_000;
        site::keep_broker_log(&self.site);
        self.outcome
    }
}

/// Whether a program comes to the place where it ends in time.
fn reached(child: &mut Option<std::process::Child>) -> bool {
    let Some(child) = child else { return true };
    let deadline = clock::nanos() + u64::try_from(REACHES.as_nanos()).unwrap();
    while clock::nanos() < deadline {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return true;
        }
        pause(Duration::from_millis(10));
    }
    false
}
