//! The spool: the file that holds what waits for the hub.

use std::io::ErrorKind;
use std::sync::Arc;

use super::config::Set;
use super::report::{Line, ok, problem, warning};
use super::running::Running;
use crate::agent::status::{Disk, Status};
use crate::cli::status::{bytes, span};
use crate::cli::table::count;
use crate::clock;
use crate::config::AgentConfig;
use crate::control::{self, store};
use crate::model::ruleset::Origin;
use crate::plan::Limits;
use crate::spool::{Error, Look, Stats};

const CHECK: &str = "spool";

/// Looks into the file, where no agent has it. What the agent ran last is given, too.
pub(super) fn look(config: &AgentConfig) -> (Vec<Set>, Vec<Line>) {
    let path = config.spool_path();
    let shown = path.display();
    let size = match std::fs::metadata(&path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return (Vec::new(), vec![ok(CHECK, "there is none yet: the agent makes it at its first start")]);
        }
        Err(error) => {
            let advice = "run this as root, or as the user that the agent runs as";
            return (Vec::new(), vec![problem(CHECK, format!("{shown}: {error}"), advice)]);
        }
    };
    let look = match Look::open(&path, clock::spool_time()) {
        Ok(look) => look,
        Err(error) => return (Vec::new(), vec![refused(&error)]),
    };
    let mut lines = Vec::new();
    match look.check() {
        Ok(None) => {}
        Ok(Some(why)) => lines.push(damaged(&format!("{shown} is damaged: {why}"))),
        Err(error) => lines.push(damaged(&error.to_string())),
    }
    let (found, known) = look.schema();
    let age = match found == known {
        true => String::new(),
        false => format!("; schema {found}, which the agent brings up to {known} when it starts"),
    };
    if lines.is_empty() {
        let stats = look.spool().stats(clock::spool_time());
        lines.extend(waiting(config, &stats, &format!("{shown}, {}{age}", bytes(size))));
    }
    (sets(&look), lines)
}

/// What a running agent says of it.
pub(super) fn of(config: &AgentConfig, status: &Status) -> Vec<Line> {
    let mut lines = waiting(config, &status.core.spool, "the agent has it open");
    lines.extend(disk(&status.core.disk));
    let lost: u64 = status
        .drops()
        .iter()
        .filter(|one| one.fate == crate::agent::drops::Fate::Lost)
        .map(|one| one.count)
        .sum();
    if lost > 0 {
        lines.push(warning(
            "drops",
            format!("{lost} things were dropped that count as lost"),
            "`weir status --drops` says which, and what to do about each",
        ));
    }
    lines
}

fn disk(disk: &Disk) -> Option<Line> {
    let trouble = disk.trouble.as_ref()?;
    Some(problem(
        CHECK,
        format!(
            "the disk takes nothing since {}: {}; {} wait in memory",
            trouble.since,
            trouble.why,
            count(trouble.held, "transition")
        ),
        "make room on the disk, or mend it: the agent goes on by itself when it can write again",
    ))
}

/// What waits, and whether that comes near to what may.
fn waiting(config: &AgentConfig, stats: &Stats, what: &str) -> Vec<Line> {
    let since =
        stats.oldest_ms.map(|ms| format!(", the oldest for {}", span(ms / 1_000))).unwrap_or_default();
    let waits = match stats.waiting {
        0 => "nothing waits".to_owned(),
        some => format!("{} ({}) for the hub{since}", count(some, "transition"), bytes(stats.waiting_bytes)),
    };
    let found = format!("{what}; {waits}");
    let most = config.spool.max_bytes;
    let mut lines = vec![match stats.waiting_bytes.saturating_mul(10) > most.saturating_mul(9) {
        true => warning(
            CHECK,
            format!("{found}, of {} at most", bytes(most)),
            "see why the hub takes nothing (`weir spool`): what comes next drives out what matters least",
        ),
        false => ok(CHECK, found),
    }];
    if stats.evicted > 0 {
        lines.push(warning(
            CHECK,
            format!(
                "{} were given up since the file was made, as the outbox was full",
                count(stats.evicted, "transition")
            ),
            "the hub is told which; raise `spool.max_bytes` where the link is often down for long",
        ));
    }
    lines
}

fn damaged(found: &str) -> Line {
    problem(
        CHECK,
        found,
        "check the disk (`dmesg`), keep a copy of the file, and start the agent: it sets a damaged file aside and begins a new one, and tells the hub",
    )
}

fn refused(error: &Error) -> Line {
    match error {
        Error::Taken { path } => warning(
            CHECK,
            format!("{} is held by an agent that does not answer here", path.display()),
            "see which process has it (`fuser` or `lsof` on the file); one that hangs must be ended",
        ),
        Error::Newer { found, known, .. } => problem(
            CHECK,
            format!("a newer version wrote it: schema {found}, this one knows {known}"),
            "install that version again; or move the file away (what waits in it is then not sent)",
        ),
        Error::Damaged { .. } => damaged(&error.to_string()),
        other => problem(CHECK, other.to_string(), "see who may read it, and look at the disk"),
    }
}

/// The rule sets that ran last, compiled here.
fn sets(look: &Look) -> Vec<Set> {
    let compile = |(name, body): &(Arc<str>, Vec<u8>)| {
        let kept = store::decode(body)?;
        let admitted =
            control::admit(name, kept.origin, kept.revision, &kept.items, None, &Limits::default());
        let is_of_directory = kept.origin == Origin::Directory;
        Some(Set { name: name.to_string(), plan: admitted.ok()?.plan, is_of_directory })
    };
    look.rulesets().iter().filter_map(compile).collect()
}

/// What is to be said, whether an agent runs or not.
pub(super) fn lines(config: &AgentConfig, running: &Running) -> (Vec<Set>, Vec<Line>) {
    match running {
        Running::Yes(status) => (Vec::new(), of(config, status)),
        Running::Mute => (Vec::new(), Vec::new()),
        Running::No => look(config),
    }
}
