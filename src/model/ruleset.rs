//! A rule set as it travels and is kept: content-addressed items, so that a change of one rule
//! ships one rule.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

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
        f.write_str(match self {
            Self::Stream => "stream",
            Self::Table => "table",
            Self::Rule => "rule",
        })
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
        sha.update(self.kind.to_string());
        sha.update([0]);
        sha.update(self.body.as_bytes());
        ContentHash(sha.finalize().into())
    }
}

/// The address of a whole set: SHA-256 over its items' addresses, in order.
pub fn set_hash<'a>(items: impl IntoIterator<Item = &'a Item>) -> ContentHash {
    let mut sha = Sha256::new();
    for item in items {
        sha.update(item.hash().0);
    }
    ContentHash(sha.finalize().into())
}
