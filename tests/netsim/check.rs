//! What agent and hub hold in the end, against what was published.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value as Json;
use weir::hub::store::transitions::{self, AlertFilter};
use weir::wire::record::TransitionRecord;

use super::plan::Plan;

/// Every reading led to one transition, which the hub has once, those of an alert in order; and nobody knows of any
/// that is missing, or waits for one.
///
/// # Errors
/// What differs.
pub(crate) fn all_arrived(plan: &Plan, outbox: &Json, dir: &Path) -> Result<(), String> {
    let db = Connection::open(dir.join("hub/hub.db")).map_err(|error| error.to_string())?;
    let at_hub = transitions::after(&db, 0, u32::MAX).map_err(|error| error.to_string())?;
    let mut wrong = Vec::new();
    numbers(plan, &at_hub, &mut wrong);
    states(plan, &at_hub, &mut wrong);
    let gaps: i64 =
        db.query_row("SELECT count(*) FROM gaps", [], |row| row.get(0)).map_err(|e| e.to_string())?;
    if gaps > 0 {
        wrong.push(format!("the hub believes that {gaps} ranges are lost"));
    }
    let filter = AlertFilter { firing: true, limit: u32::MAX, ..AlertFilter::default() };
    let up = transitions::alerts(&db, &filter).map_err(|error| error.to_string())?;
    firing(plan, &up, &mut wrong);
    let figures = ["waiting", "evicted", "newest"].map(|name| outbox[name].as_u64());
    if figures != [0, 0, plan.readings.len() as u64].map(Some) {
        wrong.push(format!("the outbox holds {outbox} after {} readings", plan.readings.len()));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// One number space, of which each number came once.
fn numbers(plan: &Plan, at_hub: &[TransitionRecord], wrong: &mut Vec<String>) {
    let mut seqs: Vec<u64> = at_hub.iter().map(|transition| transition.seq).collect();
    seqs.sort_unstable();
    if seqs != (1..=plan.readings.len() as u64).collect::<Vec<_>>() {
        wrong.push(format!("{} readings, and the hub has {seqs:?}", plan.readings.len()));
    }
    if at_hub.iter().any(|transition| transition.epoch != at_hub[0].epoch) {
        wrong.push("the outbox was numbered anew".to_owned());
    }
}

/// The states of each alert in the hub's order are those of its readings.
fn states(plan: &Plan, at_hub: &[TransitionRecord], wrong: &mut Vec<String>) {
    let mut expected: BTreeMap<&str, Vec<(u64, &str, &str)>> = BTreeMap::new();
    for (n, reading) in plan.readings.iter().enumerate() {
        let (state, severity) = reading.becomes;
        expected.entry(&reading.device).or_default().push((n as u64, state, severity));
    }
    let mut found: BTreeMap<&str, Vec<(u64, &str, &str)>> = BTreeMap::new();
    for transition in at_hub {
        let device = transition.labels.get("device").map_or("", String::as_str);
        let n = transition.values.0.iter().find(|(name, _)| &**name == "n").and_then(|(_, n)| n.as_u64());
        // That of one that ends is what it was before.
        let severity = if transition.state == "firing" { transition.severity.as_str() } else { "" };
        found.entry(device).or_default().push((n.unwrap_or(u64::MAX), &transition.state, severity));
    }
    for (device, states) in &expected {
        let came = found.remove(device).unwrap_or_default();
        if came != *states {
            wrong.push(format!("{device}\n  should be {states:?}\n  is        {came:?}"));
        }
    }
    for (device, states) in found {
        wrong.push(format!("{device} should not be there: {states:?}"));
    }
}

/// The hub shows as up what is up.
fn firing(plan: &Plan, up: &[TransitionRecord], wrong: &mut Vec<String>) {
    let mut expected: BTreeMap<&str, bool> = BTreeMap::new();
    for reading in &plan.readings {
        expected.insert(&reading.device, reading.becomes.0 == "firing");
    }
    let mut expected: Vec<&str> =
        expected.into_iter().filter(|(_, up)| *up).map(|(device, _)| device).collect();
    let mut shown: Vec<&str> = up.iter().map(|alert| alert.labels["device"].as_str()).collect();
    expected.sort_unstable();
    shown.sort_unstable();
    if expected != shown {
        wrong.push(format!("the hub shows {shown:?} as firing, and it is {expected:?}"));
    }
}
