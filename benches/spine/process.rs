//! What the kernel says about a process, from `/proc`.

use std::fs;

/// Ticks a second of `/proc/PID/stat`; fixed in the kernel's interface on Linux.
const TICKS: u64 = 100;

/// A process that is looked at from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

/// Resident memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident_bytes: u64,
    pub(crate) peak_bytes: u64,
    /// The part that is its own: not the program's and libraries' pages, which the kernel can drop and
    /// several processes share.
    pub(crate) anonymous_bytes: u64,
}

impl Process {
    /// CPU time that its threads have used, user and system, nanoseconds. Taken from the scheduler
    /// where it keeps that, for ticks of 10 ms are coarse beside a short run.
    pub(crate) fn cpu_nanos(self) -> u64 {
        self.scheduled().unwrap_or_else(|| self.ticks() * (1_000_000_000 / TICKS))
    }

    pub(crate) fn memory(self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1_024
        };
        Memory {
            resident_bytes: bytes("VmRSS:"),
            peak_bytes: bytes("VmHWM:"),
            anonymous_bytes: bytes("RssAnon:"),
        }
    }

    fn scheduled(self) -> Option<u64> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0)).ok()? {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            total += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        (total > 0).then_some(total)
    }

    fn ticks(self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        // The name, which may hold anything, ends with the last parenthesis.
        let rest = stat.rsplit(')').next().unwrap();
        rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }
}
