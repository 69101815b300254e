//! What waits, since when and why, as text.

use std::time::Duration;

use crate::agent::status::Waiting;
use crate::cli::alerts::{clean, local, own_labels};
use crate::cli::screen::{Screen, color_of, table};
use crate::cli::status::bytes;
use crate::cli::table::count;
use crate::model::time::{Timestamp, format_span};
use crate::spool::Census;
use crate::wire::record::TransitionRecord;

/// What is known of severities by their rank, the worst first.
const RANKS: [(usize, &str); 4] = [(3, "critical"), (2, "error"), (1, "warning"), (0, "info")];

/// The whole answer.
pub(super) fn text(found: &Waiting, screen: Screen) -> String {
    let name = if found.agent.is_empty() { "the agent".to_owned() } else { clean(&found.agent) };
    let mut text = format!("{name} at {}: {}\n", local(&found.at, &found.at), headline(found));
    for line in why(found) {
        text.push_str(&format!("  {line}\n"));
    }
    if found.page.is_empty() {
        return text;
    }
    let rows: Vec<_> = found.page.iter().map(|one| row(one, &found.at)).collect();
    text.push_str(&table(&["NUMBER", "SEVERITY", "STATE", "SINCE", "RULE", "ALERT", "ID"], &rows, screen));
    let more = found.spool.waiting.saturating_sub(found.page.len() as u64);
    if more > 0 {
        text.push_str(&format!("… {more} more; --limit shows them, and `weir spool export` writes all\n"));
    }
    text
}

fn headline(found: &Waiting) -> String {
    let stats = &found.spool;
    if stats.waiting == 0 {
        return "nothing waits for the hub".to_owned();
    }
    let (wait, s) = if stats.waiting == 1 { ("waits", "") } else { ("wait", "s") };
    let age = stats.oldest_ms.map(|ms| format!(", the oldest for {}", span(ms))).unwrap_or_default();
    format!(
        "{} transition{s} {wait} for the hub, {}{age}{}",
        stats.waiting,
        bytes(stats.waiting_bytes),
        of_which(&found.census)
    )
}

/// How many there are of each severity, and how many may overtake.
fn of_which(census: &Census) -> String {
    let there = RANKS.iter().filter(|(rank, _)| census.ranks[*rank] > 0);
    let mut parts: Vec<String> =
        there.map(|(rank, name)| format!("{} {name}", census.ranks[*rank])).collect();
    if census.urgent > 0 {
        parts.push(format!("{} go before the others", census.urgent));
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// Why it waits, and what went lost meanwhile.
fn why(found: &Waiting) -> Vec<String> {
    let mut lines = Vec::new();
    let link = &found.link;
    let hub = clean(&link.hub);
    if !found.running {
        lines.push("no agent runs there: nothing is sent until one does (`systemctl start weir`)".to_owned());
    }
    match (&*hub, found.running, link.connected, &link.error) {
        ("", true, ..) => lines.push("no hub is configured: add `[hub]` to the configuration".to_owned()),
        (_, false, ..) => {}
        (_, _, false, Some(error)) => {
            lines.push(format!("no link to {hub}{}: {}", since(found), clean(error)))
        }
        (_, _, false, None) => lines.push(format!("no link to {hub} yet")),
        (_, _, true, _) => lines.extend(on_its_way(found, &hub)),
    }
    if let Some(trouble) = &found.disk.trouble {
        let held = match trouble.held {
            0 => String::new(),
            held => format!("; {} more wait in memory until it does ({})", held, bytes(trouble.held_bytes)),
        };
        let since = local(&trouble.since, &found.at);
        lines.push(format!("the disk takes nothing since {since}: {}{held}", clean(&trouble.why)));
    }
    lines.extend(given_up(found));
    if found.disk.given_up > 0 {
        lines.push(format!(
            "{} were given up while the disk took nothing, as memory is bounded",
            found.disk.given_up
        ));
    }
    lines
}

/// What a link that stands does with what waits.
fn on_its_way(found: &Waiting, hub: &str) -> Vec<String> {
    let budget = found.link.held.filter(|held| held.alerts > 0).map(|held| {
        let until = Timestamp::from_micros(held.until).to_string();
        let until = local(&until, &found.at);
        format!("{} of them wait for the byte budget (hub.bytes_per_hour) until {until}", held.alerts)
    });
    let rest = match found.spool.waiting {
        0 => format!("connected to {hub}"),
        _ if budget.is_some() => format!("connected to {hub}; the others are on their way"),
        _ => format!("connected to {hub}; what waits is on its way, and goes once the hub has it"),
    };
    [rest].into_iter().chain(budget).collect()
}

/// Since when there is no link, where that is known.
fn since(found: &Waiting) -> String {
    let since = found.link.down_since.map(|at| Timestamp::from_micros(at).to_string());
    since.map(|at| format!(" since {}", local(&at, &found.at))).unwrap_or_default()
}

/// What went since the outbox was full.
fn given_up(found: &Waiting) -> Option<String> {
    let stats = &found.spool;
    if stats.evicted == 0 {
        return None;
    }
    let ranges = found.given_up.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    let (shown, more): (Vec<String>, usize) = {
        let all: Vec<String> = ranges.collect();
        let more = all.len().saturating_sub(SHOWN);
        (all.into_iter().take(SHOWN).collect(), more)
    };
    let more = if more > 0 { format!(" and {}", count(more as u64, "range")) } else { String::new() };
    let which = match shown.is_empty() {
        true => "the hub knows which".to_owned(),
        false => format!("the hub will be told: numbers {}{more}", shown.join(", ")),
    };
    let superseded = match stats.superseded {
        0 => String::new(),
        some => format!(", {some} of them superseded by newer ones of the same alert"),
    };
    Some(format!(
        "{} were given up since the outbox was full ([spool] max_bytes){superseded}; {which}",
        stats.evicted
    ))
}

/// So many ranges of numbers are named.
const SHOWN: usize = 8;

fn row(one: &TransitionRecord, now: &str) -> (Vec<String>, &'static str) {
    let labels = one.labels.iter().map(|(name, value)| (&**name, &**value));
    let state =
        if one.reason.is_empty() { one.state.clone() } else { format!("{} ({})", one.state, one.reason) };
    let cells = vec![
        one.seq.to_string(),
        clean(&one.severity),
        clean(&state),
        local(&one.recorded_at, now),
        clean(&one.rule),
        own_labels(labels),
        one.fingerprint.chars().take(8).collect(),
    ];
    (cells, color_of(&one.severity))
}

/// A span in at most two units.
fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    let coarse = match seconds {
        0..3_600 => seconds,
        3_600..86_400 => seconds / 60 * 60,
        _ => seconds / 3_600 * 3_600,
    };
    format_span(Duration::from_secs(coarse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::link::{Held, LinkStatus};

    /// What is told of a link with so many that wait.
    fn told(running: bool, waiting: u64, link: LinkStatus) -> Vec<String> {
        let spool = crate::spool::Stats { waiting, ..Default::default() };
        why(&Waiting {
            agent: "gw".to_owned(),
            running,
            at: "2026-01-02T03:04:05Z".to_owned(),
            link,
            spool,
            census: Census::default(),
            disk: Default::default(),
            epoch: String::new(),
            given_up: Vec::new(),
            page: Vec::new(),
        })
    }

    #[test]
    fn the_reason_is_the_one_that_holds() {
        let hub = || LinkStatus { hub: "http://h".to_owned(), ..LinkStatus::default() };
        let held = Held { alerts: 3, until: 1_767_323_045_000_000 };
        let lost = LinkStatus {
            error: Some("refused".to_owned()),
            down_since: Some(1_767_323_000_000_000),
            ..hub()
        };
        for (running, waiting, link, parts) in [
            (true, 1, LinkStatus::default(), &["no hub is configured"][..]),
            (true, 1, hub(), &["no link to http://h yet"]),
            (true, 1, lost.clone(), &["no link to http://h since ", ": refused"]),
            (true, 0, LinkStatus { connected: true, ..hub() }, &["connected to http://h"]),
            (true, 2, LinkStatus { connected: true, ..hub() }, &["what waits is on its way"]),
            (
                true,
                5,
                LinkStatus { connected: true, held: Some(held), ..hub() },
                &["3 of them wait for the byte budget"],
            ),
            (false, 5, lost, &["no agent runs there"]),
        ] {
            let said = told(running, waiting, link).join("\n");
            assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}: {said}");
        }
    }
}
