//! What the agent's time went into, as far as this process can tell: its threads by the kernel's account,
//! the stages of the core's thread by the [`meter`](super::meter). Figures grow from the start on.

use serde::{Deserialize, Serialize};

use crate::clock::Clock;

use super::meter::Stage;

/// The figures at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Nanoseconds since the agent started.
    pub nanos: u64,
    /// Messages taken in.
    pub messages: u64,
    /// The CPU time of each of the agent's threads.
    pub threads: Vec<Spent>,
    /// The time of each stage on the core's thread, extrapolated from samples.
    pub stages: Vec<Spent>,
}

/// What one thing took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Its name.
    pub name: String,
    /// Nanoseconds.
    pub nanos: u64,
}

impl Profile {
    /// The figures of this process.
    pub(super) fn of(clock: Clock, messages: u64, stages: &[(Stage, u64)]) -> Self {
        let stage = |(stage, nanos): &(Stage, u64)| Spent { name: stage.name().to_owned(), nanos: *nanos };
        Self {
            nanos: u64::try_from(clock.uptime().as_nanos()).unwrap_or(u64::MAX),
            messages,
            threads: threads(),
            stages: stages.iter().map(stage).collect(),
        }
    }

    /// What was spent since an earlier profile of the same process.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let less = |list: &[Spent], before: &[Spent]| {
            let was =
                |name: &str| before.iter().find(|spent| spent.name == name).map_or(0, |spent| spent.nanos);
            let rest = |spent: &Spent| spent.nanos.saturating_sub(was(&spent.name));
            list.iter().map(|spent| Spent { name: spent.name.clone(), nanos: rest(spent) }).collect()
        };
        Self {
            nanos: self.nanos.saturating_sub(earlier.nanos),
            messages: self.messages.saturating_sub(earlier.messages),
            threads: less(&self.threads, &earlier.threads),
            stages: less(&self.stages, &earlier.stages),
        }
    }
}

/// The CPU time of this process's threads, those of one name together. Empty where the kernel does not
/// tell.
fn threads() -> Vec<Spent> {
    let mut threads: Vec<Spent> = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).ok();
        let (Some(name), Some(account)) = (read("comm"), read("schedstat")) else { continue };
        let Some(nanos) = account.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()) else {
            continue;
        };
        let name = name.trim();
        match threads.iter_mut().find(|spent| spent.name == name) {
            Some(spent) => spent.nanos += nanos,
            None => threads.push(Spent { name: name.to_owned(), nanos }),
        }
    }
    threads
}

/// The names of the agent's own threads, as the kernel shows them.
pub mod thread {
    /// One for each broker: `mqtt-` and the broker's name.
    pub const BROKERS: &str = "mqtt-";
    /// The owner of rules and spool.
    pub const CORE: &str = "core";
    /// The node's metrics.
    pub const NODE: &str = "node";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(name: &str, nanos: u64) -> Spent {
        Spent { name: name.to_owned(), nanos }
    }

    #[test]
    fn a_span_is_the_difference_of_two() {
        let before = Profile { nanos: 10, messages: 1, threads: vec![spent("core", 4)], stages: Vec::new() };
        let threads = vec![spent("core", 9), spent("mqtt-site", 3)];
        let after = Profile { nanos: 30, messages: 6, threads, stages: vec![spent("decode", 2)] };
        let since = after.since(&before);
        assert_eq!((since.nanos, since.messages), (20, 5));
        assert_eq!(since.threads, [spent("core", 5), spent("mqtt-site", 3)]);
        assert_eq!(since.stages, [spent("decode", 2)]);
    }

    #[test]
    fn the_kernel_tells_of_threads() {
        assert!(!threads().is_empty());
    }
}
