//! What is announced and up, told as a digest once everything else is told, and in full where the hub asks for it.

use prost::Message as _;

use crate::wire::digest::{Digest, item};
use crate::wire::transition::transition_to_wire;
use crate::wire::v1::{self, agent_message::Message as Up};

use super::ask::ask;
use super::retry::End;
use super::window::{BATCH, BATCH_BYTES};
use super::{Active, Identity, Port, Request};

/// How often in a session the hub may repair itself and be told the digest again. If that does not help, more of it
/// does not either.
const REPAIRS: u32 = 3;

/// Where this stands in a session.
#[derive(Debug)]
pub(super) struct Reconcile {
    /// Whether the digest is to be sent.
    due: bool,
    /// The hub asks for the set, as of this number or later.
    asked: Option<u64>,
    repairs: u32,
}

impl Reconcile {
    /// For a session; `due` where its hub knows of digests.
    pub(super) const fn new(due: bool) -> Self {
        Self { due, asked: None, repairs: 0 }
    }

    /// The hub asks for the set.
    pub(super) const fn asked(&mut self, seq: u64) {
        self.asked = Some(seq);
    }

    /// What is to be sent, now that everything up to `sent` is.
    pub(super) async fn next(
        &mut self,
        sent: u64,
        epoch: u64,
        identity: &Identity,
        port: &Port,
    ) -> Result<Vec<Up>, End> {
        if !self.due && self.asked.is_none() {
            return Ok(Vec::new());
        }
        // There is more to send meanwhile, or what is up cannot be told at the moment: later.
        let active = ask(&port.requests, Request::Active).await?.filter(|active| active.seq <= sent);
        let Some(active) = active else { return Ok(Vec::new()) };
        let mut messages = Vec::new();
        if self.asked.take().is_some() {
            self.due = self.repairs < REPAIRS;
            if !self.due {
                tracing::error!(
                    "what the hub has of the alerts that are up differs again and again; see its log"
                );
            }
            self.repairs += 1;
            messages = set(epoch, &active, &identity.boot_id);
        }
        if std::mem::take(&mut self.due) {
            messages.push(Up::Digest(digest(epoch, &active)));
        }
        Ok(messages)
    }
}

fn digest(epoch: u64, active: &Active) -> v1::Digest {
    let items = active.alerts.iter().map(|alert| item(alert.fingerprint, alert.starts_at, &alert.severity));
    let Digest { count, sum } = items.collect();
    v1::Digest { epoch, seq: active.seq, count, sum }
}

/// The set, in messages of a bounded size.
fn set(epoch: u64, active: &Active, boot_id: &str) -> Vec<Up> {
    let part = |alerts| v1::ActiveSet { epoch, seq: active.seq, alerts, last: false };
    let mut parts = Vec::new();
    let (mut alerts, mut bytes) = (Vec::new(), 0);
    for alert in &active.alerts {
        let wire = transition_to_wire(0, boot_id, alert);
        bytes += wire.encoded_len();
        alerts.push(wire);
        if bytes >= BATCH_BYTES || alerts.len() >= BATCH {
            parts.push(part(std::mem::take(&mut alerts)));
            bytes = 0;
        }
    }
    parts.push(v1::ActiveSet { last: true, ..part(alerts) });
    parts.into_iter().map(Up::Active).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::label::{Fingerprint, Labels};
    use crate::model::time::Timestamp;
    use crate::model::transition::{State, Transition};

    fn up(fingerprint: u64) -> Transition {
        Transition {
            state: State::Firing,
            ruleset: "plant".into(),
            rule: "hot".into(),
            rule_hash: 1,
            fingerprint: Fingerprint(fingerprint),
            labels: Labels::new(),
            severity: "critical".into(),
            annotations: Labels::new(),
            values: Vec::new(),
            starts_at: Timestamp::from_micros(5),
            occurred_at: Timestamp::default(),
            recorded_at: Timestamp::default(),
            evidence: None,
            place: 0,
        }
    }

    #[test]
    fn a_set_goes_in_parts_of_which_the_last_says_so() {
        for (count, parts) in [(0, 1), (1, 1), (200, 2), (450, 3)] {
            let active = Active { seq: 7, alerts: (0..count).map(up).collect() };
            let said = set(9, &active, "boot");
            assert_eq!(said.len(), parts, "{count}");
            let sets = said.into_iter().map(|up| match up {
                Up::Active(set) => set,
                other => panic!("{other:?}"),
            });
            let sets: Vec<_> = sets.collect();
            assert_eq!(sets.iter().map(|set| set.last).filter(|last| *last).count(), 1);
            assert!(sets.last().unwrap().last && sets.iter().all(|set| (set.epoch, set.seq) == (9, 7)));
            assert_eq!(sets.iter().map(|set| set.alerts.len() as u64).sum::<u64>(), count);
        }
    }

    #[test]
    fn the_digest_is_that_of_the_alerts() {
        let active = Active { seq: 7, alerts: vec![up(1), up(2)] };
        let said = digest(9, &active);
        let each = |alert| item(Fingerprint(alert), Timestamp::from_micros(5), "critical");
        assert_eq!((said.count, said.sum), (2, each(1).wrapping_add(each(2))));
    }
}
