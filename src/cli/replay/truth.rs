//! What truly happened, as far as a person knows, and how well alerts tell of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::story::Episode;
use crate::model::time::Timestamp;

/// Incidents, each from when an alert of it is of use until it is too late.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Truth {
    pub(super) incidents: Vec<(Timestamp, Timestamp)>,
}

/// How well alerts told of incidents.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Score {
    /// Incidents in which an alert was up.
    pub(super) caught: usize,
    pub(super) missed: usize,
    /// Alerts that were up in no incident.
    pub(super) false_alarms: usize,
    /// How long before the end of an incident its first alert was up: the median of those caught.
    pub(super) lead: Option<Duration>,
}

impl Truth {
    /// Reads a file: a line an incident, `from,until`, each a time. Blank lines, and what begins with `#`, are
    /// passed over; so is a heading.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is none.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("read the incidents {}", file.display()))?;
        let mut incidents = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            if line.is_empty() || (n == 0 && !line.starts_with(|c: char| c.is_ascii_digit())) {
                continue;
            }
            let mut fields = line.split(',').map(Timestamp::parse);
            match (fields.next().flatten(), fields.next().flatten()) {
                (Some(from), Some(until)) if from < until => incidents.push((from, until)),
                _ => bail!(
                    "{}:{}: `{line}` is no incident; write `from,until`, as in `2014-02-07 14:55,2014-02-08 14:30`",
                    file.display(),
                    n + 1
                ),
            }
        }
        Ok(Self { incidents })
    }

    pub(super) fn score(&self, episodes: &[Episode]) -> Score {
        let in_it = |(from, until): (Timestamp, Timestamp), one: &Episode| {
            one.from <= until && one.until.is_none_or(|end| end >= from)
        };
        let mut leads = Vec::new();
        for &(from, until) in &self.incidents {
            let first =
                episodes.iter().filter(|one| in_it((from, until), one)).map(|one| one.from.max(from)).min();
            leads.extend(first.map(|first| until.since(first)));
        }
        leads.sort_unstable();
        let tells = |one: &&Episode| self.incidents.iter().any(|incident| in_it(*incident, one));
        Score {
            caught: leads.len(),
            missed: self.incidents.len() - leads.len(),
            false_alarms: episodes.len() - episodes.iter().filter(tells).count(),
            lead: leads.get(leads.len() / 2).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incidents_are_caught_by_alerts_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("truth.csv");
        std::fs::write(&file, "from,until\n1970-01-01 00:01:40,1970-01-01 00:03:20 # pump\n\n1970-01-01T00:08:20Z,1970-01-01T00:10:00Z\n").unwrap();
        let truth = Truth::read(&file).unwrap();
        let one = |from: i64, until: Option<i64>| Episode {
            key: String::new(),
            from: Timestamp::from_millis(from * 1_000),
            until: until.map(|at| Timestamp::from_millis(at * 1_000)),
            severity: "x".into(),
        };
        // One outside, one that began before the first incident, one more within it.
        let score = truth.score(&[one(10, Some(20)), one(90, Some(120)), one(150, None)]);
        let lead = Some(Duration::from_secs(100));
        assert_eq!(score, Score { caught: 2, missed: 0, false_alarms: 1, lead });
        assert_eq!(truth.score(&[]), Score { caught: 0, missed: 2, false_alarms: 0, lead: None });
        std::fs::write(&file, "2014-02-08,2014-02-07\n").unwrap();
        assert!(Truth::read(&file).unwrap_err().to_string().contains("truth.csv:1: `2014-02-08,2014-02-07`"));
    }
}
