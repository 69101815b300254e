//! How the observations of a windowed rule follow one another, and what its state depends on.

use std::time::Duration;

use crate::model::alerting::Cadence;
use crate::model::stream::idle_for;

use super::logical::{Window, WindowKind};
use super::side::Side;

/// A window's row comes when the watermark passes its end: with a later reading, or when the key
/// has been idle. `None` where rows or conditions end it, for then no time is sure.
pub(super) fn of(window: &Window, sides: &[Side]) -> Option<Cadence> {
    let (every, length, after) = match window.kind {
        WindowKind::Tumbling { length } => (length, length, Duration::ZERO),
        WindowKind::Hopping { length, hop } => (hop, length, Duration::ZERO),
        WindowKind::Sliding { length, delay, .. } => (Duration::ZERO, length, delay),
        WindowKind::Session { length, timeout } => (Duration::ZERO, length, timeout),
        WindowKind::Count { .. } | WindowKind::State { .. } => return None,
    };
    let streams = || sides.iter().filter(|side| side.is_stream()).map(|side| &side.schema);
    let waits = streams().map(|stream| match stream.timestamp {
        Some(_) => idle_for(stream.idle, length),
        // It closes by the clock, give or take a wake-up.
        None => Duration::from_secs(1),
    });
    let wait = waits.max().unwrap_or_default();
    let lateness = streams().map(|stream| stream.lateness).max().unwrap_or_default();
    Some(Cadence { every, slack: lateness.saturating_add(after).saturating_add(wait) })
}

/// A hash of what the state of a rule depends on: its query's text, and what the streams and tables
/// that it names [are declared](declared) to be. The same in every build: FNV-1a, 64 bits.
pub(super) fn state(sql: &str, declared: &str) -> u64 {
    sql.trim().bytes().chain(declared.bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What the streams and tables of a query are, as a text.
pub(super) fn declared(sides: &[Side]) -> String {
    let mut text = String::new();
    for side in sides {
        text.push('\n');
        text.push_str(&side.schema.definition());
    }
    text
}
