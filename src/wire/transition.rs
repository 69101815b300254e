//! Transitions and their values, to and from the wire.
//!
//! The way back ends in plain values and names, not in `model::transition::Transition`: a receiver
//! keeps the names of states and reasons that are younger than itself as they came.

use std::collections::BTreeMap;

use super::v1;
use crate::model::label::Labels;
use crate::model::time::Timestamp;
use crate::model::transition::{Evidence, Reading, State, Transition};
use crate::model::value::Value;

/// A transition as it travels, under the sequence number that the spool gave it.
pub fn transition_to_wire(seq: u64, boot_id: &str, transition: &Transition) -> v1::Transition {
    v1::Transition {
        seq,
        state: state_to_wire(transition.state).into(),
        reason: transition.state.reason().to_owned(),
        ruleset: transition.ruleset.to_string(),
        rule: transition.rule.to_string(),
        rule_hash: transition.rule_hash,
        fingerprint: transition.fingerprint.0,
        labels: labels_to_wire(&transition.labels),
        severity: transition.severity.to_string(),
        annotations: labels_to_wire(&transition.annotations),
        values: transition
            .values
            .iter()
            .map(|(name, value)| v1::NamedValue { name: name.to_string(), value: Some(value_to_wire(value)) })
            .collect(),
        starts_at: transition.starts_at.micros(),
        occurred_at: transition.occurred_at.micros(),
        recorded_at: transition.recorded_at.micros(),
        boot_id: boot_id.to_owned(),
        evidence: transition.evidence.as_ref().map(|seen| evidence_to_wire(seen, transition.occurred_at)),
        // What is known of the node's clock is for who records it.
        clock_doubted: false,
        skew_ms: None,
        series: 0,
    }
}

fn evidence_to_wire(evidence: &Evidence, occurred_at: Timestamp) -> v1::Evidence {
    let reading = |reading: &Reading| v1::Reading {
        before: occurred_at.micros().wrapping_sub(reading.at.micros()),
        values: reading.values.iter().map(value_to_wire).collect(),
    };
    v1::Evidence {
        columns: evidence.columns.iter().map(ToString::to_string).collect(),
        readings: evidence.readings.iter().map(reading).collect(),
    }
}

/// When a reading was, of a transition that occurred then.
pub fn reading_at(reading: &v1::Reading, occurred_at: i64) -> Timestamp {
    Timestamp::from_micros(occurred_at.wrapping_sub(reading.before))
}

/// The name of a state on the wire, as screens and JSON show it. A state that is younger than
/// this program is named by its number.
pub fn state_name(state: i32) -> String {
    match v1::transition::State::try_from(state) {
        Ok(v1::transition::State::Firing) => "firing".to_owned(),
        Ok(v1::transition::State::Resolved) => "resolved".to_owned(),
        Ok(v1::transition::State::Occurred) => "occurred".to_owned(),
        Ok(v1::transition::State::Unspecified) => "unspecified".to_owned(),
        Err(_) => format!("state-{state}"),
    }
}

/// A value as it travels.
pub fn value_to_wire(value: &Value) -> v1::Value {
    use v1::value::Kind;
    let kind = match value {
        Value::Null => None,
        Value::Bool(b) => Some(Kind::Boolean(*b)),
        Value::Int(i) => Some(Kind::Integer(*i)),
        Value::Float(x) => Some(Kind::Float(*x)),
        Value::Str(s) => Some(Kind::Text(s.to_string())),
        Value::Time(at) => Some(Kind::Time(at.micros())),
        Value::Bytes(bytes) => Some(Kind::Data(bytes.to_vec())),
        Value::Array(_) | Value::Struct(_) => Some(Kind::Json(value.to_json().to_string())),
    };
    v1::Value { kind }
}

/// A value from the wire. What cannot be read (JSON that is none) is kept as text.
pub fn value_from_wire(value: &v1::Value) -> Value {
    use v1::value::Kind;
    match &value.kind {
        None => Value::Null,
        Some(Kind::Boolean(b)) => Value::Bool(*b),
        Some(Kind::Integer(i)) => Value::Int(*i),
        Some(Kind::Float(x)) => Value::float(*x),
        Some(Kind::Text(s)) => Value::str(s),
        Some(Kind::Time(micros)) => Value::Time(Timestamp::from_micros(*micros)),
        Some(Kind::Data(bytes)) => Value::Bytes(bytes.as_slice().into()),
        Some(Kind::Json(text)) => match serde_json::from_str(text) {
            Ok(json) => Value::from_json(&json),
            Err(_) => Value::str(text),
        },
    }
}

fn state_to_wire(state: State) -> v1::transition::State {
    match state {
        State::Firing | State::Up(_) => v1::transition::State::Firing,
        State::Resolved(_) => v1::transition::State::Resolved,
        State::Occurred => v1::transition::State::Occurred,
    }
}

fn labels_to_wire(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::label::Fingerprint;
    use crate::model::transition::Reason;
    use std::sync::Arc;

    #[test]
    fn values_come_back_as_they_went() {
        let mut object = std::collections::BTreeMap::new();
        object.insert(Arc::from("a"), Value::Int(1));
        for value in [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Float(-0.1),
            Value::str("é"),
            Value::Time(Timestamp::from_micros(-5)),
            Value::Bytes(Arc::from([0_u8, 255].as_slice())),
            Value::Array(Arc::from([Value::Int(1), Value::Null].as_slice())),
            Value::Struct(Arc::new(object)),
        ] {
            assert_eq!(value_from_wire(&value_to_wire(&value)), value);
        }
    }

    #[test]
    fn json_that_is_none_is_kept_as_text() {
        let wire = v1::Value { kind: Some(v1::value::Kind::Json("{".to_owned())) };
        assert_eq!(value_from_wire(&wire), Value::str("{"));
    }

    #[test]
    fn a_transition_keeps_what_it_says() {
        let labels: Labels = [("alertname".into(), "hot".into())].into();
        let wire = transition_to_wire(
            7,
            "boot",
            &Transition {
                state: State::Resolved(Reason::RuleChanged),
                ruleset: "plant".into(),
                rule: "hot".into(),
                rule_hash: 3,
                fingerprint: Fingerprint::of(&labels),
                labels,
                severity: "critical".into(),
                annotations: Labels::new(),
                values: vec![("t".into(), Value::Float(1.5))],
                starts_at: Timestamp::from_micros(1),
                occurred_at: Timestamp::from_micros(2),
                recorded_at: Timestamp::from_micros(3),
                place: 0,
                evidence: Some(Evidence {
                    columns: vec!["t".into(), "state".into()],
                    readings: vec![Reading {
                        at: Timestamp::from_micros(-7),
                        values: vec![Value::Float(1.5), Value::Null],
                    }],
                }),
            },
        );
        assert_eq!(state_name(wire.state), "resolved");
        assert_eq!(wire.reason, "rule_changed");
        assert_eq!((wire.seq, wire.starts_at, wire.occurred_at, wire.recorded_at), (7, 1, 2, 3));
        assert_eq!(wire.labels["alertname"], "hot");
        let evidence = wire.evidence.unwrap();
        assert_eq!(evidence.columns, ["t", "state"]);
        assert_eq!(evidence.readings[0].before, 9);
        assert_eq!(reading_at(&evidence.readings[0], wire.occurred_at).micros(), -7);
        assert_eq!(value_from_wire(&evidence.readings[0].values[0]), Value::Float(1.5));
        assert_eq!(state_name(99), "state-99");
    }
}
