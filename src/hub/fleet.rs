//! Desired versus reported: which rule sets an agent should run, what it must be told to get
//! there, and where each set stands. Pure: sessions ask, and carry the answer out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::ruleset::{ContentHash, Item};

/// The label under which every agent can be named in a selector.
const AGENT_LABEL: &str = "agent";

/// Which agents a rule set is for: `site=a,role=freezer`, all of which must hold. Empty: all.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selector {
    terms: Vec<(String, String)>,
}

impl Selector {
    /// Reads the text form.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for term in text.split(',').map(str::trim).filter(|term| !term.is_empty()) {
            let (name, value) = term.split_once('=').ok_or_else(|| {
                format!("`{term}` is no label selector; write it as in `site=a,role=freezer`")
            })?;
            // As in Kubernetes, whose `!=` would otherwise be a label that nobody has.
            let value = value.strip_prefix('=').unwrap_or(value);
            if name.ends_with('!') || value.contains('=') {
                return Err(format!("`{term}` is no label selector; write it as in `site=a,role=freezer`"));
            }
            if name.trim().is_empty() {
                return Err(format!("`{term}` names no label; write it as in `site=a`"));
            }
            terms.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Ok(Self { terms })
    }

    /// Whether an agent is meant.
    pub fn matches(&self, agent: &str, labels: &BTreeMap<String, String>) -> bool {
        // An agent cannot pass for another one by a label of that name.
        self.terms.iter().all(|(name, value)| match name.as_str() {
            AGENT_LABEL => value == agent,
            _ => labels.get(name) == Some(value),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.terms.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

/// A rule set as the hub wants it to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSet {
    /// Its name.
    pub name: String,
    /// Rises with each change of the set's text.
    pub revision: u64,
    /// The address of the whole.
    pub hash: ContentHash,
    /// Whom it is for.
    pub target: Selector,
    /// What it holds, in order.
    pub items: Vec<Item>,
}

/// A set that an agent says it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningSet {
    /// The address of what runs; `None` where nothing does.
    pub hash: Option<ContentHash>,
    /// Whether the hub sent it; else it is from a directory of the agent's.
    pub from_hub: bool,
}

/// What an agent is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run this set; the place is that in the list of desired sets. The agent has the items of
    /// the set under `base`, if the hub knows them too.
    Send {
        /// Which of the desired sets.
        place: usize,
        /// The address of what the agent runs under that name.
        base: Option<ContentHash>,
    },
    /// Run this set no more.
    Remove(String),
}

/// What one session knows about its agent's rule sets.
#[derive(Clone, Debug)]
pub struct Standing {
    agent: String,
    labels: BTreeMap<String, String>,
    running: BTreeMap<String, RunningSet>,
    /// What was sent in this session: not sent again unless it fails.
    sent: BTreeMap<String, ContentHash>,
    removed: BTreeSet<String>,
    failed: BTreeMap<String, u32>,
}

impl Standing {
    /// The standing of an agent that just said what it runs.
    pub fn new(agent: &str, labels: BTreeMap<String, String>, running: BTreeMap<String, RunningSet>) -> Self {
        Self {
            agent: agent.to_owned(),
            labels,
            running,
            sent: BTreeMap::new(),
            removed: BTreeSet::new(),
            failed: BTreeMap::new(),
        }
    }

    /// What the agent must be told to come from where it stands to what is desired; marks it as
    /// told.
    pub fn next(&mut self, desired: &[DesiredSet]) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut wanted = BTreeSet::new();
        for (place, set) in desired.iter().enumerate() {
            if !set.target.matches(&self.agent, &self.labels) {
                continue;
            }
            wanted.insert(set.name.as_str());
            self.removed.remove(&set.name);
            // A set from the agent's own directory never stands in for the hub's.
            let own = self.running.get(&set.name).filter(|running| running.from_hub);
            let base = own.and_then(|running| running.hash);
            let told = self.sent.get(&set.name);
            // What was told last decides: the agent may be busy with it, and report it yet.
            if told.map_or(base == Some(set.hash), |told| *told == set.hash) {
                continue;
            }
            self.sent.insert(set.name.clone(), set.hash);
            self.failed.remove(&set.name);
            actions.push(Action::Send { place, base });
        }
        let from_hub = self.running.iter().filter(|(_, set)| set.from_hub).map(|(name, _)| name);
        let managed: BTreeSet<String> = from_hub.chain(self.sent.keys()).cloned().collect();
        for name in managed {
            if !wanted.contains(name.as_str()) && self.removed.insert(name.clone()) {
                self.sent.remove(&name);
                self.failed.remove(&name);
                actions.push(Action::Remove(name));
            }
        }
        actions
    }

    /// The agent took a set over.
    pub fn accepted(&mut self, name: &str, hash: Option<ContentHash>) {
        self.failed.remove(name);
        self.running.insert(name.to_owned(), RunningSet { hash, from_hub: true });
    }

    /// The agent could not take a set over at the moment. True the first time: it may lack
    /// items, and is sent the whole at once. Later, [`Standing::retry`] does it.
    pub fn failed(&mut self, name: &str, hash: Option<ContentHash>) -> bool {
        // Of something that was not sent, or not last.
        if hash.is_none() || self.sent.get(name).copied() != hash {
            return false;
        }
        let times = self.failed.entry(name.to_owned()).or_insert(0);
        *times += 1;
        *times == 1
    }

    /// The agent refused a set for good: it is not sent again in this session unless it changes.
    pub fn refused(&mut self, name: &str) {
        self.failed.remove(name);
    }

    /// The sets to send whole once more, because they failed and nothing was heard since.
    pub fn retry(&self) -> Vec<String> {
        self.failed.keys().cloned().collect()
    }

    /// Whether this is what the agent was sent last under its name, and still is for it. Else it
    /// is for [`Standing::next`] to say what to do.
    pub fn is_told(&self, set: &DesiredSet) -> bool {
        set.target.matches(&self.agent, &self.labels) && self.sent.get(&set.name) == Some(&set.hash)
    }

    /// The agent said again what it runs. A set that it refused because its own directory has one
    /// of that name is sent again once the directory has it no more.
    pub fn runs(&mut self, running: BTreeMap<String, RunningSet>) {
        let from_directory =
            |sets: &BTreeMap<String, RunningSet>, name: &str| sets.get(name).is_some_and(|set| !set.from_hub);
        self.sent.retain(|name, _| !from_directory(&self.running, name) || from_directory(&running, name));
        self.removed.retain(|name| running.contains_key(name));
        self.running = running;
    }
}

/// Where one set stands with one agent, as people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The desired content runs.
    Running,
    /// It was refused for good; what ran before runs on.
    Refused,
    /// It could not be taken over yet.
    Failed,
    /// It is on its way, or waits for the agent to come back.
    Pending,
}

impl Progress {
    /// The name on screens and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Pending => "pending",
        }
    }

    /// From what runs, and from the agent's last report on this set: its hash and outcome. Hashes
    /// are hex.
    pub fn of(desired: &str, running: Option<&str>, report: Option<(&str, &str)>) -> Self {
        if running == Some(desired) {
            return Self::Running;
        }
        match report {
            Some((hash, "rejected")) if hash == desired => Self::Refused,
            Some((hash, "failed")) if hash == desired => Self::Failed,
            _ => Self::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn hash(byte: u8) -> ContentHash {
        ContentHash([byte; 32])
    }

    fn set(name: &str, byte: u8, target: &str) -> DesiredSet {
        DesiredSet {
            name: name.to_owned(),
            revision: u64::from(byte),
            hash: hash(byte),
            target: Selector::parse(target).unwrap(),
            items: Vec::new(),
        }
    }

    fn standing(running: &[(&str, u8, bool)]) -> Standing {
        let labels = [("site".to_owned(), "a".to_owned())].into();
        Standing::new("gw", labels, runs(running))
    }

    fn runs(running: &[(&str, u8, bool)]) -> BTreeMap<String, RunningSet> {
        running
            .iter()
            .map(|(name, byte, from_hub)| {
                ((*name).to_owned(), RunningSet { hash: Some(hash(*byte)), from_hub: *from_hub })
            })
            .collect()
    }

    #[test]
    fn selectors_hold_when_all_terms_do() {
        let labels = [("site".to_owned(), "a".to_owned())].into();
        for (text, holds) in [
            ("", true),
            ("site=a", true),
            (" site = a , ", true),
            ("agent=gw", true),
            ("site=a,agent=other", false),
            ("site=b", false),
            ("role=x", false),
            ("site==a", true),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches("gw", &labels), holds, "{text}");
        }
        assert!(Selector::parse("site").unwrap_err().contains("site=a"));
        assert!(Selector::parse("=a").is_err());
        assert!(Selector::parse("site!=a").is_err());
        let pretends = [("agent".to_owned(), "other".to_owned())].into();
        let by_id = |id: &str| Selector::parse(&format!("agent={id}")).unwrap().matches("gw", &pretends);
        assert!(by_id("gw") && !by_id("other"));
        assert_eq!(Selector::parse(" a=1, b=2").unwrap().to_string(), "a=1,b=2");
    }

    #[test]
    fn only_what_differs_is_sent_and_only_once() {
        let mut agent = standing(&[("same", 1, true), ("old", 1, true)]);
        let desired =
            [set("same", 1, ""), set("old", 2, ""), set("new", 3, "site=a"), set("far", 4, "site=b")];
        let actions = agent.next(&desired);
        assert_eq!(
            actions,
            [Action::Send { place: 1, base: Some(hash(1)) }, Action::Send { place: 2, base: None }]
        );
        assert_eq!(agent.next(&desired), []);
        agent.accepted("old", Some(hash(2)));
        agent.accepted("new", Some(hash(3)));
        assert_eq!(agent.next(&desired), []);
        assert_eq!(
            agent.next(&[set("same", 1, ""), set("old", 5, ""), set("new", 3, "")]),
            [Action::Send { place: 1, base: Some(hash(2)) }]
        );
    }

    #[test]
    fn going_back_to_what_runs_is_told_too() {
        let mut agent = standing(&[("set", 1, true)]);
        assert_eq!(agent.next(&[set("set", 2, "")]).len(), 1);
        assert_eq!(agent.next(&[set("set", 1, "")]), [Action::Send { place: 0, base: Some(hash(1)) }]);
    }

    #[test]
    fn only_the_hubs_own_sets_are_removed() {
        let mut agent = standing(&[("mine", 1, true), ("theirs", 2, false)]);
        assert_eq!(agent.next(&[]), [Action::Remove("mine".to_owned())]);
        assert_eq!(agent.next(&[]), []);
        // A status from before the removal reached the agent changes nothing.
        agent.runs(runs(&[("mine", 1, true), ("theirs", 2, false)]));
        assert_eq!(agent.next(&[]), []);
        agent.runs(runs(&[("theirs", 2, false)]));
        assert_eq!(agent.next(&[set("mine", 1, "")]), [Action::Send { place: 0, base: None }]);
    }

    #[test]
    fn what_was_taken_away_is_not_tried_again() {
        let mut agent = standing(&[]);
        let meant = set("set", 1, "site=a");
        agent.next(std::slice::from_ref(&meant));
        agent.failed("set", Some(hash(1)));
        assert!(agent.is_told(&meant));
        let elsewhere = set("set", 1, "site=b");
        assert!(!agent.is_told(&elsewhere) && !agent.is_told(&set("set", 2, "site=a")));
        assert_eq!(agent.next(&[elsewhere]), [Action::Remove("set".to_owned())]);
        assert!(agent.retry().is_empty() && !agent.is_told(&meant));
        assert!(!agent.failed("set", None), "a report without an address");
    }

    #[test]
    fn a_name_that_the_directory_gave_back_is_tried_again() {
        let mut agent = standing(&[("set", 7, false)]);
        let desired = [set("set", 1, "")];
        assert_eq!(agent.next(&desired).len(), 1);
        agent.refused("set");
        agent.runs(runs(&[("set", 7, false)]));
        assert_eq!(agent.next(&desired), []);
        agent.runs(runs(&[]));
        assert_eq!(agent.next(&desired), [Action::Send { place: 0, base: None }]);
    }

    #[test]
    fn a_failure_is_answered_with_the_whole_once_and_later_by_retries() {
        let mut agent = standing(&[]);
        agent.next(&[set("set", 1, "")]);
        assert!(!agent.failed("set", Some(hash(9))), "a report on something older");
        assert!(agent.failed("set", Some(hash(1))));
        assert!(!agent.failed("set", Some(hash(1))));
        assert_eq!(agent.retry(), ["set"]);
        agent.accepted("set", Some(hash(1)));
        assert!(agent.retry().is_empty());
    }

    #[test]
    fn progress_tells_refusals_of_this_content_only() {
        assert_eq!(Progress::of("a", Some("a"), None), Progress::Running);
        assert_eq!(Progress::of("b", Some("a"), Some(("b", "rejected"))), Progress::Refused);
        assert_eq!(Progress::of("b", Some("a"), Some(("a", "rejected"))), Progress::Pending);
        assert_eq!(Progress::of("b", None, Some(("b", "failed"))), Progress::Failed);
    }
}
