//! What became of each rule over a recording: how often its alerts were up, for how long, and of which keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::truth::{Score, Truth};
use crate::model::label::{Fingerprint, OWN_LABELS};
use crate::model::time::{Timestamp, format_span};
use crate::model::transition::{Reason, State, Transition};

/// One alert, from its firing to its end; an occurrence ends as it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Episode {
    /// Its key, by labels.
    pub(super) key: String,
    pub(super) from: Timestamp,
    /// `None` where it is still up.
    pub(super) until: Option<Timestamp>,
    pub(super) severity: Arc<str>,
}

/// What became of one rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) episodes: Vec<Episode>,
    open: BTreeMap<Fingerprint, usize>,
    /// How often it was told as flapping.
    flapping: u64,
}

/// What became of all rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Stories {
    pub(super) rules: BTreeMap<(Arc<str>, Arc<str>), Story>,
    /// The times of the first and of the last reading.
    span: Option<(Timestamp, Timestamp)>,
}

impl Stories {
    /// A reading of this time came.
    pub(super) fn reading(&mut self, at: Timestamp) {
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
    }

    /// The times of the first and of the last reading.
    pub(super) fn span(&self) -> (Timestamp, Timestamp) {
        self.span.unwrap_or_default()
    }

    /// A rule is there, whether or not anything becomes of it.
    pub(super) fn rule(&mut self, set: &Arc<str>, rule: Arc<str>) {
        self.rules.entry((set.clone(), rule)).or_default();
    }

    pub(super) fn transition(&mut self, t: &Transition) {
        let story = self.rules.entry((t.ruleset.clone(), t.rule.clone())).or_default();
        let own = t.labels.iter().filter(|(name, _)| !OWN_LABELS.contains(&&***name));
        let key = || own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        story.flapping += u64::from(t.state == State::Up(Reason::Flapping));
        match t.state {
            State::Resolved(_) => {
                let open = story.open.remove(&t.fingerprint).and_then(|at| story.episodes.get_mut(at));
                if let Some(episode) = open {
                    episode.until = Some(t.occurred_at);
                }
            }
            // What is new of an alert that is up is no other alert.
            State::Firing | State::Up(_) if story.open.contains_key(&t.fingerprint) => {}
            State::Firing | State::Up(_) => {
                story.open.insert(t.fingerprint, story.episodes.len());
                let (from, severity) = (t.occurred_at, t.severity.clone());
                story.episodes.push(Episode { key: key(), from, until: None, severity });
            }
            State::Occurred => {
                let (at, severity) = (t.occurred_at, t.severity.clone());
                story.episodes.push(Episode { key: key(), from: at, until: Some(at), severity });
            }
        }
    }
}

/// The figures of one rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) alerts: usize,
    pub(super) per_day: f64,
    pub(super) up: Duration,
    /// Of the recording, with at least one alert up; between 0 and 1.
    share: f64,
    median: Duration,
    longest: Duration,
    /// Keys with how many alerts each had, the most first.
    keys: Vec<(String, usize)>,
    flapping: u64,
    still_up: usize,
    pub(super) score: Option<Score>,
}

impl Story {
    /// The figures over a recording of this span.
    pub(super) fn figures(&self, span: (Timestamp, Timestamp), truth: Option<&Truth>) -> Figures {
        let (first, last) = span;
        let mut lengths: Vec<Duration> =
            self.episodes.iter().map(|one| one.until.unwrap_or(last).since(one.from)).collect();
        lengths.sort_unstable();
        let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
        self.episodes.iter().for_each(|one| *keys.entry(&one.key).or_default() += 1);
        let mut keys: Vec<(String, usize)> = keys.into_iter().map(|(key, n)| (key.to_owned(), n)).collect();
        keys.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
        let days = last.since(first).as_secs_f64() / 86_400.0;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_day = if days > 0.0 { self.episodes.len() as f64 / days } else { 0.0 };
        let up: Duration = lengths.iter().sum();
        let busy = self.busy(last);
        Figures {
            alerts: self.episodes.len(),
            per_day,
            up,
            share: if days > 0.0 { busy.as_secs_f64() / (days * 86_400.0) } else { 0.0 },
            median: lengths.get(lengths.len() / 2).copied().unwrap_or_default(),
            longest: lengths.last().copied().unwrap_or_default(),
            keys,
            flapping: self.flapping,
            still_up: self.open.len(),
            score: truth.map(|truth| truth.score(&self.episodes)),
        }
    }

    /// How long at least one alert was up.
    fn busy(&self, last: Timestamp) -> Duration {
        let mut spans: Vec<(Timestamp, Timestamp)> =
            self.episodes.iter().map(|one| (one.from, one.until.unwrap_or(last))).collect();
        spans.sort_unstable();
        let (mut busy, mut until) = (Duration::ZERO, Timestamp::MIN);
        for (from, to) in spans {
            busy += to.since(from.max(until));
            until = until.max(to);
        }
        busy
    }
}

/// The heading of [`Figures::cells`].
pub(super) fn heading(truth: bool) -> Vec<&'static str> {
    let mut heading =
        vec!["alerts", "a day", "up in all", "of the time", "median", "longest", "keys", "most of"];
    if truth {
        heading.extend(["caught", "false", "lead"]);
    }
    heading
}

impl Figures {
    pub(super) fn cells(&self) -> Vec<String> {
        let most = self.keys.first().filter(|(key, _)| !key.is_empty());
        let mut notes: Vec<String> = most.map(|(key, n)| format!("{key} ({n})")).into_iter().collect();
        if self.flapping > 0 {
            notes.push(format!("flapped {}×", self.flapping));
        }
        if self.still_up > 0 {
            notes.push(format!("{} still up", self.still_up));
        }
        let mut cells = vec![
            self.alerts.to_string(),
            if self.per_day >= 10.0 {
                format!("{:.0}", self.per_day)
            } else {
                format!("{:.2}", self.per_day)
            },
            brief(self.up),
            format!("{:.1}%", self.share * 100.0),
            brief(self.median),
            brief(self.longest),
            self.keys.len().to_string(),
            notes.join(", "),
        ];
        if let Some(score) = &self.score {
            cells.push(format!("{} of {}", score.caught, score.caught + score.missed));
            cells.push(score.false_alarms.to_string());
            cells.push(score.lead.map(brief).unwrap_or_default());
        }
        cells
    }

    pub(super) fn json(&self) -> Json {
        let keys: Vec<Json> = self.keys.iter().map(|(key, n)| json!({ "key": key, "alerts": n })).collect();
        let mut json = json!({
            "alerts": self.alerts,
            "per_day": self.per_day,
            "up_seconds": self.up.as_secs_f64(),
            "share_of_time": self.share,
            "median_seconds": self.median.as_secs_f64(),
            "longest_seconds": self.longest.as_secs_f64(),
            "keys": keys,
            "flapping": self.flapping,
            "still_up": self.still_up,
        });
        if let Some(score) = &self.score {
            json["caught"] = score.caught.into();
            json["missed"] = score.missed.into();
            json["false_alarms"] = score.false_alarms.into();
            json["lead_seconds"] = score.lead.map(|lead| lead.as_secs_f64()).into();
        }
        json
    }
}

/// A span in at most two units.
pub(super) fn brief(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format_span(Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(0))),
        60..3_600 => format_span(Duration::from_secs(seconds)),
        3_600..86_400 => format_span(Duration::from_secs(seconds / 60 * 60)),
        _ => format_span(Duration::from_secs(seconds / 3_600 * 3_600)),
    }
}
