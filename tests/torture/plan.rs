//! What is done to whom, and when: decided by the seed alone, so that a seed repeats it.

use std::fmt;

use fastrand::Rng;

/// Places in the agent where it may be ended. `uplink.epoch` is not among them: only a restored backup leads there.
const AGENT_POINTS: [&str; 7] = [
    "core.before_commit",
    "core.committed",
    "core.acked",
    "core.snapshot",
    "spool.before_commit",
    "uplink.sent",
    "uplink.acked",
];
/// Places in the hub.
const HUB_POINTS: [&str; 3] = ["hub.before_commit", "hub.committed", "hub.acked"];

/// Which of the two agents.
pub(crate) type Which = usize;

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// `kill -9` of an agent.
    AgentKilled(Which),
    /// An agent ends at a place, when it is there so many times.
    AgentAt(Which, &'static str, u32),
    /// An agent is told to end.
    AgentStopped(Which),
    HubKilled,
    HubAt(&'static str, u32),
    HubStopped,
    /// The broker is told to end, and saves.
    BrokerStopped,
    /// `kill -9` of the broker: what it had not saved is published again.
    BrokerKilled,
    /// The broker loses what it had saved too: the sessions with all that waited in them are gone, which agents must report.
    BrokerLost,
    /// The wire of an agent is cut.
    Cut(Which),
    /// Nothing comes through the wire of an agent; then it carries again, or is cut.
    Still(Which, bool),
}

impl Deed {
    /// As it is counted.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::AgentKilled(_) => "agent kill -9".to_owned(),
            Self::AgentAt(_, point, _) | Self::HubAt(point, _) => format!("at {point}"),
            Self::AgentStopped(_) => "agent SIGTERM".to_owned(),
            Self::HubKilled => "hub kill -9".to_owned(),
            Self::HubStopped => "hub SIGTERM".to_owned(),
            Self::BrokerStopped => "broker SIGTERM".to_owned(),
            Self::BrokerKilled => "broker kill -9".to_owned(),
            Self::BrokerLost => "broker kill -9, and its file lost".to_owned(),
            Self::Cut(_) => "link cut".to_owned(),
            Self::Still(_, false) => "link still, then mended".to_owned(),
            Self::Still(_, true) => "link still, then cut".to_owned(),
        }
    }

    /// The same where there are only so many agents.
    pub(crate) fn among(self, agents: usize) -> Self {
        match self {
            Self::AgentKilled(which) => Self::AgentKilled(which % agents),
            Self::AgentAt(which, point, nth) => Self::AgentAt(which % agents, point, nth),
            Self::AgentStopped(which) => Self::AgentStopped(which % agents),
            Self::Cut(which) => Self::Cut(which % agents),
            Self::Still(which, then_cut) => Self::Still(which % agents, then_cut),
            other => other,
        }
    }

    /// Whether both can be done at once.
    fn goes_with(&self, other: &Self) -> bool {
        self.victim() != other.victim()
    }

    fn victim(&self) -> (u8, Which) {
        match self {
            Self::AgentKilled(which) | Self::AgentAt(which, ..) | Self::AgentStopped(which) => (0, *which),
            Self::HubKilled | Self::HubAt(..) | Self::HubStopped => (1, 0),
            Self::BrokerStopped | Self::BrokerKilled | Self::BrokerLost => (2, 0),
            Self::Cut(which) | Self::Still(which, _) => (3, *which),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentKilled(which)
            | Self::AgentStopped(which)
            | Self::Cut(which)
            | Self::Still(which, _) => {
                write!(f, "{} of agent {which}", self.kind())
            }
            Self::AgentAt(which, point, nth) => write!(f, "agent {which} ends at {point}:{nth}"),
            Self::HubAt(point, nth) => write!(f, "hub ends at {point}:{nth}"),
            _ => write!(f, "{}", self.kind()),
        }
    }
}

/// One round.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// How long everything runs before, ms.
    pub(crate) before: u64,
    pub(crate) deeds: Vec<Deed>,
    /// How long it lasts until all is mended, ms.
    pub(crate) down: u64,
}

/// The rounds between two checks.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) rounds: Vec<Round>,
    /// Whether the broker may be killed in them: then some readings come twice, and some rules count them twice.
    pub(crate) repeats: bool,
}

/// The plan of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    rng: Rng,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed) }
    }

    /// The next segment, of at most so many rounds.
    pub(crate) fn segment(&mut self, most: usize) -> Segment {
        let repeats = self.rng.u8(..) < 64;
        let count = self.rng.usize(8..=14).min(most);
        Segment { rounds: (0..count).map(|_| self.round(repeats)).collect(), repeats }
    }

    fn round(&mut self, repeats: bool) -> Round {
        let first = self.deed(repeats);
        let mut deeds = vec![first];
        if self.rng.u8(..) < 77 {
            let second = self.deed(repeats);
            if second.goes_with(&deeds[0]) {
                deeds.push(second);
            }
        }
        Round { before: self.rng.u64(50..700), deeds, down: self.rng.u64(0..500) }
    }

    fn deed(&mut self, repeats: bool) -> Deed {
        let which = self.rng.usize(0..2);
        let nth = self.rng.u32(1..=12);
        match self.rng.u8(0..100) {
            0..20 => Deed::AgentKilled(which),
            20..48 => Deed::AgentAt(which, self.pick(&AGENT_POINTS), nth),
            48..52 => Deed::AgentStopped(which),
            52..60 => Deed::HubKilled,
            60..72 => Deed::HubAt(self.pick(&HUB_POINTS), nth),
            72..75 => Deed::HubStopped,
            75..80 if repeats => Deed::BrokerKilled,
            80..83 if repeats => Deed::BrokerLost,
            75..83 => Deed::BrokerStopped,
            83..92 => Deed::Cut(which),
            _ => Deed::Still(which, self.rng.bool()),
        }
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.rng.usize(0..from.len())]
    }
}
