//! The agent's own share of the machine: what its control group (version 2) lets it have, and what it takes of that. In a
//! container, and under a unit with limits, that is less than the machine, whose figures the other streams tell.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rate::Counted;
use super::root::{Roots, read, value};
use super::row::{Row, percent};

/// The counters of the last sample.
#[derive(Debug, Default)]
pub(super) struct Group {
    counted: Counted<3>,
}

impl Group {
    /// The one row; none where the agent is in no such group.
    pub(super) fn sample(&mut self, roots: &Roots, span: Duration) -> Vec<Row> {
        let Some(own) = find(&roots.own_text("cgroup"), roots.groups()) else { return Vec::new() };
        let limit = |file: &str| least(&own, roots.groups(), |dir| value::<u64>(&dir.join(file)));
        let (used, most) = (value(&own.join("memory.current")), limit("memory.max"));
        let (processes, most_processes) = (value(&own.join("pids.current")), limit("pids.max"));
        let cores = least(&own, roots.groups(), quota);
        let stat = read(&own.join("cpu.stat"));
        let counter = |name: &str| keyed(&stat, name).unwrap_or_default();
        let counters = [counter("usage_usec"), counter("nr_periods"), counter("nr_throttled")];
        let rates = self.counted.rates(&[(String::new(), counters)], span);
        let [busy, periods, throttled] = rates.first().copied().unwrap_or_default();
        let throttled = throttled.zip(periods.filter(|periods| *periods > 0.0));
        let row = Row::default()
            .int("mem_used", used)
            .int("mem_limit", most)
            .float("mem_used_pct", percent(used, most))
            .int("oom_kills", keyed(&read(&own.join("memory.events")), "oom_kill"))
            .float("cpu_cores", busy.map(|micros| micros / 1e6))
            .float("cpu_limit", cores)
            .float("cpu_throttled_pct", throttled.map(|(throttled, periods)| throttled * 100.0 / periods))
            .int("processes", processes)
            .int("processes_limit", most_processes);
        vec![row]
    }
}

/// The directory of the group that `/proc/self/cgroup` names. In a container that may be a path of the host, of which only
/// the own part is there: at the root.
fn find(own: &str, groups: &Path) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    [groups.join(path), groups.to_owned()].into_iter().find(|dir| dir.join("cgroup.controllers").exists())
}

/// The least limit of a group and those around it: each of them holds.
fn least<T: PartialOrd>(own: &Path, groups: &Path, limit: impl Fn(&Path) -> Option<T>) -> Option<T> {
    let around = own.ancestors().take_while(|dir| dir.starts_with(groups));
    around.filter_map(limit).reduce(|least, other| if other < least { other } else { least })
}

/// How many cores' time a group may take; `None` for any.
fn quota(dir: &Path) -> Option<f64> {
    let text = read(&dir.join("cpu.max"));
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0.0).then(|| quota / period)
}

/// The number behind a name, of a line each.
fn keyed(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}
