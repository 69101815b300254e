//! What a transition takes: bytes on the link's socket, both ways, and bytes that the agent has written to its disk; told at
//! once, and from a backlog.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::bodies;
use crate::ceiling::Table;
use crate::commit::{written, written_by};
use crate::figures::Figures;
use crate::options::Options;
use crate::relay::Carried;
use crate::site::Site;
use crate::table::short;
use crate::{Report, disk};

/// Between two transitions that are told one by one.
const IDLE: Duration = Duration::from_millis(50);

pub(crate) async fn run(options: &Options, agent: &Path, report: &mut Report) {
    let mut site = Site::start(agent).await;
    let process = site.agent_process().0;
    let title = "bytes of a transition: on the socket of the link, and written to the agent's disk";
    let mut figures = Figures::new("wire", title, &["told", "up", "down", "disk"]);
    let row = |carried: Carried, disk: u64, count: usize| {
        [carried.up, carried.down, disk].map(|bytes| short(bytes as f64 / count as f64))
    };

    // Each alone.
    let mut events = site.desk().follow(None).await;
    let mut publisher = site.publisher("single");
    let (carried, disk_before) = (site.relay.carried(), written_by(process));
    for _ in 0..options.singles {
        let reading = site.readings(1);
        publisher.publish(&reading, None);
        events.next("transition").await;
        tokio::time::sleep(IDLE).await;
    }
    site.all_told().await;
    let [up, down, flash] =
        row(site.relay.carried().since(carried), written_by(process) - disk_before, options.singles);
    figures.row(["one by one".to_owned(), up, down, flash]);

    // All at once, after the hub was away.
    let backlog = usize::try_from(options.backlog).unwrap();
    site.hub.kill();
    let disk_before = written_by(process);
    site.pile_up(backlog).await;
    let carried = site.relay.carried();
    site.hub.run();
    site.all_told().await;
    let [up, down, flash] =
        row(site.relay.carried().since(carried), written_by(process) - disk_before, backlog);
    figures.row([format!("{backlog} from a backlog"), up, down, flash]);
    by_hand(options, &mut figures);
    report.show(figures);
}

/// The same transitions: as they are, packed as one stream, and in SQLite by hand.
fn by_hand(options: &Options, figures: &mut Figures) {
    let all = bodies::batch(usize::try_from(options.backlog).unwrap());
    let count = all.transitions.len() as f64;
    let dir = disk();
    let mut table = Table::open(&dir.path().join("table"));
    let before = written();
    let singles = &all.transitions[..options.singles.min(all.transitions.len())];
    singles.iter().for_each(|one| table.insert(std::iter::once(&one.body)));
    let single = (written() - before) as f64 / singles.len() as f64;
    let before = written();
    all.transitions.chunks(100).for_each(|some| table.insert(some.iter().map(|one| &one.body)));
    let batched = (written() - before) as f64 / count;
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    all.transitions.iter().for_each(|one| packed.write_all(&one.body).unwrap());
    let packed = packed.finish().unwrap().len() as f64 / count;
    let none = || "–".to_owned();
    let plain = short(all.payload() as f64 / count);
    figures.row(["by hand: as encoded, a commit each".to_owned(), plain, none(), short(single)]);
    figures.row(["by hand: all in one gzip, 100 a commit".to_owned(), short(packed), none(), short(batched)]);
}
