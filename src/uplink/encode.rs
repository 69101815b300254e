//! The body of a transition as the outbox keeps it: the protocol's own message, without its
//! number, which the outbox gives. What goes into the outbox is what a hub will take: one body
//! that is refused would hold up all that come after it.

use prost::Message;

use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::wire::v1::value::Kind;
use crate::wire::{transition::transition_to_wire, v1};

/// Bytes of the largest body; a hub takes messages of four times that.
const LARGEST: usize = 1 << 20;

/// What a transition says of when it was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The boot of the agent.
    pub boot_id: &'a str,
    /// The node's calendar clock.
    pub recorded_at: Timestamp,
    /// Whether that can be believed: it was set, did not step since the agent's start, and is near the hub's.
    pub clock_trusted: bool,
    /// The hub's clock less the node's, as estimated, ms; `None` before the first session.
    pub skew_ms: Option<i64>,
}

/// A transition as the outbox keeps it, and whether something of it was left out: one that is too large goes without
/// evidence, and if that does not help, its texts are cut, and say how long they were; its identity is that of the whole
/// texts.
pub fn encode(stamp: &Stamp<'_>, transition: &Transition) -> (Vec<u8>, bool) {
    let mut wire = transition_to_wire(0, stamp.boot_id, transition);
    wire.recorded_at = stamp.recorded_at.micros();
    wire.clock_doubted = !stamp.clock_trusted;
    wire.skew_ms = stamp.skew_ms;
    let too_large = wire.encoded_len() > LARGEST;
    if too_large {
        wire.evidence = None;
    }
    if wire.encoded_len() > LARGEST {
        cut_texts(&mut wire);
    }
    (wire.encode_to_vec(), too_large)
}

/// Gives every text an equal share of half the room; the other half is for names and numbers.
fn cut_texts(wire: &mut v1::Transition) {
    let share = LARGEST / 2 / (wire.labels.len() + wire.annotations.len() + wire.values.len()).max(1);
    wire.labels.values_mut().chain(wire.annotations.values_mut()).for_each(|text| cut(text, share));
    for value in wire.values.iter_mut().filter_map(|named| named.value.as_mut()) {
        match &mut value.kind {
            Some(Kind::Text(text) | Kind::Json(text)) => cut(text, share),
            Some(Kind::Data(bytes)) => bytes.truncate(share),
            Some(Kind::Boolean(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Time(_)) | None => {}
        }
    }
}

fn cut(text: &mut String, share: usize) {
    if text.len() > share {
        let length = text.len();
        text.truncate(text.floor_char_boundary(share));
        text.push_str(&format!("… ({length} bytes)"));
    }
}

/// A kept transition with its number. `None` where the bytes are no transition, which only a
/// damaged file can cause.
pub fn decode(seq: u64, body: &[u8]) -> Option<v1::Transition> {
    let mut transition = v1::Transition::decode(body).ok()?;
    transition.seq = seq;
    Some(transition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::label::{Fingerprint, Labels};
    use crate::model::transition::State;
    use crate::model::value::Value;

    fn with_values(values: Vec<Value>) -> Transition {
        let labels: Labels = [("alertname".into(), "hot".into())].into();
        Transition {
            state: State::Firing,
            ruleset: "plant".into(),
            rule: "hot".into(),
            rule_hash: 1,
            fingerprint: Fingerprint::of(&labels),
            labels,
            severity: "critical".into(),
            annotations: Labels::new(),
            values: values
                .into_iter()
                .enumerate()
                .map(|(i, value)| (format!("c{i}").into(), value))
                .collect(),
            starts_at: Timestamp::default(),
            occurred_at: Timestamp::default(),
            recorded_at: Timestamp::default(),
            evidence: None,
            place: 0,
        }
    }

    #[test]
    fn what_a_hub_would_refuse_is_cut_and_says_so() {
        for (texts, bytes) in [(6, 900_000), (5_000, 2_000), (1, 3 << 20)] {
            let long = "é".repeat(bytes / 2);
            let mut values = vec![Value::str(&long); texts];
            values.push(Value::Int(7));
            let (body, cut) = encode(&Stamp::default(), &with_values(values));
            assert!(cut);
            assert!(body.len() <= LARGEST, "{texts} texts of {bytes} bytes: {}", body.len());
            let back = decode(3, &body).unwrap();
            assert_eq!(back.labels["alertname"], "hot");
            let kind = |place: usize| back.values[place].value.as_ref().unwrap().kind.clone();
            assert_eq!(kind(texts), Some(Kind::Integer(7)));
            let Some(Kind::Text(first)) = kind(0) else { panic!("no text") };
            assert!(
                first.starts_with("éé") && first.ends_with(&format!("… ({bytes} bytes)")),
                "{}",
                first.len()
            );
        }
    }

    #[test]
    fn what_fits_goes_as_it_is() {
        let long = "x".repeat(LARGEST - 1_000);
        let (body, cut) = encode(&Stamp::default(), &with_values(vec![Value::str(&long)]));
        assert!(!cut);
        assert_eq!(decode(1, &body).unwrap().values[0].value.as_ref().unwrap().kind, Some(Kind::Text(long)));
    }
}
