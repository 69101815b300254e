//! What goes wrong in the plant, and when: first a script, so that a short demo shows every kind of
//! thing, then for ever something else. Pure; the same seed gives the same faults.

use fastrand::Rng;

use super::plant::{DEVICES, Kind};

/// One thing that goes wrong with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Somebody leaves the freezer's door open.
    DoorOpen,
    /// The compressor stands still: the freezer warms behind its closed door.
    CompressorOff,
    /// A worn bearing shakes the motor.
    Bearing,
    /// Too much load: the motor draws more, heats up, and trips.
    Overload,
    /// Something smoulders in the room.
    Smoke,
    /// A burner without air.
    CarbonMonoxide,
    /// A pipe leaks.
    Leak,
    /// Somebody walks in the dark.
    Intruder,
}

/// A fault on a device, for a time. Times are seconds since the plant's start.
#[derive(Clone, Copy, Debug)]
struct Planned {
    device: usize,
    fault: Fault,
    from: f64,
    until: f64,
}

/// The opening: device, fault, start, length. The first alert is up, and down again, within half a
/// minute.
const SCRIPT: &[(usize, Fault, f64, f64)] = &[
    (1, Fault::DoorOpen, 1.0, 8.0),
    (4, Fault::Bearing, 5.0, 9.0),
    (7, Fault::Smoke, 10.0, 7.0),
    (8, Fault::Intruder, 14.0, 3.0),
    (5, Fault::Overload, 16.0, 12.0),
    (3, Fault::CompressorOff, 22.0, 14.0),
    (6, Fault::CarbonMonoxide, 30.0, 10.0),
];
/// When the script is over and chance takes its place, seconds.
const SCRIPT_END: f64 = 38.0;

/// What is wrong at the moment, and what comes next.
#[derive(Debug)]
pub(super) struct Schedule {
    planned: Vec<Planned>,
    next_draw: f64,
    rng: Rng,
}

impl Schedule {
    pub(super) fn new(seed: u64) -> Self {
        let scripted = |&(device, fault, from, length): &(usize, Fault, f64, f64)| Planned {
            device,
            fault,
            from,
            until: from + length,
        };
        Self {
            planned: SCRIPT.iter().map(scripted).collect(),
            next_draw: SCRIPT_END,
            rng: Rng::with_seed(seed),
        }
    }

    /// What is wrong with a device at `seconds`. Time must not go backwards.
    pub(super) fn of(&mut self, device: usize, seconds: f64) -> Option<Fault> {
        self.planned.retain(|planned| planned.until > seconds);
        while seconds >= self.next_draw {
            self.draw(self.next_draw);
        }
        let here = |planned: &&Planned| planned.device == device && planned.from <= seconds;
        self.planned.iter().find(here).map(|planned| planned.fault)
    }

    fn draw(&mut self, at: f64) {
        self.next_draw = at + 4.0 + 8.0 * self.rng.f64();
        let device = self.rng.usize(..DEVICES.len());
        if self.planned.iter().any(|planned| planned.device == device) {
            return;
        }
        let fits = match DEVICES[device].kind {
            Kind::Freezer => &[Fault::DoorOpen, Fault::CompressorOff][..],
            Kind::Motor => &[Fault::Bearing, Fault::Overload],
            Kind::Room => &[Fault::Smoke, Fault::CarbonMonoxide, Fault::Leak, Fault::Intruder],
        };
        let fault = fits[self.rng.usize(..fits.len())];
        let length = 8.0 + 10.0 * self.rng.f64();
        self.planned.push(Planned { device, fault, from: at, until: at + length });
    }
}
