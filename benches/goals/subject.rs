//! The product, as the goals use it: every call into `weir` that they time is here.

use std::sync::Arc;

use weir::agent::core::{Core, Effects, Input, Limits as CoreLimits};
use weir::control::{self, Admitted, Running};
use weir::decode::Decoder;
use weir::engine::{Config, Engine};
use weir::model::message::Message;
use weir::model::row::{Observation, Row, Rows};
use weir::model::time::{Mono, Now, Timestamp};
use weir::model::value::Value;
use weir::plan::logical::Plan;
use weir::plan::{self, Limits};

/// The largest set that a bench makes is larger than a rule file may be.
fn limits() -> Limits {
    Limits { file_bytes: 64 << 20, ..Limits::default() }
}

/// The plan of a rule file that is known to be right.
pub(crate) fn plan(text: &str) -> Arc<Plan> {
    let compiled = plan::compile_text("bench", text, &limits());
    Arc::new(compiled.plan.unwrap_or_else(|| panic!("the bench's rules: {:?}", compiled.diagnostics)))
}

/// A rule file as the agent takes it in.
pub(crate) fn admit(text: &str) -> Admitted {
    control::admit_file(&"bench".into(), text, &limits()).unwrap_or_else(|report| panic!("{report:?}"))
}

/// The next version of a set that runs, to be taken in.
pub(crate) fn next(text: &str, running: &Running) -> Box<Admitted> {
    let next = control::admit_file_on(&"bench".into(), text, Some(running), &limits());
    // The texts go to where they are kept.
    Box::new(Admitted { stored: Vec::new(), ..next.unwrap_or_else(|report| panic!("{report:?}")) })
}

/// The decoder alone.
pub(crate) struct Decoding {
    decoder: Decoder,
    rows: Rows,
}

impl Decoding {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { decoder: Decoder::new(plan.streams.clone()), rows: Rows::default() }
    }

    /// Rows that came of a message, which are gone with the next.
    pub(crate) fn message(&mut self, message: &Message) -> usize {
        self.rows.clear();
        self.decoder.decode(message, &mut self.rows);
        self.rows.len()
    }

    /// All rows of messages, to be kept.
    pub(crate) fn rows(&mut self, messages: &[Message]) -> Vec<Row> {
        let mut kept = Vec::with_capacity(messages.len());
        // Who has run for a while has seen every topic.
        for message in messages {
            self.message(message);
        }
        for message in messages {
            self.message(message);
            kept.extend(self.rows.iter().map(|(_, row)| row.clone()));
        }
        kept
    }
}

/// The engine alone.
pub(crate) struct Evaluating {
    engine: Engine,
    clock: Clock,
    seen: Vec<Observation>,
}

impl Evaluating {
    pub(crate) fn new(plan: &Arc<Plan>) -> Self {
        let engine = Engine::new(plan.clone(), Config::default());
        Self { engine, clock: Clock::default(), seen: Vec::new() }
    }

    /// The same, where the clock closes windows in parts, about so many at once.
    pub(crate) fn in_parts(plan: &Arc<Plan>, spread: usize) -> Self {
        let engine = Engine::new(plan.clone(), Config { spread, ..Config::default() });
        Self { engine, clock: Clock::default(), seen: Vec::new() }
    }

    /// The same, with room for whatever there is.
    pub(crate) fn roomy(plan: &Arc<Plan>) -> Self {
        let most = usize::MAX / 2;
        let config = Config { max_states: most, max_bytes: most, ..Config::default() };
        let engine = Engine::new(plan.clone(), config);
        Self { engine, clock: Clock::default(), seen: Vec::new() }
    }

    /// How many observations a row of the only stream makes.
    pub(crate) fn row(&mut self, row: &Row) -> usize {
        self.engine.take_back(&mut self.seen);
        self.engine.push(0, row, self.clock.at(row.time), &mut self.seen);
        self.seen.len()
    }

    /// What time closes.
    pub(crate) fn advance(&mut self, time: Timestamp) -> usize {
        self.seen.clear();
        self.engine.advance(self.clock.at(time), &mut self.seen);
        self.seen.len()
    }

    /// When time next has something to do.
    pub(crate) fn is_due(&self, time: Timestamp) -> bool {
        self.engine.next_deadline().is_some_and(|due| due <= at(time).mono)
    }
}

/// Decoder and engine.
pub(crate) struct Both {
    decoder: Decoder,
    engine: Engine,
    clock: Clock,
    rows: Rows,
    seen: Vec<Observation>,
}

impl Both {
    pub(crate) fn new(plan: &Arc<Plan>) -> Self {
        Self {
            decoder: Decoder::new(plan.streams.clone()),
            engine: Engine::new(plan.clone(), Config::default()),
            clock: Clock::default(),
            rows: Rows::default(),
            seen: Vec::new(),
        }
    }

    /// How many observations a message makes.
    pub(crate) fn message(&mut self, message: &Message) -> usize {
        self.rows.clear();
        self.engine.take_back(&mut self.seen);
        self.decoder.decode(message, &mut self.rows);
        let now = self.clock.at(message.received);
        for (stream, row) in self.rows.iter() {
            self.engine.push(stream, row, now, &mut self.seen);
        }
        self.seen.len()
    }
}

/// Decoder, engine and alerts, as the agent holds them.
pub(crate) struct Whole {
    core: Core,
    clock: Clock,
}

impl Whole {
    pub(crate) fn new(rules: Admitted) -> Self {
        let core = Core::new("bench".into(), CoreLimits::default());
        let mut whole = Self { core, clock: Clock::default() };
        drop(whole.run(Box::new(rules), Timestamp::from_micros(0)));
        whole
    }

    /// Goes over to a rule set. What the engine's thread would wait for is this call.
    /// It gives what the thread hands on.
    pub(crate) fn run(&mut self, rules: Box<Admitted>, time: Timestamp) -> Effects {
        let now = self.clock.at(time);
        self.core.apply(Input::Run(rules), now)
    }

    /// How many transitions a batch of messages makes.
    pub(crate) fn batch(&mut self, messages: Vec<Message>) -> usize {
        let now = self.clock.at(messages.last().map_or_else(Timestamp::default, |message| message.received));
        self.core.apply(Input::Messages(messages), now).transitions.len()
    }
}

/// Where the values of a row lie that the ceilings take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    pub(crate) device: Option<usize>,
    pub(crate) site: Option<usize>,
    pub(crate) temperature: Option<usize>,
    pub(crate) humidity: Option<usize>,
}

impl Slots {
    pub(crate) fn of(plan: &Plan) -> Self {
        let fields = &plan.streams[0].fields;
        let place = |name: &str| fields.iter().position(|field| *field.name == *name);
        Self {
            device: place("device"),
            site: place("site"),
            temperature: place("temperature"),
            humidity: place("humidity"),
        }
    }

    pub(crate) fn text(row: &Row, slot: Option<usize>) -> &str {
        match slot.map(|slot| &row.slots[slot]) {
            Some(Value::Str(text)) => text,
            _ => "",
        }
    }

    pub(crate) fn number(row: &Row, slot: Option<usize>) -> f64 {
        match slot.map(|slot| &row.slots[slot]) {
            Some(Value::Float(number)) => *number,
            _ => 0.0,
        }
    }
}

/// The time of a subject. Events come round again, but time never goes back.
#[derive(Default)]
struct Clock(Timestamp);

impl Clock {
    fn at(&mut self, time: Timestamp) -> Now {
        self.0 = self.0.max(time);
        at(self.0)
    }
}

/// Both clocks at a time of the events.
fn at(time: Timestamp) -> Now {
    Now { wall: time, mono: Mono::from_micros(u64::try_from(time.micros()).unwrap_or(0)) }
}
