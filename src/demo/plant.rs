//! A plant that does not exist: a cold store, two motors and three rooms, whose values drift and
//! now and then go wrong. Pure: time in, readings out; the same seed gives the same readings.

use fastrand::Rng;
use serde_json::{Value as Json, json};

use super::fault::{Fault, Schedule};
use crate::model::time::Timestamp;

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Temperature in °C, and its door.
    Freezer,
    /// Temperature in °C, vibration in mm/s, current in A, and its state.
    Motor,
    /// Air: temperature in °C, humidity in %, gases as shares, light and motion.
    Room,
}

/// One device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device {
    /// Its name, the last level of its topic.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) kind: Kind,
}

const fn device(name: &'static str, kind: Kind) -> Device {
    Device { name, kind }
}

/// Everything in the plant.
pub(super) const DEVICES: &[Device] = &[
    device("freezer-1", Kind::Freezer),
    device("freezer-2", Kind::Freezer),
    device("freezer-3", Kind::Freezer),
    device("freezer-4", Kind::Freezer),
    device("motor-1", Kind::Motor),
    device("motor-2", Kind::Motor),
    device("room-1", Kind::Room),
    device("room-2", Kind::Room),
    device("room-3", Kind::Room),
];

/// A reading, ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Where to.
    pub(super) topic: String,
    /// A JSON object.
    pub(super) payload: String,
}

/// The plant. Read its devices in any order; time must not go backwards.
#[derive(Debug)]
pub(super) struct Plant {
    start: Timestamp,
    faults: Schedule,
    devices: Vec<State>,
    rng: Rng,
}

/// The slow quantities of one device, which drift towards where its condition drives them. What
/// they are depends on its kind.
#[derive(Clone, Copy, Debug)]
struct State {
    read_at: Timestamp,
    first: f64,
    second: f64,
    third: f64,
}

impl Plant {
    /// A plant in good order at `start`.
    pub(super) fn new(seed: u64, start: Timestamp) -> Self {
        let calm = |device: &Device| {
            let (first, second, third) = device.kind.drive(None);
            State { read_at: start, first: first.0, second: second.0, third: third.0 }
        };
        Self {
            start,
            faults: Schedule::new(seed),
            devices: DEVICES.iter().map(calm).collect(),
            rng: Rng::with_seed(seed.wrapping_add(1)),
        }
    }

    /// What a device of [`DEVICES`] measures at `now`; `None` where there is no such device.
    pub(super) fn read(&mut self, device: usize, now: Timestamp) -> Option<Reading> {
        let fault = self.faults.of(device, now.since(self.start).as_secs_f64());
        let Device { name, kind } = DEVICES.get(device)?;
        let state = self.devices.get_mut(device)?;
        state.drift(kind.drive(fault), now);
        let (area, payload) = match kind {
            Kind::Freezer => ("cold", freezer(state, fault, now, &mut self.rng)),
            Kind::Motor => ("machine", motor(state, fault, now, &mut self.rng)),
            Kind::Room => ("env", room(state, fault, now, name, &mut self.rng)),
        };
        Some(Reading { topic: format!("site/demo/{area}/{name}"), payload: payload.to_string() })
    }
}

impl Kind {
    /// Where a condition drives the three quantities, and how fast: target, and the seconds after
    /// which about two thirds of the way are done.
    fn drive(self, fault: Option<Fault>) -> ((f64, f64), (f64, f64), (f64, f64)) {
        let idle = (0.0, 1.0);
        match (self, fault) {
            // Temperature.
            (Self::Freezer, Some(Fault::DoorOpen)) => ((-6.0, 4.0), idle, idle),
            (Self::Freezer, Some(Fault::CompressorOff)) => ((-8.0, 7.0), idle, idle),
            (Self::Freezer, _) => ((-20.0, 4.0), idle, idle),
            // Temperature, vibration, current.
            (Self::Motor, Some(Fault::Bearing)) => ((66.0, 12.0), (11.0, 1.0), (9.0, 2.0)),
            (Self::Motor, Some(Fault::Overload)) => ((105.0, 4.5), (3.2, 2.0), (15.5, 1.0)),
            (Self::Motor, _) => ((54.0, 4.0), (2.1, 1.5), (8.2, 1.5)),
            // Smoke, CO, humidity.
            (Self::Room, Some(Fault::Smoke)) => ((0.05, 2.0), (0.006, 3.0), (48.0, 5.0)),
            (Self::Room, Some(Fault::CarbonMonoxide)) => ((0.02, 3.0), (0.014, 2.5), (48.0, 5.0)),
            (Self::Room, Some(Fault::Leak)) => ((0.018, 3.0), (0.0045, 3.0), (90.0, 4.0)),
            (Self::Room, _) => ((0.018, 2.0), (0.0045, 2.0), (48.0, 4.0)),
        }
    }
}

impl State {
    fn drift(&mut self, (first, second, third): ((f64, f64), (f64, f64), (f64, f64)), now: Timestamp) {
        let seconds = now.since(self.read_at).as_secs_f64();
        self.read_at = now;
        let towards = |from: &mut f64, (target, pace): (f64, f64)| {
            *from += (target - *from) * (1.0 - (-seconds / pace).exp())
        };
        towards(&mut self.first, first);
        towards(&mut self.second, second);
        towards(&mut self.third, third);
    }
}

fn freezer(state: &State, fault: Option<Fault>, now: Timestamp, rng: &mut Rng) -> Json {
    let door = if fault == Some(Fault::DoorOpen) { "open" } else { "closed" };
    json!({ "temperature": noisy(state.first, 0.3, 2, rng), "door": door, "ts": seconds(now) })
}

fn motor(state: &State, fault: Option<Fault>, now: Timestamp, rng: &mut Rng) -> Json {
    let tripped = fault == Some(Fault::Overload) && state.first > 95.0;
    json!({
        "temperature": noisy(state.first, 0.6, 1, rng),
        "vibration": noisy(state.second, 0.25, 2, rng),
        "current": noisy(state.third, 0.3, 2, rng),
        "state": if tripped { "tripped" } else { "running" },
        "ts": seconds(now),
    })
}

fn room(state: &State, fault: Option<Fault>, now: Timestamp, name: &str, rng: &mut Rng) -> Json {
    let intruder = fault == Some(Fault::Intruder);
    json!({
        "data": {
            "co": noisy(state.second, 0.0002, 6, rng),
            "humidity": noisy(state.third, 0.5, 1, rng),
            "light": !intruder,
            "lpg": noisy(0.0075, 0.0003, 6, rng),
            "motion": intruder,
            "smoke": noisy(state.first, 0.0006, 6, rng),
            "temp": noisy(22.4, 0.2, 1, rng),
        },
        "ts": seconds(now),
        "device": name,
    })
}

/// A value as a sensor gives it: up to `spread` off, with so many digits.
fn noisy(value: f64, spread: f64, digits: i32, rng: &mut Rng) -> f64 {
    let scale = 10_f64.powi(digits);
    ((value + spread * (2.0 * rng.f64() - 1.0)) * scale).round() / scale
}

/// Seconds since 1970, as the devices of the field write it.
#[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit into 53 bits")]
fn seconds(now: Timestamp) -> f64 {
    now.micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// Readings of all devices, one a second.
    fn readings(seed: u64, seconds: u64) -> Vec<(u64, usize, Json)> {
        let mut plant = Plant::new(seed, START);
        let mut found = Vec::new();
        for second in 0..seconds {
            for (device, known) in DEVICES.iter().enumerate() {
                let reading = plant.read(device, START.plus(Duration::from_secs(second))).unwrap();
                assert!(reading.topic.starts_with("site/demo/") && reading.topic.ends_with(known.name));
                found.push((second, device, serde_json::from_str(&reading.payload).unwrap()));
            }
        }
        found
    }

    #[test]
    fn the_same_seed_gives_the_same_day() {
        assert_eq!(readings(7, 120), readings(7, 120));
        assert_ne!(readings(7, 120), readings(8, 120));
    }

    #[test]
    fn the_first_fault_comes_and_goes_in_time() {
        let warm: Vec<u64> = readings(1, 30)
            .into_iter()
            .filter(|(_, device, reading)| *device == 1 && reading["temperature"].as_f64().unwrap() > -15.0)
            .map(|(second, ..)| second)
            .collect();
        assert!(*warm.first().unwrap() <= 5, "{warm:?}");
        assert!(*warm.last().unwrap() <= 16, "{warm:?}");
        assert!(warm.len() > 5, "{warm:?}");
    }

    #[test]
    fn an_hour_has_every_fault_and_ends_in_good_order_somewhere() {
        let hour = readings(3, 3_600);
        let any = |kind: Kind, holds: &dyn Fn(&Json) -> bool| {
            hour.iter().any(|(second, device, reading)| {
                *second > 60 && DEVICES[*device].kind == kind && holds(reading)
            })
        };
        let above = |path: &'static str, limit: f64| {
            move |reading: &Json| reading.pointer(path).unwrap().as_f64().unwrap() > limit
        };
        assert!(any(Kind::Freezer, &|r| r["door"] == "open"));
        assert!(any(Kind::Freezer, &|r| r["door"] == "closed" && r["temperature"].as_f64().unwrap() > -12.0));
        assert!(any(Kind::Motor, &above("/vibration", 8.0)));
        assert!(any(Kind::Motor, &above("/temperature", 85.0)));
        assert!(any(Kind::Motor, &|r| r["state"] == "tripped"));
        assert!(any(Kind::Room, &above("/data/smoke", 0.035)));
        assert!(any(Kind::Room, &above("/data/co", 0.01)));
        assert!(any(Kind::Room, &above("/data/humidity", 80.0)));
        assert!(any(Kind::Room, &|r| r["data"]["motion"] == true));
        let calm = hour
            .iter()
            .filter(|(_, device, r)| *device == 0 && r["temperature"].as_f64().unwrap() < -19.0)
            .count();
        assert!(calm > 2_000, "{calm}");
    }
}
