//! What was dropped, for `weir status`.

use super::screen::{Screen, table};
use crate::agent::drops::{Dropped, Fate};
use crate::agent::status::Status;

/// The section of the status: what was dropped, the worst first.
pub(super) fn section(status: &Status) -> String {
    let all = status.drops();
    let some: Vec<String> = all.iter().filter(|one| one.count > 0).map(short).collect();
    match some.is_empty() {
        true => "drops none\n".to_owned(),
        false => format!("drops {}; `weir status --drops` says what they mean\n", some.join(", ")),
    }
}

fn short(one: &Dropped) -> String {
    format!("{} {}", one.count, one.name)
}

const fn color(fate: Fate) -> &'static str {
    match fate {
        Fate::Lost => "31",
        Fate::Unused | Fate::Withheld => "33",
    }
}

/// All that can be dropped: what was, with where and what to do; and the names of the rest.
pub(super) fn text(status: &Status, screen: Screen) -> String {
    let all = status.drops();
    let mut text = format!("{}: ", status.agent);
    let (some, none): (Vec<&Dropped>, Vec<&Dropped>) = all.iter().partition(|one| one.count > 0);
    if some.is_empty() {
        text.push_str("nothing was dropped\n");
    } else {
        text.push_str("what was dropped since the start, or of the spool's since its file was made\n");
        let row = |one: &&Dropped| {
            let fate = match one.fate {
                Fate::Lost => "lost",
                Fate::Unused => "unused",
                Fate::Withheld => "withheld",
            };
            (vec![one.count.to_string(), fate.to_owned(), one.name.clone()], color(one.fate))
        };
        let rows: Vec<_> = some.iter().map(row).collect();
        text.push_str(&table(&["COUNT", "FATE", "WHAT"], &rows, screen));
        for one in &some {
            text.push_str(&format!("\n{}: {}\n", one.name, one.what));
            let places: Vec<String> =
                one.by.iter().take(PLACES).map(|(place, count)| format!("{place}: {count}")).collect();
            let more = one.by.len().saturating_sub(PLACES);
            if !places.is_empty() {
                let more = if more > 0 { format!(", and {more} more") } else { String::new() };
                text.push_str(&format!("  where  {}{more}\n", places.join(", ")));
            }
            text.push_str(&format!("  do     {}\n  as     {}\n", one.advice, one.metric));
        }
    }
    let names: Vec<&str> = none.iter().map(|one| &*one.name).collect();
    if !names.is_empty() {
        text.push_str(&format!("\nnone of: {}\n", names.join(", ")));
    }
    text
}

/// So many places are named of each.
const PLACES: usize = 5;
