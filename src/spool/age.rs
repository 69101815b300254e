//! The outbox's own time: milliseconds that go on while the node is suspended or off, and that no step of the calendar
//! clock moves.
//!
//! Within one boot of the kernel it is the boot's clock, moved by a constant. Over a reboot only the calendar clock says
//! how long the node was off, so what that clock is ahead of this time is written down too; a clock that then stands
//! earlier says nothing, and the time stands still for as long.

use rusqlite::Connection;

use super::{Error, schema};
use crate::model::kept::SpoolTime;

/// A calendar clock before 2024 was never set.
const SET: i64 = 1_704_067_200_000;

/// A step of the calendar clock of less than this is not written down, in milliseconds: each costs a page.
const STEP: u64 = 10_000;

/// The constants of the present boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Age {
    boot: u64,
    /// This time less the boot's.
    base: i64,
    /// The calendar clock less this time; `None` while that was never set.
    ahead: Option<i64>,
    /// It never goes back behind this.
    newest: u64,
    /// What of it the file has.
    saved: Option<(u64, i64, Option<i64>)>,
}

impl Age {
    /// That of a file in which something is known to have happened at `newest`.
    pub(super) fn read(db: &Connection, newest: u64, time: SpoolTime) -> Result<Self, Error> {
        let newest = newest.max(schema::meta(db, "age")?);
        let boot = schema::find_signed(db, "boot")?.map(i64::cast_unsigned);
        let base = schema::find_signed(db, "boot_base")?.unwrap_or(0);
        let ahead = schema::find_signed(db, "calendar_ahead")?;
        let saved = boot.map(|boot| (boot, base, ahead));
        let same = boot == Some(time.boot) && time.boot != 0;
        let base = if same {
            base
        } else {
            let stood = i64::try_from(newest).unwrap_or(i64::MAX);
            let goes_on = match ahead {
                Some(ahead) if time.wall.millis() >= SET => {
                    stood.max(time.wall.millis().saturating_sub(ahead))
                }
                _ => stood,
            };
            goes_on.saturating_sub_unsigned(time.since_boot_ms)
        };
        Ok(Self { boot: time.boot, base, ahead, newest, saved })
    }

    /// The time.
    pub(super) fn at(&self, time: SpoolTime) -> u64 {
        u64::try_from(self.base.saturating_add_unsigned(time.since_boot_ms)).unwrap_or(0).max(self.newest)
    }

    /// Goes on to `time`, and writes down what a later boot needs, where that changed.
    pub(super) fn go_on(&mut self, tx: &Connection, time: SpoolTime) -> Result<u64, Error> {
        self.newest = self.at(time);
        let wall = time.wall.millis();
        if wall >= SET {
            let ahead = wall.saturating_sub_unsigned(self.newest);
            if self.ahead.is_none_or(|known| known.abs_diff(ahead) > STEP) {
                self.ahead = Some(ahead);
            }
        }
        let now = (self.boot, self.base, self.ahead);
        if self.saved != Some(now) {
            schema::set_signed(tx, "boot", self.boot.cast_signed())?;
            schema::set_signed(tx, "boot_base", self.base)?;
            if let Some(ahead) = self.ahead {
                schema::set_signed(tx, "calendar_ahead", ahead)?;
            }
            self.saved = Some(now);
        }
        Ok(self.newest)
    }

    /// Writes down how far it went: rows that told it are about to go.
    pub(super) fn save(&self, tx: &Connection) -> Result<(), Error> {
        schema::set_meta(tx, "age", self.newest)
    }
}
