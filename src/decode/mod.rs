//! Messages in, typed rows out; what does not fit is counted with a reason and an example.
//!
//! A message is routed by its topic to every stream that reads it, its payload is parsed once,
//! and each stream gets rows in the types of its schema. Decoding cannot fail: no payload,
//! however broken, large or deep, does more than add to a counter. Nor does it take memory for a
//! message like those before it.

mod availability;
mod delimited;
mod elements;
mod json;
mod number;
mod part;
mod pass;
mod projection;
mod reject;
mod route;
mod scalar;
mod scan;
mod texts;
mod twins;

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::message::Message;
use crate::model::row::Rows;
use crate::model::stream::StreamSpec;

use self::delimited::Lines;
use self::elements::Elements;
use self::pass::{Pass, Sheet};
use self::route::Router;
use self::texts::Texts;

pub use self::reject::{RejectReason, Sample, StreamStats};
pub use self::route::Cares;

/// How deep arrays and objects may be nested. Readings are rarely deeper than five; the bound
/// keeps every payload far from the end of the stack.
pub const MAX_DEPTH: usize = 64;

/// The bounds of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The longest payload that is looked at, in bytes; 512 KiB by default. Longer ones are
    /// rejected as `too_large`. Raising it raises the memory that one message can take. It lies
    /// below the largest packet that a broker connection takes by default, so that a payload
    /// which is too long still arrives, and is counted for its stream with a sample.
    pub max_payload: usize,
    /// The longest array of rows in one message; 10,000 by default. A longer one is rejected
    /// whole, as `too_many_rows`.
    pub max_rows: usize,
    /// How many topics are remembered with their streams; 32,768 by default. With more topics
    /// than this in use, some messages pay for a search among all streams.
    pub max_topics: usize,
    /// Whether JSON is read by the scanner, as it is by default, or by serde_json alone. Both give the
    /// same rows and the same rejects; the scanner gives them sooner.
    pub scan: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_payload: 512 << 10, max_rows: 10_000, max_topics: 32_768, scan: true }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Its topic feeds no stream.
    Unmatched,
    /// Nobody cares for what it could say, so it was counted, and its payload not read.
    Skipped,
    /// It was read, for one stream at least.
    Read,
}

/// Turns messages into rows for a set of streams.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    streams: Vec<Arc<StreamSpec>>,
    router: Router,
    stats: Vec<StreamStats>,
    texts: Texts,
    elements: Elements,
    lines: Lines,
    unmatched: u64,
    /// The course of the last message.
    course: u32,
}

impl Decoder {
    /// A decoder for these streams, with the default bounds. Rows name a stream by its place here.
    pub fn new(streams: Vec<Arc<StreamSpec>>) -> Self {
        Self::with_config(streams, Config::default())
    }

    /// A decoder with bounds of its own.
    pub fn with_config(streams: Vec<Arc<StreamSpec>>, config: Config) -> Self {
        let stats = streams.iter().map(|_| StreamStats::default()).collect();
        Self {
            config,
            streams,
            router: Router::default(),
            stats,
            texts: Texts::default(),
            elements: Elements::default(),
            lines: Lines::default(),
            unmatched: 0,
            course: 0,
        }
    }

    /// Takes other streams in the place of the present ones. A stream whose name stays keeps its
    /// counts and samples.
    pub fn swap(&mut self, streams: Vec<Arc<StreamSpec>>) {
        let names = self.streams.iter().map(|spec| spec.name.clone());
        let mut old: HashMap<Arc<str>, StreamStats> = names.zip(self.stats.drain(..)).collect();
        self.stats = streams.iter().map(|spec| old.remove(&spec.name).unwrap_or_default()).collect();
        self.streams = streams;
        self.router = Router::default();
    }

    /// What was said of a topic's rows, whether they can matter to anybody, holds no more: it is asked again
    /// when the topic's next message comes.
    pub fn ask_again(&mut self) {
        self.router.ask_again();
    }

    /// Decodes one message: appends its rows, each with its stream's place, in the order of streams.
    pub fn decode(&mut self, message: &Message, out: &mut Rows) -> Fate {
        self.decode_for(&|_, _| true, message, out)
    }

    /// The same where not every row is of use. `cares` is asked once for each stream of a topic until
    /// [`Self::swap`] or [`Self::ask_again`], so what it says must hold that long. Where it says no, the stream only counts the
    /// message.
    pub fn decode_for(&mut self, cares: &Cares<'_>, message: &Message, out: &mut Rows) -> Fate {
        let Self { config, streams, router, stats, texts, elements, lines, unmatched, course: last } = self;
        let (route, course) = router.route(streams, message, config.max_topics, texts, cares);
        *last = route.course();
        for stream in &course.skipped {
            stats[*stream].messages += 1;
            stats[*stream].skipped += 1;
        }
        match (course.targets.is_empty(), course.skipped.is_empty()) {
            (false, _) => {
                let sheet = Sheet { streams, stats, texts, route, message, out };
                Pass { config, elements, lines, course, sheet }.run();
                Fate::Read
            }
            (true, false) => Fate::Skipped,
            (true, true) => {
                *unmatched += 1;
                Fate::Unmatched
            }
        }
    }

    /// The streams for which the last message was not read.
    pub fn skipped(&self) -> &[usize] {
        self.router.skipped(self.course)
    }

    /// Looks at what some messages that come next will need, to make use of the time that memory takes to answer.
    /// Nothing depends on it but speed.
    pub fn look_ahead(&mut self, messages: &[Message]) {
        self.router.look_ahead(messages);
    }

    /// Each stream with what it has taken in.
    pub fn stats(&self) -> impl Iterator<Item = (&Arc<StreamSpec>, &StreamStats)> {
        self.streams.iter().zip(&self.stats)
    }

    /// Messages whose topic feeds no stream.
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }
}

#[cfg(test)]
mod tests;
