//! An agent, written by hand over the generated client.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use weir::model::label::Fingerprint;
use weir::wire::v1;
use weir::wire::v1::agent_message::Message as Up;
use weir::wire::v1::hub_client::HubClient;
use weir::wire::v1::hub_message::Message as Down;

use crate::support::within;

const EPOCH: u64 = 0xfeed_0000_0000_0001;

pub(super) struct FakeAgent {
    pub(super) welcome: v1::Welcome,
    up: mpsc::Sender<v1::AgentMessage>,
    down: Streaming<v1::HubMessage>,
}

impl FakeAgent {
    pub(super) async fn connect(
        hub: SocketAddr,
        token: &str,
        id: &str,
        running: Vec<v1::RunningSet>,
    ) -> Self {
        Self::over(plain(hub).await, token, id, running).await
    }

    /// Over a connection that is there.
    pub(super) async fn over(hub: Channel, token: &str, id: &str, running: Vec<v1::RunningSet>) -> Self {
        let (up, mut down) = open(hub, token, id, running).await.unwrap();
        let first = within("the welcome", down.message()).await.unwrap().unwrap();
        match first.message {
            Some(Down::Welcome(welcome)) => Self { welcome, up, down },
            other => panic!("{other:?} came instead of a welcome"),
        }
    }

    /// Why the hub turns the agent away.
    pub(super) async fn refused(hub: SocketAddr, token: &str, id: &str) -> Status {
        match open(plain(hub).await, token, id, Vec::new()).await {
            Err(status) => status,
            Ok((_up, mut down)) => within("a refusal", down.message()).await.unwrap_err(),
        }
    }

    pub(super) async fn send(&self, message: Up) {
        self.up.send(v1::AgentMessage { message: Some(message) }).await.unwrap();
    }

    pub(super) async fn batch(&self, transitions: &[v1::Transition]) {
        let batch = v1::Batch { epoch: EPOCH, transitions: transitions.to_vec(), ..Default::default() };
        self.send(Up::Batch(batch)).await;
    }

    pub(super) async fn accept(&self, set: &v1::DesiredSet) {
        self.answer(set, v1::rule_report::Outcome::Accepted, "").await;
    }

    pub(super) async fn answer(&self, set: &v1::DesiredSet, outcome: v1::rule_report::Outcome, why: &str) {
        let finding =
            v1::Diagnostic { message: why.to_owned(), line: 1, column: 1, length: 1, ..Default::default() };
        self.send(Up::Rules(v1::RuleReport {
            set: set.name.clone(),
            revision: set.revision,
            hash: set.hash.clone(),
            outcome: outcome.into(),
            diagnostics: if why.is_empty() { Vec::new() } else { vec![finding] },
            rules: set
                .added
                .iter()
                .filter(|item| item.kind() == v1::rule_item::Kind::Rule)
                .map(|item| v1::RuleOutcome { rule: item.name.clone(), outcome: outcome.into() })
                .collect(),
        }))
        .await;
    }

    pub(super) async fn ack(&mut self) -> u64 {
        match self.next().await {
            Down::Ack(ack) => {
                assert_eq!(ack.epoch, EPOCH);
                ack.committed
            }
            other => panic!("{other:?} came instead of an ack"),
        }
    }

    pub(super) async fn desired(&mut self) -> v1::DesiredRules {
        match self.next().await {
            Down::Desired(desired) => desired,
            other => panic!("{other:?} came instead of rules"),
        }
    }

    pub(super) async fn retry_after(&mut self) -> String {
        match self.next().await {
            Down::RetryAfter(retry) => {
                assert!(within("the end of the stream", self.down.message()).await.unwrap().is_none());
                retry.why
            }
            other => panic!("{other:?} came instead of a goodbye"),
        }
    }

    async fn next(&mut self) -> Down {
        let message = within("a message of the hub", self.down.message()).await;
        message.unwrap().expect("the stream goes on").message.expect("a known message")
    }
}

/// A transition of the alert of one device.
pub(super) fn transition(seq: u64, device: &str) -> v1::Transition {
    let labels = [("alertname".into(), "hot".into()), ("device".into(), device.into())].into();
    let value = |kind| Some(v1::Value { kind: Some(kind) });
    v1::Transition {
        seq,
        state: v1::transition::State::Firing.into(),
        ruleset: "plant".to_owned(),
        rule: "hot".to_owned(),
        rule_hash: 7,
        fingerprint: Fingerprint::of(&labels).0,
        labels: labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        severity: "critical".to_owned(),
        values: vec![
            v1::NamedValue { name: "t".to_owned(), value: value(v1::value::Kind::Float(50.5)) },
            v1::NamedValue { name: "a".to_owned(), value: value(v1::value::Kind::Integer(1)) },
        ],
        starts_at: 1_594_512_094_500_000,
        occurred_at: 1_594_512_094_500_000,
        recorded_at: 1_594_512_094_500_000,
        boot_id: "boot".to_owned(),
        evidence: Some(v1::Evidence {
            columns: vec!["t".to_owned()],
            readings: vec![v1::Reading {
                before: 500_000,
                values: vec![v1::Value { kind: Some(v1::value::Kind::Float(49.5)) }],
            }],
        }),
        ..Default::default()
    }
}

type Opened = (mpsc::Sender<v1::AgentMessage>, Streaming<v1::HubMessage>);

async fn plain(hub: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{hub}")).unwrap().connect().await.unwrap()
}

async fn open(hub: Channel, token: &str, id: &str, running: Vec<v1::RunningSet>) -> Result<Opened, Status> {
    let mut client = HubClient::new(hub);
    let (up, stream) = mpsc::channel(16);
    let hello = v1::Hello {
        protocol: 1,
        agent: id.to_owned(),
        boot_id: "boot".to_owned(),
        version: "0.1.0".to_owned(),
        labels: [("site".to_owned(), "a".to_owned())].into(),
        epoch: EPOCH,
        running,
        ..Default::default()
    };
    up.send(v1::AgentMessage { message: Some(Up::Hello(hello)) }).await.unwrap();
    let mut request = Request::new(ReceiverStream::new(stream));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let down = within("a session", client.session(request)).await?.into_inner();
    Ok((up, down))
}
