//! Rule sets: their revisions, and the items they are made of by content.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Error, unsigned};
use crate::hub::fleet::{DesiredSet, Selector};
use crate::hub::record::RuleSetRecord;
use crate::model::ruleset::{ContentHash, Item, ItemKind, set_hash};
use crate::model::time::Timestamp;

/// What became of a pushed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// Its revision.
    pub revision: u64,
    /// The address of its items.
    pub hash: ContentHash,
    /// Whether anything differs from before: text, target, or presence.
    pub changed: bool,
}

/// Stores a set. The same text keeps its revision; a different target alone does too.
///
/// # Errors
/// Those of the database.
pub fn put(
    db: &Connection,
    name: &str,
    source: &str,
    target: &Selector,
    items: &[Item],
    at: Timestamp,
) -> Result<Put, Error> {
    let hash = set_hash(items);
    let target = target.to_string();
    let before: Option<(u64, String, bool, String, String)> = db
        .prepare_cached(
            "SELECT s.revision, s.target, s.deleted, r.source, r.hash FROM rulesets AS s
             JOIN revisions AS r ON r.name = s.name AND r.revision = s.revision WHERE s.name = ?",
        )?
        .query_row([name], |row| Ok((unsigned(row, 0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    let same_text = before
        .as_ref()
        .is_some_and(|(_, _, _, old, old_hash)| old == source && *old_hash == hash.to_string());
    let last = before.as_ref().map_or(0, |(revision, ..)| *revision);
    let revision = if same_text { last } else { last + 1 };
    let stored = i64::try_from(revision).unwrap_or(i64::MAX);
    let changed =
        !same_text || before.is_none_or(|(_, old_target, deleted, ..)| deleted || old_target != target);
    if !same_text {
        store_items(db, hash, items)?;
        db.prepare_cached(
            "INSERT INTO revisions (name, revision, hash, source, created_at) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![name, stored, hash.to_string(), source, at.micros()])?;
    }
    db.prepare_cached(
        "INSERT INTO rulesets (name, revision, target, deleted) VALUES (?, ?, ?, 0)
         ON CONFLICT DO UPDATE SET revision = excluded.revision, target = excluded.target,
             deleted = 0",
    )?
    .execute(params![name, stored, target])?;
    Ok(Put { revision, hash, changed })
}

/// Takes a set away; its revisions stay. False where there is none of that name.
///
/// # Errors
/// Those of the database.
pub fn delete(db: &Connection, name: &str) -> Result<bool, Error> {
    let rows = db
        .prepare_cached("UPDATE rulesets SET deleted = 1 WHERE name = ? AND NOT deleted")?
        .execute([name])?;
    Ok(rows > 0)
}

/// All sets by name, or the one.
///
/// # Errors
/// Those of the database.
pub fn list(db: &Connection, only: Option<&str>) -> Result<Vec<RuleSetRecord>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT s.name, s.revision, r.hash, s.target, r.created_at, r.source FROM rulesets AS s
         JOIN revisions AS r ON r.name = s.name AND r.revision = s.revision
         WHERE NOT s.deleted AND (?1 IS NULL OR s.name = ?1) ORDER BY s.name",
    )?;
    let rows = statement.query_map([only], |row| {
        Ok(RuleSetRecord {
            name: row.get(0)?,
            revision: unsigned(row, 1)?,
            hash: row.get(2)?,
            target: row.get(3)?,
            created_at: Timestamp::from_micros(row.get(4)?).to_string(),
            source: row.get(5)?,
            rules: Vec::new(),
        })
    })?;
    rows.map(|row| {
        let mut set = row?;
        set.rules = items(db, &set.hash)?
            .into_iter()
            .filter(|item| item.kind == ItemKind::Rule)
            .map(|item| item.name.to_string())
            .collect();
        Ok(set)
    })
    .collect()
}

/// All sets as the fleet should run them, by name.
///
/// # Errors
/// Those of the database.
pub fn desired(db: &Connection) -> Result<Vec<DesiredSet>, Error> {
    list(db, None)?
        .into_iter()
        .map(|set| {
            let items = items(db, &set.hash)?;
            Ok(DesiredSet {
                hash: set_hash(&items),
                // A target is stored in the form that the selector itself wrote.
                target: Selector::parse(&set.target).unwrap_or_default(),
                name: set.name,
                revision: set.revision,
                items,
            })
        })
        .collect()
}

/// The addresses of the items of a set that was stored once, in any revision; empty where none
/// has this address.
///
/// # Errors
/// Those of the database.
pub fn item_hashes(db: &Connection, set: ContentHash) -> Result<Vec<ContentHash>, Error> {
    Ok(items(db, &set.to_string())?.iter().map(Item::hash).collect())
}

fn store_items(db: &Connection, set: ContentHash, items: &[Item]) -> Result<(), Error> {
    for (position, item) in (0_i64..).zip(items) {
        let hash = item.hash().to_string();
        db.prepare_cached("INSERT OR IGNORE INTO items (hash, kind, name, body) VALUES (?, ?, ?, ?)")?
            .execute(params![hash, kind_number(item.kind), &*item.name, &*item.body])?;
        db.prepare_cached(
            "INSERT OR IGNORE INTO set_items (set_hash, position, item_hash) VALUES (?, ?, ?)",
        )?
        .execute(params![set.to_string(), position, hash])?;
    }
    Ok(())
}

fn items(db: &Connection, set: &str) -> Result<Vec<Item>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT i.kind, i.name, i.body FROM set_items AS s JOIN items AS i ON i.hash = s.item_hash
         WHERE s.set_hash = ? ORDER BY s.position",
    )?;
    let rows = statement.query_map([set], item)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let (name, body): (String, String) = (row.get(1)?, row.get(2)?);
    Ok(Item {
        kind: match row.get(0)? {
            1 => ItemKind::Stream,
            2 => ItemKind::Table,
            _ => ItemKind::Rule,
        },
        name: name.into(),
        body: body.into(),
    })
}

const fn kind_number(kind: ItemKind) -> i64 {
    match kind {
        ItemKind::Stream => 1,
        ItemKind::Table => 2,
        ItemKind::Rule => 3,
    }
}
