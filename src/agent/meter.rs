//! Where the time of the core's thread goes, stage by stage. Messages are measured by sample, commits
//! each; the figures grow from the start on, and whoever wants those of a span takes the difference of
//! two. Never decides anything.

/// What a piece of time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Messages into rows.
    Decode,
    /// Rows through the rules: the index, the rules it finds, the windows.
    Rules,
    /// Observations into alerts.
    Alert,
    /// Transactions of the spool.
    Spool,
}

impl Stage {
    /// All, in the order of a reading's way.
    pub const ALL: [Self; 4] = [Self::Decode, Self::Rules, Self::Alert, Self::Spool];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Rules => "rules",
            Self::Alert => "alert",
            Self::Spool => "spool",
        }
    }
}

/// Each how manieth message is measured: reading a clock costs as much as deciding a message.
const SAMPLE: u64 = 64;

/// The time spent so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    clock: Option<fn() -> u64>,
    spent: [u64; Stage::ALL.len()],
    seen: u64,
    /// When the present lap began, and for how many of its kind it stands; `None` where nothing is measured.
    lap: Option<(u64, u64)>,
}

impl Meter {
    /// With a clock that counts nanoseconds from anywhere; without one nothing is measured.
    pub(super) fn new(clock: Option<fn() -> u64>) -> Self {
        Self { clock, ..Self::default() }
    }

    /// A message comes: it may be one of those that are measured.
    pub(super) fn message(&mut self) {
        self.seen += 1;
        let measured = self.seen.is_multiple_of(SAMPLE);
        self.lap = self.clock.filter(|_| measured).map(|clock| (clock(), SAMPLE));
    }

    /// A piece of work begins that is measured each time.
    pub(super) fn begin(&mut self) {
        self.lap = self.clock.map(|clock| (clock(), 1));
    }

    /// What was done since the last lap belongs to this stage.
    pub(super) fn lap(&mut self, stage: Stage) {
        let (Some(clock), Some((began, weight))) = (self.clock, self.lap) else { return };
        let now = clock();
        let spent = &mut self.spent[stage as usize];
        *spent = spent.saturating_add(now.saturating_sub(began).saturating_mul(weight));
        self.lap = Some((now, weight));
    }

    /// Nanoseconds by stage since the start.
    pub(super) fn spent(&self) -> impl Iterator<Item = (Stage, u64)> {
        Stage::ALL.into_iter().zip(self.spent)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    static NOW: AtomicU64 = AtomicU64::new(0);

    fn clock() -> u64 {
        NOW.fetch_add(10, Ordering::Relaxed)
    }

    #[test]
    fn a_sample_stands_for_the_messages_around_it() {
        let mut meter = Meter::new(Some(clock));
        for _ in 0..SAMPLE {
            meter.message();
            meter.lap(Stage::Decode);
            meter.lap(Stage::Rules);
        }
        meter.begin();
        meter.lap(Stage::Spool);
        let spent: Vec<(&str, u64)> = meter.spent().map(|(stage, spent)| (stage.name(), spent)).collect();
        assert_eq!(spent, [("decode", 640), ("rules", 640), ("alert", 0), ("spool", 10)]);
    }
}
