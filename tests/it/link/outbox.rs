//! An agent's outbox in memory, with a real uplink in front of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use weir::clock::Clock;
use weir::model::kept::{Lane, Waiting};
use weir::model::label::{Fingerprint, Labels};
use weir::model::link::{AgentReport, LinkStatus};
use weir::model::ranges::Ranges;
use weir::model::ruleset::RuleReport;
use weir::model::time::Timestamp;
use weir::model::transition::{State, Transition};
use weir::tasks::{self, Stop, StopSource};
use weir::uplink::{self, Active, Config, Identity, Outbox, Port, Request, Stamp, Standing};

pub(crate) const EPOCH: u64 = 0x1234_5678_9abc_def0;

/// What is in it.
pub(crate) struct Rows {
    pub(crate) epoch: u64,
    pub(crate) newest: u64,
    /// By number: the alert, whether it goes first, and the body.
    pub(crate) waiting: BTreeMap<u64, (u64, bool, Vec<u8>)>,
    pub(crate) acknowledged: Ranges,
    pub(crate) evicted: Ranges,
    pub(crate) active: Vec<Transition>,
    pub(crate) peeks: u64,
}

/// An agent as the hub meets it.
pub(crate) struct FakeAgent {
    rows: Arc<Mutex<Rows>>,
    newest: watch::Sender<u64>,
    pub(crate) link: watch::Receiver<LinkStatus>,
    pub(crate) status: watch::Sender<AgentReport>,
    _reports: mpsc::Sender<RuleReport>,
    _rules: mpsc::Receiver<weir::model::ruleset::Desired>,
    stops: StopSource,
    _dir: tempfile::TempDir,
}

impl FakeAgent {
    /// Starts one that dials this address.
    pub(crate) fn start(hub: SocketAddr, config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        std::fs::write(&token, "t").unwrap();
        let config = Config { url: format!("http://{hub}"), token_file: Some(token), ..config };
        let rows = Arc::new(Mutex::new(Rows {
            epoch: EPOCH,
            newest: 0,
            waiting: BTreeMap::new(),
            acknowledged: Ranges::default(),
            evicted: Ranges::default(),
            active: Vec::new(),
            peeks: 0,
        }));
        let (stops, stop) = StopSource::new();
        let (newest, newest_seen) = watch::channel(0);
        let (link, link_seen) = watch::channel(LinkStatus::default());
        let (status, status_seen) = watch::channel(AgentReport::default());
        let (requests, asked) = mpsc::channel(16);
        let (reports, to_hub) = mpsc::channel(1);
        let (rules, taken) = mpsc::channel(1);
        drop(tasks::spawn("outbox", answer(asked, Arc::clone(&rows), newest.clone())));
        let port = Port { requests, rules, newest: newest_seen, reports: to_hub, status: status_seen, link };
        let agent = Self {
            rows,
            newest,
            link: link_seen,
            status,
            _reports: reports,
            _rules: taken,
            stops,
            _dir: dir,
        };
        agent.dial(config, port, stop);
        agent
    }

    fn dial(&self, config: Config, port: Port, stop: Stop) {
        let identity = Identity { agent: "gw-1".into(), boot_id: "boot-1".into(), labels: Vec::new() };
        let running = async move { uplink::run(config, identity, port, Clock::start(), stop).await.unwrap() };
        drop(tasks::spawn("uplink", running));
    }

    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }

    /// Puts a transition of an alert in.
    pub(crate) fn commit(&self, alert: u64, urgent: bool) {
        self.commit_body(alert, urgent, body(alert));
    }

    pub(crate) fn commit_body(&self, alert: u64, urgent: bool, body: Vec<u8>) {
        let mut rows = self.rows();
        rows.newest += 1;
        let newest = rows.newest;
        if urgent {
            rows.waiting.values_mut().filter(|row| row.0 == alert).for_each(|row| row.1 = true);
        }
        rows.waiting.insert(newest, (alert, urgent, body));
        drop(rows);
        self.newest.send_replace(newest);
    }

    pub(crate) fn state(&self) -> LinkStatus {
        self.link.borrow().clone()
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        crate::support::within(what, async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Waits until the hub has everything.
    pub(crate) async fn until_empty(&self) {
        self.until("nothing waits", |agent| agent.rows().waiting.is_empty()).await;
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.stops.stop();
    }
}

async fn answer(mut asked: mpsc::Receiver<Request>, rows: Arc<Mutex<Rows>>, newest: watch::Sender<u64>) {
    while let Some(request) = asked.recv().await {
        let mut rows = rows.lock().unwrap();
        match request {
            Request::Standing(reply) => drop(reply.send(Standing {
                epoch: rows.epoch,
                newest: rows.newest,
                acknowledged: rows.acknowledged.clone(),
                renewed: None,
                running: Vec::new(),
            })),
            Request::Peek { lane, skip, upto, count, bytes, reply } => {
                rows.peeks += 1;
                drop(reply.send(rows.peek(lane, &skip, upto, count, bytes)));
            }
            Request::Forget { floor, above } => {
                rows.acknowledged.insert(1, floor);
                above.iter().for_each(|(first, last)| rows.acknowledged.insert(*first, *last));
                let acknowledged = rows.acknowledged.clone();
                rows.waiting.retain(|seq, _| !acknowledged.contains(*seq));
            }
            Request::Active(reply) => {
                drop(reply.send(Some(Active { seq: rows.newest, alerts: rows.active.clone() })));
            }
            Request::RenewEpoch(reply) => {
                rows.epoch += 1;
                rows.acknowledged = Ranges::default();
                let waiting = std::mem::take(&mut rows.waiting);
                rows.waiting = (1..).zip(waiting.into_values()).collect();
                rows.newest = rows.waiting.len() as u64;
                newest.send_replace(rows.newest);
                reply.send(()).ok();
            }
        }
    }
}

impl Rows {
    fn peek(&self, lane: Lane, skip: &Ranges, upto: u64, count: usize, bytes: usize) -> Outbox {
        let wanted = |urgent| lane == Lane::Both || urgent == (lane == Lane::Urgent);
        let mut total = 0;
        let rows = self.waiting.range(..=upto).filter(|(seq, row)| wanted(row.1) && !skip.contains(**seq));
        let rows = rows.take(count).take_while(|(_, (_, _, body))| {
            let first = total == 0;
            total += body.len();
            first || total <= bytes
        });
        let waiting = |(seq, (_, _, body)): (&u64, &(u64, bool, Vec<u8>))| Waiting {
            seq: *seq,
            body: body.clone(),
            since: 0,
        };
        let rows = rows.map(waiting).collect();
        let evicted = self.evicted.iter().filter(|range| !skip.contains(range.1)).take(count).collect();
        Outbox { rows, evicted, age: 0 }
    }
}

/// A transition of an alert, as the outbox keeps it.
pub(crate) fn body(alert: u64) -> Vec<u8> {
    let stamp = Stamp { boot_id: "boot-1", recorded_at: Timestamp::from_micros(7), ..Stamp::default() };
    uplink::encode(&stamp, &firing(alert)).0
}

/// An alert that is up.
pub(crate) fn firing(alert: u64) -> Transition {
    let labels: Labels = [
        ("agent".into(), "gw-1".into()),
        ("alertname".into(), "hot".into()),
        ("device".into(), format!("f{alert}").into()),
    ]
    .into();
    Transition {
        state: State::Firing,
        ruleset: "plant".into(),
        rule: "hot".into(),
        rule_hash: 1,
        fingerprint: Fingerprint::of(&labels),
        labels,
        severity: "warning".into(),
        annotations: [("summary".into(), format!("f{alert} is hot").into())].into(),
        values: Vec::new(),
        starts_at: Timestamp::from_micros(5),
        occurred_at: Timestamp::from_micros(6),
        recorded_at: Timestamp::from_micros(7),
        evidence: None,
        place: 0,
    }
}
