//! Where the processors spent their time, from `/proc/stat`.

use std::collections::HashMap;

use super::root::{self, Roots};
use super::row::Row;

/// Ticks in the modes user, nice, system, idle, iowait, irq, softirq, steal. Time in guests is part
/// of user already.
type Ticks = [u64; 8];

/// Shares of the time between two samples, %. Unknown in the first, and where a counter went back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shares {
    pub(super) busy: Option<f64>,
    pub(super) user: Option<f64>,
    pub(super) system: Option<f64>,
    pub(super) iowait: Option<f64>,
    pub(super) irq: Option<f64>,
    pub(super) steal: Option<f64>,
}

/// One core's share, and its clock.
#[derive(Debug)]
pub(super) struct Core {
    name: String,
    busy: Option<f64>,
    megahertz: Option<u64>,
}

impl Core {
    pub(super) fn row(&self) -> Row {
        Row::default().text("core", &self.name).float("cpu", self.busy).int("frequency", self.megahertz)
    }
}

/// The ticks at the last sample.
#[derive(Debug, Default)]
pub(super) struct Cores {
    last: HashMap<String, Ticks>,
}

impl Cores {
    /// The shares of all cores together, and each core.
    pub(super) fn sample(&mut self, roots: &Roots) -> (Shares, Vec<Core>) {
        let current = parse(&roots.proc_text("stat"));
        let clocks = clocks(&roots.proc_text("cpuinfo"));
        let mut total = Shares::default();
        let mut cores = Vec::new();
        for (name, ticks) in &current {
            let shares = self.last.get(name).map(|last| shares(last, ticks)).unwrap_or_default();
            match name.strip_prefix("cpu") {
                Some("") => total = shares,
                Some(number) => {
                    let khz: Option<u64> = root::value(
                        &roots.sys(&format!("devices/system/cpu/{name}/cpufreq/scaling_cur_freq")),
                    );
                    cores.push(Core {
                        busy: shares.busy,
                        megahertz: khz.map(|khz| khz / 1_000).or_else(|| clocks.get(number).copied()),
                        name: name.clone(),
                    });
                }
                None => {}
            }
        }
        self.last = current.into_iter().collect();
        (total, cores)
    }
}

fn parse(stat: &str) -> Vec<(String, Ticks)> {
    stat.lines()
        .filter(|line| line.starts_with("cpu"))
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let name = words.next()?.to_owned();
            let mut ticks = Ticks::default();
            for (tick, word) in ticks.iter_mut().zip(words) {
                *tick = word.parse().ok()?;
            }
            Some((name, ticks))
        })
        .collect()
}

fn shares(last: &Ticks, now: &Ticks) -> Shares {
    let mut spent = Ticks::default();
    for ((spent, now), last) in spent.iter_mut().zip(now).zip(last) {
        match now.checked_sub(*last) {
            Some(increase) => *spent = increase,
            None => return Shares::default(),
        }
    }
    let total: u64 = spent.iter().sum();
    if total == 0 {
        return Shares::default();
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] = spent;
    let share = |ticks: u64| Some(ticks as f64 * 100.0 / total as f64);
    Shares {
        busy: share(total - idle - iowait),
        user: share(user + nice),
        system: share(system),
        iowait: share(iowait),
        irq: share(irq + softirq),
        steal: share(steal),
    }
}

/// MHz by core number, where `/proc/cpuinfo` tells (it does on x86).
fn clocks(cpuinfo: &str) -> HashMap<String, u64> {
    let mut clocks = HashMap::new();
    let mut core = "";
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        match key.trim() {
            "processor" => core = value.trim(),
            "cpu MHz" => {
                if let Some(whole) = value.trim().split('.').next().and_then(|text| text.parse().ok()) {
                    clocks.insert(core.to_owned(), whole);
                }
            }
            _ => {}
        }
    }
    clocks
}
