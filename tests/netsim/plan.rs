//! What happens in a run: a function of its seed.

use std::time::Duration;

use super::link::Weather;

/// A link that is dead for so long must have been found dead before it lives again.
pub(crate) const LONG_CUT: Duration = Duration::from_secs(36);

/// How long the faults of a run go on, about.
const SPAN: Duration = Duration::from_secs(42);

/// How many alerts take turns.
const DEVICES: usize = 12;

/// What may be wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Clear,
    /// 30 % of the packets are lost.
    Loss,
    /// Each takes 2 s.
    Far,
    /// 64 kbit/s.
    Slow,
    /// All three at once.
    Storm,
    /// Nothing passes.
    Partition,
    /// Nothing of the agent passes; it hears the hub.
    HalfUp,
    /// The hub hears the agent, which hears nothing.
    HalfDown,
}

/// All of them.
pub(crate) const FAULTS: [Fault; 8] = [
    Fault::Loss,
    Fault::Partition,
    Fault::Far,
    Fault::HalfUp,
    Fault::Slow,
    Fault::HalfDown,
    Fault::Storm,
    Fault::Clear,
];

impl Fault {
    fn weather(self, rng: &mut fastrand::Rng) -> Weather {
        let near = Weather { delay: Duration::from_millis(rng.u64(1..120)), ..Weather::CLEAR };
        let (loss, delay, rate) = (0.3, Duration::from_secs(2), 64_000);
        match self {
            Self::Clear => near,
            Self::Loss => Weather { loss, ..near },
            Self::Far => Weather { delay, ..near },
            Self::Slow => Weather { rate, ..near },
            Self::Storm => Weather { loss, delay, rate, ..near },
            Self::Partition => Weather { up: false, down: false, ..near },
            Self::HalfUp => Weather { up: false, ..near },
            Self::HalfDown => Weather { down: false, ..near },
        }
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    Weather(Fault, Weather),
    /// A reading is published: its number, and that of the next state of its device.
    Publish(usize),
    /// The hub ends, told to or not.
    HubEnds {
        told: bool,
    },
    HubStarts,
}

/// A reading, and what it must lead to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) device: String,
    pub(crate) payload: String,
    /// The state, and of one that fires the severity.
    pub(crate) becomes: (&'static str, &'static str),
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// By time, from when agent and hub are connected for the first time.
    pub(crate) events: Vec<(Duration, Event)>,
    pub(crate) readings: Vec<Reading>,
    /// The faults in their order, the last of which stays.
    pub(crate) faults: Vec<Fault>,
    /// When a cut begins that must be noticed.
    pub(crate) long_cut: Option<Duration>,
    pub(crate) hub_ends: usize,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = &mut fastrand::Rng::with_seed(seed);
        let mut plan = Self {
            events: Vec::new(),
            readings: Vec::new(),
            faults: Vec::new(),
            long_cut: None,
            hub_ends: 0,
        };
        let kind = |place: u64| FAULTS[usize::try_from((seed + place) % FAULTS.len() as u64).unwrap_or(0)];
        let mut at = Duration::ZERO;
        // Every other run has a cut that must be noticed; what kind of cut takes turns.
        if seed.is_multiple_of(2) {
            plan.phase(&mut at, [Fault::Loss, Fault::Slow, Fault::Far, Fault::Clear][rng.usize(..4)], 6, rng);
            let cut = [Fault::Partition, Fault::HalfUp, Fault::HalfDown]
                [usize::try_from(seed / 2 % 3).unwrap_or(0)];
            plan.long_cut = Some(at);
            plan.phase(&mut at, cut, LONG_CUT.as_secs(), rng);
        }
        let mut place = 0;
        while at < SPAN {
            plan.phase(&mut at, kind(place), rng.u64(4..10), rng);
            place += 3;
        }
        // What stays is bad as well, but for a third; now and then it is the worst there is.
        let end = match seed % 20 {
            13 => Fault::Storm,
            17 => Fault::Far,
            _ => [Fault::Clear, Fault::Loss, Fault::Slow][rng.usize(..3)],
        };
        plan.events.push((at, Event::Weather(end, end.weather(rng))));
        plan.faults.push(end);
        plan.readings(at, rng);
        plan.events.sort_by_key(|(at, _)| *at);
        plan
    }

    /// Some seconds of one fault, within which the hub may end and start again.
    fn phase(&mut self, at: &mut Duration, fault: Fault, seconds: u64, rng: &mut fastrand::Rng) {
        let span = Duration::from_secs(seconds);
        self.faults.push(fault);
        self.events.push((*at, Event::Weather(fault, fault.weather(rng))));
        if rng.f64() < 0.35 {
            let ends = *at + span.mul_f64(rng.f64() * 0.7);
            self.events.push((ends, Event::HubEnds { told: rng.bool() }));
            self.events.push((ends + Duration::from_millis(rng.u64(100..3_000)), Event::HubStarts));
            self.hub_ends += 1;
        }
        *at += span;
    }

    /// Readings that each change the state of an alert, in bursts, until shortly after the last fault began.
    fn readings(&mut self, until: Duration, rng: &mut fastrand::Rng) {
        let mut levels = [0; DEVICES];
        let mut at = Duration::from_millis(200);
        while at < until + Duration::from_secs(2) {
            // Once in a while there is a backlog.
            let burst = if rng.f64() < 0.02 { 300 } else { rng.usize(1..14) };
            for _ in 0..burst {
                let place = rng.usize(..DEVICES);
                // Two in three have levels, of which the upper one may overtake; the others are of no great weight.
                let several = place % 3 != 2;
                let level = match several {
                    true => (levels[place] + rng.usize(1..3)) % 3,
                    false => 1 - levels[place],
                };
                levels[place] = level;
                self.events.push((at, Event::Publish(self.readings.len())));
                self.readings.push(reading(place, several, level, self.readings.len()));
            }
            at += Duration::from_millis(rng.u64(300..2_500));
        }
    }
}

fn reading(place: usize, several: bool, level: usize, n: usize) -> Reading {
    let device = format!("m{place}");
    let column = if several { "v" } else { "w" };
    let value = [20, 70, 90][level];
    let becomes = match (level, several) {
        (0, _) => ("resolved", ""),
        (1, true) => ("firing", "warning"),
        (_, true) => ("firing", "critical"),
        (_, false) => ("firing", "info"),
    };
    let payload = format!(r#"{{"device":"{device}","{column}":{value},"n":{n}}}"#);
    Reading { device, payload, becomes }
}

#[test]
fn a_seed_repeats_a_plan_and_few_seeds_hold_everything() {
    let plans: Vec<Plan> = (1..=10).map(Plan::new).collect();
    assert_eq!(plans, (1..=10).map(Plan::new).collect::<Vec<_>>());
    for fault in FAULTS {
        assert!(plans.iter().any(|plan| plan.faults.contains(&fault)), "{fault:?}");
    }
    for told in [true, false] {
        let ends = (Event::HubEnds { told }, "an end of the hub");
        assert!(plans.iter().any(|plan| plan.events.iter().any(|(_, event)| *event == ends.0)), "{}", ends.1);
    }
    let cuts: Vec<Fault> = plans
        .iter()
        .filter_map(|plan| plan.long_cut.map(|at| (at, plan)))
        .flat_map(|(at, plan)| plan.events.iter().filter(move |(when, _)| *when == at))
        .filter_map(|(_, event)| if let Event::Weather(fault, _) = event { Some(*fault) } else { None })
        .collect();
    for cut in [Fault::Partition, Fault::HalfUp, Fault::HalfDown] {
        assert!(cuts.contains(&cut), "{cut:?} for long");
    }
}
