//! A hub that keeps what comes and checks that no word of the agent is a lie.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use weir::model::ranges::{Range, Ranges};
use weir::tasks;
use weir::wire::series::Expander;
use weir::wire::v1;
use weir::wire::v1::agent_message::Message as Up;
use weir::wire::v1::hub_message::Message as Down;
use weir::wire::v1::hub_server::{Hub, HubServer};

/// What it knows, and how it behaves.
#[derive(Default)]
pub(crate) struct Known {
    /// The version of the protocol that it speaks.
    pub(crate) protocol: u32,
    /// Numbers that are committed, or known to be lost, by epoch.
    pub(crate) has: BTreeMap<u64, Ranges>,
    /// Transitions in the order in which they came first.
    pub(crate) came: Vec<v1::Transition>,
    /// Those that came again.
    pub(crate) again: u64,
    pub(crate) lost: Vec<Range>,
    pub(crate) hellos: Vec<v1::Hello>,
    pub(crate) digests: Vec<v1::Digest>,
    pub(crate) sets: Vec<v1::ActiveSet>,
    pub(crate) statuses: usize,
    pub(crate) alive: usize,
    /// Said right after the welcome.
    pub(crate) says: Vec<Down>,
    /// Said instead of a session, once.
    pub(crate) refuses: Option<Status>,
    /// How many digests it finds wrong.
    pub(crate) differs: usize,
    /// The boot and time that it believes of the greatest number.
    pub(crate) believes: Option<(String, i64)>,
    /// Whether it keeps its acknowledgements to itself.
    pub(crate) mute: bool,
}

#[derive(Clone)]
pub(crate) struct FakeHub {
    pub(crate) address: SocketAddr,
    known: Arc<Mutex<Known>>,
}

impl FakeHub {
    /// Starts one; `zstd` is whether it takes compressed messages.
    pub(crate) async fn start(known: Known, zstd: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hub = Self { address, known: Arc::new(Mutex::new(known)) };
        let mut service = HubServer::new(hub.clone());
        if zstd {
            service = service.accept_compressed(CompressionEncoding::Zstd);
        }
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let serving = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
        drop(tasks::spawn("hub", serving));
        hub
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    async fn serve(
        self,
        mut up: Streaming<v1::AgentMessage>,
        down: mpsc::Sender<Result<v1::HubMessage, Status>>,
    ) -> Option<()> {
        let mut series = Expander::default();
        while let Ok(Some(message)) = up.message().await {
            for answer in self.take(message.message?, &mut series) {
                down.send(Ok(v1::HubMessage { message: Some(answer) })).await.ok()?;
            }
        }
        Some(())
    }

    fn take(&self, message: Up, series: &mut Expander) -> Vec<Down> {
        let mut known = self.known();
        match message {
            Up::Hello(hello) => {
                let welcome = known.welcome(&hello);
                known.hellos.push(hello);
                [vec![Down::Welcome(welcome)], known.says.clone()].concat()
            }
            Up::Batch(batch) => {
                let ack = known.batch(batch, series);
                if known.mute { Vec::new() } else { vec![Down::Ack(ack)] }
            }
            Up::Digest(digest) => {
                let has = known.has.get(&digest.epoch).cloned().unwrap_or_default();
                assert!(has.floor() >= digest.seq, "the digest came before what it tells of");
                let differs = known.digests.len() < known.differs;
                known.digests.push(digest);
                if differs { vec![Down::Active(v1::ActiveRequest { seq: digest.seq })] } else { Vec::new() }
            }
            Up::Active(set) => {
                known.sets.push(set);
                Vec::new()
            }
            Up::Status(_) => {
                known.statuses += 1;
                Vec::new()
            }
            Up::Alive(_) => {
                known.alive += 1;
                Vec::new()
            }
            Up::Rules(_) => Vec::new(),
        }
    }
}

impl Known {
    fn welcome(&self, hello: &v1::Hello) -> v1::Welcome {
        let has = self.has.get(&hello.epoch).cloned().unwrap_or_default();
        let (committed, above) = standing(&has);
        let newest = self.came.iter().filter(|t| has.contains(t.seq)).max_by_key(|t| t.seq);
        let of = newest.map(|t| (t.boot_id.clone(), t.recorded_at));
        let (boot_id, recorded_at) = self.believes.clone().or(of).unwrap_or_default();
        v1::Welcome { protocol: self.protocol, committed, above, boot_id, recorded_at, ..Default::default() }
    }

    fn batch(&mut self, batch: v1::Batch, series: &mut Expander) -> v1::Ack {
        batch.series.iter().for_each(|each| series.define(each).unwrap());
        let has = self.has.entry(batch.epoch).or_default();
        for compact in batch.transitions {
            let whole = series.expand(compact).unwrap();
            if has.contains(whole.seq) {
                self.again += 1;
            } else {
                has.insert(whole.seq, whole.seq);
                self.came.push(whole);
            }
        }
        batch.evicted.iter().for_each(|range| has.insert(range.first, range.last));
        self.lost.extend(has.missing(1, batch.complete));
        has.insert(1, batch.complete);
        let (committed, above) = standing(has);
        v1::Ack { epoch: batch.epoch, committed, above }
    }
}

fn standing(has: &Ranges) -> (u64, Vec<v1::SeqRange>) {
    let floor = has.floor();
    let above = has.iter().filter(|(first, _)| *first > floor);
    (floor, above.map(|(first, last)| v1::SeqRange { first, last }).collect())
}

#[tonic::async_trait]
impl Hub for FakeHub {
    type SessionStream = ReceiverStream<Result<v1::HubMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        if let Some(refusal) = self.known().refuses.take() {
            return Err(refusal);
        }
        let (down, stream) = mpsc::channel(64);
        drop(tasks::spawn("session", self.clone().serve(request.into_inner(), down)));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn check(&self, _: Request<v1::CheckRequest>) -> Result<Response<v1::CheckReply>, Status> {
        Err(Status::unimplemented("nobody asks here"))
    }
}
