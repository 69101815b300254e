//! What the slots of a row mean, so that rows which were kept under one plan can be read under
//! another: rules come and go, and with them the slots that a stream reads.

use std::collections::HashMap;
use std::fmt::{self, Debug, Write};

use super::snapshot::{Reader, SnapshotError, Writer};
use super::table::Slots;
use crate::model::stream::StreamSpec;
use crate::plan::logical::{Content, Plan, RulePlan, Side};

/// The identity of each slot.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Layout(Vec<u64>);

/// For each slot the one that it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remap(Option<Vec<Option<usize>>>);

impl Layout {
    /// The slots of a stream.
    pub(super) fn of(stream: &StreamSpec) -> Self {
        Self(stream.fields.iter().map(fingerprint).collect())
    }

    /// The slots of each side of a rule.
    pub(super) fn sides(plan: &Plan, rule: &RulePlan) -> Vec<Self> {
        let side = |side: &Side| match side {
            Side::Stream(stream) => Self::of(&plan.streams[*stream]),
            Side::Table(table) => match &plan.tables[*table].content {
                Content::Latest { stream } => Self::of(&plan.streams[*stream]),
                Content::Fixed(_) => Self(plan.tables[*table].columns.iter().map(fingerprint).collect()),
            },
        };
        rule.from.sides.iter().map(side).collect()
    }

    /// Whether its first slots are those of another one, which has no further ones.
    pub(super) fn continues(&self, old: &Self) -> bool {
        self.0.starts_with(&old.0)
    }

    /// How to read rows of another layout as rows of this.
    pub(super) fn from(&self, old: &Self) -> Remap {
        if self == old {
            return Remap(None);
        }
        let places: HashMap<u64, usize> = old.0.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        Remap(Some(self.0.iter().map(|id| places.get(id).copied()).collect()))
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.len(self.0.len());
        self.0.iter().for_each(|id| out.u64(*id));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let slots = from.len()?;
        (0..slots).map(|_| from.u64()).collect::<Result<_, _>>().map(Self)
    }
}

impl Remap {
    /// Whether rows stay as they are.
    pub(super) fn is_identity(&self) -> bool {
        self.0.is_none()
    }

    /// The row, its values where they belong by now; what it did not have is NULL. No row stays none.
    pub(super) fn row(&self, row: &Slots) -> Slots {
        match &self.0 {
            Some(slots) if !row.is_empty() => slots
                .iter()
                .map(|old| old.and_then(|old| row.get(old)).cloned().unwrap_or_default())
                .collect(),
            _ => row.clone(),
        }
    }
}

/// A hash of how something is written; the same in every process of one version.
pub(super) fn fingerprint(what: &(impl Debug + ?Sized)) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    // It takes all that is written.
    write!(hash, "{what:?}").ok();
    hash.0
}

/// FNV-1a over what is written, which is never kept.
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
