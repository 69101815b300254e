//! What to measure, and how much of it.

use std::path::PathBuf;

/// What `cargo bench --bench load -- …` takes.
pub(crate) const USAGE: &str = "\
usage: cargo bench --bench load -- [OPTION]…
  --rules LIST      numbers of rules, each up to 200,000 [default: 1,300,8000,100000]
  --rates LIST      messages a second, or `max` [default: 1000,10000,40000,80000,max]
  --qos LIST        `0`, `1` (the broker lets its default be in flight), `1free` (no such bound)
                    [default: 0,1,1free]
  --seconds N       of each paced load, 1 to 60 [default: 2]
  --messages N      of each load at the limit, up to 10,000,000 [default: 200000]
  --one-in N        one message in N matches a rule, 1 to 1,000,000 [default: 100]
  --only PART       `matrix`, `goals` (P6, P7, P8) or `push`; may be repeated [default: all]
  --pin             the program under test on one core, the last
  --memory SIZE     at most so much memory for it, as in 32M; needs the right to make a control group
  --spool DIR       where its state lies [default: below target, which should be a real disk]
  --program FILE    a `weir` that is built already
  --command TEXT    another program in the place of weir, for the matrix: `{host}`, `{port}`, `{broker}`
                    (an address), `{weir}` (the rules as weir takes them) and `{rules}` (the
                    same as JSON) are replaced
  --matches FROM    where its matches are counted: `mqtt:TOPIC`, or `webhook:PORT` with one for each
                    element of an array, else one for each request [default: mqtt:matches]
  --ready N         seconds until it can be loaded [default: 5]
  --short           less of everything, within a minute
  --smoke           very few messages, programs that are not optimised, no table of worth
Every load ends: what has not come ten seconds after the last message counts as behind, and higher
rates of the same rules are then left out.";

/// The service that messages are published and subscribed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Zero,
    /// The broker lets its default number of messages be in flight.
    One,
    /// The broker lets any number be in flight; the subscriber asks for 1,000.
    OneFree,
}

impl Service {
    pub(crate) fn qos(self) -> u8 {
        u8::from(self != Self::Zero)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zero => "0",
            Self::One => "1",
            Self::OneFree => "1free",
        }
    }
}

/// A part of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Matrix,
    Goals,
    Push,
}

/// Another program in the place of the agent.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) command: String,
    pub(crate) matches: String,
    pub(crate) ready: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) rules: Vec<usize>,
    /// `None`: as fast as the broker takes them.
    pub(crate) rates: Vec<Option<u64>>,
    pub(crate) services: Vec<Service>,
    pub(crate) seconds: u64,
    pub(crate) messages: usize,
    pub(crate) one_in: u32,
    pub(crate) parts: Vec<Part>,
    pub(crate) pin: bool,
    pub(crate) memory: Option<u64>,
    pub(crate) spool: Option<PathBuf>,
    pub(crate) program: Option<PathBuf>,
    pub(crate) peer: Option<Peer>,
    /// Rules of the goals, and the larger number for memory.
    pub(crate) goal_rules: [usize; 2],
    /// Messages a second of the push.
    pub(crate) push_rate: u64,
    /// Distinct messages, which are repeated.
    pub(crate) pool: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rules: vec![1, 300, 8_000, 100_000],
            rates: vec![Some(1_000), Some(10_000), Some(40_000), Some(80_000), None],
            services: vec![Service::Zero, Service::One, Service::OneFree],
            seconds: 2,
            messages: 200_000,
            one_in: 100,
            parts: vec![Part::Matrix, Part::Goals, Part::Push],
            pin: false,
            memory: None,
            spool: None,
            program: None,
            peer: None,
            goal_rules: [10_000, 100_000],
            push_rate: 20_000,
            pool: 200_000,
        }
    }
}

impl Options {
    pub(crate) fn smoke() -> Self {
        Self {
            rules: vec![30],
            rates: vec![Some(1_000)],
            services: vec![Service::OneFree],
            seconds: 1,
            messages: 500,
            one_in: 20,
            goal_rules: [40, 80],
            push_rate: 500,
            pool: 1_000,
            ..Self::default()
        }
    }

    fn shorten(&mut self) {
        self.rules = vec![1, 8_000];
        self.rates = vec![Some(10_000), None];
        self.services = vec![Service::Zero, Service::OneFree];
        self.seconds = 1;
        self.messages = 100_000;
        self.pool = 100_000;
    }

    pub(crate) fn of(args: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        if args.iter().any(|arg| arg == "--short") {
            options.shorten();
        }
        let (mut parts, mut peer) = (Vec::new(), (None, "mqtt:matches".to_owned(), 5));
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                // The first is cargo's own.
                "--bench" | "--short" => {}
                "--pin" => options.pin = true,
                "--rules" => {
                    options.rules = list(value()?, |text| number(arg, text, 200_000).map(|n| n as usize))?
                }
                "--rates" => {
                    options.rates = list(value()?, |text| match text {
                        "max" => Ok(None),
                        text => number(arg, text, 1_000_000).map(Some),
                    })?;
                }
                "--qos" => options.services = list(value()?, service)?,
                "--seconds" => options.seconds = number(arg, value()?, 60)?,
                "--messages" => options.messages = number(arg, value()?, 10_000_000)? as usize,
                "--one-in" => options.one_in = number(arg, value()?, 1_000_000)? as u32,
                "--only" => parts.push(part(value()?)?),
                "--memory" => options.memory = Some(bytes(value()?)?),
                "--spool" => options.spool = Some(value()?.into()),
                "--program" => options.program = Some(value()?.into()),
                "--command" => peer.0 = Some(value()?.clone()),
                "--matches" => peer.1.clone_from(value()?),
                "--ready" => peer.2 = number(arg, value()?, 600)?,
                other => return Err(format!("`{other}` is not known")),
            }
        }
        if !parts.is_empty() {
            options.parts = parts;
        }
        if let (Some(command), matches, ready) = peer {
            options.peer = Some(Peer { command, matches, ready });
            options.parts = vec![Part::Matrix];
        }
        Ok(options)
    }
}

fn list<T>(text: &str, of: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(of).collect()
}

fn service(text: &str) -> Result<Service, String> {
    let all = [Service::Zero, Service::One, Service::OneFree];
    all.into_iter()
        .find(|s| s.name() == text)
        .ok_or_else(|| format!("--qos takes 0, 1 and 1free, not `{text}`"))
}

fn part(text: &str) -> Result<Part, String> {
    match text {
        "matrix" => Ok(Part::Matrix),
        "goals" => Ok(Part::Goals),
        "push" => Ok(Part::Push),
        other => Err(format!("--only takes matrix, goals or push, not `{other}`")),
    }
}

fn number(name: &str, text: &str, most: u64) -> Result<u64, String> {
    match text.replace('_', "").parse() {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => Err(format!("{name} takes 1 to {most}, not `{text}`")),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 1 << 20),
        None => (text, 1),
    };
    number("--memory", digits, 1 << 40).map(|count| count * unit)
}
