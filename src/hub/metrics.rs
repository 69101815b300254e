//! The hub's own numbers, as Prometheus reads them. Counters of the store live as long as its
//! file; those of the process start with it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::core::{Core, Counters};
use super::record::TargetRecord;
use super::store::gaps::{self, Cause};
use super::store::incidents::Kind;
use super::store::{self, outbox, reconcile, tallies, transitions};

/// A counter of the process: name, help, where it is.
type Counter = (&'static str, &'static str, fn(&Counters) -> &AtomicU64);

const COUNTERS: [Counter; 6] = [
    ("weir_hub_duplicates_total", "Transitions that came again and were ignored.", |c| &c.duplicates),
    ("weir_hub_sessions_refused_total", "Sessions turned away for their token.", |c| &c.refused),
    ("weir_hub_sessions_broken_total", "Sessions ended as the agent did not keep to the protocol.", |c| {
        &c.broken
    }),
    (
        "weir_hub_messages_ignored_total",
        "Messages of agents that mean nothing to this hub, or were not asked for.",
        |c| &c.ignored,
    ),
    ("weir_hub_notices_skipped_total", "Notices that a reader of the event stream was too slow for.", |c| {
        &c.skipped
    }),
    ("weir_hub_unreconciled_total", "Digests that differ where asking did not help.", |c| &c.unreconciled),
];

pub(super) async fn text(core: &Core) -> String {
    let mut page = Page::default();
    let connected = core.sessions.connected().len() as u64;
    page.one("weir_hub_agents_connected", "gauge", "Agents with an open session.", connected);
    for (name, help, counter) in COUNTERS {
        page.one(name, "counter", help, counter(&core.counters).load(Ordering::Relaxed));
    }
    let later = [
        ("clone", &core.counters.cloned),
        ("overloaded", &core.counters.overloaded),
        ("store", &core.counters.unstored),
    ];
    page.labelled(
        "weir_hub_sessions_put_off_total",
        "counter",
        "Sessions that were asked to come back later.",
        "why",
        later.into_iter().map(|(why, count)| (why, count.load(Ordering::Relaxed))),
    );
    page.one(
        "weir_hub_digests_equal_total",
        "counter",
        "Digests of agents that were the hub's own.",
        core.counters.same.load(Ordering::Relaxed),
    );
    page.one(
        "weir_hub_waiting_bytes",
        "gauge",
        "Bytes of messages that wait for the disk.",
        core.load.bytes(),
    );
    let health = core.store.health();
    let failing = u64::from(health.is_failing());
    page.one("weir_hub_store_failing", "gauge", "Whether the database cannot be written to.", failing);
    page.one(
        "weir_hub_store_failures_total",
        "counter",
        "Transactions that failed; nothing of them was acknowledged.",
        health.failures(),
    );
    // While the database fails, what the process knows is all the more of use.
    if let Ok(stored) = Stored::read(core).await {
        stored.write(&mut page);
    }
    page.text
}

/// What the database counts.
struct Stored {
    transitions: u64,
    gaps: u64,
    tallies: BTreeMap<String, u64>,
    targets: Vec<TargetRecord>,
}

impl Stored {
    async fn read(core: &Core) -> Result<Self, store::Error> {
        let read = |db: &rusqlite::Connection| {
            Ok(Self {
                transitions: transitions::count(db)?,
                gaps: gaps::count(db)?,
                tallies: tallies::all(db)?,
                targets: outbox::list(db)?,
            })
        };
        core.store.call(read).await
    }

    fn write(&self, page: &mut Page) {
        let tally = |name: &str| self.tallies.get(name).copied().unwrap_or(0);
        page.one("weir_hub_transitions_total", "counter", "Transitions stored.", self.transitions);
        page.one("weir_hub_gaps_total", "counter", "Ranges of sequence numbers that never came.", self.gaps);
        page.labelled(
            "weir_hub_missing_total",
            "counter",
            "Transitions that will not come, by why.",
            "why",
            [Cause::Lost, Cause::Evicted, Cause::Hub]
                .into_iter()
                .map(|cause| (cause.name(), tally(cause.name()))),
        );
        page.labelled(
            "weir_hub_repairs_total",
            "counter",
            "Alerts whose state the hub set right by what their agent said.",
            "to",
            [("firing", tally(reconcile::FIRED)), ("resolved", tally(reconcile::ENDED))].into_iter(),
        );
        page.labelled(
            "weir_hub_incidents_total",
            "counter",
            "What went wrong with agents.",
            "kind",
            Kind::ALL.into_iter().map(|kind| (kind.name(), tally(kind.tally()))),
        );
        let each = |value: fn(&TargetRecord) -> u64| {
            self.targets.iter().map(move |target| (target.name.as_str(), value(target)))
        };
        let mut of = |name, kind, help, value| page.labelled(name, kind, help, "target", each(value));
        of("weir_hub_outbox_depth", "gauge", "Events that wait.", |t| t.depth);
        of("weir_hub_outbox_delivered_total", "counter", "Events taken.", |t| t.delivered);
        of("weir_hub_outbox_retries_total", "counter", "Attempts repeated.", |t| t.retries);
        of("weir_hub_outbox_dead_total", "counter", "Events refused for good.", |t| t.dead);
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(&format!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(&format!("{name} {value}"));
    }

    fn labelled<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.head(name, kind, help);
        for (which, value) in values {
            let which = which.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.line(&format!("{name}{{{label}=\"{which}\"}} {value}"));
        }
    }
}
