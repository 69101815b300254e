//! The traces of messages taken in, as rows: all of one commit and source in one, for where messages come
//! fast a commit covers hundreds of them.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{Error, signed, unsigned};
use crate::model::kept::{SEEN_RING, Seen};

/// Bytes of a trace: the packet id and the hash.
const TRACE: usize = 10;

/// Writes traces down, and lets go those that the ring of their source has no place for.
pub(super) fn write(tx: &Connection, forget: &[Arc<str>], seen: &[Seen]) -> Result<(), Error> {
    for source in forget {
        tx.execute("DELETE FROM traces WHERE source = ?1", [&**source])?;
    }
    for run in seen.chunk_by(|a, b| a.source == b.source && a.serial + 1 == b.serial) {
        let Some(last) = run.last() else { continue };
        let mut body = Vec::with_capacity(run.len() * TRACE);
        for trace in run {
            body.extend(trace.packet.to_le_bytes());
            body.extend(trace.content.to_le_bytes());
        }
        tx.prepare_cached("INSERT OR REPLACE INTO traces (source, last, body) VALUES (?1, ?2, ?3)")?
            .execute(params![&*last.source, signed(last.serial), body])?;
        tx.prepare_cached("DELETE FROM traces WHERE source = ?1 AND last <= ?2")?
            .execute(params![&*last.source, signed(last.serial) - signed(SEEN_RING)])?;
    }
    Ok(())
}

/// All traces, by source, oldest first.
pub(super) fn load(db: &Connection) -> Result<Vec<Seen>, Error> {
    let mut query = db.prepare("SELECT source, last, body FROM traces ORDER BY source, last")?;
    let mut rows = query.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let source: Arc<str> = row.get::<_, String>(0)?.into();
        let (last, body): (i64, Vec<u8>) = (row.get(1)?, row.get(2)?);
        let (traces, _) = body.as_chunks::<TRACE>();
        let first = (unsigned(last) + 1).saturating_sub(traces.len() as u64);
        for (i, [p0, p1, content @ ..]) in traces.iter().enumerate() {
            all.push(Seen {
                source: source.clone(),
                serial: first + i as u64,
                packet: u16::from_le_bytes([*p0, *p1]),
                content: u64::from_le_bytes(*content),
            });
        }
    }
    Ok(all)
}
