//! `times`, `levels`, `flapping` and `active`: what a rule says of the lives of its alerts beyond `for` and
//! `keep_firing_for`.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::model::alerting::{Inhibitor, Life};
use crate::model::diagnostic::Place;
use crate::model::schedule::{Flapping, Part, Schedule};
use crate::model::time::parse_span;

use super::definition::{ActiveDef, FlappingDef, InhibitorDef, RuleDef};
use super::report::{Problem, Report};
use super::text::Text;

/// The most observations that may be asked for in a row.
const MOST_TIMES: u16 = 1_000;
/// As many keys as a rule may have.
const MOST_INSTANCES: u32 = 10_000;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Checks what needs no stream.
pub(super) fn read(def: &RuleDef, report: &mut Report) -> Life {
    let levels = levels(def, report);
    if !def.is_state() {
        let flapping = def.flapping.as_ref().and_then(FlappingDef::text);
        let max_instances = def.max_instances.as_ref();
        for (field, text) in
            [("times", def.times.as_ref()), ("flapping", flapping), ("max_instances", max_instances)]
        {
            if let Some(text) = text {
                let problem = whole("field-without-when", format!("`{field}` is for rules with `when`"));
                report.error_at_start(field, text, problem.hint("add `when`, or leave it out"));
            }
        }
    }
    let times = def.times.as_ref().and_then(|text| times(text, report));
    let flapping = match &def.flapping {
        None => Some(Flapping::default()),
        Some(written) => flapping(written, report),
    };
    let parts: Vec<Part> = def.active.iter().filter_map(|part| active(part, report)).flatten().collect();
    let active = (!parts.is_empty()).then(|| Arc::new(Schedule { parts }));
    Life {
        times: times.unwrap_or(1),
        flapping: flapping.filter(|_| def.is_state()),
        active,
        levels,
        max_instances: def
            .max_instances
            .as_ref()
            .and_then(|text| instances(text, report))
            .unwrap_or(Life::MAX_INSTANCES),
        inhibited_by: def.inhibited_by.iter().map(inhibitor).collect(),
    }
}

fn whole(code: &'static str, message: impl Into<String>) -> Problem {
    Problem::new(code, Place::START, message)
}

fn levels(def: &RuleDef, report: &mut Report) -> Box<[Arc<str>]> {
    let Some(first) = def.levels.first() else { return Box::default() };
    for (field, text) in [("when", &def.when), ("clear", &def.clear), ("severity", &def.severity)] {
        if let Some(text) = text {
            let message = format!("`{field}` stands beside `levels`, of which each has its own");
            let problem = whole("bad-value", message).hint(format!("move `{field}` into a level"));
            report.error_at_start(field, text, problem);
        }
    }
    if !(2..=Life::MOST_LEVELS).contains(&def.levels.len()) {
        let message = format!("{} levels; a rule has 2 to {}", def.levels.len(), Life::MOST_LEVELS);
        let hint = "write `when` and `severity` for a rule of one level";
        report.error_at_start("levels[0].severity", &first.severity, whole("bad-value", message).hint(hint));
    }
    let mut found: Vec<Arc<str>> = Vec::new();
    for (at, level) in def.levels.iter().enumerate() {
        let name = level.severity.as_str().trim();
        if found.iter().any(|known| **known == *name) {
            let message = format!("two levels have the severity `{name}`");
            let field = format!("levels[{at}].severity");
            report.error_at_start(&field, &level.severity, whole("bad-value", message));
        }
        found.push(name.into());
    }
    found.truncate(Life::MOST_LEVELS);
    found.into()
}

fn instances(text: &Text, report: &mut Report) -> Option<u32> {
    let found = text.as_str().trim().parse().ok().filter(|most| (1..=MOST_INSTANCES).contains(most));
    if found.is_none() {
        let message = format!("`{}` is no number of alerts", text.as_str());
        let hint = format!("write a number from 1 to {MOST_INSTANCES}");
        report.error_at_start("max_instances", text, whole("bad-value", message).hint(hint));
    }
    found
}

fn inhibitor(written: &InhibitorDef) -> Inhibitor {
    let name = |text: &Text| -> Arc<str> { text.as_str().trim().into() };
    Inhibitor { rule: name(&written.rule), on: written.on.as_ref().map(|on| on.iter().map(name).collect()) }
}

fn times(text: &Text, report: &mut Report) -> Option<u16> {
    let found = text.as_str().trim().parse().ok().filter(|times| (1..=MOST_TIMES).contains(times));
    if found.is_none() {
        let message = format!("`{}` is no number of observations", text.as_str());
        let hint = format!("write a number from 1 to {MOST_TIMES}");
        report.error_at_start("times", text, whole("bad-value", message).hint(hint));
    }
    found
}

impl FlappingDef {
    /// The first text that it is written with.
    fn text(&self) -> Option<&Text> {
        match self {
            Self::Word(word) => Some(word),
            Self::Often { changes, within } => changes.as_ref().or(within.as_ref()),
        }
    }
}

fn flapping(written: &FlappingDef, report: &mut Report) -> Option<Flapping> {
    let (changes, within) = match written {
        FlappingDef::Word(word) if matches!(word.as_str().trim(), "off" | "false") => return None,
        FlappingDef::Word(word) => {
            let problem = whole("bad-value", format!("`{}` is no bound on flapping", word.as_str()));
            let hint = "write `flapping: off`, or `flapping: {changes: 5, within: 10m}`";
            report.error_at_start("flapping", word, problem.hint(hint));
            return None;
        }
        FlappingDef::Often { changes, within } => (changes, within),
    };
    let mut found = Flapping::default();
    if let Some(text) = changes {
        match text.as_str().trim().parse().ok().filter(|changes| (2..=Flapping::MOST).contains(changes)) {
            Some(changes) => found.changes = changes,
            None => {
                let problem = whole("bad-value", format!("`{}` is no number of changes", text.as_str()));
                let hint = format!("write a number from 2 to {}, or `flapping: off`", Flapping::MOST);
                report.error_at_start("flapping.changes", text, problem.hint(hint));
            }
        }
    }
    if let Some(text) = within {
        match parse_span(text.as_str()) {
            Ok(within) if !within.is_zero() => found.within = within,
            Ok(_) => {
                let problem = whole("bad-value", "nothing comes and goes within no time");
                report.error_at_start("flapping.within", text, problem.hint("write a duration as in `10m`"));
            }
            Err(why) => report.error_at_start("flapping.within", text, whole("bad-value", why)),
        }
    }
    Some(found)
}

/// A part of `active`: one for each of its spans of a day and of dates.
fn active(written: &ActiveDef, report: &mut Report) -> Option<Vec<Part>> {
    let mut bad = |field: &str, text: &Text, what: &str, hint: &str| {
        let problem = whole("bad-value", format!("`{}` is {what}", text.as_str()));
        report.error_at_start(&format!("active.{field}"), text, problem.hint(hint));
    };
    let mut days = [written.days.is_empty(); 7];
    for text in &written.days {
        let known = text.as_str().split(',').map(|part| weekdays(part.trim())).collect::<Option<Vec<_>>>();
        match known {
            Some(known) => known.concat().into_iter().for_each(|day| days[day] = true),
            None => bad("days", text, "no day of the week", "write `mon-fri`, or `[sat, sun]`"),
        }
    }
    let mut hours = Vec::new();
    for text in &written.hours {
        match text.as_str().split_once('-').and_then(|(from, until)| Some((minute(from)?, minute(until)?))) {
            Some((from, until)) if from != until && from < 24 * 60 => hours.push((from, until)),
            _ => {
                bad("hours", text, "no span of a day", "write `08:00-18:00`, or `22:00-06:00` over midnight")
            }
        }
    }
    let mut dates = Vec::new();
    for text in &written.dates {
        let said = text.as_str().trim();
        let (first, last) = said.split_once("..").unwrap_or((said, said));
        match first.trim().parse::<Date>().ok().zip(last.trim().parse::<Date>().ok()) {
            Some((first, last)) if first <= last => dates.push(Some((first, last))),
            _ => bad("dates", text, "no date", "write `2026-12-24`, or `2026-12-24..2026-12-26`"),
        }
    }
    let zone = match &written.zone {
        None => TimeZone::UTC,
        Some(text) => match TimeZoneDatabase::bundled().get(text.as_str().trim()) {
            Ok(zone) => zone,
            Err(_) => {
                bad("zone", text, "no time zone", "write its name in the tz database, as in `Europe/Berlin`");
                return None;
            }
        },
    };
    if hours.is_empty() && written.hours.is_empty() {
        hours.push((0, 24 * 60));
    }
    if dates.is_empty() && written.dates.is_empty() {
        dates.push(None);
    }
    let part = |dates: &Option<(Date, Date)>| {
        let (dates, zone) = (*dates, zone.clone());
        hours.iter().map(move |(from, until)| Part {
            days,
            from: *from,
            until: *until,
            dates,
            zone: zone.clone(),
        })
    };
    Some(dates.iter().flat_map(part).collect())
}

/// `mon`, `Monday`, `mon-fri`, `fri-mon`.
fn weekdays(text: &str) -> Option<Vec<usize>> {
    let day = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        let at = DAYS.iter().position(|day| name.starts_with(day))?;
        const REST: [&str; 7] = ["day", "sday", "nesday", "rsday", "day", "urday", "day"];
        let rest = name.get(3..)?;
        (rest.is_empty() || rest == REST[at]).then_some(at)
    };
    match text.split_once('-') {
        None => Some(vec![day(text)?]),
        Some((from, until)) => {
            let (from, until) = (day(from)?, day(until)?);
            Some((0..=(until + 7 - from) % 7).map(|step| (from + step) % 7).collect())
        }
    }
}

/// `8:00`, `08:30`, `24:00`: minutes after midnight.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let (hour, minute): (u16, u16) = if digits(hour) && digits(minute) {
        (hour.parse().ok()?, minute.parse().ok()?)
    } else {
        return None;
    };
    (minute < 60 && (hour < 24 || (hour, minute) == (24, 0))).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_hours_as_people_write_them() {
        assert_eq!(weekdays("mon-fri"), Some(vec![0, 1, 2, 3, 4]));
        assert_eq!(weekdays("fri-Monday"), Some(vec![4, 5, 6, 0]));
        assert_eq!(weekdays("Wednesday"), Some(vec![2]));
        assert_eq!(weekdays("wonday"), None);
        assert_eq!(
            (minute("8:00"), minute("24:00"), minute("24:01"), minute("7")),
            (Some(480), Some(1440), None, None)
        );
    }
}
