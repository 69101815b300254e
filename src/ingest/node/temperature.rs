//! Temperatures, from the thermal zones and the hardware monitors of `/sys`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::root::{self, Roots};
use super::row::Row;

/// One reading, °C.
struct Reading {
    sensor: String,
    celsius: Option<f64>,
    critical: Option<f64>,
}

/// The highest reading of each sensor so far, °C.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    highest: HashMap<String, f64>,
}

impl Sensors {
    /// The rows of the stream `node_temp`.
    pub(super) fn sample(&mut self, roots: &Roots) -> Vec<Row> {
        let mut readings = zones(roots);
        readings.extend(monitors(roots));
        let mut names: HashMap<String, u32> = HashMap::new();
        readings
            .into_iter()
            .map(|mut reading| {
                let count = names.entry(reading.sensor.clone()).or_default();
                *count += 1;
                if *count > 1 {
                    reading.sensor = format!("{} {count}", reading.sensor);
                }
                let max = self.highest(&reading);
                Row::default()
                    .text("sensor", &reading.sensor)
                    .float("celsius", reading.celsius)
                    .float("max", max)
                    .float("critical", reading.critical)
            })
            .collect()
    }

    fn highest(&mut self, reading: &Reading) -> Option<f64> {
        let before = self.highest.get(&reading.sensor).copied();
        let highest = match (reading.celsius, before) {
            (Some(now), Some(before)) => now.max(before),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return None,
        };
        self.highest.insert(reading.sensor.clone(), highest);
        Some(highest)
    }
}

fn degrees(path: &Path) -> Option<f64> {
    root::value::<i64>(path).map(|millis| millis as f64 / 1_000.0)
}

fn zones(roots: &Roots) -> Vec<Reading> {
    root::numbered(&roots.sys("class/thermal"), "thermal_zone")
        .iter()
        .map(|zone| Reading {
            sensor: root::read(&zone.join("type")).trim().to_owned(),
            celsius: degrees(&zone.join("temp")),
            critical: (0..16)
                .take_while(|i| zone.join(format!("trip_point_{i}_type")).exists())
                .find(|i| root::read(&zone.join(format!("trip_point_{i}_type"))).trim() == "critical")
                .and_then(|i| degrees(&zone.join(format!("trip_point_{i}_temp")))),
        })
        .collect()
}

fn monitors(roots: &Roots) -> Vec<Reading> {
    root::numbered(&roots.sys("class/hwmon"), "hwmon")
        .iter()
        .filter(|monitor| !is_zone(monitor))
        .flat_map(|monitor| inputs(monitor))
        .collect()
}

/// Whether a monitor only shows a thermal zone once more.
fn is_zone(monitor: &Path) -> bool {
    fs::canonicalize(monitor.join("device"))
        .ok()
        .and_then(|device| Some(device.file_name()?.to_str()?.starts_with("thermal_zone")))
        .unwrap_or(false)
}

fn inputs(monitor: &Path) -> Vec<Reading> {
    let name = root::read(&monitor.join("name")).trim().to_owned();
    (1..=64)
        .filter(|i| monitor.join(format!("temp{i}_input")).exists())
        .map(|i| {
            let label = root::read(&monitor.join(format!("temp{i}_label"))).trim().to_owned();
            Reading {
                sensor: if label.is_empty() { format!("{name} temp{i}") } else { format!("{name} {label}") },
                celsius: degrees(&monitor.join(format!("temp{i}_input"))),
                critical: degrees(&monitor.join(format!("temp{i}_crit"))),
            }
        })
        .collect()
}
