//! An agent, written by hand over the generated client.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use weir::model::label::Fingerprint;
use weir::wire::v1;
use weir::wire::v1::agent_message::Message as Up;
use weir::wire::v1::hub_client::HubClient;
use weir::wire::v1::hub_message::Message as Down;

use crate::support::within;

pub(super) const EPOCH: u64 = 0xfeed_0000_0000_0001;

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
        Self::greeted(open(hub, token, v1::Hello { running, ..hello(id, 1, "boot") }).await.unwrap()).await
    }

    /// With a Hello of one's own.
    pub(super) async fn dial(hub: SocketAddr, token: &str, hello: v1::Hello) -> Self {
        Self::greeted(open(plain(hub).await, token, hello).await.unwrap()).await
    }

    /// The same, compressed in both directions.
    pub(super) async fn dial_compressed(hub: SocketAddr, token: &str, hello: v1::Hello) -> Self {
        let client = HubClient::new(plain(hub).await)
            .send_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Zstd);
        Self::greeted(open_by(client, token, hello).await.unwrap()).await
    }

    async fn greeted((up, mut down): Opened) -> Self {
        let first = within("the welcome", down.message()).await.unwrap().unwrap();
        match first.message {
            Some(Down::Welcome(welcome)) => Self { welcome, up, down },
            other => panic!("{other:?} came instead of a welcome"),
        }
    }

    /// What an agent hears that is not welcome, until the stream ends.
    pub(super) async fn turned_away(hub: SocketAddr, token: &str, hello: v1::Hello) -> Vec<Down> {
        let (_up, down) = open(plain(hub).await, token, hello).await.unwrap();
        heard(down).await
    }

    /// All that comes until the stream ends.
    pub(super) async fn last_words(self) -> Vec<Down> {
        let _up = self.up;
        heard(self.down).await
    }

    /// Why the hub turns the agent away.
    pub(super) async fn refused(hub: SocketAddr, token: &str, id: &str) -> Status {
        match open(plain(hub).await, token, hello(id, 1, "boot")).await {
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

    /// A batch of protocol 2.
    pub(super) async fn offer(&self, transitions: &[v1::Transition], evicted: &[(u64, u64)], complete: u64) {
        let evicted =
            evicted.iter().map(|(first, last)| v1::SeqRange { first: *first, last: *last }).collect();
        let transitions = transitions.to_vec();
        let batch = v1::Batch { epoch: EPOCH, transitions, evicted, complete, ..Default::default() };
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

    /// The floor and the ranges of an ack.
    pub(super) async fn acked(&mut self) -> (u64, Vec<(u64, u64)>) {
        match self.next().await {
            Down::Ack(ack) => (ack.committed, pairs(&ack.above)),
            other => panic!("{other:?} came instead of an ack"),
        }
    }

    /// How the stream ends, where nothing more comes.
    pub(super) async fn end(&mut self) -> Result<(), Status> {
        let message = within("the end of the stream", self.down.message()).await?;
        assert!(message.is_none(), "{message:?}");
        Ok(())
    }

    pub(super) async fn next(&mut self) -> Down {
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

/// A Hello without anything special.
pub(super) fn hello(id: &str, protocol: u32, boot: &str) -> v1::Hello {
    v1::Hello {
        protocol,
        agent: id.to_owned(),
        boot_id: boot.to_owned(),
        version: "0.1.0".to_owned(),
        labels: [("site".to_owned(), "a".to_owned())].into(),
        epoch: EPOCH,
        ..Default::default()
    }
}

pub(super) fn pairs(ranges: &[v1::SeqRange]) -> Vec<(u64, u64)> {
    ranges.iter().map(|range| (range.first, range.last)).collect()
}

async fn open(hub: Channel, token: &str, hello: v1::Hello) -> Result<Opened, Status> {
    open_by(HubClient::new(hub), token, hello).await
}

async fn open_by(mut client: HubClient<Channel>, token: &str, hello: v1::Hello) -> Result<Opened, Status> {
    let (up, stream) = mpsc::channel(16);
    up.send(v1::AgentMessage { message: Some(Up::Hello(hello)) }).await.unwrap();
    let mut request = Request::new(ReceiverStream::new(stream));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let down = within("a session", client.session(request)).await?.into_inner();
    Ok((up, down))
}

async fn heard(mut down: Streaming<v1::HubMessage>) -> Vec<Down> {
    let mut heard = Vec::new();
    while let Ok(Some(message)) = within("the end of the stream", down.message()).await {
        heard.extend(message.message);
    }
    heard
}
