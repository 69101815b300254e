//! Rules that rows are shown to: those that a row can matter to by its own columns, and those of whose active
//! alerts it is.

use super::Config;
use super::index::{Candidate, Condition, Index, Standing};
use super::watch::Awake;
use crate::model::value::Value;

/// The rules, by their places.
#[derive(Debug, Default)]
pub(super) struct Readers {
    pub(super) index: Index,
    /// All of them, where rows are not looked up. Which topics nobody cares for the index says all the same,
    /// so that no answer depends on it.
    pub(super) all: Option<Vec<Candidate>>,
    /// Those that must see a row since it belongs to an active alert.
    pub(super) awake: Awake,
}

impl Readers {
    /// None, of rows of which some slots are known before the payload is read.
    pub(super) fn new(early: Vec<bool>) -> Self {
        Self { index: Index::new(early), ..Self::default() }
    }

    /// Shows a reader the rows of which its condition may be true.
    pub(super) fn insert(&mut self, reader: u32, condition: Condition, config: &Config) {
        self.index.insert(reader, condition);
        if !config.index {
            let all = self.all.get_or_insert_default();
            let candidate = Candidate::new(reader, Standing::Open);
            if let Err(place) = all.binary_search(&candidate) {
                all.insert(place, candidate);
            }
        }
    }

    /// Shows it none any more, but those of its active alerts. The condition is the one that it was put in with.
    pub(super) fn remove(&mut self, reader: u32, condition: &Condition) {
        self.index.remove(reader, condition);
        if let Some(all) = &mut self.all
            && let Ok(place) = all.binary_search(&Candidate::new(reader, Standing::Open))
        {
            all.remove(place);
        }
    }

    /// The one rule that there is, where every row can matter to it.
    #[inline]
    pub(super) fn only(&self) -> Option<Candidate> {
        if self.all.is_none() && self.awake.is_empty() { self.index.only() } else { None }
    }

    /// Every rule that a row can matter to, each once, in their order.
    pub(super) fn candidates(&mut self, slots: &[Value], out: &mut Vec<Candidate>) {
        if let Some(all) = &self.all {
            out.clone_from(all);
            return;
        }
        self.index.candidates(slots, out);
        let found = out.len();
        self.awake.of(slots, |reader, standing| out.push(Candidate::new(reader, standing)));
        if out.len() > found {
            out.sort_unstable();
            out.dedup_by_key(|candidate| candidate.reader());
        }
    }
}
