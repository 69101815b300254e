//! The whole way on one machine: a broker and a plant full of sensors, an agent, and a hub that
//! pushes the rules, for a look at Weir before anything is set up.
//!
//! Agent, hub and MQTT are the real ones and speak over real sockets; only the plant is invented.
//! What there is to tell is handed out as [`Line`]s, made of what the hub has received and of what
//! the agent says about itself. Nothing is left behind.

mod broker;
mod desk;
mod fault;
mod gateway;
pub mod narrate;
mod place;
mod plant;
mod publish;
mod stage;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::clock::Clock;
use crate::tasks::Stop;

use self::narrate::{Counts, Line, Seen, Summary};
use self::place::Place;
use self::stage::Stage;

/// The rule sets that are pushed, by name: the demo's own, whose times are short, and the shipped
/// packs.
const RULES: &[(&str, &str)] = &[
    ("demo", include_str!("rules.yaml")),
    ("node", include_str!("../../rules/node.yaml")),
    ("cold-chain", include_str!("../../rules/cold-chain.yaml")),
    ("environment", include_str!("../../rules/environment.yaml")),
    ("machinery", include_str!("../../rules/machinery.yaml")),
];

/// How often the hub is asked for news: below what a person notices.
const LOOK: Duration = Duration::from_millis(100);
/// How often the sums are told.
const TALLY: Duration = Duration::from_secs(5);

/// What a person may choose.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How this program is called, for the commands that are shown.
    pub program: String,
    /// A broker to use, `mqtt://host:port`; none: one inside the process.
    pub broker: Option<String>,
    /// When to end; none: at the stop.
    pub length: Option<Duration>,
    /// A directory for the files of agent and hub, which stays; none: one that does not.
    pub keep: Option<PathBuf>,
}

/// Runs the demo until the stop or its length, and tells what happens. Returns the closing sums.
///
/// # Errors
/// What keeps it from starting or going on, those of `say` included; what was started ends all
/// the same.
pub async fn run(
    options: Options,
    clock: Clock,
    stop: Stop,
    mut say: impl FnMut(&Line) -> io::Result<()>,
) -> Result<Summary> {
    let place = Place::make(options.keep.as_deref())?;
    let setting = Stage::set(options.broker.as_deref(), &place, clock);
    let Some(mut stage) = unless_stopped(&stop, setting).await.transpose()? else {
        return Ok(Summary::default());
    };
    let shown = play(&mut stage, &options, clock, &stop, &mut say).await;
    let last = stage.tally().await;
    stage.clear().await;
    let kept = place.kept().map(|dir| dir.display().to_string());
    let summary = Summary { counts: shown?, tally: last.unwrap_or_default(), kept };
    say(&Line::Summary(summary.clone()))?;
    Ok(summary)
}

/// Pushes the rules, lets the sensors publish, and tells what comes of it.
async fn play(
    stage: &mut Stage,
    options: &Options,
    clock: Clock,
    stop: &Stop,
    say: &mut impl FnMut(&Line) -> io::Result<()>,
) -> Result<Counts> {
    say(&Line::Started(stage.started(&options.program)))?;
    let Some(rules) = unless_stopped(stop, stage.open(RULES)).await.transpose()? else {
        return Ok(Counts::default());
    };
    say(&Line::Rules(rules))?;
    stage.begin(clock);
    show(stage, options.length, stop, say).await
}

/// What `future` gives; `None` where the stop comes first.
async fn unless_stopped<T>(stop: &Stop, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        () = stop.stopped() => None,
        output = future => Some(output),
    }
}

enum Turn {
    Look,
    Sum,
    End,
}

/// Tells what the hub receives, until the end.
async fn show(
    stage: &mut Stage,
    length: Option<Duration>,
    stop: &Stop,
    say: &mut impl FnMut(&Line) -> io::Result<()>,
) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sums = interval(TALLY);
    sums.tick().await;
    let mut end = std::pin::pin!(sleep(length.unwrap_or(Duration::MAX)));
    loop {
        let turn = tokio::select! {
            () = stop.stopped() => Turn::End,
            () = &mut end => Turn::End,
            _ = sums.tick() => Turn::Sum,
            _ = looks.tick() => Turn::Look,
        };
        match turn {
            Turn::Look => {
                for transition in stage.news().await? {
                    counts.add(&transition);
                    say(&Line::Alert(Box::new(Seen::of(transition))))?;
                }
            }
            Turn::Sum => say(&Line::Tally(stage.tally().await?))?,
            Turn::End => return Ok(counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RULES;
    use crate::hub::check::check;

    #[test]
    fn the_rules_have_neither_errors_nor_warnings() {
        for (name, text) in RULES {
            let checked = check(name, text);
            assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics);
            assert!(!checked.rules.is_empty());
        }
    }
}
