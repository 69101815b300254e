//! The hub's own numbers, as Prometheus reads them. Counters of the store live as long as its
//! file; those of the process start with it.

use std::sync::atomic::Ordering;

use super::core::Core;
use super::store::{self, agents, outbox, transitions};

pub(super) async fn text(core: &Core) -> Result<String, store::Error> {
    let (transitions, gaps, targets) = core
        .store
        .call(|db| Ok((transitions::count(db)?, agents::gap_count(db)?, outbox::list(db)?)))
        .await?;
    let connected = core.sessions.connected().len() as u64;
    let mut page = Page::default();
    page.one("weir_hub_agents_connected", "gauge", "Agents with an open session.", connected);
    page.one("weir_hub_transitions_total", "counter", "Transitions stored.", transitions);
    page.one(
        "weir_hub_duplicates_total",
        "counter",
        "Transitions that came again and were ignored.",
        core.counters.duplicates.load(Ordering::Relaxed),
    );
    page.one("weir_hub_gaps_total", "counter", "Ranges of sequence numbers that never came.", gaps);
    page.one(
        "weir_hub_sessions_refused_total",
        "counter",
        "Sessions turned away for their token.",
        core.counters.refused.load(Ordering::Relaxed),
    );
    let each = |value: fn(&crate::hub::record::TargetRecord) -> u64| {
        targets.iter().map(move |target| (target.name.as_str(), value(target)))
    };
    page.by_target("weir_hub_outbox_depth", "gauge", "Events that wait.", each(|t| t.depth));
    page.by_target("weir_hub_outbox_delivered_total", "counter", "Events taken.", each(|t| t.delivered));
    page.by_target("weir_hub_outbox_retries_total", "counter", "Attempts repeated.", each(|t| t.retries));
    page.by_target("weir_hub_outbox_dead_total", "counter", "Events refused for good.", each(|t| t.dead));
    Ok(page.text)
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

    fn by_target<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        values: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.head(name, kind, help);
        for (target, value) in values {
            let target = target.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.line(&format!("{name}{{target=\"{target}\"}} {value}"));
        }
    }
}
