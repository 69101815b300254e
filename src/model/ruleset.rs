//! A rule set as it travels and is kept: content-addressed items, so that a change of one rule
//! ships one rule.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::diagnostic::Diagnostic;

/// One stream, table or rule of a set, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Its name: a stream's or table's name, a rule's id. For people and diagnostics.
    pub name: Arc<str>,
    /// Its canonical body: the SQL of a stream, JSON with sorted members of a table or rule.
    pub body: Arc<str>,
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ItemKind {
    /// A `CREATE STREAM` statement.
    Stream,
    /// A lookup table.
    Table,
    /// A rule.
    Rule,
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ItemKind {
    /// The name in addresses, in what is kept, and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Table => "table",
            Self::Rule => "rule",
        }
    }
}

/// SHA-256 of an item or of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// The first 64 bits.
    pub fn short(self) -> u64 {
        self.0[..8].iter().fold(0, |acc, b| (acc << 8) | u64::from(*b))
    }
}

/// 64 hex digits.
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl Item {
    /// The item's address: SHA-256 over kind and body.
    pub fn hash(&self) -> ContentHash {
        let mut sha = Sha256::new();
        sha.update(self.kind.name());
        sha.update([0]);
        sha.update(self.body.as_bytes());
        ContentHash(sha.finalize().into())
    }
}

/// The address of a whole set: SHA-256 over its items' addresses, in order.
pub fn set_hash<'a>(items: impl IntoIterator<Item = &'a Item>) -> ContentHash {
    set_hash_of(items.into_iter().map(Item::hash))
}

/// As [`set_hash`], where the items' addresses are at hand.
pub fn set_hash_of(items: impl IntoIterator<Item = ContentHash>) -> ContentHash {
    let mut address = Address::default();
    items.into_iter().for_each(|item| address.add(item));
    address.finish()
}

/// The address of a set, whose items come one by one.
#[derive(Clone, Debug, Default)]
pub struct Address(Sha256);

impl Address {
    /// Takes the address of the next item.
    pub fn add(&mut self, item: ContentHash) {
        self.0.update(item.0);
    }

    /// The address of all of them.
    pub fn finish(self) -> ContentHash {
        ContentHash(self.0.finalize().into())
    }
}

/// A rule set as an agent runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningSet {
    /// Its name.
    pub name: Arc<str>,
    /// The hub's revision; 0 for a set from a directory.
    pub revision: u64,
    /// Its address.
    pub hash: ContentHash,
    /// Where it came from.
    pub origin: Origin,
    /// How many rules it holds.
    pub rules: usize,
    /// The address of the set that was attempted last; differs from `hash` if that was refused.
    pub attempted: ContentHash,
}

/// Where a rule set came from. Sets of different origin live side by side and never replace one
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Pushed by the hub.
    Hub,
    /// A file in the rules directory.
    Directory,
}

impl Origin {
    /// The name on the wire and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Directory => "directory",
        }
    }
}

/// What the hub wants an agent to run, as a change: sets that are not named stay.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Desired {
    /// Sets that are new or changed.
    pub sets: Vec<DesiredSet>,
    /// Sets that should no longer run.
    pub removed: Vec<Arc<str>>,
}

/// One set of [`Desired`]: all its items by address, and the bodies that the agent lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSet {
    /// Its name.
    pub name: Arc<str>,
    /// The hub's revision.
    pub revision: u64,
    /// Its address.
    pub hash: ContentHash,
    /// Its items, in order.
    pub items: Vec<ContentHash>,
    /// Items that the agent probably lacks.
    pub added: Vec<Item>,
}

/// What became of a pushed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleReport {
    /// Its name.
    pub set: Arc<str>,
    /// The revision that was attempted.
    pub revision: u64,
    /// The address that was attempted.
    pub hash: ContentHash,
    /// What became of it.
    pub outcome: Outcome,
    /// Errors of a refused set, warnings of an accepted one.
    pub diagnostics: Vec<Diagnostic>,
    /// Each rule's own outcome: one bad rule refuses the set, but the others are not at fault.
    pub rules: Vec<(Arc<str>, Outcome)>,
}

/// What became of a set or rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It runs.
    Accepted,
    /// Refused for good: what ran before runs on.
    Rejected,
    /// Not possible at the moment; sent again, it may be.
    Failed,
}
