//! What the devices of a run measure: whole numbers that wander across the lines of the rules.
//!
//! Time between two readings of a device is ten minutes or twenty, far longer than anything that is done to the
//! programs takes. So a timer of a rule, which the monotonic clock carries on while a device is quiet, never
//! runs out because something was down: only readings decide, and what is expected can be told from them alone.

use std::fmt::Write as _;

use fastrand::Rng;

/// Seconds between two readings.
pub(crate) const STEP: i64 = 600;
/// When the first reading of every device is taken, about: 2026-01-01.
const BEGIN: i64 = 1_767_225_600;
/// Readings with which everything that a rule holds of a device comes to rest.
pub(crate) const FAREWELL: usize = 4;

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Its number within its device, from 1.
    pub(crate) serial: u64,
    /// Seconds since 1970.
    pub(crate) at: i64,
    /// What was measured.
    pub(crate) value: i64,
}

impl Reading {
    /// As it is published; the device stands in the topic.
    pub(crate) fn payload(self) -> String {
        format!(r#"{{"n":{},"v":{},"ts":{}}}"#, self.serial, self.value, self.at)
    }

    /// As it stands in a recording.
    pub(crate) fn line(self, device: &str) -> String {
        let mut line = self.payload();
        line.pop();
        write!(line, r#","device":"{device}"}}"#).unwrap();
        line
    }
}

/// A device that goes on measuring.
#[derive(Debug)]
pub(crate) struct Source {
    rng: Rng,
    serial: u64,
    at: i64,
    value: i64,
}

impl Source {
    /// One whose readings its seed decides.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        // Not all windows end with the same reading, nor timers with the same second.
        let at = BEGIN + 60 * rng.i64(0..10);
        Self { value: rng.i64(20..60), rng, serial: 0, at }
    }

    /// The next reading.
    pub(crate) fn next(&mut self) -> Reading {
        let wander = match self.rng.u8(..) {
            // It stays about where it is: counts and durations come to their end.
            0..120 => self.rng.i64(-3..=3),
            120..220 => self.rng.i64(-20..=20),
            _ => self.rng.i64(-60..=60),
        };
        self.value = (self.value + wander).clamp(0, 100);
        self.at += if self.rng.u8(..) < 25 { 2 * STEP } else { STEP };
        self.made()
    }

    /// A reading of the farewell, by its place in it.
    pub(crate) fn farewell(&mut self, place: usize) -> Reading {
        self.value = 0;
        self.at += if place == 1 { 6 * STEP } else { STEP };
        self.made()
    }

    fn made(&mut self) -> Reading {
        self.serial += 1;
        Reading { serial: self.serial, at: self.at, value: self.value }
    }
}
