//! What the transitions of one alert have in common is sent once a session, as a series, and transitions refer to it.
//! Both ends hold the same bounded list of them: the sender decides which goes when the list is full, by giving its id
//! to another. They are held as bytes, which take a fraction of the memory of what they say.

use std::collections::HashMap;

use prost::Message as _;

use super::v1;

/// How many series a session has at most.
pub const MOST: u32 = 128;

/// Bytes of the largest series; the transitions of an alert whose is larger go in full.
pub const LARGEST: usize = 2 * 1024;

/// The sender's side.
#[derive(Debug, Default)]
pub struct Compactor {
    /// By fingerprint.
    held: HashMap<u64, Held>,
    /// Counts the transitions, so that the series that was not used for the longest goes first.
    turn: u64,
}

#[derive(Debug)]
struct Held {
    id: u32,
    body: Box<[u8]>,
    used: u64,
}

impl Compactor {
    /// Takes out of the transitions of a message what their series say, and gives the series that the receiver does not
    /// have, which go in the same message.
    pub fn compact(&mut self, message: Vec<v1::Transition>) -> (Vec<v1::Series>, Vec<v1::Transition>) {
        let before = self.turn;
        let mut new = Vec::new();
        let compact = message.into_iter().map(|whole| self.compact_one(whole, before, &mut new)).collect();
        (new, compact)
    }

    fn compact_one(
        &mut self,
        transition: v1::Transition,
        before: u64,
        new: &mut Vec<v1::Series>,
    ) -> v1::Transition {
        self.turn += 1;
        let turn = self.turn;
        if let Some(held) = self.held.get_mut(&transition.fingerprint) {
            // What it wrote itself it can read.
            let series = v1::Series::decode(&*held.body).unwrap_or_default();
            if says(&series, &transition) {
                held.used = turn;
                return without(transition, &series);
            }
        }
        let mut series = series_of(&transition);
        if series.encoded_len() > LARGEST {
            return transition;
        }
        let Some(id) = self.id_for(transition.fingerprint, before) else { return transition };
        series.id = id;
        let held = Held { id, body: series.encode_to_vec().into(), used: turn };
        self.held.insert(transition.fingerprint, held);
        let compact = without(transition, &series);
        new.push(series);
        compact
    }

    /// The id for the series of an alert: the one that it has, one that is free, or another's. An id means one thing in a
    /// message, so what was used since `before` stays: `None` where that is all.
    fn id_for(&mut self, fingerprint: u64, before: u64) -> Option<u32> {
        if let Some(held) = self.held.get(&fingerprint) {
            return (held.used <= before).then_some(held.id);
        }
        match u32::try_from(self.held.len()) {
            Ok(count) if count < MOST => Some(count + 1),
            _ => {
                let (alert, oldest) = self.held.iter().min_by_key(|(_, held)| held.used)?;
                let alert = (oldest.used <= before).then_some(*alert)?;
                self.held.remove(&alert).map(|held| held.id)
            }
        }
    }
}

/// Why a series or a transition cannot be taken: the session is not worth going on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// An id that no sender gives.
    #[error("a series has the id {0}; ids go from 1 to {MOST}")]
    Id(u32),
    /// More than it may have.
    #[error("the series {0} is larger than {LARGEST} bytes")]
    Size(u32),
    /// A transition of a series that was not sent.
    #[error("a transition is of the series {0}, which this session did not send")]
    Unknown(u32),
    /// Values without names.
    #[error("a transition has more values than its series {0} has names")]
    Values(u32),
}

/// The receiver's side.
#[derive(Debug, Default)]
pub struct Expander {
    /// By id, from 1.
    held: Vec<Option<Box<[u8]>>>,
}

impl Expander {
    /// Takes a series that came.
    ///
    /// # Errors
    /// Where the sender is not one of ours.
    pub fn define(&mut self, series: &v1::Series) -> Result<(), Wrong> {
        let id = series.id;
        let place = id.checked_sub(1).filter(|_| id <= MOST).ok_or(Wrong::Id(id))?;
        let place = usize::try_from(place).map_err(|_| Wrong::Id(id))?;
        let body = series.encode_to_vec();
        // The sender measures it before it has its id.
        if body.len() > LARGEST + 8 {
            return Err(Wrong::Size(id));
        }
        if self.held.len() <= place {
            self.held.resize(place + 1, None);
        }
        self.held[place] = Some(body.into());
        Ok(())
    }

    /// The whole transition.
    ///
    /// # Errors
    /// Where it refers to what was not sent.
    pub fn expand(&self, mut transition: v1::Transition) -> Result<v1::Transition, Wrong> {
        let id = std::mem::take(&mut transition.series);
        let Some(place) = id.checked_sub(1) else { return Ok(transition) };
        let body = usize::try_from(place).ok().and_then(|place| self.held.get(place)?.as_deref());
        let series = body.and_then(|body| v1::Series::decode(body).ok()).ok_or(Wrong::Unknown(id))?;
        if transition.values.len() > series.names.len() {
            return Err(Wrong::Values(id));
        }
        transition.ruleset = series.ruleset;
        transition.rule = series.rule;
        transition.rule_hash = series.rule_hash;
        transition.fingerprint = series.fingerprint;
        transition.labels = series.labels;
        for (named, name) in transition.values.iter_mut().zip(series.names) {
            named.name = name;
        }
        if let Some(evidence) = &mut transition.evidence
            && evidence.columns.is_empty()
        {
            evidence.columns = series.columns;
        }
        if transition.boot_id.is_empty() {
            transition.boot_id = series.boot_id;
        }
        if transition.severity.is_empty() {
            transition.severity = series.severity;
        }
        for (name, text) in series.annotations {
            transition.annotations.entry(name).or_insert(text);
        }
        Ok(transition)
    }
}

/// A series that says all that it can of a transition.
fn series_of(transition: &v1::Transition) -> v1::Series {
    v1::Series {
        id: 0,
        ruleset: transition.ruleset.clone(),
        rule: transition.rule.clone(),
        rule_hash: transition.rule_hash,
        fingerprint: transition.fingerprint,
        labels: transition.labels.clone(),
        names: transition.values.iter().map(|named| named.name.clone()).collect(),
        columns: transition.evidence.iter().flat_map(|seen| seen.columns.clone()).collect(),
        boot_id: transition.boot_id.clone(),
        severity: transition.severity.clone(),
        annotations: transition.annotations.clone(),
    }
}

/// Whether a transition can be told by a series, so that it comes back as it was.
fn says(series: &v1::Series, transition: &v1::Transition) -> bool {
    // What is empty in a transition is the series' own when it comes back.
    let can_say = |own: &str, common: &str| !own.is_empty() || common.is_empty();
    let columns =
        transition.evidence.as_ref().is_none_or(|seen| !seen.columns.is_empty() || series.columns.is_empty());
    series.fingerprint == transition.fingerprint
        && series.rule_hash == transition.rule_hash
        && series.ruleset == transition.ruleset
        && series.rule == transition.rule
        && series.labels == transition.labels
        && series.names.iter().eq(transition.values.iter().map(|named| &named.name))
        && columns
        && can_say(&transition.boot_id, &series.boot_id)
        && can_say(&transition.severity, &series.severity)
        && series.annotations.keys().all(|name| transition.annotations.contains_key(name))
}

/// A transition without what its series says.
fn without(mut transition: v1::Transition, series: &v1::Series) -> v1::Transition {
    transition.series = series.id;
    transition.ruleset.clear();
    transition.rule.clear();
    transition.rule_hash = 0;
    transition.fingerprint = 0;
    transition.labels.clear();
    transition.values.iter_mut().for_each(|named| named.name.clear());
    if let Some(evidence) = &mut transition.evidence
        && evidence.columns == series.columns
    {
        evidence.columns.clear();
    }
    if transition.boot_id == series.boot_id {
        transition.boot_id.clear();
    }
    if transition.severity == series.severity {
        transition.severity.clear();
    }
    transition.annotations.retain(|name, text| series.annotations.get(name) != Some(text));
    transition
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
        prop::collection::btree_map("[ab]", "[xy]{0,2}", 0..3)
    }

    fn evidence() -> impl Strategy<Value = Option<v1::Evidence>> {
        let columns = prop::collection::vec("[ab]", 0..2);
        prop::option::of(columns.prop_map(|columns| v1::Evidence { columns, readings: Vec::new() }))
    }

    fn transition() -> impl Strategy<Value = v1::Transition> {
        let values = prop::collection::vec(("[ab]{0,1}", prop::option::of(0_i64..3)), 0..3);
        let texts = (texts(), texts(), "[rs]", "[cd]{0,1}", "[12]{0,1}");
        (0_u64..6, 0_u64..2, 1_u64..9, texts, values, evidence()).prop_map(
            |(
                fingerprint,
                rule_hash,
                seq,
                (labels, annotations, rule, severity, boot_id),
                values,
                evidence,
            )| {
                let value = |i| v1::Value { kind: Some(v1::value::Kind::Integer(i)) };
                let values = values
                    .into_iter()
                    .map(|(name, number)| v1::NamedValue { name, value: number.map(value) })
                    .collect();
                v1::Transition {
                    seq,
                    fingerprint,
                    rule_hash,
                    rule,
                    labels,
                    annotations,
                    severity,
                    boot_id,
                    values,
                    evidence,
                    ..Default::default()
                }
            },
        )
    }

    proptest! {
        /// Whatever came before: what was compacted comes back as it was.
        #[test]
        fn what_was_compacted_comes_back_as_it_was(
            messages in prop::collection::vec(prop::collection::vec(transition(), 0..6), 0..12),
        ) {
            let (mut compactor, mut expander) = (Compactor::default(), Expander::default());
            for message in messages {
                let (new, compact) = compactor.compact(message.clone());
                new.iter().try_for_each(|series| expander.define(series)).unwrap();
                let whole: Result<Vec<_>, _> = compact.into_iter().map(|each| expander.expand(each)).collect();
                prop_assert_eq!(whole, Ok(message));
            }
        }
    }

    fn of(fingerprint: u64, label: &str) -> v1::Transition {
        let labels = [("device".to_owned(), label.to_owned())].into();
        v1::Transition { seq: 7, fingerprint, labels, ..Default::default() }
    }

    #[test]
    fn a_series_goes_once_and_again_after_others_took_its_place() {
        let (mut compactor, mut expander) = (Compactor::default(), Expander::default());
        let mut sent = |fingerprint: u64| {
            let (new, mut compact) = compactor.compact(vec![of(fingerprint, "f")]);
            assert!(compact[0].labels.is_empty());
            new.iter().for_each(|series| expander.define(series).unwrap());
            assert_eq!(expander.expand(compact.remove(0)), Ok(of(fingerprint, "f")));
            new.len()
        };
        let most = u64::from(MOST);
        assert_eq!((1..=most).map(&mut sent).sum::<usize>(), 128);
        assert_eq!((1..=most).map(&mut sent).sum::<usize>(), 0);
        // The one that was not used for the longest makes room.
        assert_eq!(sent(1), 0);
        assert_eq!((sent(most + 1), sent(1), sent(3), sent(2)), (1, 0, 0, 1));
    }

    #[test]
    fn a_message_of_more_alerts_than_there_are_ids_comes_back_too() {
        let (mut compactor, mut expander) = (Compactor::default(), Expander::default());
        for round in 0..3 {
            let message: Vec<_> = (0..300).map(|i| of(i + round * 50, "f")).collect();
            let (new, compact) = compactor.compact(message.clone());
            assert!(new.len() <= 128, "{}", new.len());
            new.iter().for_each(|series| expander.define(series).unwrap());
            let whole: Vec<_> = compact.into_iter().map(|each| expander.expand(each).unwrap()).collect();
            assert_eq!(whole, message);
        }
    }

    #[test]
    fn what_is_too_large_goes_in_full() {
        let large = vec![of(1, &"x".repeat(LARGEST))];
        assert_eq!(Compactor::default().compact(large.clone()), (Vec::new(), large));
    }

    #[test]
    fn what_no_sender_of_ours_sends_is_refused() {
        let mut expander = Expander::default();
        let series = |id| v1::Series { id, ..Default::default() };
        assert_eq!(expander.define(&series(0)), Err(Wrong::Id(0)));
        assert_eq!(expander.define(&series(MOST + 1)), Err(Wrong::Id(MOST + 1)));
        let large = v1::Series { rule: "r".repeat(LARGEST + 9), ..series(1) };
        assert_eq!(expander.define(&large), Err(Wrong::Size(1)));
        let mut transition = v1::Transition { series: 2, ..Default::default() };
        assert_eq!(expander.expand(transition.clone()), Err(Wrong::Unknown(2)));
        expander.define(&series(2)).unwrap();
        assert_eq!(expander.expand(transition.clone()), Ok(v1::Transition::default()));
        transition.values.push(v1::NamedValue::default());
        assert_eq!(expander.expand(transition), Err(Wrong::Values(2)));
    }
}
