//! What a Hello says of the agent's spool, beside what the hub has of it.

use rusqlite::Connection;

use super::agents::{self, Arrival};
use super::epochs::{self, Standing, Turn};
use super::gaps::{self, Cause};
use super::incidents::{self, Kind};
use super::{Error, transitions};
use crate::hub::inbox::{self, Offer};
use crate::hub::record::{TransitionRecord, epoch_text};
use crate::model::ranges::Range;
use crate::model::time::Timestamp;

/// The agent's outbox, as its Hello says it.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Its epoch.
    pub epoch: u64,
    /// Everything up to here was acknowledged; 0 where the agent does not say it.
    pub acknowledged: u64,
    /// Why the epoch began, where the agent says it.
    pub renewed: Option<Renewed>,
}

/// Why an epoch began.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// What happened.
    pub kind: Kind,
    /// The epoch before; 0 where it is not known.
    pub before: u64,
    /// The agent's clock then.
    pub at: Timestamp,
    /// The agent's own words.
    pub note: String,
}

/// Where the hub stands.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// In numbers.
    pub standing: Standing,
    /// The transition with the greatest number of them; `None` where it was given up or lost.
    pub newest: Option<TransitionRecord>,
}

/// Notes that an agent came, and what its Hello tells of files that were restored or damaged.
///
/// # Errors
/// Those of the database.
pub fn note(db: &Connection, arrival: &Arrival, outbox: &Outbox) -> Result<Welcome, Error> {
    let (agent, epoch) = (arrival.agent.as_str(), outbox.epoch);
    agents::arrived(db, arrival)?;
    match epochs::begin(db, agent, epoch)? {
        Turn::None => {}
        Turn::New(last) => renewed(db, arrival, outbox, &last)?,
        Turn::Back(last) => {
            let note = format!(
                "its spool {} is back after another one ({last}): if two machines have this id, give one of them its own; \
                 else a state directory was put back",
                epoch_text(epoch)
            );
            incidents::note(db, agent, Kind::Returned, "", &note, arrival.at)?;
        }
    }
    acknowledged(db, arrival, outbox)?;
    let standing = epochs::standing(db, agent, epoch)?;
    let newest = transitions::at(db, agent, epoch, standing.newest())?;
    Ok(Welcome { standing, newest })
}

/// Another spool than that of the last session.
fn renewed(db: &Connection, arrival: &Arrival, outbox: &Outbox, last: &str) -> Result<(), Error> {
    let about = epoch_text(outbox.epoch);
    let Some(renewed) = &outbox.renewed else {
        let note = format!(
            "its spool is another one ({about} after {last}) and it does not say why: the file was removed, or two machines \
             have this id; what waited in the old one is not sent"
        );
        return incidents::note(db, &arrival.agent, Kind::Replaced, &about, &note, arrival.at);
    };
    let before =
        if renewed.before == 0 { u64::from_str_radix(last, 16).unwrap_or(0) } else { renewed.before };
    // Nothing more will come of it: what is missing between what the hub has is lost.
    let newest = epochs::standing(db, &arrival.agent, before)?.newest();
    give_up(db, arrival, before, newest, Cause::Lost)?;
    let what = match renewed.kind {
        Kind::Rewound => "an older copy of its spool was restored",
        _ => "its spool was damaged and set aside",
    };
    let said = if renewed.note.is_empty() { String::new() } else { format!(" ({})", renewed.note) };
    let note = format!(
        "{what} at {}{said}: of the old one ({}) the hub has what was sent up to {newest}; what waited is lost from {} on",
        renewed.at,
        epoch_text(before),
        newest.saturating_add(1),
    );
    incidents::note(db, &arrival.agent, renewed.kind, &about, &note, arrival.at)
}

/// What the agent was told to be safe here, and is not, is lost: the agent does not have it any more.
fn acknowledged(db: &Connection, arrival: &Arrival, outbox: &Outbox) -> Result<(), Error> {
    let lost = give_up(db, arrival, outbox.epoch, outbox.acknowledged, Cause::Hub)?;
    let (Some((first, _)), Some((_, last))) = (lost.first(), lost.last()) else { return Ok(()) };
    let note = format!(
        "the hub's database is an older copy: of the transitions {first} to {last} of the spool {}, which it had \
         acknowledged, it lacks {}",
        epoch_text(outbox.epoch),
        inbox::count(&lost),
    );
    incidents::note(db, &arrival.agent, Kind::HubRestored, "", &note, arrival.at)
}

/// What the hub lacks of an epoch up to a number will not come.
fn give_up(
    db: &Connection,
    arrival: &Arrival,
    epoch: u64,
    complete: u64,
    cause: Cause,
) -> Result<Vec<Range>, Error> {
    let offer = Offer { complete, ..Offer::default() };
    let before = epochs::settled(db, &arrival.agent, epoch, &offer)?;
    let verdict = inbox::judge(before.clone(), &offer);
    gaps::note(db, &arrival.agent, epoch, &verdict.lost, cause, arrival.at)?;
    epochs::settle(db, &arrival.agent, epoch, &before, &verdict.settled)?;
    Ok(verdict.lost)
}
