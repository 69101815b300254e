//! What became of the messages of a stream: counts, and samples of what was refused. Bad data is
//! normal, so a reject is a number and an example, never an error.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::model::fit::Misfit;
use crate::model::message::Message;
use crate::model::time::Timestamp;

/// How many samples a stream keeps: one of every reason, and a few more to see a pattern in what
/// is refused most.
const SAMPLES: usize = RejectReason::ALL.len() + 6;

/// How much of a payload a sample keeps, in bytes.
const EXCERPT: usize = 256;

/// How much of the explanation a sample keeps, in bytes: what quotes a payload stays short.
const DETAIL: usize = 256;

/// Why a message, or one element of an array, became no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// Nothing in it, or blanks only.
    Empty,
    /// Longer than [`Config::max_payload`](super::Config::max_payload).
    TooLarge,
    /// The bytes are no UTF-8.
    NotUtf8,
    /// The text is no JSON.
    NotJson,
    /// Arrays and objects are nested beyond [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// A line of delimited values whose quotes do not close, or with more values than columns.
    NotDelimited,
    /// JSON, but neither an object nor an array of objects.
    NotAnObject,
    /// A value does not fit the type of its column.
    WrongType,
    /// A DATETIME column holds what reads as no time in its unit.
    BadTimestamp,
    /// The stream runs on event time, and the row has none.
    MissingTimestamp,
    /// The array, or the payload in lines, is longer than [`Config::max_rows`](super::Config::max_rows).
    TooManyRows,
}

impl RejectReason {
    /// All of them, in the order of the counters.
    pub const ALL: [Self; 11] = [
        Self::Empty,
        Self::TooLarge,
        Self::NotUtf8,
        Self::NotJson,
        Self::TooDeep,
        Self::NotDelimited,
        Self::NotAnObject,
        Self::WrongType,
        Self::BadTimestamp,
        Self::MissingTimestamp,
        Self::TooManyRows,
    ];

    /// The reason's stable name, in metrics and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::TooDeep => "too_deep",
            Self::NotDelimited => "not_delimited",
            Self::NotAnObject => "not_an_object",
            Self::WrongType => "wrong_type",
            Self::BadTimestamp => "bad_timestamp",
            Self::MissingTimestamp => "missing_timestamp",
            Self::TooManyRows => "too_many_rows",
        }
    }
}

/// The stable name.
impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One refusal, before it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reject {
    /// Why.
    pub(super) reason: RejectReason,
    /// What exactly, for a person.
    pub(super) detail: String,
}

impl Reject {
    pub(super) fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl From<Misfit> for Reject {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Type(detail) => Self::new(RejectReason::WrongType, detail),
            Misfit::Time(detail) => Self::new(RejectReason::BadTimestamp, detail),
        }
    }
}

/// An example of what was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Why.
    pub reason: RejectReason,
    /// What exactly, as in ``column `temperature`: STRING `abc` is no FLOAT``.
    pub detail: String,
    /// The topic it came on.
    pub topic: Arc<str>,
    /// The beginning of the payload; what is no text is shown as U+FFFD.
    pub payload: String,
    /// When it arrived.
    pub received: Timestamp,
}

/// What one stream has taken in since it was first read.
#[derive(Clone, Debug, Default)]
pub struct StreamStats {
    /// Messages that were routed to it.
    pub messages: u64,
    /// Those of them whose payload was not read, since by their topic no row of them could matter.
    pub skipped: u64,
    /// Rows made of the others.
    pub rows: u64,
    rejects: [u64; RejectReason::ALL.len()],
    samples: VecDeque<Sample>,
}

impl StreamStats {
    /// Every reason with its count, those with zero too.
    pub fn rejects(&self) -> impl Iterator<Item = (RejectReason, u64)> {
        RejectReason::ALL.into_iter().zip(self.rejects)
    }

    /// The last refusal of every reason that occurred, and the last few besides; oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    pub(super) fn refuse(&mut self, reject: Reject, message: &Message) {
        self.rejects[reject.reason as usize] += 1;
        let excerpt = &message.payload[..message.payload.len().min(EXCERPT)];
        self.samples.push_back(Sample {
            reason: reject.reason,
            detail: beginning(reject.detail),
            topic: (&*message.topic).into(),
            payload: String::from_utf8_lossy(excerpt).into_owned(),
            received: message.received,
        });
        if self.samples.len() > SAMPLES {
            self.samples.remove(superseded(&self.samples));
        }
    }
}

/// The place of the oldest sample whose reason occurs again behind it. With more samples than
/// reasons there is one.
fn superseded(samples: &VecDeque<Sample>) -> usize {
    let mut met = [false; RejectReason::ALL.len()];
    let mut oldest = 0;
    for (place, sample) in samples.iter().enumerate().rev() {
        if std::mem::replace(&mut met[sample.reason as usize], true) {
            oldest = place;
        }
    }
    oldest
}

/// As much of an explanation as a sample keeps.
fn beginning(mut detail: String) -> String {
    if detail.len() > DETAIL {
        detail.truncate(detail.floor_char_boundary(DETAIL));
        detail.push('…');
    }
    detail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_counter() {
        for (place, reason) in RejectReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason}");
        }
    }
}
