//! The machine, its clock, and the versions of what runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::report::{Line, ok, problem, warning};
use super::running::Running;
use crate::cli::status::bytes;
use crate::cli::table::count;
use crate::model::time::Timestamp;
use crate::uplink::probe::Answer;

/// A clock that shows an earlier time was never set (2025-01-01).
const IS_SET: Timestamp = Timestamp::from_millis(1_735_689_600_000);

/// Milliseconds that the clock may differ from the hub's: less is no matter; more than the last makes the agent doubt
/// its own.
const NEAR_MS: u64 = 2_000;
const APART_MS: u64 = 60_000;

/// What tells of the clock, beside itself.
pub(super) struct Hints {
    /// When the running program was written.
    built: Option<Timestamp>,
    /// Whether systemd's time service says that the clock is synchronised; `None` where it is not there.
    timesyncd: Option<bool>,
    /// Another time service that runs.
    service: Option<&'static str>,
}

impl Hints {
    /// Those of this machine.
    pub(super) fn here() -> Self {
        let there = |path: &str| Path::new(path).exists();
        let built = std::env::current_exe().and_then(fs::metadata).and_then(|meta| meta.modified()).ok();
        let since = built.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let services = [
            ("/run/chrony/chronyd.pid", "chronyd"),
            ("/run/chronyd.pid", "chronyd"),
            ("/run/ntpd.pid", "ntpd"),
        ];
        Self {
            built: since.and_then(|span| i64::try_from(span.as_micros()).ok()).map(Timestamp::from_micros),
            timesyncd: there("/run/systemd/timesync").then(|| there("/run/systemd/timesync/synchronized")),
            service: services.into_iter().find(|(path, _)| there(path)).map(|(_, name)| name),
        }
    }
}

/// Looks at the clock.
pub(super) fn clock(now: Timestamp, hints: &Hints, hub: Option<&Answer>, running: &Running) -> Vec<Line> {
    const CHECK: &str = "clock";
    let mut lines = Vec::new();
    let now = now.floor(Duration::from_secs(1));
    let set = "set it: `timedatectl set-ntp true`, or `date -s`; then restart the agent";
    if now < IS_SET {
        return vec![problem(CHECK, format!("it shows {now}: it was never set"), set)];
    }
    // A day, as time zones get mixed up where files are copied.
    if let Some(built) = hints.built.filter(|built| built.since(now).as_secs() > 86_400) {
        return vec![problem(
            CHECK,
            format!("it shows {now}, before this program was written ({built})"),
            set,
        )];
    }
    let mut said = Vec::new();
    if let Some(answer) = hub {
        let apart = answer.ahead_ms.unsigned_abs();
        let side = if answer.ahead_ms > 0 { "behind" } else { "ahead of" };
        let how = match apart {
            0..10_000 => format!("{apart} ms"),
            _ => crate::model::time::format_span(Duration::from_secs((apart + 500) / 1_000)),
        };
        let found = format!("it shows {now}, {how} {side} the hub's");
        match apart {
            0..NEAR_MS => said.push(format!("{how} {side} the hub's")),
            NEAR_MS..APART_MS => lines.push(warning(
                CHECK,
                found,
                "see which of the two is wrong (`timedatectl`): times of alerts are those of this clock",
            )),
            _ => lines.push(problem(
                CHECK,
                found,
                "see which of the two is wrong (`timedatectl`), set it and restart the agent: so far apart, alerts are marked as of a doubtful clock",
            )),
        }
    }
    match (hints.timesyncd, hints.service) {
        (Some(true), _) => said.push("synchronised by systemd-timesyncd".to_owned()),
        (_, Some(service)) => said.push(format!("{service} runs")),
        (Some(false), None) => lines.push(warning(
            CHECK,
            "systemd-timesyncd has not synchronised it since the machine started",
            "`timedatectl timesync-status` shows why; often the network lets no NTP through (UDP port 123)",
        )),
        (None, None) if hub.is_none() => said.push(
            "nothing here tells whether it is right: no hub that answers, no time service that is known"
                .to_owned(),
        ),
        (None, None) => {}
    }
    if running.status().is_some_and(|status| !status.core.clock_trusted) {
        lines.push(warning(
            CHECK,
            "the agent does not trust it: it was set since the agent started, or is far from the hub's",
            "restart the agent; until then MAX_FUTURE is off, and alerts are marked as of a doubtful clock",
        ));
    }
    if lines.is_empty() {
        said.insert(0, format!("it shows {now}"));
        lines.push(ok(CHECK, said.join("; ")));
    }
    lines
}

/// Looks at the versions of what works together.
pub(super) fn versions(running: &Running, hub: Option<&Answer>) -> Vec<Line> {
    const CHECK: &str = "version";
    let own = env!("CARGO_PKG_VERSION");
    let mut said = vec![format!("weir {own}")];
    let mut lines = Vec::new();
    if let Some(status) = running.status() {
        match &*status.version {
            same if same == own => said.push("the agent that runs is the same".to_owned()),
            other => lines.push(warning(
                CHECK,
                format!("the agent that runs is version {other}, this program {own}"),
                "restart the agent, so that it is the version that is installed",
            )),
        }
    }
    if let Some(answer) = hub {
        said.push(format!("the hub is {}", answer.version));
        lines.extend(super::hub::protocol(answer));
    }
    lines.insert(0, ok(CHECK, said.join("; ")));
    lines
}

/// Fewer descriptors than this may run out: connections, the spool, people who ask.
const FEW_DESCRIPTORS: u64 = 128;
/// Less memory than this is little for an agent with many rules.
const LITTLE_MEMORY: u64 = 32 << 20;

/// Looks at the machine.
pub(super) fn machine() -> Vec<Line> {
    const CHECK: &str = "machine";
    let mut lines = Vec::new();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = sysinfo::System::kernel_version().unwrap_or_else(|_| "unknown".to_owned());
    let mut said = format!("{}, {}, Linux {kernel}", count(cores as u64, "core"), std::env::consts::ARCH);
    let memory = fs::read_to_string("/proc/meminfo").ok();
    let field = |name: &str| memory.as_deref().and_then(|text| kib(text, name)).map(|kib| kib * 1_024);
    let limit =
        fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    if let Some((total, free)) = field("MemTotal:").zip(field("MemAvailable:")) {
        said.push_str(&format!("; memory {}, {} of it free", bytes(total), bytes(free)));
        if let Some(limit) = limit.filter(|limit| *limit < total) {
            said.push_str(&format!(", {} allowed here", bytes(limit)));
        }
        if free.min(limit.unwrap_or(u64::MAX)) < LITTLE_MEMORY {
            lines.push(warning(
                CHECK,
                format!("only {} of memory are free", bytes(free.min(limit.unwrap_or(u64::MAX)))),
                "the system may end the agent when it runs out (`dmesg | grep -i kill`); see what else takes it",
            ));
        }
    }
    let descriptors = getrlimit(Resource::Nofile).current;
    match descriptors {
        Some(most) => said.push_str(&format!("; {most} descriptors a process")),
        None => said.push_str("; any number of descriptors"),
    }
    if let Some(most) = descriptors.filter(|most| *most < FEW_DESCRIPTORS) {
        lines.push(warning(
            CHECK,
            format!("a process may have {most} descriptors only"),
            "raise it: `LimitNOFILE=1024` in the service, or `ulimit -n 1024`",
        ));
    }
    lines.insert(0, ok(CHECK, said));
    lines
}

/// A line of `/proc/meminfo`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::report::Mark;

    fn hints(timesyncd: Option<bool>) -> Hints {
        Hints { built: Timestamp::parse("2026-01-01T00:00:00Z"), timesyncd, service: None }
    }

    fn answer(ahead_ms: i64) -> Answer {
        Answer {
            version: "0.1.0".to_owned(),
            protocol: crate::wire::PROTOCOL,
            ahead_ms,
            took: Duration::ZERO,
            connected: false,
            boot_id: String::new(),
        }
    }

    #[test]
    fn a_clock_is_held_against_all_that_is_known() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let now = at("2026-06-01T00:00:00Z");
        let look = |now, timesyncd, ahead: Option<i64>| {
            let hub = ahead.map(answer);
            let mut lines = clock(now, &hints(timesyncd), hub.as_ref(), &Running::No);
            assert_eq!(lines.len(), 1, "{lines:?}");
            let line = lines.remove(0);
            (line.mark, line.found)
        };
        assert!(look(at("1970-01-01T00:05:00Z"), None, None).1.contains("never set"));
        let early = look(at("2025-12-01T00:00:00Z"), Some(true), Some(0));
        assert!(early.0 == Mark::Problem && early.1.contains("before this program"), "{early:?}");
        assert_eq!(look(now, Some(true), Some(120)).0, Mark::Ok);
        assert_eq!(look(now, Some(false), None).0, Mark::Warning);
        assert_eq!(look(now, None, None).0, Mark::Ok);
        assert!(look(now, None, Some(-5_000)).1.contains("5000 ms ahead of the hub's"));
        let far = look(now, Some(true), Some(7_200_000));
        assert!(far.0 == Mark::Problem && far.1.contains("2h behind the hub's"), "{far:?}");
    }

    #[test]
    fn figures_of_meminfo() {
        let text = "MemTotal:        1000 kB\nMemFree:   1 kB\nMemAvailable:  500 kB\n";
        assert_eq!(kib(text, "MemAvailable:"), Some(500));
        assert_eq!(kib(text, "SwapFree:"), None);
    }
}
