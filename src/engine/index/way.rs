//! How a row finds a cluster: by the value of a slot, or the first bytes of its text.

use super::atom::{self, Mark};
use super::cluster::Members;
use crate::model::value::Value;

/// A slot, or the first bytes of its text, that clusters are told apart by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) slot: u32,
    /// How many bytes of the text; `None` is the whole value.
    pub(super) prefix: Option<u32>,
    /// How many there are.
    pub(super) clusters: usize,
}

/// The entries with one access predicate.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) way: u32,
    pub(super) mark: Mark,
    pub(super) value: Value,
    pub(super) members: Members,
}

impl Way {
    /// The mark of the value that a row has here; `None` where no cluster can have it.
    #[inline]
    pub(super) fn mark(self, value: &Value) -> Option<Mark> {
        match (self.prefix, value) {
            (None, value) => Mark::of(value),
            (Some(length), Value::Str(text)) => text.as_bytes().get(..length as usize).map(Mark::of_text),
            (Some(_), _) => None,
        }
    }

    fn leads(self, constant: &Value, value: &Value) -> bool {
        match (self.prefix, constant, value) {
            (None, constant, value) => atom::same(constant, value),
            (Some(_), Value::Str(prefix), Value::Str(text)) => text.as_bytes().starts_with(prefix.as_bytes()),
            (Some(_), ..) => false,
        }
    }
}

/// Where a cluster stands, or would.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) at: u32,
    pub(super) way: Way,
    pub(super) mark: Mark,
    pub(super) value: Value,
}

impl Place {
    pub(super) fn hash(&self) -> u64 {
        self.mark.hash(self.at)
    }

    pub(super) fn is(&self, cluster: &Cluster) -> bool {
        cluster.is(self.at, self.way, self.mark, &self.value)
    }
}

impl Cluster {
    /// Whether it is the one of this way for a value with this mark.
    #[inline]
    pub(super) fn is(&self, at: u32, way: Way, mark: Mark, value: &Value) -> bool {
        self.mark == mark && self.way == at && (mark.is_whole() || way.leads(&self.value, value))
    }

    pub(super) fn hash(&self) -> u64 {
        self.mark.hash(self.way)
    }
}
