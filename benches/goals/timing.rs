//! Contestants in turns, round by round, in nanoseconds of CPU time an event.
//!
//! Time is that of this thread alone, and the median of the rounds counts: on a machine that has other
//! work, the same moments are bad for all contestants.

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread, nanoseconds.
pub(crate) fn cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Events between two looks at the clock.
const BATCH: usize = 128;

/// How long a contest goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Events of a round at most.
    pub(crate) events: usize,
    /// Rounds that count; one more comes before them.
    pub(crate) rounds: usize,
    /// CPU time of one contestant in one round at most; what is slow is measured over fewer events.
    pub(crate) budget_ns: u64,
}

/// Something that takes events by their numbers.
pub(crate) type Contestant<'a> = Box<dyn FnMut(std::ops::Range<usize>) + 'a>;

/// Takes a count that nobody asks for, so that the compiler cannot leave out what made it.
pub(crate) fn keep(count: usize) {
    std::hint::black_box(count);
}

/// Nanoseconds an event for each contestant.
pub(crate) fn race(effort: Effort, mut contestants: Vec<Contestant<'_>>) -> Vec<f64> {
    let mut rounds = vec![Vec::with_capacity(effort.rounds); contestants.len()];
    for round in 0..=effort.rounds {
        for (contestant, took) in contestants.iter_mut().zip(&mut rounds) {
            let nanos = run(effort, contestant);
            if round > 0 {
                took.push(nanos);
            }
        }
    }
    rounds.into_iter().map(median).collect()
}

fn run(effort: Effort, contestant: &mut Contestant<'_>) -> f64 {
    let began = cpu_nanos();
    let mut done = 0;
    // What takes milliseconds an event is looked at after each of the first.
    let mut batch = 1;
    loop {
        let next = effort.events.min(done + batch);
        contestant(done..next);
        done = next;
        let took = cpu_nanos() - began;
        if done == effort.events || took > effort.budget_ns {
            return took as f64 / done as f64;
        }
        batch = (batch * 2).min(BATCH);
    }
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value that a hundredth lies above.
pub(crate) fn p99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * 99).div_ceil(100).max(1) - 1).copied().unwrap_or(f64::NAN)
}
