//! The figures of an agent's status, shortened: after the first of a session only those that changed are said, by their
//! places among the names of the one before. A status names some dozens of figures, a minute changes few of them, and the
//! names are most of its bytes. What comes out on the far side is what went in.

use super::v1::Status;

/// From this version of the protocol on a status may be shortened.
const SHORTENS: u32 = 2;

/// What one end of a session knows of the last status.
#[derive(Debug)]
pub struct Told {
    last: Option<Status>,
    /// Whether the far side knows what to make of a shortened one.
    shortens: bool,
}

/// A figure that a 64-bit difference says exactly.
fn whole(figure: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within what is exact")]
    (figure.fract() == 0.0 && figure.abs() < EXACT && (figure != 0.0 || figure.is_sign_positive()))
        .then_some(figure as i64)
}

impl Told {
    /// Of a session of this version of the protocol, in which none was told yet.
    pub const fn new(protocol: u32) -> Self {
        Self { last: None, shortens: protocol >= SHORTENS }
    }

    /// The status as it is sent: whole where it is the first, or where more than figures changed.
    pub fn shorten(&mut self, status: Status) -> Status {
        let last = self.last.replace(status.clone());
        let short = last.filter(|last| {
            self.shortens
                && last.metrics.keys().eq(status.metrics.keys())
                && last.sources == status.sources
                && last.running == status.running
        });
        short.map_or(status.clone(), |last| difference(&last, &status))
    }

    /// The status as it was before it was shortened; `None` where it says that it goes on from one that never came.
    pub fn restore(&mut self, status: Status) -> Option<Status> {
        let whole = if status.shortened { restored(self.last.as_ref()?, status)? } else { status };
        self.last = Some(whole.clone());
        Some(whole)
    }
}

fn difference(last: &Status, status: &Status) -> Status {
    let mut short = Status {
        time: status.time,
        uptime_seconds: status.uptime_seconds,
        shortened: true,
        ..Status::default()
    };
    for (place, (before, now)) in (0..).zip(last.metrics.values().zip(status.metrics.values())) {
        match (whole(*before), whole(*now)) {
            _ if before.to_bits() == now.to_bits() => {}
            (Some(before), Some(now)) => {
                short.grown_places.push(place);
                short.grown.push(now - before);
            }
            _ => {
                short.other_places.push(place);
                short.other.push(*now);
            }
        }
    }
    short
}

fn restored(last: &Status, short: Status) -> Option<Status> {
    if short.grown_places.len() != short.grown.len() || short.other_places.len() != short.other.len() {
        return None;
    }
    let mut status = Status { time: short.time, uptime_seconds: short.uptime_seconds, ..last.clone() };
    let mut figures: Vec<&mut f64> = status.metrics.values_mut().collect();
    let mut at = |place: u32, now: &dyn Fn(f64) -> Option<f64>| {
        let figure = figures.get_mut(usize::try_from(place).ok()?)?;
        **figure = now(**figure)?;
        Some(())
    };
    for (place, grown) in short.grown_places.into_iter().zip(short.grown) {
        #[expect(clippy::cast_precision_loss, reason = "both are whole, and their sum is exact")]
        at(place, &|before| Some(whole(before)?.checked_add(grown)? as f64))?;
    }
    for (place, value) in short.other_places.into_iter().zip(short.other) {
        at(place, &|_| Some(value))?;
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::wire::v1::SourceStatus;

    fn status(time: i64, figures: &[f64]) -> Status {
        let metrics = figures.iter().enumerate();
        let metrics = metrics.map(|(i, value)| (format!("weir_something_told_total_{i}"), *value)).collect();
        Status { time, uptime_seconds: time.unsigned_abs(), metrics, ..Status::default() }
    }

    fn figure() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(0.0),
            (-5_i32..5).prop_map(f64::from),
            Just(9_007_199_254_740_991.0),
            Just(f64::MAX),
            // A message does not tell the two zeros apart.
            any::<f64>().prop_map(|figure| figure + 0.0)
        ]
    }

    proptest! {
        #[test]
        fn what_is_shortened_comes_out_whole(
            all in prop::collection::vec((prop::collection::vec(figure(), 2..4), any::<bool>()), 1..8)
        ) {
            let (mut up, mut down) = (Told::new(2), Told::new(2));
            for (i, (figures, connected)) in all.iter().enumerate() {
                let source = SourceStatus { connected: *connected, ..SourceStatus::default() };
                let told = Status { sources: vec![source], ..status(i as i64, figures) };
                let sent = Status::decode(&*up.shorten(told.clone()).encode_to_vec()).unwrap();
                let bits = |status: &Status| {
                    let figures = status.metrics.iter();
                    let figures: Vec<_> = figures.map(|(name, value)| (name.clone(), value.to_bits())).collect();
                    (status.time, status.uptime_seconds, figures, status.sources.clone())
                };
                let heard = down.restore(sent).unwrap();
                prop_assert_eq!(bits(&heard), bits(&told));
                prop_assert!(!heard.shortened);
            }
        }
    }

    #[test]
    fn a_status_that_changes_little_is_short() {
        let mut figures = [1_000_000.0; 60];
        let mut told = Told::new(2);
        assert!(told.shorten(status(1, &figures)).encoded_len() > 2_000);
        figures[7] += 116.0;
        figures[59] += 9.0;
        assert!(told.shorten(status(2, &figures)).encoded_len() < 25);
        let mut older = Told::new(1);
        older.shorten(status(1, &figures));
        assert_eq!(older.shorten(status(2, &figures)), status(2, &figures), "an older hub hears all");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let short = |places: &[u32], grown: &[i64]| Status {
            shortened: true,
            grown_places: places.to_vec(),
            grown: grown.to_vec(),
            ..Status::default()
        };
        assert!(Told::new(2).restore(short(&[], &[])).is_none(), "it goes on from nothing");
        let mut told = Told::new(2);
        told.restore(status(1, &[1.0, 0.5])).unwrap();
        for (places, grown) in
            [(&[0][..], &[][..]), (&[2], &[1]), (&[1], &[1]), (&[0], &[i64::MAX]), (&[u32::MAX], &[1])]
        {
            assert!(told.restore(short(places, grown)).is_none(), "{places:?} {grown:?}");
        }
        assert_eq!(told.restore(short(&[0], &[4])).unwrap().metrics.values().next(), Some(&5.0));
    }
}
