//! Label sets, and the fingerprint that is an alert's identity on the wire.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::value::Value;

/// Names and values, sorted by name.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// The labels that every alert has of itself, as part of its identity: where and by which rule it
/// was raised.
pub const OWN_LABELS: [&str; 3] = ["agent", "ruleset", "alertname"];

/// A value of a key as a label says it. NULL and the empty text are no label: both are empty here.
pub fn as_label(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::Str(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// The identity of an alert: 64-bit FNV-1a over the sorted labels, each name and each value
/// followed by byte 0xFF. Equal to Alertmanager's (`model.LabelSet.Fingerprint` of
/// prometheus/common), so that both sides name an alert alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of a label set.
    pub fn of(labels: &Labels) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut hash = OFFSET;
        let mut byte = |b: u8| hash = (hash ^ u64::from(b)).wrapping_mul(PRIME);
        for (name, value) in labels {
            name.bytes().for_each(&mut byte);
            byte(0xff);
            value.bytes().for_each(&mut byte);
            byte(0xff);
        }
        Self(hash)
    }

    /// Reads the 16 hex digits that `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

/// 16 hex digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are what Alertmanager 0.25 gives for these label sets; more of them stand in
    /// `tests/it/fingerprint.rs`.
    #[test]
    fn equals_alertmanagers() {
        let fp = |pairs: &[(&str, &str)]| {
            let labels = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            Fingerprint::of(&labels).to_string()
        };
        assert_eq!(fp(&[("alertname", "x")]), "d240efc3896bf266");
        assert_eq!(
            fp(&[("agent", "gw-7"), ("alertname", "overheating"), ("device", "motor/3 é")]),
            "d8637760e21c95f2"
        );
        assert_eq!(
            fp(&[
                ("alertname", "freezer-too-warm"),
                ("device", "f1"),
                ("severity", "critical"),
                ("team", "cold-chain")
            ]),
            "e37e92dc2e3a72e6"
        );
    }
}
