//! How fast a day's backlog is told, once the hub is back.

use std::path::Path;
use std::time::Duration;

use weir::clock::Clock;
use weir::model::time::Mono;

use crate::bodies;
use crate::ceiling::carry;
use crate::figures::Figures;
use crate::options::Options;
use crate::relay::Carried;
use crate::site::Site;
use crate::table::short;
use crate::{Report, disk};

/// How often the link is looked at.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) async fn run(options: &Options, agent: &Path, report: &mut Report) -> Result<(), String> {
    let count = usize::try_from(options.day).unwrap();
    let mut site = Site::start(agent).await;
    site.hub.kill();
    site.pile_up(count).await;
    let piled = site.agent_process().memory();
    let before = site.agent_process().cpu_nanos();
    let carried = site.relay.carried();
    site.hub.run();
    let seconds = busy(&site, carried).await;
    let cpu = [site.agent_process().cpu_nanos() - before, site.hub_process().cpu_nanos()];
    let carried = site.relay.carried().since(carried);
    let memory = site.agent_process().memory();
    complete(&site, count).await?;

    let dir = disk();
    let bodies: Vec<Vec<u8>> = bodies::batch(count).transitions.into_iter().map(|one| one.body).collect();
    let hand = count as f64 / carry(dir.path(), &bodies);
    let rate = count as f64 / seconds;
    let title = format!(
        "{count} transitions wait when the hub is back; CPU in µs for each; the agent took {} MB while they piled up, {} MB \
         at most",
        short(piled.resident_bytes as f64 / 1e6),
        short(memory.peak_bytes as f64 / 1e6)
    );
    let heads = ["who", "transitions/s", "of by hand", "agent CPU", "hub CPU", "bytes up", "bytes down"];
    let mut figures = Figures::new("catchup", title, &heads);
    let each = |total: u64| total as f64 / count as f64;
    figures.row([
        "agent and hub".to_owned(),
        short(rate),
        format!("{:.2}", rate / hand),
        short(each(cpu[0]) / 1e3),
        short(each(cpu[1]) / 1e3),
        short(each(carried.up)),
        short(each(carried.down)),
    ]);
    let none = || "–".to_owned();
    figures.row([
        "by hand: SQLite, TCP, SQLite".to_owned(),
        short(hand),
        "1".to_owned(),
        none(),
        none(),
        short(bodies.iter().map(Vec::len).sum::<usize>() as f64 / count as f64),
        none(),
    ]);
    report.show(figures);
    Ok(())
}

/// Seconds between the first byte of the new session and the last.
async fn busy(site: &Site, before: Carried) -> f64 {
    let clock = Clock::start();
    let (mut began, mut last): (Option<Mono>, Mono) = (None, clock.mono());
    let mut seen = before;
    let over = site.all_told();
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        let carried = site.relay.carried();
        if carried != seen {
            (seen, last) = (carried, clock.mono());
            began.get_or_insert(last);
        }
    }
    last.since(began.unwrap_or(last)).as_secs_f64().max(1e-3)
}

/// Whether the hub has each of them once.
async fn complete(site: &Site, count: usize) -> Result<(), String> {
    let desk = site.desk();
    let (mut after, mut seqs) = (0, Vec::with_capacity(count));
    loop {
        let page = desk.list(&format!("/transitions?after={after}&limit=1000")).await;
        let Some(last) = page.last() else { break };
        after = last["id"].as_i64().unwrap();
        seqs.extend(page.iter().map(|t| t["seq"].as_u64().unwrap()));
    }
    seqs.sort_unstable();
    match seqs.iter().copied().eq(1..=count as u64) {
        true => Ok(()),
        false => Err(format!("{count} transitions were made, and the hub has {} of them", seqs.len())),
    }
}
